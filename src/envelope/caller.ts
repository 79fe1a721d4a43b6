/** One call of a public method that may have to wait for Cloud KMS: what it is about, its deadline and its signal. */

import type { Clock } from '../clock.js';
import type { ErrorContext } from '../errors/base.js';

interface CallerOptions {
  readonly context: ErrorContext;
  /** Deadline in milliseconds from now. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
  readonly clock: Clock;
}

export class Caller {
  readonly context: ErrorContext;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
  readonly clock: Clock;
  /** Milliseconds since the epoch. */
  readonly deadlineAt: number;

  constructor(options: CallerOptions) {
    this.context = options.context;
    this.timeoutMs = options.timeoutMs;
    this.signal = options.signal;
    this.clock = options.clock;
    this.deadlineAt = options.clock.monotonic() + options.timeoutMs;
  }

  /** Milliseconds left; never below 0. */
  get remainingMs(): number {
    return Math.max(0, this.deadlineAt - this.clock.monotonic());
  }
}
