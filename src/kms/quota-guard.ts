/**
 * Keeps the calls of a client within the quotas of its project. What is used up concerns all clients in the process that
 * call the same endpoint for the same project and location, so they share one bucket for each kind of request. Those with
 * other limits have others: nobody waits in a line because of a limit that is not its own.
 */

import { LRUCache } from 'lru-cache';
import type { Clock } from '../clock.js';
import type { ResolvedKMSConfig } from '../config/kms-config.js';
import { ClientClosedError, ResourceExhaustedError } from '../errors/service.js';
import type { AlgorithmEntry } from '../keys/algorithm-types.js';
import type { Operation } from '../provider/operation.js';
import type { QuotaStats } from '../provider/stats.js';
import { QuotaBucket } from './quota-bucket.js';
import { type QuotaLimits, quotaLimits } from './quota-limits.js';
import { administrativeKind, keyUseKind, publishedTokens, type QuotaKind } from './quota-table.js';
import type { Turn, TurnOutcome } from './quota-turn.js';
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

/** A call that has no turn yet. */
interface Entering {
  readonly kind: QuotaKind;
  readonly tokens: number;
  readonly bucket: QuotaBucket;
}

type Buckets = Partial<Record<QuotaKind, QuotaBucket>>;

/** Projects and locations that are remembered; a client keeps those it works with in any case. */
const MAX_SHARED = 1_000;
/** For a caller that waited for answers in vain. */
const ANSWER_MS = 1_000;
/** By clock, for a bucket works by one; in a process there is one clock, but in tests. */
const shared = new WeakMap<Clock, LRUCache<string, Buckets>>();

export class QuotaGuard {
  readonly #config: Pick<ResolvedKMSConfig, 'clock' | 'deadlines' | 'logger' | 'quota'>;
  readonly #where: string;
  readonly #limits: QuotaLimits;
  readonly #buckets: Buckets;
  /** Where the quota is higher than was assumed, and that was logged. */
  readonly #higher = new Set<QuotaKind>();
  /** Refuse the calls that wait. */
  readonly #waits = new Set<() => void>();

  constructor(config: ResolvedKMSConfig) {
    this.#config = config;
    const { endpoint, projectId, locationId, clock } = config;
    const host =
      endpoint.kind === 'emulator' ? `${endpoint.host}:${endpoint.port}` : (endpoint.apiEndpoint ?? '');
    this.#where = `projects/${projectId}/locations/${locationId}`;
    this.#limits = quotaLimits(config.quota);
    const limits = JSON.stringify(Object.values(this.#limits));
    this.#buckets = sharedBuckets(clock, `${host} ${this.#where} ${limits}`);
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
    const call = this.#enteringOf(use);
    const { kind, tokens, bucket } = call;
    if (operation.onQuota === 'fail') {
      return bucket.waitsForAnswers(tokens, operation.resource)
        ? this.#wait(operation, call, 'until-refusal')
        : this.#takeOrFail(operation, call);
    }
    const turn = bucket.take(tokens);
    return turn === undefined ? this.#wait(operation, call, place) : { bucket, turn, kind };
  }

  /** Counts a call that does not wait for its turn. */
  enterAtOnce(use: QuotaUse): Admission | undefined {
    if (this.#config.quota.mode === 'off') return undefined;
    const { kind, tokens, bucket } = this.#enteringOf(use);
    return { bucket, turn: bucket.enter(tokens), kind };
  }

  /** Tells how a call ended. */
  ended({ bucket, turn, kind }: Admission, outcome: TurnOutcome): void {
    const wasFree = bucket.tokensPerSecond === undefined;
    bucket.ended(turn, outcome);
    if (turn.isBeyond && !this.#higher.has(kind) && bucket.isHigherThanAssumed) this.#tellOfHigherQuota(kind);
    if (!wasFree || outcome.kind !== 'refused') return;
    this.#config.logger.warn(
      { quota: kind, resource: this.#where },
      'a quota of Cloud KMS is used up: calls that count for it wait for their turn until it is back',
    );
  }

  #tellOfHigherQuota(kind: QuotaKind): void {
    this.#higher.add(kind);
    this.#config.logger.info(
      { quota: kind, resource: this.#where, assumedTokensPerMinute: this.#limits[kind]?.tokens },
      'Cloud KMS serves far more than it grants by default: quota.limits may name what the project has',
    );
  }

  /** Calls of this client that wait for their turn are refused with `ClientClosedError`. */
  refuseWaiting(): void {
    for (const refuse of this.#waits) refuse();
  }

  /** @throws ResourceExhaustedError when it has to wait for the quota. */
  #takeOrFail(operation: Operation, { kind, tokens, bucket }: Entering): Admission {
    const taken = bucket.takeOrKeep(tokens, operation.resource);
    if ('slot' in taken) return { bucket, turn: taken, kind };
    const problem = `the quota for ${this.#nameOf(kind)} is used up, and calls wait for their turn.`;
    throw this.#exhausted(operation, { problem, retryAfterMs: taken.retryAfterMs });
  }

  async #wait(
    operation: Operation,
    call: Entering,
    place: 'first' | 'last' | 'until-refusal',
  ): Promise<Admission> {
    const { kind, tokens, bucket } = call;
    const { clock } = this.#config;
    const since = clock.monotonic();
    const budgetMs = this.#budgetMs(operation);
    const tooLate = (): ResourceExhaustedError => {
      const forAnswers = bucket.waitsForAnswers(tokens);
      const what = forAnswers
        ? `as much as Cloud KMS grants by default for ${this.#nameOf(kind)} was used, and further calls wait for answers to others`
        : `the quota for ${this.#nameOf(kind)} is used up`;
      const readyInMs = Math.ceil(bucket.readyAt(tokens) - clock.monotonic());
      return this.#exhausted(operation, {
        problem: `${what}; the call had no turn within ${this.#config.deadlines.queueMs} ms (deadlines.queueMs).`,
        retryAfterMs: Math.max(forAnswers ? ANSWER_MS : 1, readyInMs),
      });
    };
    if (bucket.readyAt(tokens) - since >= budgetMs) throw tooLate();
    const { turn, leave } =
      place === 'until-refusal'
        ? bucket.waitForAnswers(tokens, operation.resource)
        : bucket.wait(tokens, place);
    let refuse = (): void => {};
    const closed = new Promise<never>((_, reject) => {
      refuse = () => reject(new ClientClosedError(operation.context(operation.lastFailure)));
    });
    this.#waits.add(refuse);
    try {
      const own = await operation.waitInLine(Promise.race([turn, closed]), { timeoutMs: budgetMs, tooLate });
      return own === undefined ? this.#takeOrFail(operation, call) : { kind, bucket, turn: own };
    } catch (error) {
      // A turn that came in the same moment as the wait ended is nobody's.
      void turn.then((late) => late && bucket.ended(late, { kind: 'unsent' }));
      throw error;
    } finally {
      operation.quotaWaitMs += clock.monotonic() - since;
      this.#waits.delete(refuse);
      leave();
    }
  }

  #budgetMs(operation: Operation): number {
    return Math.max(0, this.#config.deadlines.queueMs - operation.quotaWaitMs);
  }

  #nameOf(kind: QuotaKind): string {
    return `${NAMES[kind]} of ${this.#where}`;
  }

  #exhausted(
    operation: Operation,
    { problem, retryAfterMs }: { readonly problem: string; readonly retryAfterMs: number },
  ): ResourceExhaustedError {
    return new ResourceExhaustedError(operation.context(operation.lastFailure), problem, retryAfterMs);
  }

  #enteringOf({ rpc, uses }: QuotaUse): Entering {
    const kind = uses === undefined ? administrativeKind(rpc) : keyUseKind(uses.protectionLevel);
    this.#buckets[kind] ??= new QuotaBucket(this.#config.clock, this.#limits[kind]);
    const tokens = uses === undefined ? 1 : this.#tokensOf(kind, uses.algorithm);
    return { kind, tokens, bucket: this.#buckets[kind] };
  }

  #tokensOf(kind: QuotaKind, algorithm: AlgorithmEntry): number {
    const configured = kind === 'hsm' ? this.#config.quota.hsmTokens?.[algorithm.name] : undefined;
    return configured ?? publishedTokens(kind, algorithm);
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
