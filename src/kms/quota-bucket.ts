/**
 * One quota, and all calls in this process that count for it. A call goes at once while there is no reason to wait: no
 * limit that was configured would be passed, and Cloud KMS refused nothing lately. Otherwise calls wait in one line, first
 * come first served. After a refusal one call tries whether the quota is back; the others follow when it got through.
 * Beyond a limit that is only assumed, calls wait for answers to others.
 */

import type { CancelTimer, Clock } from '../clock.js';
import { MinuteWindow } from '../provider/minute-window.js';
import { Pace } from '../provider/pace.js';
import type { QuotaLimit } from './quota-limits.js';
import { type Place, QuotaPlaces } from './quota-places.js';
import type { Turn, TurnOutcome } from './quota-turn.js';
import { SlowStart } from './slow-start.js';

interface Waiter {
  readonly tokens: number;
  /** Who waits for answers only, not for a quota that is used up. */
  readonly caller: string | undefined;
  enter(turn: Turn | undefined): void;
}

/** When the call that tries is under way, its answer is about to come. */
const PROBE_MS = 250;
/** Parts of so many of the service's minutes are in a minute of this process, and the second that it is longer at most. */
const MINUTES_IN_A_MINUTE = 3;

export class QuotaBucket {
  readonly #clock: Clock;
  readonly #limit: QuotaLimit | undefined;
  readonly #pace: Pace;
  /** What was answered; what is under way, or kept for somebody, is not in it. */
  readonly #spent = new MinuteWindow();
  /** Of that, what had no answer that says whether it was served. */
  readonly #unknown = new MinuteWindow();
  #underWay = 0;
  /** Calls beyond what is assumed. */
  readonly #beyond = new SlowStart();
  /** Those who had their turn and were refused go before those who wait for their first. */
  readonly #returned = new Set<Waiter>();
  readonly #waiting = new Set<Waiter>();
  #probe: 'none' | 'wanted' | 'running' = 'none';
  /** Those who wait and those who come back have every other turn. */
  readonly #places = new QuotaPlaces();
  #isTurnOfPlaces = true;
  #timer: { readonly at: number; readonly cancel: CancelTimer } | undefined;

  constructor(clock: Clock, limit: QuotaLimit | undefined) {
    this.#clock = clock;
    this.#limit = limit;
    this.#pace = new Pace(clock);
  }

  /** Tokens a second that calls are held to; undefined when they are not. */
  get tokensPerSecond(): number | undefined {
    return this.#pace.perSecond;
  }

  /** What calls of this process used in the last minute, those under way included. */
  get tokensLastMinute(): number {
    this.#dropUnclaimed();
    return this.#spent.total(this.#clock.monotonic()) + this.#underWay;
  }

  /** Whether so much was served in the last minute that more is granted than was assumed. */
  get isHigherThanAssumed(): boolean {
    const limit = this.#limit;
    if (limit?.kind !== 'assumed') return false;
    const now = this.#clock.monotonic();
    return this.#spent.total(now) - this.#unknown.total(now) > MINUTES_IN_A_MINUTE * limit.tokens;
  }

  /** Calls that wait for their turn. */
  get waiting(): number {
    return this.#returned.size + this.#waiting.size;
  }

  /** A turn, if there is one now. */
  take(tokens: number, caller?: string): Turn | undefined {
    this.#dropUnclaimed();
    const isFree = this.waiting === 0 && this.#places.first === undefined;
    if (!isFree || this.#needsAnswers(tokens) || this.#readyAt(tokens) > this.#clock.monotonic())
      return undefined;
    return this.enter(tokens, caller);
  }

  /**
   * Whether a call that is made now would only wait for answers to others: nothing was refused.
   * @param caller one that comes back; it does not wait when its turn is kept.
   */
  waitsForAnswers(tokens: number, caller?: string): boolean {
    this.#dropUnclaimed();
    if (caller !== undefined && this.#places.get(caller)?.turn !== undefined) return false;
    return this.#needsAnswers(this.#next()?.tokens ?? tokens);
  }

  /** A turn now, whatever the quota has: for a call that is only right at this moment. */
  enter(tokens: number, caller?: string): Turn {
    return this.#turn(tokens, { caller, isBeyond: this.#isBeyond(tokens) });
  }

  /**
   * A turn for a caller that does not wait: if there is one now, or its own has come meanwhile. Otherwise it keeps a place,
   * one for each caller, and its turn is kept until it comes back.
   */
  takeOrKeep(tokens: number, caller: string): Turn | { readonly retryAfterMs: number } {
    this.#dropUnclaimed();
    const known = this.#places.get(caller);
    const own = known?.turn ?? (known === undefined ? this.take(tokens, caller) : undefined);
    if (own !== undefined) return this.#claim(own, caller);
    const place = this.#places.keep(caller, tokens, this.#clock.monotonic());
    // The call that tries is made by somebody who is there.
    const isFirst = this.#probe === 'wanted' && this.waiting === 0;
    if (isFirst && this.#readyAt(tokens) <= this.#clock.monotonic()) {
      return this.#claim(this.enter(tokens, caller), caller);
    }
    this.#serve();
    if (place.turn !== undefined) return this.#claim(place.turn, caller);
    const now = this.#clock.monotonic();
    // Whoever is first may need more, and is waited for.
    const readyAt = Math.max(this.#readyAt(tokens), this.#readyAt(this.#next()?.tokens ?? tokens));
    this.#places.keep(caller, tokens, Math.max(now, readyAt));
    return { retryAfterMs: Math.max(1, readyAt - now) };
  }

  /** A turn as soon as there is one. `leave` gives the place in the line up. */
  wait(tokens: number, place: 'first' | 'last'): { readonly turn: Promise<Turn | undefined>; leave(): void } {
    return this.#line(tokens, place === 'first' ? this.#returned : this.#waiting);
  }

  /** As `wait`, at the end; undefined as soon as the quota is found used up. */
  waitForAnswers(
    tokens: number,
    caller: string,
  ): { readonly turn: Promise<Turn | undefined>; leave(): void } {
    this.#places.giveUp(caller);
    return this.#line(tokens, this.#waiting, caller);
  }

  /** When a call could be made at the earliest, by the monotonic clock. Milliseconds. */
  readyAt(tokens: number): number {
    this.#dropUnclaimed();
    return this.#readyAt(tokens);
  }

  #line(
    tokens: number,
    line: Set<Waiter>,
    caller?: string,
  ): { readonly turn: Promise<Turn | undefined>; leave(): void } {
    let waiter: Waiter = { tokens, caller, enter() {} };
    const turn = new Promise<Turn | undefined>((resolve) => {
      waiter = { tokens, caller, enter: resolve };
    });
    line.add(waiter);
    this.#serve();
    const leave = (): void => {
      line.delete(waiter);
      this.#serve();
    };
    return { turn, leave };
  }

  #readyAt(tokens: number): number {
    const now = this.#clock.monotonic();
    const limit = this.#limit;
    const paced = this.#probe === 'running' ? now + PROBE_MS : this.#pace.nextAt;
    if (limit?.kind !== 'kept') return paced;
    const most = limit.tokens - this.#underWay - tokens;
    // The end of a call under way has those who wait looked at again.
    if (most < 0 && this.#underWay > 0) return Math.max(paced, now + PROBE_MS);
    // A call that costs more than the limit goes when nothing else was spent.
    return Math.max(paced, this.#spent.fallsTo(Math.max(0, most), now));
  }

  ended(turn: Turn, outcome: TurnOutcome): void {
    this.#giveBack(turn);
    // The service counts it at some moment before it answers.
    if (outcome.kind === 'served' || outcome.kind === 'unknown')
      this.#spent.add(this.#clock.monotonic(), turn.tokens);
    if (outcome.kind === 'unknown') this.#unknown.add(this.#clock.monotonic(), turn.tokens);
    if (turn.isProbe) this.#probe = outcome.kind === 'served' ? 'none' : 'wanted';
    if (outcome.kind === 'served') {
      if (turn.isBeyond) this.#beyond.served(this.isHigherThanAssumed);
      this.#pace.succeeded(turn.tokens);
    }
    if (outcome.kind === 'refused') this.#refused(turn, outcome.retryAfterMs);
    if (outcome.kind === 'unsent' && this.isOutdated(turn)) this.#keepFirst(turn);
    this.#serve();
  }

  #refused(turn: Turn, retryAfterMs: number | undefined): void {
    const isFirst = this.#pace.perSecond === undefined;
    // One that was under way when the pause began says nothing of the call that tries now.
    if (this.#probe === 'none') this.#probe = 'wanted';
    this.#pace.refused(turn.slot, retryAfterMs, turn.tokens);
    this.#keepFirst(turn);
    this.#beyond.startAgain();
    if (isFirst) this.#turnAway();
  }

  /** One that had its turn and was not served goes first, when it comes back. */
  #keepFirst({ caller, tokens }: Turn): void {
    if (caller !== undefined) this.#places.keepFirst(caller, tokens, this.#pace.nextAt);
  }

  /** Whether the quota was found used up after the turn had come. */
  isOutdated({ slot, isProbe }: Turn): boolean {
    return !isProbe && !this.#pace.isCurrent(slot);
  }

  #turn(
    tokens: number,
    { caller, isBeyond }: { readonly caller: string | undefined; readonly isBeyond: boolean },
  ): Turn {
    const isProbe = this.#probe === 'wanted';
    if (isProbe) this.#probe = 'running';
    if (isBeyond) this.#beyond.begin();
    else this.#beyond.startAgain();
    this.#underWay += tokens;
    return { slot: this.#pace.reserve(tokens), tokens, isProbe, isBeyond, caller };
  }

  #giveBack({ tokens, isBeyond }: Turn): void {
    this.#underWay -= tokens;
    if (isBeyond) this.#beyond.ended();
  }

  /** Whether it passes what is assumed. After a refusal it is known better what the quota bears. */
  #isBeyond(tokens: number): boolean {
    const limit = this.#limit;
    if (limit?.kind !== 'assumed' || this.#pace.perSecond !== undefined) return false;
    return this.#spent.total(this.#clock.monotonic()) + this.#underWay + tokens > limit.tokens;
  }

  #needsAnswers(tokens: number): boolean {
    return !this.#beyond.isOpen && this.#isBeyond(tokens);
  }

  /** Those who wait for answers only. */
  #turnAway(): void {
    for (const waiter of this.#waiting) {
      if (waiter.caller === undefined) continue;
      this.#waiting.delete(waiter);
      waiter.enter(undefined);
    }
  }

  #claim(turn: Turn, caller: string): Turn {
    this.#places.giveUp(caller);
    return turn;
  }

  #dropUnclaimed(): void {
    // The usual case, at no cost.
    if (this.#places.isEmpty) return;
    const now = this.#clock.monotonic();
    const unclaimed = this.#places.dropUnclaimed(now, ({ slot }) => this.#pace.isCurrent(slot));
    for (const turn of unclaimed) this.#giveBack(turn);
  }

  #serve(): void {
    for (;;) {
      // Those who are given up have no turn any more.
      this.#dropUnclaimed();
      const next = this.#next();
      if (next === undefined) break;
      // The next answer has them looked at again.
      if (this.#needsAnswers(next.tokens)) break;
      const at = this.#readyAt(next.tokens);
      if (at > this.#clock.monotonic()) {
        // Those who come back look themselves.
        if (this.waiting > 0) this.#arm(at);
        return;
      }
      this.#isTurnOfPlaces = !('turn' in next);
      if ('turn' in next) {
        // Nobody waits for an answer to a call that may never be made.
        next.turn = this.#turn(next.tokens, { caller: next.caller, isBeyond: false });
      } else {
        this.#returned.delete(next);
        this.#waiting.delete(next);
        next.enter(this.enter(next.tokens, next.caller));
      }
    }
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /** Whose turn is next. */
  #next(): Waiter | Place | undefined {
    if (this.waiting === 0 && this.#places.isEmpty) return undefined;
    const [waiter] = this.#returned.size > 0 ? this.#returned : this.#waiting;
    // The call that tries is made by somebody who is there.
    const place = this.#probe === 'wanted' ? undefined : this.#places.first;
    return this.#isTurnOfPlaces ? (place ?? waiter) : (waiter ?? place);
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
