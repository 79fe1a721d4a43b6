/** What a provider has counted: plain data for logs, health checks and telemetry. Counting is additions of integers. */

import { A2AKmsError } from '../errors/base.js';

/** Calls of one public method since the provider was made. Calls under way: `started - succeeded - failed`. */
export interface OperationStats {
  readonly started: number;
  readonly succeeded: number;
  /** Also what was refused before anything was asked. */
  readonly failed: number;
  /** How often it failed, by the code of the error; `UNEXPECTED` for an error that is not this library's. */
  readonly errors: Readonly<Record<string, number>>;
}

/** Counts of a cache since it was made. */
export interface CacheStats {
  /** Answered without a call. */
  readonly hits: number;
  /** Had to be loaded, or waited for somebody else's load. */
  readonly misses: number;
  /** Entries that are held now. */
  readonly size: number;
}

/** The gRPC connections of a `KMSClient` now. */
export interface ConnectionStats {
  /** Channels that take calls. */
  readonly channelsOpen: number;
  /** Calls that were sent and are not answered, those on channels that are being replaced too. */
  readonly callsInFlight: number;
  /** Calls that wait for a place on a channel. */
  readonly queueDepth: number;
}

/** Quotas of Cloud KMS, as all clients of this process with the same project, location and limits use them together. */
export interface QuotaStats {
  /** Calls that wait for a quota. */
  readonly callsWaiting: number;
  /** By quota: `read`, `write`, `hsm`, `software`, `external`; those that were not used are left out. */
  readonly kinds: Readonly<
    Record<
      string,
      {
        /** Tokens that calls of this process used in the last minute, those under way included. */
        readonly tokensLastMinute: number;
        readonly callsWaiting: number;
      }
    >
  >;
}

interface CommonStats {
  /** Full name of the key ring. */
  readonly keyRing: string;
  /** By public method, e.g. `sign`; methods that were not called are left out. */
  readonly operations: Readonly<Record<string, OperationStats>>;
  /** Calls of public methods that are under way. */
  readonly inFlight: number;
}

/** What a `KMSClient` has counted. */
export interface KmsStats extends CommonStats {
  readonly provider: 'kms';
  readonly caches: {
    /** Which version of a key is in use. */
    readonly keyVersions: CacheStats;
    readonly publicKeys: CacheStats;
  };
  readonly connection: ConnectionStats;
  /** Where the calls go. An emulator protects nothing. */
  readonly endpoint: { readonly kind: 'cloud' | 'emulator'; readonly address: string; readonly port: number };
  readonly quota: QuotaStats;
}

/** What a `SoftwareKeyProvider` has counted. */
export interface SoftwareStats extends CommonStats {
  readonly provider: 'software';
  readonly caches: {
    /** Keys that were read from the store and are ready to use. */
    readonly secretKeys: CacheStats;
    readonly publicKeys: CacheStats;
  };
}

/** What a provider has counted; `provider` says which of the two it is. */
export type ProviderStats = KmsStats | SoftwareStats;

class Counts {
  started = 0;
  succeeded = 0;
  failed = 0;
  readonly errors = new Map<string, number>();
  // Bound once: closures for each call would be garbage of each call.
  readonly success = <T>(result: T): T => {
    this.succeeded += 1;
    return result;
  };
  readonly failure = (error: unknown): never => {
    this.failed += 1;
    const code = error instanceof A2AKmsError ? error.code : 'UNEXPECTED';
    this.errors.set(code, (this.errors.get(code) ?? 0) + 1);
    throw error;
  };
}

/** Counts the calls of the public methods of a provider. */
export class CallCounts {
  readonly #byMethod = new Map<string, Counts>();

  /** What the call throws at once is a rejection too. */
  count<T>(method: string, call: () => Promise<T>): Promise<T> {
    const counts = this.#of(method);
    counts.started += 1;
    return begin(call).then(counts.success, counts.failure);
  }

  stats(): Pick<CommonStats, 'operations' | 'inFlight'> {
    const operations: Record<string, OperationStats> = {};
    let inFlight = 0;
    for (const [method, { started, succeeded, failed, errors }] of this.#byMethod) {
      inFlight += started - succeeded - failed;
      operations[method] = { started, succeeded, failed, errors: Object.fromEntries(errors) };
    }
    return { operations, inFlight };
  }

  #of(method: string): Counts {
    const known = this.#byMethod.get(method);
    if (known !== undefined) return known;
    const counts = new Counts();
    this.#byMethod.set(method, counts);
    return counts;
  }
}

function begin<T>(call: () => Promise<T>): Promise<T> {
  try {
    return call();
  } catch (error) {
    return Promise.reject(error);
  }
}

/** Freezes plain data in all its depth. */
export function frozen<T extends object>(data: T): T {
  for (const value of Object.values(data)) {
    if (typeof value === 'object' && value !== null) frozen(value);
  }
  return Object.freeze(data);
}
