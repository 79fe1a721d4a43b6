/**
 * Those who wait for one quota, in one line: the first waits for its slot, the others for the first. So everybody starts at
 * the rate that holds when it is their turn, not at the one that held when they came.
 */

import type { Clock } from '../clock.js';
import type { Pace, Slot } from '../provider/pace.js';

export class QuotaLine {
  readonly #clock: Clock;
  readonly #pace: Pace;
  /** Settles when everybody so far has had their turn. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(clock: Clock, pace: Pace) {
    this.#clock = clock;
    this.#pace = pace;
  }

  /** The caller's slot, when its time has come; undefined as soon as the signal fires. */
  turn(signal: AbortSignal): Promise<Slot | undefined> {
    if (signal.aborted) return Promise.resolve(undefined);
    const turn = this.#last.then(() => this.#slot(signal));
    this.#last = turn;
    return new Promise((resolve) => {
      const onAbort = (): void => resolve(undefined);
      signal.addEventListener('abort', onAbort, { once: true });
      void turn.then((slot) => {
        signal.removeEventListener('abort', onAbort);
        resolve(slot);
      });
    });
  }

  async #slot(signal: AbortSignal): Promise<Slot | undefined> {
    while (!signal.aborted) {
      const slot = this.#pace.reserve();
      const delayMs = slot.at - this.#clock.monotonic();
      if (delayMs > 0) await this.#sleep(delayMs, signal);
      // A pause may have begun while it waited.
      if (!signal.aborted && this.#pace.isCurrent(slot)) return slot;
    }
    return undefined;
  }

  /** Until the time has passed or the signal fires. */
  #sleep(delayMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        cancel();
        signal.removeEventListener('abort', done);
        resolve();
      };
      const cancel = this.#clock.setTimer(delayMs, done);
      signal.addEventListener('abort', done, { once: true });
    });
  }
}
