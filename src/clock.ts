/**
 * The one source of time. Everything whose behaviour depends on time takes a `Clock`, so that tests can drive it;
 * nothing else reads `Date.now()` or starts a timer.
 */

/** Milliseconds since the epoch and one-shot timers. */
export interface Clock {
  /** Wall-clock time in milliseconds since 1970-01-01T00:00:00Z. */
  now(): number;
  /** Calls `callback` once after `delayMs` milliseconds, unless the returned function is called before. */
  setTimer(delayMs: number, callback: () => void): CancelTimer;
}

export type CancelTimer = () => void;

/** The real clock. Its timers keep the process alive while an operation waits for them. */
export const systemClock: Clock = {
  now: () => Date.now(),
  setTimer(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};
