/**
 * Looks again, a little later, whether what was written is still there: a write that another process began before may
 * land after it and undo it. One check for each key; those that wait are made at once when the client is closed.
 */

import type { CancelTimer, Clock } from '../clock.js';
import type { Logger } from '../logger.js';

interface LateChecksContext {
  readonly clock: Clock;
  readonly logger: Logger;
  /** How long a write of another process can be on its way. Milliseconds. */
  readonly delayMs: number;
}

interface Waiting {
  readonly cancel: CancelTimer;
  readonly check: () => Promise<void>;
}

export class LateChecks {
  readonly #context: LateChecksContext;
  readonly #waiting = new Map<string, Waiting>();
  readonly #running = new Set<Promise<void>>();

  constructor(context: LateChecksContext) {
    this.#context = context;
  }

  /** Makes the check later, in place of one that waits for the same key. */
  schedule(key: string, check: () => Promise<void>): void {
    this.#waiting.get(key)?.cancel();
    const { clock, delayMs } = this.#context;
    const cancel = clock.setTimer(delayMs, () => this.#start(key), { kind: 'background' });
    this.#waiting.set(key, { cancel, check });
  }

  /** Makes the checks that wait now; settles when they have ended. */
  async flush(): Promise<void> {
    for (const key of [...this.#waiting.keys()]) this.#start(key);
    await Promise.all(this.#running);
  }

  /** Drops the checks that wait. */
  cancel(): void {
    for (const { cancel } of this.#waiting.values()) cancel();
    this.#waiting.clear();
  }

  #start(key: string): void {
    const waiting = this.#waiting.get(key);
    if (waiting === undefined) return;
    waiting.cancel();
    this.#waiting.delete(key);
    const running = waiting.check().catch((error: unknown) => {
      this.#context.logger.warn(
        { key, error },
        'it could not be checked whether the version in use is still the one that was set',
      );
    });
    this.#running.add(running);
    void running.finally(() => this.#running.delete(running));
  }
}
