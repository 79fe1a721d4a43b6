/**
 * How fast calls may follow each other while a quota is short: as fast as they come until it is used up, then a pause as
 * long as the server says, then a rate that goes down by multiplication and up by addition. One pace for everybody who
 * shares the quota, so that nobody repeats in parallel. It only tells times; whoever uses it does the waiting.
 */

import type { Clock } from '../clock.js';

/** The place of one call. Keep it until the call is over. */
export interface Slot {
  /** When the call may start, in milliseconds since the epoch. */
  readonly at: number;
  /** How many pauses there had been. */
  readonly pauses: number;
}

/** Pauses without a word from the server, doubled with each refusal in a row. Quotas per minute return within a minute. */
const FIRST_PAUSE_MS = 250;
const MAX_PAUSE_MS = 5_000;
/** Of the rate that the quota bore since the last refusal: what is left for others who use it too. */
const DECREASE = 0.9;
/** Before the first pause the rate was not held to anything, so it says little about what the quota bears. */
const FIRST_DECREASE = 0.5;
/** Of the rate after the last refusal, each second, once it is known what the quota bears. */
const INCREASE_PER_SECOND = 0.02;
/** Of the present rate, each second, until then. */
const SEARCH_PER_SECOND = 0.25;
/** Slots of that long ago may still be used: timers of a busy process are late, and the rate is meant on average. */
const CATCH_UP_MS = 1_000;
/** When the very first call is refused. */
const INITIAL_PER_SECOND = 1;

export class Pace {
  readonly #clock: Clock;
  /** Calls per second; undefined as long as nothing was refused. */
  #rate: number | undefined;
  /** After a refusal that told what the quota bears; undefined until there was one. */
  #rateAfterRefusal: number | undefined;
  #nextAt = 0;
  #pauses = 0;
  #refusalsInARow = 0;
  /** When the quota was last used up, or the first call; and how many succeeded since. */
  #since: number | undefined;
  #successes = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Calls per second that are let through; undefined when it is not limited. */
  get perSecond(): number | undefined {
    return this.#rate;
  }

  /** The next free slot, in the order of the calls. */
  reserve(): Slot {
    const now = this.#clock.now();
    this.#since ??= now;
    if (this.#rate === undefined) return { at: now, pauses: this.#pauses };
    const at = Math.max(this.#nextAt, now - CATCH_UP_MS);
    this.#nextAt = at + 1_000 / this.#rate;
    return { at, pauses: this.#pauses };
  }

  /** Whether the slot still counts. If not, a pause has come in between: reserve another. */
  isCurrent(slot: Slot): boolean {
    return slot.pauses === this.#pauses;
  }

  /** The call of the slot was not refused for the quota. */
  succeeded(): void {
    this.#successes += 1;
    this.#refusalsInARow = 0;
    if (this.#rate === undefined) return;
    // Of that much each second, by calls that come so many a second.
    this.#rate +=
      this.#rateAfterRefusal === undefined
        ? SEARCH_PER_SECOND
        : (this.#rateAfterRefusal * INCREASE_PER_SECOND) / this.#rate;
  }

  /** The call of the slot was refused because the quota is used up. */
  refused(slot: Slot, retryAfterMs: number | undefined): void {
    const now = this.#clock.now();
    // Calls that were under way when the pause began say nothing new, but for how long it should be.
    if (!this.isCurrent(slot)) {
      this.#nextAt = Math.max(this.#nextAt, now + (retryAfterMs ?? 0));
      return;
    }
    if (this.#successes > 0) this.#decrease(now);
    // A refusal that follows a refusal says that the pause was too short, not that the rate is too high.
    else this.#rate ??= INITIAL_PER_SECOND;
    const grown = Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#refusalsInARow);
    // Half of it is jitter, so that processes that share the quota do not come back together.
    const pauseMs = Math.max(retryAfterMs ?? 0, grown / 2 + (Math.random() * grown) / 2);
    this.#nextAt = now + pauseMs;
    this.#pauses += 1;
    this.#refusalsInARow += 1;
  }

  /** To less than the quota bore since it was last used up, that pause included. */
  #decrease(now: number): void {
    const elapsedMs = Math.max(1, now - (this.#since ?? now));
    const borne = (this.#successes / elapsedMs) * 1_000;
    this.#rate = this.#rate === undefined ? borne * FIRST_DECREASE : Math.min(this.#rate, borne) * DECREASE;
    this.#rateAfterRefusal = this.#rate;
    this.#since = now;
    this.#successes = 0;
  }
}
