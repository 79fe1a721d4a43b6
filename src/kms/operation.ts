/**
 * One call of a public method: its deadline, which is kept whatever the layers below do, its cancellation, and what an
 * error says about it.
 */

import type { CancelTimer, Clock } from '../clock.js';
import {
  type A2AKmsError,
  DeadlineExceededError,
  type ErrorContext,
  OperationAbortedError,
} from '../errors.js';

export interface OperationOptions {
  /** The public method, e.g. `sign`. */
  readonly name: string;
  /** What it is called for. */
  readonly resource: string;
  /** Total deadline in milliseconds. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  /** The caller's signal. */
  readonly signal?: AbortSignal | undefined;
}

export class Operation {
  readonly name: string;
  readonly resource: string;
  readonly clock: Clock;
  /** How often Cloud KMS was asked so far. */
  attempts = 0;
  /** The latest failure of an attempt, kept as the cause of a deadline error. */
  lastFailure: unknown;
  readonly #timeoutMs: number;
  readonly #callerSignal: AbortSignal | undefined;
  readonly #controller = new AbortController();
  #deadlineAt: number;
  #pausedAt: number | undefined;
  #cancelTimer: CancelTimer | undefined;
  #reject: ((error: A2AKmsError) => void) | undefined;

  constructor(options: OperationOptions) {
    this.name = options.name;
    this.resource = options.resource;
    this.clock = options.clock;
    this.#timeoutMs = options.timeoutMs;
    this.#callerSignal = options.signal;
    this.#deadlineAt = options.clock.now() + options.timeoutMs;
  }

  /** Aborted when the deadline passes or the caller aborts; whatever the operation started listens to it. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Milliseconds left; never below 0. */
  get remainingMs(): number {
    return Math.max(0, this.#deadlineAt - this.clock.now());
  }

  /** For the errors of this operation. */
  context(cause?: unknown): ErrorContext {
    return { operation: this.name, resource: this.resource, attempts: this.attempts, cause };
  }

  /**
   * Runs the work and settles with it, with the deadline or with the caller's abort, whichever comes first. Work that is
   * still running then is told by `signal`, and its outcome is dropped.
   */
  async run<T>(work: (operation: Operation) => Promise<T>): Promise<T> {
    const caller = this.#callerSignal;
    if (caller?.aborted) throw new OperationAbortedError(this.context(caller.reason));
    const onAbort = (): void => this.#fail(new OperationAbortedError(this.context(caller?.reason)));
    caller?.addEventListener('abort', onAbort, { once: true });
    try {
      return await new Promise<T>((resolve, reject) => {
        this.#reject = reject;
        this.#arm();
        work(this).then(resolve, reject);
      });
    } finally {
      this.#reject = undefined;
      this.#cancelTimer?.();
      caller?.removeEventListener('abort', onAbort);
    }
  }

  /** Stops the deadline while the call waits in a queue of this process, which has a limit of its own. */
  pauseDeadline(): void {
    this.#cancelTimer?.();
    this.#pausedAt = this.clock.now();
  }

  resumeDeadline(): void {
    if (this.#pausedAt === undefined) return;
    this.#deadlineAt += this.clock.now() - this.#pausedAt;
    this.#pausedAt = undefined;
    if (this.#reject !== undefined) this.#arm();
  }

  /** Waits, unless the operation ends before. */
  delay(delayMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        cancel();
        reject(this.signal.reason);
      };
      const cancel = this.clock.setTimer(delayMs, () => {
        this.signal.removeEventListener('abort', onAbort);
        resolve();
      });
      if (this.signal.aborted) onAbort();
      else this.signal.addEventListener('abort', onAbort, { once: true });
    });
  }

  /** Waits for work that others share: it goes on when this operation ends. */
  waitFor<T>(shared: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const onAbort = (): void => reject(this.signal.reason);
      if (this.signal.aborted) onAbort();
      this.signal.addEventListener('abort', onAbort, { once: true });
      const settled = (): void => this.signal.removeEventListener('abort', onAbort);
      shared.then(
        (value) => {
          settled();
          resolve(value);
        },
        (error) => {
          settled();
          reject(error);
        },
      );
    });
  }

  /** The error of an operation whose deadline has passed, or would before anything could still succeed. */
  deadlineError(): DeadlineExceededError {
    return new DeadlineExceededError(this.context(this.lastFailure), {
      limit: 'the deadline',
      timeoutMs: this.#timeoutMs,
    });
  }

  #arm(): void {
    this.#cancelTimer = this.clock.setTimer(this.remainingMs, () => this.#fail(this.deadlineError()));
  }

  #fail(error: A2AKmsError): void {
    this.#reject?.(error);
    this.#controller.abort(error);
  }
}
