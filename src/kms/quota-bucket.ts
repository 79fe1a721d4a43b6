/**
 * One quota, and all calls in this process that count for it. A call goes at once while there is no reason to wait: no
 * limit that was configured would be passed, and Cloud KMS refused nothing lately. Otherwise calls wait in one line, first
 * come first served. After a refusal one call tries whether the quota is back; the others follow when it got through.
 */

import type { CancelTimer, Clock } from '../clock.js';
import { MinuteWindow } from '../provider/minute-window.js';
import { Pace, type Slot } from '../provider/pace.js';

/** What a call needs of the quota. */
export interface QuotaRequest {
  readonly tokens: number;
  /** Tokens a minute that must not be passed; undefined for no limit. */
  readonly limit: number | undefined;
}

/** A call that may be made. Report how it ended. */
export interface Turn {
  readonly slot: Slot;
  readonly tokens: number;
  /** Whether it is the one that tries if the quota is back. */
  readonly isProbe: boolean;
}

export type TurnOutcome =
  | { readonly kind: 'served' }
  | { readonly kind: 'refused'; readonly retryAfterMs: number | undefined }
  /** Nothing is known of the quota: there was no answer. */
  | { readonly kind: 'unknown' }
  /** The call was never made. */
  | { readonly kind: 'unsent' };

interface Waiter {
  readonly request: QuotaRequest;
  enter(turn: Turn): void;
}

/** When the call that tries is under way, its answer is about to come. */
const PROBE_MS = 250;
/** A turn is kept for so long for a caller that does not wait and comes back. */
const KEPT_MS = 10_000;

export class QuotaBucket {
  readonly #clock: Clock;
  readonly #pace: Pace;
  /** What was answered; what is under way, or kept for somebody, is not in it. */
  readonly #spent = new MinuteWindow();
  #underWay = 0;
  /** Those who had their turn and were refused go before those who wait for their first. */
  readonly #returned = new Set<Waiter>();
  readonly #waiting = new Set<Waiter>();
  #probe: 'none' | 'wanted' | 'running' = 'none';
  /** A turn for a caller that does not wait: without it, those who wait would leave nothing for it. */
  #kept: { readonly turn: Turn; readonly from: number } | undefined;
  #timer: { readonly at: number; readonly cancel: CancelTimer } | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#pace = new Pace(clock);
  }

  /** Tokens a second that calls are held to; undefined when they are not. */
  get tokensPerSecond(): number | undefined {
    return this.#pace.perSecond;
  }

  /** What calls of this process used in the last minute, those under way included. */
  get tokensLastMinute(): number {
    const now = this.#clock.monotonic();
    this.#dropKept(now);
    return this.#spent.total(now) + this.#underWay;
  }

  /** Calls that wait for their turn. */
  get waiting(): number {
    return this.#returned.size + this.#waiting.size;
  }

  /** A turn, if there is one now. */
  take(request: QuotaRequest): Turn | undefined {
    if (this.waiting > 0 || this.readyAt(request) > this.#clock.monotonic()) return undefined;
    return this.enter(request);
  }

  /** A turn now, whatever the quota has: for a call that is only right at this moment. */
  enter({ tokens }: QuotaRequest): Turn {
    const isProbe = this.#probe === 'wanted';
    if (isProbe) this.#probe = 'running';
    this.#underWay += tokens;
    return { slot: this.#pace.reserve(tokens), tokens, isProbe };
  }

  /** A turn for a caller that does not wait: if there is one now, or one was kept for such a caller. */
  takeOrKeep(request: QuotaRequest): Turn | { readonly retryAfterMs: number } {
    const now = this.#clock.monotonic();
    this.#dropKept(now);
    const turn = this.#takeKept(now) ?? this.take(request);
    if (turn !== undefined) return turn;
    const readyAt = this.readyAt(request);
    if (this.#probe === 'running') return { retryAfterMs: readyAt - now };
    if (this.#kept === undefined) {
      const slot = this.#pace.reserve(request.tokens);
      this.#underWay += request.tokens;
      this.#kept = {
        turn: { slot, tokens: request.tokens, isProbe: false },
        from: Math.max(slot.at, readyAt),
      };
    }
    return { retryAfterMs: Math.max(1, this.#kept.from - now) };
  }

  /** A turn as soon as there is one. `leave` gives the place up. */
  wait(
    request: QuotaRequest,
    place: 'first' | 'last',
  ): { readonly turn: Promise<Turn>; readonly leave: () => void } {
    const line = place === 'first' ? this.#returned : this.#waiting;
    let waiter: Waiter = { request, enter() {} };
    const turn = new Promise<Turn>((resolve) => {
      waiter = { request, enter: resolve };
    });
    line.add(waiter);
    this.#serve();
    const leave = (): void => {
      line.delete(waiter);
      this.#serve();
    };
    return { turn, leave };
  }

  /** When a call could be made at the earliest, by the monotonic clock. Milliseconds. */
  readyAt({ tokens, limit }: QuotaRequest): number {
    const now = this.#clock.monotonic();
    this.#dropKept(now);
    const paced = this.#probe === 'running' ? now + PROBE_MS : this.#pace.nextAt;
    if (limit === undefined) return paced;
    const most = limit - this.#underWay - tokens;
    // The end of a call under way has those who wait looked at again.
    if (most < 0 && this.#underWay > 0) return Math.max(paced, now + PROBE_MS);
    // A call that costs more than the limit goes when nothing else was spent.
    return Math.max(paced, this.#spent.fallsTo(Math.max(0, most), now));
  }

  ended(turn: Turn, outcome: TurnOutcome): void {
    // The service counts it at some moment before it answers.
    this.#underWay -= turn.tokens;
    if (outcome.kind === 'served' || outcome.kind === 'unknown')
      this.#spent.add(this.#clock.monotonic(), turn.tokens);
    if (turn.isProbe) this.#probe = outcome.kind === 'served' ? 'none' : 'wanted';
    if (outcome.kind === 'served') this.#pace.succeeded(turn.tokens);
    if (outcome.kind === 'refused') {
      // One that was under way when the pause began says nothing of the call that tries now.
      if (this.#probe === 'none') this.#probe = 'wanted';
      this.#pace.refused(turn.slot, outcome.retryAfterMs, turn.tokens);
    }
    this.#serve();
  }

  /** Whether the quota was found used up after the turn had come. */
  isOutdated({ slot, isProbe }: Turn): boolean {
    return !isProbe && !this.#pace.isCurrent(slot);
  }

  #takeKept(now: number): Turn | undefined {
    const kept = this.#kept;
    if (kept === undefined || now < kept.from) return undefined;
    this.#kept = undefined;
    return kept.turn;
  }

  /** Gives up a turn that nobody came for, or that a refusal has come in between of. */
  #dropKept(now: number): void {
    const kept = this.#kept;
    if (kept === undefined || (now < kept.from + KEPT_MS && this.#pace.isCurrent(kept.turn.slot))) return;
    this.#kept = undefined;
    this.#underWay -= kept.turn.tokens;
  }

  #serve(): void {
    for (const line of [this.#returned, this.#waiting]) {
      for (const waiter of line) {
        const at = this.readyAt(waiter.request);
        if (at > this.#clock.monotonic()) {
          this.#arm(at);
          return;
        }
        line.delete(waiter);
        waiter.enter(this.enter(waiter.request));
      }
    }
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #arm(at: number): void {
    if (this.#timer?.at === at) return;
    this.#timer?.cancel();
    const delayMs = at - this.#clock.monotonic();
    const cancel = this.#clock.setTimer(delayMs, () => {
      this.#timer = undefined;
      this.#serve();
    });
    this.#timer = { at, cancel };
  }
}
