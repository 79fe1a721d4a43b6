/**
 * Who watches the calls of a provider: the audit trail and telemetry. A provider without observers pays nothing for them.
 * Observers see names, states and times; of the data they get the bytes that are no secret (`subject`), to take a digest.
 */

import { A2AKmsError } from '../errors/base.js';
import type { ErrorCode } from '../errors/error-code.js';

/** A call of a public method of a provider, before anything is checked. */
export interface ObservedCall {
  /** The public method, e.g. `sign`. */
  readonly method: string;
  /** Full name of the provider's key ring. */
  readonly keyRing: string;
  /** The key id as the caller gave it; the key ring for calls that are about no key. */
  readonly keyId: string;
  /**
   * The message or digest that is signed or verified, or the ciphertext that is decrypted; never plaintext that is
   * encrypted. It is the caller's buffer: read it before `begin` returns or its promise settles, and do not change it.
   */
  readonly subject: Uint8Array | undefined;
  /** The caller's own words, for the audit trail and for Cloud Audit Logs. */
  readonly reason: string | undefined;
  /** The caller's own id of the work that the call is part of. */
  readonly correlationId: string | undefined;
}

/** The key version that a call worked with. */
export interface ObservedVersion {
  /** Full CryptoKeyVersion name. */
  readonly keyVersion: string;
  readonly algorithm: string;
  /** Undefined for `verify`, which rests on the public key alone. */
  readonly protectionLevel: string | undefined;
}

/** How a call ended. */
export interface ObservedOutcome {
  /** `refused`: it failed before Cloud KMS or the store of keys was asked. */
  readonly status: 'succeeded' | 'failed' | 'refused';
  /** Code of the error; `UNEXPECTED` for an error that is not this library's. */
  readonly errorCode: ErrorCode | undefined;
  readonly version: ObservedVersion | undefined;
  /** How often Cloud KMS was asked. */
  readonly attempts: number;
  /** Of `verify`. */
  readonly verdict: 'valid' | 'invalid' | undefined;
  /** What came out and is no secret: signature or ciphertext. */
  readonly product: Uint8Array | undefined;
}

/** One attempt of one RPC. */
export interface ObservedAttempt {
  /** The method of google.cloud.kms.v1.KeyManagementService, its first letter small: `asymmetricSign`. */
  readonly rpc: string;
  /** 1 for the first attempt of the first RPC of the call. */
  readonly attempt: number;
}

/** Watches one call. */
export interface CallObserver {
  /** Id that the observer gave the call. It travels with the caller's reason to Cloud Audit Logs. */
  readonly requestId?: string;
  /** An attempt begins; what is returned is called with the name of its gRPC status when it ends. */
  attempt?(attempt: ObservedAttempt): (status: string) => void;
  /** The call is over. A rejection becomes the outcome of the call. */
  end(outcome: ObservedOutcome): void | Promise<void>;
}

/** What a provider warns of besides its calls. */
export interface ObservedWarning {
  readonly warning: 'software-keys-in-production';
  readonly details: Readonly<Record<string, string>>;
}

/** Watches the calls of a provider (docs/observers.md). */
export interface ProviderObserver {
  /** A call begins. A rejection refuses it. */
  begin(call: ObservedCall): CallObserver | Promise<CallObserver>;
  /** Something that is logged as a warning and belongs into an audit trail. */
  warn?(warning: ObservedWarning): void;
}

/** What a call gave that observers may know. */
export type Product = Pick<ObservedOutcome, 'verdict' | 'product'>;

const NOTHING: Product = { verdict: undefined, product: undefined };

/** One observed call: what the operations that do its work find out on the way. */
export class Observation {
  readonly #observers: readonly CallObserver[];
  #version: ObservedVersion | undefined;
  #attempts = 0;
  #hasReachedKeys = false;

  constructor(observers: readonly CallObserver[]) {
    this.#observers = observers;
  }

  /** The id that an observer gave the call, if one did. */
  get requestId(): string | undefined {
    return this.#observers.find(({ requestId }) => requestId !== undefined)?.requestId;
  }

  /** The call works with this version. */
  uses(version: ObservedVersion): void {
    this.#version = version;
  }

  /** The call got as far as the store of keys. */
  reachesKeys(): void {
    this.#hasReachedKeys = true;
  }

  /** An attempt of an RPC begins. @returns what is to be called with the name of its gRPC status when it ends. */
  attempt(rpc: string): (status: string) => void {
    this.#hasReachedKeys = true;
    this.#attempts += 1;
    const attempt = { rpc, attempt: this.#attempts };
    const ended = this.#observers.flatMap((observer) => observer.attempt?.(attempt) ?? []);
    return (status) => {
      for (const end of ended) end(status);
    };
  }

  /** Tells all observers, also when one of them rejects. @throws the first rejection. */
  async end(result: Product | { readonly error: unknown }): Promise<void> {
    const facts = { version: this.#version, attempts: this.#attempts };
    const outcome: ObservedOutcome =
      'error' in result
        ? { ...facts, ...NOTHING, ...this.#failureOf(result.error) }
        : { ...facts, ...result, status: 'succeeded', errorCode: undefined };
    const ends = await Promise.allSettled(this.#observers.map(async (observer) => observer.end(outcome)));
    const rejected = ends.find((end) => end.status === 'rejected');
    if (rejected !== undefined) throw rejected.reason;
  }

  #failureOf(error: unknown): Pick<ObservedOutcome, 'status' | 'errorCode'> {
    return {
      status: this.#hasReachedKeys ? 'failed' : 'refused',
      errorCode: error instanceof A2AKmsError ? error.code : 'UNEXPECTED',
    };
  }
}

/**
 * Makes a call under the eyes of the observers. They are told of its end whatever that is; what they throw takes the place
 * of its outcome.
 */
export async function observe<T>(
  observers: readonly ProviderObserver[],
  call: ObservedCall,
  work: (observation: Observation) => Promise<T>,
  productOf: (result: T) => Product = () => NOTHING,
): Promise<T> {
  const begun: CallObserver[] = [];
  const observation = new Observation(begun);
  let result: T;
  try {
    for (const observer of observers) begun.push(await observer.begin(call));
    result = await work(observation);
  } catch (error) {
    await observation.end({ error });
    throw error;
  }
  await observation.end(productOf(result));
  return result;
}

/** Of calls whose result is a signature or a ciphertext. */
export const productIs = (product: Uint8Array): Product => ({ verdict: undefined, product });

/** Of `verify`. */
export const verdictIs = (valid: boolean): Product => ({
  verdict: valid ? 'valid' : 'invalid',
  product: undefined,
});
