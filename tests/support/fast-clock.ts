/** The real time, but every delay is over thirty times as soon: polling and retries cost a test next to nothing. */

import type { Clock } from '../../src/clock.js';

const FACTOR = 30;

export class FastClock implements Clock {
  now(): number {
    return Date.now();
  }

  monotonic(): number {
    return Math.floor(performance.now());
  }

  setTimer(delayMs: number, callback: () => void): () => void {
    // Deadlines stay what they are: only what is waited for on purpose is shorter.
    const timer = setTimeout(callback, delayMs > 2_500 ? delayMs : delayMs / FACTOR);
    return () => clearTimeout(timer);
  }
}
