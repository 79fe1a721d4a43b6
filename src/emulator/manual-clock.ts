/** A clock that stands still until a test moves it. */

import type { CancelTimer, Clock } from '../clock.js';

interface Timer {
  readonly dueMs: number;
  readonly callback: () => void;
}

/**
 * Time under a test's control: a year passes in one call.
 *
 * @example
 * ```ts
 * const clock = new ManualClock();
 * const emulator = await startKmsEmulator({ clock, asymmetricGenerationMs: 0, hsmGenerationMs: 0 });
 * clock.advance(30 * 24 * 3_600_000); // versions that were scheduled for destruction are destroyed now
 * ```
 */
export class ManualClock implements Clock {
  #nowMs: number;
  readonly #timers = new Set<Timer>();

  /** @param startMs milliseconds since the epoch; default 2026-01-01T00:00:00Z. */
  constructor(startMs: number = Date.UTC(2026, 0, 1)) {
    this.#nowMs = startMs;
  }

  now(): number {
    return this.#nowMs;
  }

  monotonic(): number {
    return this.#nowMs;
  }

  setTimer(delayMs: number, callback: () => void): CancelTimer {
    const timer = { dueMs: this.#nowMs + Math.max(0, delayMs), callback };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }

  /** How many timers wait. */
  get pendingTimers(): number {
    return this.#timers.size;
  }

  /** Moves the time on and runs the timers that are due on the way, in order, each at its own time. */
  advance(byMs: number): void {
    this.advanceTo(this.#nowMs + byMs);
  }

  /** Moves the time on to a point. A clock is never set back. */
  advanceTo(timeMs: number): void {
    if (timeMs < this.#nowMs) throw new RangeError('a clock is not set back');
    for (;;) {
      const next = this.#nextDue(timeMs);
      if (next === undefined) break;
      this.#timers.delete(next);
      this.#nowMs = next.dueMs;
      next.callback();
    }
    this.#nowMs = timeMs;
  }

  #nextDue(untilMs: number): Timer | undefined {
    let next: Timer | undefined;
    for (const timer of this.#timers) {
      if (timer.dueMs <= untilMs && (next === undefined || timer.dueMs < next.dueMs)) next = timer;
    }
    return next;
  }
}
