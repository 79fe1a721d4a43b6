/**
 * How fast calls may follow each other while a quota is short: as fast as they come until it is used up, then a pause as
 * long as the server says, then a rate that goes down by multiplication and up by addition. One pace for everybody who
 * shares the quota, so that nobody repeats in parallel. It only tells times, of the monotonic clock; whoever uses it does
 * the waiting.
 */

import type { Clock } from '../clock.js';
import { jittered } from './jitter.js';
import { MinuteWindow } from './minute-window.js';

/** The place of one call. Keep it until the call is over. */
export interface Slot {
  /** When the call may start, by the monotonic clock, in milliseconds. */
  readonly at: number;
  /** How many pauses there had been. */
  readonly pauses: number;
}

/** Quotas are counted by the minute: what was borne longer ago says nothing of what a quota bears. */
const QUOTA_PERIOD_MS = 60_000;
/** Without a refusal for so long there is no reason to hold anything up. */
const FORGET_MS = 600_000;
/** Pauses without a word from the server, doubled with each refusal in a row. Quotas per minute return within a minute. */
const FIRST_PAUSE_MS = 250;
const MAX_GROWN_PAUSE_MS = 5_000;
/** A server that says to come back later than quotas do is asked again after that time. */
const MAX_PAUSE_MS = 60_000;
/** Of the rate that the quota bore since the last refusal: what is left for others who use it too. */
const DECREASE = 0.9;
/** Before the first pause the rate was not held to anything, so it says little about what the quota bears. */
const FIRST_DECREASE = 0.5;
/** Of the rate after the last refusal, each second, once it is known what the quota bears; for a minute. */
const INCREASE_PER_SECOND = 0.02;
/** Of the present rate, each second, when that minute is over. */
const SEARCH_PER_SECOND = 0.25;
/**
 * Of the present rate, each second, until it is known what the quota bears. A single refusal tells little of that where few
 * calls had been made before, and calls must not wait for long because of it.
 */
const FIRST_SEARCH_PER_SECOND = 0.5;
/** Slots of that long ago may still be used: timers of a busy process are late, and the rate is meant on average. */
const CATCH_UP_MS = 1_000;
/** When the very first call is refused. */
const INITIAL_PER_SECOND = 1;

export class Pace {
  readonly #clock: Clock;
  /** Calls per second, or whatever they cost; undefined as long as nothing was refused. */
  #rate: number | undefined;
  /** After a refusal that told what the quota bears; undefined until there was one. */
  #rateAfterRefusal: number | undefined;
  #nextAt = 0;
  #pauses = 0;
  #refusalsInARow = 0;
  #refusedAt = 0;
  /** When the quota was last used up, or the first call; and what succeeded since. */
  #since: number | undefined;
  readonly #successes = new MinuteWindow();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Calls per second that are let through; undefined when it is not limited. */
  get perSecond(): number | undefined {
    return this.#rate;
  }

  /** When the next slot begins, by the monotonic clock, in milliseconds; in the past when it is free. */
  get nextAt(): number {
    return this.#rate === undefined ? 0 : this.#nextAt;
  }

  /** The next free slot, in the order of the calls. A call may cost more than others. */
  reserve(cost = 1): Slot {
    const now = this.#clock.monotonic();
    this.#since ??= now;
    if (this.#rate !== undefined && now - this.#refusedAt >= FORGET_MS) this.#forget();
    if (this.#rate === undefined) return { at: now, pauses: this.#pauses };
    const at = Math.max(this.#nextAt, now - CATCH_UP_MS);
    this.#nextAt = at + (cost * 1_000) / this.#rate;
    return { at, pauses: this.#pauses };
  }

  /** Whether the slot still counts. If not, a pause has come in between: reserve another. */
  isCurrent(slot: Slot): boolean {
    return slot.pauses === this.#pauses;
  }

  /** The call of the slot was not refused for the quota. */
  succeeded(cost = 1): void {
    const now = this.#clock.monotonic();
    this.#successes.add(now, cost);
    this.#refusalsInARow = 0;
    if (this.#rate === undefined) return;
    // A whole period without a refusal: what was borne then was little because little was asked for, or others took it.
    const isSearching = now - this.#refusedAt >= QUOTA_PERIOD_MS;
    // Of that much each second, by calls that come so many a second.
    if (this.#rateAfterRefusal === undefined) this.#rate += FIRST_SEARCH_PER_SECOND * cost;
    else if (isSearching) this.#rate += SEARCH_PER_SECOND * cost;
    else this.#rate += (this.#rateAfterRefusal * INCREASE_PER_SECOND * cost) / this.#rate;
  }

  /** The call of the slot was refused because the quota is used up; `retryAfterMs` counts up to a minute. */
  refused(slot: Slot, retryAfterMs: number | undefined, cost = 1): void {
    const now = this.#clock.monotonic();
    const toldMs = Math.min(MAX_PAUSE_MS, retryAfterMs ?? 0);
    this.#refusedAt = now;
    // Calls that were under way when the pause began say nothing new, but for how long it should be.
    if (!this.isCurrent(slot)) {
      this.#nextAt = Math.max(this.#nextAt, now + toldMs);
      return;
    }
    const borne = this.#successes.total(now);
    if (borne > 0) this.#decrease(now, borne);
    // A refusal that follows a refusal says that the pause was too short, not that the rate is too high.
    else this.#rate ??= INITIAL_PER_SECOND * cost;
    const grown = Math.min(MAX_GROWN_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#refusalsInARow);
    // Half of it is jitter, so that processes that share the quota do not come back together.
    const pauseMs = Math.max(toldMs, jittered(grown));
    this.#nextAt = now + pauseMs;
    this.#pauses += 1;
    this.#refusalsInARow += 1;
  }

  /** To less than the quota bore since it was last used up, that pause included, but for a minute at most. */
  #decrease(now: number, successes: number): void {
    const elapsedMs = Math.min(QUOTA_PERIOD_MS, Math.max(1, now - (this.#since ?? now)));
    const borne = (successes / elapsedMs) * 1_000;
    if (this.#rate === undefined) {
      this.#rate = borne * FIRST_DECREASE;
    } else {
      this.#rate = Math.min(this.#rate, borne) * DECREASE;
      this.#rateAfterRefusal = this.#rate;
    }
    this.#since = now;
    this.#successes.clear();
  }

  #forget(): void {
    this.#rate = undefined;
    this.#rateAfterRefusal = undefined;
  }
}
