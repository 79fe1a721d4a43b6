/**
 * One call of a public method: its deadline, which is kept whatever the layers below do, its cancellation, and what an
 * error says about it.
 */

import type { CancelTimer, Clock } from '../clock.js';
import type { A2AKmsError, ErrorContext } from '../errors/base.js';
import { DeadlineExceededError, OperationAbortedError } from '../errors/service.js';
import { callerAborts } from './abort-listeners.js';
import type { Observation } from './observer.js';

interface OperationOptions {
  /** The public method, e.g. `sign`. */
  readonly name: string;
  /** What it is called for. */
  readonly resource: string;
  /** Total deadline in milliseconds. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  /** The caller's signal. */
  readonly signal?: AbortSignal | undefined;
  /** Default `retry`. */
  readonly onQuota?: 'retry' | 'fail' | undefined;
  /** Travels with every call to Cloud KMS, to its audit logs. */
  readonly reason?: string | undefined;
  /** The observed call that this does the work of. */
  readonly observation?: Observation | undefined;
}

export class Operation {
  readonly name: string;
  readonly resource: string;
  readonly clock: Clock;
  /** Whether a quota answer ends it. */
  readonly onQuota: 'retry' | 'fail';
  readonly reason: string | undefined;
  readonly observation: Observation | undefined;
  /** How often Cloud KMS was asked so far. */
  attempts = 0;
  /** How long it waited for quotas so far. Milliseconds. */
  quotaWaitMs = 0;
  /** What it waits for at this moment that goes on without it, for the error of its deadline. */
  waitsFor: string | undefined;
  /** The latest failure of an attempt, kept as the cause of a deadline error. */
  lastFailure: unknown;
  readonly #timeoutMs: number;
  readonly #callerSignal: AbortSignal | undefined;
  /** Told when the operation ends before its work does. A signal of its own for each call would cost more than the call. */
  #endListeners: (() => void)[] = [];
  #endError: A2AKmsError | undefined;
  #deadlineAt: number;
  #pausedAt: number | undefined;
  #cancelTimer: CancelTimer | undefined;
  #reject: ((error: A2AKmsError) => void) | undefined;

  constructor(options: OperationOptions) {
    this.name = options.name;
    this.resource = options.resource;
    this.clock = options.clock;
    this.onQuota = options.onQuota ?? 'retry';
    this.reason = options.reason;
    this.observation = options.observation;
    this.#timeoutMs = options.timeoutMs;
    this.#callerSignal = options.signal;
    this.#deadlineAt = options.clock.monotonic() + options.timeoutMs;
  }

  /** Milliseconds left; never below 0. */
  get remainingMs(): number {
    return Math.max(0, this.#deadlineAt - this.clock.monotonic());
  }

  /** The caller's reason, and with an audit trail the id of the event of this call. */
  get reasonHeader(): string | undefined {
    const requestId = this.observation?.requestId;
    if (requestId === undefined) return this.reason;
    const own = `[a2a-request=${requestId}]`;
    return this.reason === undefined ? own : `${this.reason} ${own}`;
  }

  /** For the errors of this operation. */
  context(cause?: unknown): ErrorContext {
    return { operation: this.name, resource: this.resource, attempts: this.attempts, cause };
  }

  /**
   * Runs the work and settles with it, with the deadline or with the caller's abort, whichever comes first. Work that is
   * still running then is told (`onEnd`), and its outcome is dropped.
   */
  run<T>(work: (operation: Operation) => Promise<T>): Promise<T> {
    const caller = this.#callerSignal;
    if (caller?.aborted) return Promise.reject(new OperationAbortedError(this.context(caller.reason)));
    const ignoreAbort =
      caller &&
      callerAborts.add(caller, () => this.#fail(new OperationAbortedError(this.context(caller.reason))));
    const settled = (): void => {
      this.#reject = undefined;
      this.#cancelTimer?.();
      ignoreAbort?.();
    };
    return new Promise<T>((resolve, reject) => {
      this.#reject = (error) => {
        settled();
        reject(error);
      };
      this.#arm();
      work(this).then(
        (value) => {
          settled();
          resolve(value);
        },
        (error: unknown) => {
          settled();
          reject(error);
        },
      );
    });
  }

  /** Calls `listener` once if the deadline passes or the caller aborts while the work runs; at once if that has happened. */
  onEnd(listener: () => void): void {
    if (this.#endError === undefined) this.#endListeners.push(listener);
    else listener();
  }

  offEnd(listener: () => void): void {
    const index = this.#endListeners.indexOf(listener);
    if (index >= 0) this.#endListeners.splice(index, 1);
  }

  /** @throws the error of an operation that has ended. */
  throwIfEnded(): void {
    if (this.#endError !== undefined) throw this.#endError;
  }

  /** Stops the deadline while the call waits in a queue of this process, which has a limit of its own. */
  pauseDeadline(): void {
    this.#pausedAt = this.clock.monotonic();
  }

  resumeDeadline(): void {
    if (this.#pausedAt === undefined) return;
    this.#deadlineAt += this.clock.monotonic() - this.#pausedAt;
    this.#pausedAt = undefined;
    if (this.#reject !== undefined && this.#cancelTimer === undefined) this.#arm();
  }

  /** Waits, unless the operation ends before. */
  delay(delayMs: number): Promise<void> {
    let cancel: CancelTimer = () => {};
    const waited = new Promise<void>((resolve) => {
      cancel = this.clock.setTimer(delayMs, resolve);
    });
    return this.waitFor(waited).finally(cancel);
  }

  /** Waits for work that others share: it goes on when this operation ends. */
  waitFor<T>(shared: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const ended = (): void => reject(this.#endError);
      this.onEnd(ended);
      shared.then(
        (value) => {
          this.offEnd(ended);
          resolve(value);
        },
        (error: unknown) => {
          this.offEnd(ended);
          reject(error);
        },
      );
    });
  }

  /** Waits for its turn in a line of this process: outside of the deadline, and with a limit of its own. */
  waitInLine<T>(
    turn: Promise<T>,
    limit: { readonly timeoutMs: number; readonly tooLate: () => A2AKmsError },
  ): Promise<T> {
    this.pauseDeadline();
    return new Promise((resolve, reject) => {
      const over = (): void => {
        cancelTimer();
        this.offEnd(ended);
        this.resumeDeadline();
      };
      const ended = (): void => {
        over();
        reject(this.#endError);
      };
      const cancelTimer = this.clock.setTimer(limit.timeoutMs, () => {
        over();
        reject(limit.tooLate());
      });
      turn.then(
        (value) => {
          over();
          resolve(value);
        },
        (error: unknown) => {
          over();
          reject(error);
        },
      );
      this.onEnd(ended);
    });
  }

  /** The error of an operation whose deadline has passed, or is ahead of anything that could still succeed. */
  deadlineError(when: 'passed' | 'ahead'): DeadlineExceededError {
    return new DeadlineExceededError(this.context(this.lastFailure), {
      limit: 'the deadline',
      timeoutMs: this.#timeoutMs,
      when,
      waitedFor: this.waitsFor,
    });
  }

  /** The timer is left alone when the deadline moves: it looks again when its time has come. */
  #arm(): void {
    this.#cancelTimer = this.clock.setTimer(this.remainingMs, () => {
      this.#cancelTimer = undefined;
      if (this.#pausedAt !== undefined) return;
      if (this.remainingMs > 0) this.#arm();
      else this.#fail(this.deadlineError('passed'));
    });
  }

  #fail(error: A2AKmsError): void {
    if (this.#endError !== undefined) return;
    this.#endError = error;
    this.#reject?.(error);
    const listeners = this.#endListeners;
    this.#endListeners = [];
    for (const listener of listeners) listener();
  }
}
