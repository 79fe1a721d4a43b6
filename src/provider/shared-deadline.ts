/** Several calls under one deadline, that of the call which they are made for: each gets what is left of it. */

import type { Clock } from '../clock.js';
import type { ErrorContext } from '../errors/base.js';
import { DeadlineExceededError, OperationAbortedError } from '../errors/service.js';
import type { CallOptions } from '../keys/call-options.js';

export class SharedDeadline {
  readonly #context: ErrorContext;
  readonly #options: CallOptions;
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #endsAt: number;

  /** @param defaultTimeoutMs in milliseconds, where the options name no deadline. */
  constructor(
    context: ErrorContext,
    options: CallOptions,
    { clock, defaultTimeoutMs }: { readonly clock: Clock; readonly defaultTimeoutMs: number },
  ) {
    this.#context = context;
    this.#options = options;
    this.#clock = clock;
    this.#timeoutMs = options.timeoutMs ?? defaultTimeoutMs;
    this.#endsAt = clock.monotonic() + this.#timeoutMs;
  }

  /**
   * The options of the next call.
   * @throws DeadlineExceededError when nothing is left for it.
   */
  next(): CallOptions {
    const timeoutMs = this.#endsAt - this.#clock.monotonic();
    if (timeoutMs > 0) return { ...this.#options, timeoutMs };
    throw new DeadlineExceededError(this.#context, { limit: 'the deadline', timeoutMs: this.#timeoutMs });
  }

  /** @throws OperationAbortedError when the caller has aborted. */
  throwIfAborted(): void {
    const { signal } = this.#options;
    if (signal?.aborted) throw new OperationAbortedError({ ...this.#context, cause: signal.reason });
  }
}
