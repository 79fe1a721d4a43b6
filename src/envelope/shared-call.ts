/**
 * One call to the provider for any number of callers. Each keeps its own deadline and its own signal; the call itself is
 * given up when nobody waits for it any more.
 */

import { ClientClosedError, DeadlineExceededError, OperationAbortedError } from '../errors/service.js';
import type { AbortListeners } from '../provider/abort-listeners.js';
import type { Caller } from './caller.js';

/** Something with key material in it, that lives as long as somebody holds it. */
export interface Held {
  hold(): void;
  release(): void;
}

/** How long the work may take, and whether anybody still wants it. */
export interface WorkLimits {
  readonly signal: AbortSignal;
  /** Milliseconds since the epoch. */
  readonly deadlineAt: number;
}

interface SharedCallOptions<T extends Held> {
  /** Its deadline is that of the call. */
  readonly starter: Caller;
  readonly aborts: AbortListeners;
  /** The call. It holds what it gives. */
  readonly work: (limits: WorkLimits) => Promise<T>;
  /** Called once, before those who wait, with the value or without one. What it wants to keep, it holds. */
  readonly onEnd: (value: T | undefined) => void;
}

interface Waiter<T> {
  readonly caller: Caller;
  readonly succeed: (value: T) => void;
  readonly fail: (error: unknown) => void;
}

export class SharedCall<T extends Held> {
  readonly deadlineAt: number;
  readonly #waiters = new Set<Waiter<T>>();
  readonly #controller = new AbortController();
  readonly #aborts: AbortListeners;
  readonly #onEnd: (value: T | undefined) => void;
  #ended = false;

  constructor(options: SharedCallOptions<T>) {
    this.deadlineAt = options.starter.deadlineAt;
    this.#aborts = options.aborts;
    this.#onEnd = options.onEnd;
    options.work({ signal: this.#controller.signal, deadlineAt: this.deadlineAt }).then(
      (value) => this.#succeed(value),
      (error: unknown) => this.#fail(() => error),
    );
  }

  /** The value, held for the caller. To be called before the call ends. */
  wait(caller: Caller): Promise<T> {
    return new Promise((resolve, reject) => {
      const { signal, context, timeoutMs, clock } = caller;
      const stop = (): void => {
        this.#waiters.delete(waiter);
        cancelTimer();
        stopListening();
      };
      const waiter: Waiter<T> = {
        caller,
        succeed: (value) => {
          stop();
          value.hold();
          resolve(value);
        },
        fail: (error) => {
          stop();
          reject(error);
        },
      };
      const leave = (error: unknown): void => {
        waiter.fail(error);
        if (this.#waiters.size === 0) this.#fail(() => error);
      };
      this.#waiters.add(waiter);
      const cancelTimer = clock.setTimer(caller.remainingMs, () =>
        leave(new DeadlineExceededError(context, { limit: 'the deadline', timeoutMs })),
      );
      const abort = (): void => leave(new OperationAbortedError({ ...context, cause: signal?.reason }));
      const stopListening = signal === undefined ? () => {} : this.#aborts.add(signal, abort);
      if (signal?.aborted) abort();
    });
  }

  /** Ends the call because the cipher is closed. */
  close(): void {
    this.#fail((caller) => new ClientClosedError(caller.context));
  }

  #fail(errorFor: (caller: Caller) => unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#onEnd(undefined);
    this.#controller.abort();
    for (const waiter of [...this.#waiters]) waiter.fail(errorFor(waiter.caller));
  }

  #succeed(value: T): void {
    if (!this.#ended) {
      this.#ended = true;
      this.#onEnd(value);
      // All at once: between the first and the last of them nobody may drop the value.
      for (const waiter of [...this.#waiters]) waiter.succeed(value);
    }
    value.release();
  }
}

/** Whether a shared call gave up at the deadline of another caller, before this one's: then it is worth another call. */
export function endedEarly(error: unknown, call: { readonly deadlineAt: number }, caller: Caller): boolean {
  return (
    error instanceof DeadlineExceededError && call.deadlineAt < caller.deadlineAt && caller.remainingMs > 0
  );
}
