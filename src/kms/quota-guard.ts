/**
 * Keeps the calls of a client within the quotas of its project. What is used up concerns all clients in the process that
 * call the same endpoint for the same project and location, so they share one bucket for each kind of request; the limits
 * are those of each client's own configuration.
 */

import { LRUCache } from 'lru-cache';
import type { Clock } from '../clock.js';
import type { ResolvedKMSConfig } from '../config/kms-config.js';
import { ResourceExhaustedError } from '../errors/service.js';
import type { AlgorithmEntry } from '../keys/algorithm-types.js';
import type { Operation } from '../provider/operation.js';
import type { QuotaStats } from '../provider/stats.js';
import { QuotaBucket, type QuotaRequest, type Turn, type TurnOutcome } from './quota-bucket.js';
import {
  administrativeKind,
  keyUseKind,
  PUBLISHED_TOKENS_PER_MINUTE,
  publishedTokens,
  type QuotaKind,
} from './quota-table.js';
import type { RpcName } from './rpc.js';

/** What a call uses. */
export interface QuotaUse {
  readonly rpc: RpcName;
  /** The version whose key is used; absent for administrative requests. */
  readonly uses?: { readonly algorithm: AlgorithmEntry; readonly protectionLevel: string } | undefined;
}

/** A call that may be made, in its bucket. */
export interface Admission {
  readonly bucket: QuotaBucket;
  readonly turn: Turn;
  readonly kind: QuotaKind;
}

type Buckets = Partial<Record<QuotaKind, QuotaBucket>>;

/** Projects and locations that are remembered; a client keeps those it works with in any case. */
const MAX_SHARED = 1_000;
/** By clock, for a bucket works by one; in a process there is one clock, but in tests. */
const shared = new WeakMap<Clock, LRUCache<string, Buckets>>();

export class QuotaGuard {
  readonly #config: Pick<ResolvedKMSConfig, 'clock' | 'deadlines' | 'logger' | 'quota'>;
  readonly #where: string;
  readonly #buckets: Buckets;

  constructor(config: ResolvedKMSConfig) {
    this.#config = config;
    const { endpoint, projectId, locationId, clock } = config;
    const host =
      endpoint.kind === 'emulator' ? `${endpoint.host}:${endpoint.port}` : (endpoint.apiEndpoint ?? '');
    this.#where = `projects/${projectId}/locations/${locationId}`;
    this.#buckets = sharedBuckets(clock, `${host} ${this.#where}`);
  }

  get stats(): QuotaStats {
    const kinds = Object.entries(this.#buckets).map(
      ([kind, { tokensLastMinute, waiting }]) => [kind, { tokensLastMinute, callsWaiting: waiting }] as const,
    );
    return {
      callsWaiting: kinds.reduce((sum, [, { callsWaiting }]) => sum + callsWaiting, 0),
      kinds: Object.fromEntries(kinds),
    };
  }

  /** Whether a call that was refused waits here for its next turn. */
  willWait(operation: Operation, retryAfterMs: number | undefined): boolean {
    if (this.#config.quota.mode === 'off' || operation.onQuota === 'fail') return false;
    return (retryAfterMs ?? 0) < this.#budgetMs(operation);
  }

  /**
   * When its turn has come; undefined when there is no guard.
   * @param place among those who wait: `first` for a call that had its turn and was refused.
   * @throws ResourceExhaustedError when it would take too long, or at all with `onQuota: 'fail'`.
   */
  enter(
    operation: Operation,
    use: QuotaUse,
    place: 'first' | 'last',
  ): Admission | Promise<Admission> | undefined {
    if (this.#config.quota.mode === 'off') return undefined;
    const { kind, request } = this.#requestOf(use);
    this.#buckets[kind] ??= new QuotaBucket(this.#config.clock);
    const bucket = this.#buckets[kind];
    if (operation.onQuota === 'fail') {
      const taken = bucket.takeOrKeep(request, operation.resource);
      if ('slot' in taken) return { bucket, turn: taken, kind };
      throw this.#exhausted(operation, { kind, retryAfterMs: taken.retryAfterMs });
    }
    const turn = bucket.take(request);
    return turn === undefined
      ? this.#wait(operation, { kind, request, bucket, place })
      : { bucket, turn, kind };
  }

  /** Counts a call that does not wait for its turn. */
  enterAtOnce(use: QuotaUse): Admission | undefined {
    if (this.#config.quota.mode === 'off') return undefined;
    const { kind, request } = this.#requestOf(use);
    this.#buckets[kind] ??= new QuotaBucket(this.#config.clock);
    const bucket = this.#buckets[kind];
    return { bucket, turn: bucket.enter(request), kind };
  }

  /** Tells how a call ended. */
  ended({ bucket, turn, kind }: Admission, outcome: TurnOutcome): void {
    const wasFree = bucket.tokensPerSecond === undefined;
    bucket.ended(turn, outcome);
    if (!wasFree || outcome.kind !== 'refused') return;
    this.#config.logger.warn(
      { quota: kind, resource: this.#where },
      'a quota of Cloud KMS is used up: calls that count for it wait for their turn until it is back',
    );
  }

  async #wait(
    operation: Operation,
    call: {
      readonly kind: QuotaKind;
      readonly request: QuotaRequest;
      readonly bucket: QuotaBucket;
      readonly place: 'first' | 'last';
    },
  ): Promise<Admission> {
    const { kind, request, bucket, place } = call;
    const { clock } = this.#config;
    const since = clock.monotonic();
    const budgetMs = this.#budgetMs(operation);
    const tooLate = (): ResourceExhaustedError =>
      this.#exhausted(operation, {
        kind,
        retryAfterMs: Math.max(1, Math.ceil(bucket.readyAt(request) - clock.monotonic())),
      });
    if (bucket.readyAt(request) - since >= budgetMs) throw tooLate();
    const { turn, leave } = bucket.wait(request, place);
    try {
      return { kind, bucket, turn: await operation.waitInLine(turn, { timeoutMs: budgetMs, tooLate }) };
    } catch (error) {
      // A turn that came in the same moment as the wait ended is nobody's.
      void turn.then((late) => bucket.ended(late, { kind: 'unsent' }));
      throw error;
    } finally {
      operation.quotaWaitMs += clock.monotonic() - since;
      leave();
    }
  }

  #budgetMs(operation: Operation): number {
    return Math.max(0, this.#config.deadlines.queueMs - operation.quotaWaitMs);
  }

  #exhausted(
    operation: Operation,
    held: { readonly kind: QuotaKind; readonly retryAfterMs: number },
  ): ResourceExhaustedError {
    const { kind, retryAfterMs } = held;
    const what = `the quota for ${NAMES[kind]} of ${this.#where} is used up`;
    const problem =
      operation.onQuota === 'fail'
        ? `${what}, and calls wait for their turn.`
        : `${what} and did not let the call through within ${this.#config.deadlines.queueMs} ms (deadlines.queueMs).`;
    return new ResourceExhaustedError(operation.context(operation.lastFailure), problem, retryAfterMs);
  }

  #requestOf({ rpc, uses }: QuotaUse): { readonly kind: QuotaKind; readonly request: QuotaRequest } {
    const { limits, hsmTokens } = this.#config.quota;
    const kind = uses === undefined ? administrativeKind(rpc) : keyUseKind(uses.protectionLevel);
    const limit = (limits === 'published' ? PUBLISHED_TOKENS_PER_MINUTE : limits)?.[kind];
    if (uses === undefined) return { kind, request: { tokens: 1, limit } };
    const { algorithm } = uses;
    const configured = kind === 'hsm' ? hsmTokens?.[algorithm.name] : undefined;
    return { kind, request: { tokens: configured ?? publishedTokens(kind, algorithm), limit } };
  }
}

const NAMES: Readonly<Record<QuotaKind, string>> = {
  read: 'reading',
  write: 'creating and changing keys',
  hsm: 'HSM keys',
  software: 'software keys',
  external: 'external keys',
};

function sharedBuckets(clock: Clock, key: string): Buckets {
  const byKey = shared.get(clock) ?? new LRUCache<string, Buckets>({ max: MAX_SHARED });
  shared.set(clock, byKey);
  const buckets = byKey.get(key) ?? {};
  byKey.set(key, buckets);
  return buckets;
}
