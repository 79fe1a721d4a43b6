/**
 * One quota, and all calls in this process that count for it. A call goes at once while there is no reason to wait: no
 * limit that was configured would be passed, and Cloud KMS refused nothing lately. Otherwise calls wait in one line, first
 * come first served. After a refusal one call tries whether the quota is back; the others follow when it got through.
 * Beyond a limit that is only assumed, calls wait for answers to others.
 */

import type { CancelTimer, Clock } from '../clock.js';
import { MinuteWindow } from '../provider/minute-window.js';
import { Pace } from '../provider/pace.js';
import type { QuotaRequest, Turn, TurnOutcome } from './quota-turn.js';
import { SlowStart } from './slow-start.js';

interface Waiter {
  readonly request: QuotaRequest;
  /** Whether it waits for answers only, not for a quota that is used up. */
  readonly leavesOnRefusal: boolean;
  enter(turn: Turn | undefined): void;
}

/** When the call that tries is under way, its answer is about to come. */
const PROBE_MS = 250;
/** A place is kept for so long after the moment at which a caller that does not wait was told to come back. */
const KEPT_MS = 10_000;

/** The place of a caller that does not wait, but comes back. */
interface Place {
  readonly request: QuotaRequest;
  /** As soon as it has come. */
  turn: Turn | undefined;
  /** When it is given up. */
  until: number;
}

export class QuotaBucket {
  readonly #clock: Clock;
  readonly #pace: Pace;
  /** What was answered; what is under way, or kept for somebody, is not in it. */
  readonly #spent = new MinuteWindow();
  #underWay = 0;
  /** Calls beyond what is assumed. */
  readonly #beyond = new SlowStart();
  /** Those who had their turn and were refused go before those who wait for their first. */
  readonly #returned = new Set<Waiter>();
  readonly #waiting = new Set<Waiter>();
  #probe: 'none' | 'wanted' | 'running' = 'none';
  /** By caller, first come first served; those who wait and those who come back have every other turn. */
  #places = new Map<string, Place>();
  #isTurnOfPlaces = true;
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
    this.#dropUnclaimed();
    return this.#spent.total(this.#clock.monotonic()) + this.#underWay;
  }

  /** Calls that wait for their turn. */
  get waiting(): number {
    return this.#returned.size + this.#waiting.size;
  }

  /** A turn, if there is one now. */
  take(request: QuotaRequest): Turn | undefined {
    const isFree = this.waiting === 0 && this.#firstPlace === undefined;
    if (!isFree || this.#needsAnswers(request) || this.readyAt(request) > this.#clock.monotonic())
      return undefined;
    return this.enter(request);
  }

  /** Whether a call that is made now would only wait for answers to others: nothing was refused. */
  waitsForAnswers(request: QuotaRequest): boolean {
    return this.#needsAnswers(this.#next()?.request ?? request);
  }

  /** A turn now, whatever the quota has: for a call that is only right at this moment. */
  enter(request: QuotaRequest): Turn {
    const { tokens, limit } = request;
    const isProbe = this.#probe === 'wanted';
    if (isProbe) this.#probe = 'running';
    const slot = this.#pace.reserve(tokens);
    const isBeyond = this.#isBeyond(request);
    if (isBeyond) this.#beyond.begin();
    else this.#beyond.startAgain();
    this.#underWay += tokens;
    return { slot, tokens, limit, isProbe, isBeyond };
  }

  /**
   * A turn for a caller that does not wait: if there is one now, or its own has come meanwhile. Otherwise it keeps a place,
   * one for each caller, and its turn is kept until it comes back.
   */
  takeOrKeep(request: QuotaRequest, caller: string): Turn | { readonly retryAfterMs: number } {
    this.#dropUnclaimed();
    const known = this.#places.get(caller);
    const turn = known?.turn ?? (known === undefined ? this.take(request) : undefined);
    if (turn !== undefined) return this.#claim(turn, caller);
    const place = known ?? { request, turn: undefined, until: this.#clock.monotonic() + KEPT_MS };
    this.#places.set(caller, place);
    // The call that tries is made by somebody who is there.
    const isFirst = this.#probe === 'wanted' && this.waiting === 0;
    if (isFirst && this.readyAt(request) <= this.#clock.monotonic()) {
      return this.#claim(this.enter(request), caller);
    }
    this.#serve();
    if (place.turn !== undefined) return this.#claim(place.turn, caller);
    const now = this.#clock.monotonic();
    const readyAt = this.readyAt(request);
    place.until = Math.max(now, readyAt) + KEPT_MS;
    return { retryAfterMs: Math.max(1, readyAt - now) };
  }

  /**
   * A turn as soon as there is one. `leave` gives the place up.
   * @param place `until-refusal`: the last, and undefined as soon as the quota is found used up.
   */
  wait(
    request: QuotaRequest,
    place: 'first' | 'last' | 'until-refusal',
  ): { readonly turn: Promise<Turn | undefined>; readonly leave: () => void } {
    const line = place === 'first' ? this.#returned : this.#waiting;
    const leavesOnRefusal = place === 'until-refusal';
    let waiter: Waiter = { request, leavesOnRefusal, enter() {} };
    const turn = new Promise<Turn | undefined>((resolve) => {
      waiter = { request, leavesOnRefusal, enter: resolve };
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
    this.#dropUnclaimed();
    const paced = this.#probe === 'running' ? now + PROBE_MS : this.#pace.nextAt;
    if (limit?.kind !== 'kept') return paced;
    const most = limit.tokens - this.#underWay - tokens;
    // The end of a call under way has those who wait looked at again.
    if (most < 0 && this.#underWay > 0) return Math.max(paced, now + PROBE_MS);
    // A call that costs more than the limit goes when nothing else was spent.
    return Math.max(paced, this.#spent.fallsTo(Math.max(0, most), now));
  }

  ended(turn: Turn, outcome: TurnOutcome): void {
    // The service counts it at some moment before it answers.
    this.#giveBack(turn, { wasServed: outcome.kind === 'served' });
    if (outcome.kind === 'served' || outcome.kind === 'unknown')
      this.#spent.add(this.#clock.monotonic(), turn.tokens);
    if (turn.isProbe) this.#probe = outcome.kind === 'served' ? 'none' : 'wanted';
    if (outcome.kind === 'served') this.#pace.succeeded(turn.tokens);
    if (outcome.kind === 'refused') {
      // One that was under way when the pause began says nothing of the call that tries now.
      if (this.#probe === 'none') this.#probe = 'wanted';
      this.#pace.refused(turn.slot, outcome.retryAfterMs, turn.tokens);
      this.#keepReturned(turn);
      this.#beyond.startAgain();
      this.#turnAway();
    }
    this.#serve();
  }

  /** Whether the quota was found used up after the turn had come. */
  isOutdated({ slot, isProbe }: Turn): boolean {
    return !isProbe && !this.#pace.isCurrent(slot);
  }

  /** Whether it passes what is assumed. After a refusal it is known better what the quota bears. */
  #isBeyond({ tokens, limit }: QuotaRequest): boolean {
    if (limit?.kind !== 'assumed' || this.#pace.perSecond !== undefined) return false;
    return this.#spent.total(this.#clock.monotonic()) + this.#underWay + tokens > limit.tokens;
  }

  #needsAnswers(request: QuotaRequest): boolean {
    return !this.#beyond.isOpen && this.#isBeyond(request);
  }

  /** Those who wait for answers only. */
  #turnAway(): void {
    for (const waiter of this.#waiting) {
      if (!waiter.leavesOnRefusal) continue;
      this.#waiting.delete(waiter);
      waiter.enter(undefined);
    }
  }

  #giveBack({ tokens, isBeyond }: Turn, end = { wasServed: false }): void {
    this.#underWay -= tokens;
    if (isBeyond) this.#beyond.ended(end);
  }

  #claim(turn: Turn, caller: string): Turn {
    this.#places.delete(caller);
    return { ...turn, caller };
  }

  /** One that had its turn and was refused goes first, when it comes back. */
  #keepReturned({ caller, tokens, limit }: Turn): void {
    if (caller === undefined || this.#places.has(caller)) return;
    const until = this.#pace.nextAt + KEPT_MS;
    this.#places = new Map([
      [caller, { request: { tokens, limit }, turn: undefined, until }],
      ...this.#places,
    ]);
  }

  /** Gives up places that nobody comes for; a turn that a refusal has come in between of is waited for again. */
  #dropUnclaimed(): void {
    if (this.#places.size === 0) return;
    const now = this.#clock.monotonic();
    for (const [caller, place] of this.#places) {
      const { turn, until } = place;
      if (now < until && (turn === undefined || this.#pace.isCurrent(turn.slot))) continue;
      if (turn !== undefined) this.#giveBack(turn);
      place.turn = undefined;
      if (now >= until) this.#places.delete(caller);
    }
  }

  /** The first of those that have no turn yet. */
  get #firstPlace(): Place | undefined {
    if (this.#places.size === 0) return undefined;
    for (const place of this.#places.values()) if (place.turn === undefined) return place;
    return undefined;
  }

  #serve(): void {
    for (;;) {
      const next = this.#next();
      if (next === undefined) break;
      // The next answer has them looked at again.
      if (this.#needsAnswers(next.request)) break;
      const at = this.readyAt(next.request);
      if (at > this.#clock.monotonic()) {
        // Those who come back look themselves.
        if (this.waiting > 0) this.#arm(at);
        return;
      }
      const turn = this.enter(next.request);
      this.#isTurnOfPlaces = !('turn' in next);
      if ('turn' in next) {
        next.turn = turn;
      } else {
        this.#returned.delete(next);
        this.#waiting.delete(next);
        next.enter(turn);
      }
    }
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /** Whose turn is next. */
  #next(): Waiter | Place | undefined {
    // The usual case, at no cost.
    if (this.waiting === 0 && this.#places.size === 0) return undefined;
    const [waiter] = this.#returned.size > 0 ? this.#returned : this.#waiting;
    // The call that tries is made by somebody who is there.
    const place = this.#probe === 'wanted' ? undefined : this.#firstPlace;
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
