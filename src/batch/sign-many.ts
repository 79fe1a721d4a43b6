/**
 * Many ordinary signatures: at most `concurrency` at a time, in the order of the messages, each with its own outcome. A
 * quota that is used up slows all of them down together.
 */

import { setMaxListeners } from 'node:events';
import { z } from 'zod';
import type { CancelTimer, Clock } from '../clock.js';
import { A2AKmsError, type ErrorContext } from '../errors/base.js';
import { OperationAbortedError, ResourceExhaustedError, UnexpectedError } from '../errors/service.js';
import type { CallOptions } from '../keys/call-options.js';
import type { SignatureDetails } from '../keys/key-provider.js';
import { callerAborts } from '../provider/abort-listeners.js';
import { callback, callShape, parseOptions } from '../provider/call-input.js';
import type { Pace, Slot } from '../provider/pace.js';
import type { QuotaLine } from './quota-line.js';

/** Options of `signMany`. */
export interface SignManyOptions extends Pick<CallOptions, 'reason' | 'correlationId'> {
  /** Calls at the same time, 1 to 1,000. Default 64. */
  readonly concurrency?: number | undefined;
  /** Ends it: what is not signed by then is reported as failed with `OperationAbortedError`. */
  readonly signal?: AbortSignal | undefined;
  /** Deadline of each call in milliseconds, in place of the configured one. Waiting for the quota does not count. */
  readonly timeoutMs?: number | undefined;
  /**
   * How long it goes on without a single signature because the quota is used up, in milliseconds; then what is left is
   * reported as failed with `ResourceExhaustedError`. Default 120,000: quotas per minute return within one.
   */
  readonly maxQuotaWaitMs?: number | undefined;
  /** Called after each message. If it throws, nothing further is signed, and it is not called again. */
  readonly onProgress?: ((progress: SignManyProgress) => void) | undefined;
}

/** How far `signMany` is, in messages. */
export interface SignManyProgress {
  readonly signed: number;
  readonly failed: number;
  readonly total: number;
}

/** The result for one message. */
export type SignManyOutcome =
  | ({ readonly status: 'signed' } & SignatureDetails)
  | { readonly status: 'failed'; readonly error: A2AKmsError };

/** What signs one message, and what it shares with others. */
interface MessageSigner {
  readonly clock: Clock;
  readonly pace: Pace;
  readonly line: QuotaLine;
  sign(message: Uint8Array, options: CallOptions): Promise<SignatureDetails>;
}

// What to do when a quota is used up is its own affair: it paces all calls.
const { onQuota: _, ...ownCallShape } = callShape;

const schema = z.strictObject({
  concurrency: z
    .int('must be a whole number')
    .min(1, 'must be at least 1')
    .max(1_000, 'must be at most 1,000')
    .default(64),
  ...ownCallShape,
  maxQuotaWaitMs: z
    .int('must be whole milliseconds')
    .min(0, 'must not be negative')
    .max(86_400_000, 'must be at most 86,400,000')
    .default(120_000),
  onProgress: callback<(progress: SignManyProgress) => void>(),
});

export type ResolvedSignManyOptions = z.output<typeof schema>;

/** @throws InvalidArgumentError naming every option that is wrong. */
export function parseSignManyOptions(
  context: ErrorContext,
  options: SignManyOptions,
): ResolvedSignManyOptions {
  return parseOptions(context, schema, options);
}

/**
 * Signs messages one by one. They must stay unchanged until it is done.
 * @throws what `onProgress` throws, when no call is under way any more.
 */
export async function signEach(
  context: ErrorContext,
  signer: MessageSigner,
  messages: readonly Uint8Array[],
  options: ResolvedSignManyOptions,
): Promise<readonly SignManyOutcome[]> {
  const run = new Run(context, signer, messages, options);
  return run.finish();
}

/** One call of `signMany`. */
class Run {
  readonly #context: ErrorContext;
  readonly #signer: MessageSigner;
  readonly #messages: readonly Uint8Array[];
  readonly #options: ResolvedSignManyOptions;
  /** One for all calls: the caller's own signal would have a listener for each. */
  readonly #stop = new AbortController();
  /** Ends the waits for the quota. */
  readonly #leave = new AbortController();
  readonly #outcomes: SignManyOutcome[];
  #abortion: OperationAbortedError | undefined;
  /** Set as soon as nothing is to be begun any more, nor reported. */
  #failure: { readonly error: unknown } | undefined;
  /** The latest answer that the quota is used up, and what is reported when it was so for too long. */
  #refusal: ResourceExhaustedError | undefined;
  /** Calls that wait for the quota. */
  #inLine = 0;
  #cancelWatch: CancelTimer | undefined;
  #next = 0;
  #signed = 0;
  #failed = 0;
  /** When the quota last let a signature through. */
  #lastSignedAt: number;

  constructor(
    context: ErrorContext,
    signer: MessageSigner,
    messages: readonly Uint8Array[],
    options: ResolvedSignManyOptions,
  ) {
    this.#context = context;
    this.#signer = signer;
    this.#messages = messages;
    this.#options = options;
    this.#outcomes = new Array<SignManyOutcome>(messages.length);
    this.#lastSignedAt = signer.clock.monotonic();
    setMaxListeners(0, this.#stop.signal, this.#leave.signal);
  }

  async finish(): Promise<readonly SignManyOutcome[]> {
    const { signal, concurrency } = this.#options;
    const onAbort = (): void => this.#end(signal?.reason);
    if (signal?.aborted) onAbort();
    const ignoreAbort = signal && callerAborts.add(signal, onAbort);
    const workers = Array.from({ length: Math.min(concurrency, this.#messages.length) }, () => this.#work());
    await Promise.all(workers);
    ignoreAbort?.();
    this.#cancelWatch?.();
    if (this.#failure !== undefined) throw this.#failure.error;
    return this.#outcomes;
  }

  /** Never rejects: the others have to come to their ends first. */
  async #work(): Promise<void> {
    try {
      await this.#signInTurn();
    } catch (error) {
      this.#failure ??= { error };
      this.#end(error);
    }
  }

  async #signInTurn(): Promise<void> {
    for (;;) {
      const index = this.#next;
      const message = this.#messages[index];
      if (message === undefined) return;
      this.#next += 1;
      const outcome = await this.#sign(message);
      if (this.#failure !== undefined) return;
      this.#outcomes[index] = outcome;
      if (outcome.status === 'signed') this.#signed += 1;
      else this.#failed += 1;
      this.#options.onProgress?.({
        signed: this.#signed,
        failed: this.#failed,
        total: this.#messages.length,
      });
    }
  }

  async #sign(message: Uint8Array): Promise<SignManyOutcome> {
    const { timeoutMs, reason, correlationId } = this.#options;
    const purpose = { reason, correlationId };
    const { clock, pace } = this.#signer;
    const { signal } = this.#stop;
    for (;;) {
      const slot = await this.#turn();
      if (slot === undefined) return { status: 'failed', error: this.#unsigned() };
      try {
        const signed = await this.#signer.sign(message, { ...purpose, signal, timeoutMs, onQuota: 'fail' });
        pace.succeeded();
        this.#lastSignedAt = clock.monotonic();
        return { status: 'signed', ...signed };
      } catch (error) {
        if (!(error instanceof ResourceExhaustedError))
          return { status: 'failed', error: this.#typed(error) };
        pace.refused(slot, error.retryAfterMs);
        this.#refusal = error;
        if (this.#isTooLong) this.#leave.abort();
      }
    }
  }

  /** The turn of a call; undefined when it is not to be made any more. */
  async #turn(): Promise<Slot | undefined> {
    this.#inLine += 1;
    if (this.#signer.pace.perSecond !== undefined) this.#watch();
    const slot = await this.#signer.line.turn(this.#leave.signal);
    this.#inLine -= 1;
    return slot;
  }

  /** Looks, when the time is over, whether the quota let a signature through meanwhile; with one timer for all. */
  #watch(): void {
    if (this.#cancelWatch !== undefined) return;
    const { clock } = this.#signer;
    const leftMs = this.#lastSignedAt + this.#options.maxQuotaWaitMs - clock.monotonic();
    this.#cancelWatch = clock.setTimer(Math.max(0, leftMs), () => {
      this.#cancelWatch = undefined;
      if (this.#inLine === 0) return;
      if (this.#isTooLong) this.#leave.abort();
      else this.#watch();
    });
  }

  get #isTooLong(): boolean {
    const { maxQuotaWaitMs } = this.#options;
    return this.#signer.clock.monotonic() - this.#lastSignedAt >= maxQuotaWaitMs;
  }

  /** Observers refuse calls with errors of their own; one of them is no reason to lose what the others signed. */
  #typed(error: unknown): A2AKmsError {
    return error instanceof A2AKmsError ? error : new UnexpectedError({ ...this.#context, cause: error });
  }

  #end(reason: unknown): void {
    this.#stop.abort(reason);
    this.#leave.abort();
  }

  /** Why a call is not made any more. */
  #unsigned(): A2AKmsError {
    if (this.#stop.signal.aborted) return this.#aborted();
    // Calls of others may have been what the quota was used up for.
    this.#refusal ??= new ResourceExhaustedError(
      this.#context,
      `the quota let no signature through for ${this.#options.maxQuotaWaitMs} ms (maxQuotaWaitMs).`,
    );
    return this.#refusal;
  }

  #aborted(): OperationAbortedError {
    // One for all that is left: there may be very many.
    this.#abortion ??= new OperationAbortedError({ ...this.#context, cause: this.#stop.signal.reason });
    return this.#abortion;
  }
}
