/**
 * The one source of time. Everything whose behaviour depends on time takes a `Clock`, so that tests can drive it;
 * nothing else reads `Date.now()` or starts a timer.
 */

import { z } from 'zod';

/** The time of day, the time that passes, and one-shot timers. */
export interface Clock {
  /** Wall-clock time in milliseconds since 1970-01-01T00:00:00Z. It may be set back or forward at any moment. */
  now(): number;
  /** Whole milliseconds since any moment before: what deadlines go by. It is never set, and never decreases. */
  monotonic(): number;
  /** Calls `callback` once after `delayMs` milliseconds, unless the returned function is called before. */
  setTimer(delayMs: number, callback: () => void, options?: TimerOptions): CancelTimer;
}

/** Options of `Clock.setTimer`. */
export interface TimerOptions {
  /** `background`: the process may end while the timer runs. Default `foreground`. */
  readonly kind?: 'foreground' | 'background' | undefined;
}

/** Stops a timer. Does nothing when it has run already. */
export type CancelTimer = () => void;

const isClock = (value: unknown): value is Clock =>
  typeof value === 'object' &&
  value !== null &&
  (['now', 'monotonic', 'setTimer'] as const).every(
    (method) => typeof Reflect.get(value, method) === 'function',
  );

/** A clock among options. */
export const clockSchema = z.custom<Clock>(isClock, 'must have the methods now, monotonic and setTimer');

/** The real clock. Its timers keep the process alive while an operation waits for them, except those in the background. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => Math.floor(performance.now()),
  setTimer(delayMs, callback, options) {
    const timer = setTimeout(callback, delayMs);
    if (options?.kind === 'background') timer.unref();
    return () => clearTimeout(timer);
  },
};
