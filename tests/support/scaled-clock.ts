/** Time that runs faster than it does: a minute of quotas is over in less than a second. */

import type { Clock } from '../../src/clock.js';

export class ScaledClock implements Clock {
  readonly #factor: number;
  readonly #startMs = Date.now();

  constructor(factor: number) {
    this.#factor = factor;
  }

  now(): number {
    return this.#startMs + (Date.now() - this.#startMs) * this.#factor;
  }

  monotonic(): number {
    return Math.floor(performance.now() * this.#factor);
  }

  setTimer(delayMs: number, callback: () => void): () => void {
    const timer = setTimeout(callback, delayMs / this.#factor);
    return () => clearTimeout(timer);
  }
}
