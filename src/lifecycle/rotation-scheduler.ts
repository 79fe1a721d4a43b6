/**
 * Runs `rotateDueKeys` in this process again and again, for a service that runs once. Its timer does not keep the process
 * alive, and runs never overlap. Many replicas are better served by one scheduled job (docs/key-lifecycle.md).
 */

import type { CancelTimer, Clock } from '../clock.js';
import type { Logger } from '../logger.js';
import type { RotateDueKeysOptions, RotationReport } from './rotate-due-keys.js';

/** Timers in Node hold at most 2^31 - 1 milliseconds. */
export const SCHEDULER_INTERVAL_MAX_SECONDS = 2_000_000;
const DEFAULT_INTERVAL_SECONDS = 3_600;
/** A wait is up to a tenth shorter or longer than the interval, so that processes that started together drift apart. */
const JITTER = 0.1;

/** Options of a `RotationScheduler`. */
export interface RotationSchedulerOptions {
  /** Seconds between two runs, 1 to 2,000,000 (23 days). Default 3,600. The first begins at a random time within it. */
  readonly intervalSeconds?: number | undefined;
  /** Keys that are worked on at once, 1 to 64. Default 4. */
  readonly concurrency?: number | undefined;
  /** Called after each run. What it throws is logged. */
  readonly onReport?: ((report: RotationReport) => void) | undefined;
}

interface SchedulerContext {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly run: (options: RotateDueKeysOptions) => Promise<RotationReport>;
  /** A number from 0 up to 1, as `Math.random` gives it, which is the default. It only spreads the runs. */
  readonly random?: () => number;
}

/**
 * Runs `rotateDueKeys` again and again until it is closed. A failed run is logged, and the next one comes in its turn.
 */
export class RotationScheduler {
  readonly #context: SchedulerContext;
  readonly #options: RotationSchedulerOptions;
  readonly #random: () => number;
  readonly #abort = new AbortController();
  #cancelTimer: CancelTimer = () => {};
  #running: Promise<void> = Promise.resolve();

  constructor(context: SchedulerContext, options: RotationSchedulerOptions = {}) {
    this.#context = context;
    this.#options = options;
    this.#random = context.random ?? Math.random;
    this.#wait(this.#intervalMs * this.#random());
  }

  /** Settles when no run is under way. */
  idle(): Promise<void> {
    return this.#running;
  }

  /** Begins no further run, aborts the one under way, and settles when it has ended. What it had done stays done. */
  async close(): Promise<void> {
    this.#abort.abort(new Error('the scheduler was closed'));
    this.#cancelTimer();
    await this.#running;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  get #intervalMs(): number {
    return (this.#options.intervalSeconds ?? DEFAULT_INTERVAL_SECONDS) * 1_000;
  }

  #wait(delayMs: number): void {
    const begin = (): void => {
      this.#running = this.#run();
    };
    this.#cancelTimer = this.#context.clock.setTimer(delayMs, begin, { kind: 'background' });
  }

  async #run(): Promise<void> {
    const { logger, run } = this.#context;
    const { concurrency, onReport } = this.#options;
    const { signal } = this.#abort;
    try {
      const report = await run({ concurrency, signal });
      const { rotated, prepared, notDue, failed } = report;
      logger[failed > 0 ? 'warn' : 'info']({ rotated, prepared, notDue, failed }, 'scheduled rotation');
      onReport?.(report);
    } catch (error) {
      if (!signal.aborted) logger.error({ error }, 'the scheduled rotation failed');
    }
    if (!signal.aborted) this.#wait(this.#intervalMs * (1 - JITTER + 2 * JITTER * this.#random()));
  }
}
