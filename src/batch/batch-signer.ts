/**
 * Group commit: messages that come one by one are signed together. While the HSM signs one batch, the next one gathers, so
 * that a message waits for one to two operations of the HSM, and no message waits when none is under way. To write the
 * receipts of thousands takes this process longer than the HSM takes to sign, so the HSM signs the next batch meanwhile.
 */

import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ErrorContext } from '../errors/base.js';
import { InvalidArgumentError } from '../errors/input.js';
import {
  ClientClosedError,
  IntegrityError,
  QueueFullError,
  ResourceExhaustedError,
} from '../errors/service.js';
import { agentContext, parseAgentId } from '../keys/agent-key-name.js';
import { Pace, type Slot } from '../provider/pace.js';
import {
  type BatchCloseOptions,
  type BatchSignerOptions,
  type BatchSignOptions,
  parseCloseOptions,
  parseSignerOptions,
  parseSignOptions,
  type ResolvedSignerOptions,
} from './batch-signer-options.js';
import { BlindedMessage, blind } from './blinded-message.js';
import type { SignBatchOptions } from './sign-batch-options.js';
import { type WaitingMessage, WaitingMessages } from './waiting-messages.js';

/** What it signs with: an `A2AKeyExchange`. */
export interface BatchExchange {
  /**
   * Signs messages with one signature. `onRootSigned` of the options may be called when it is free for the next batch.
   * @returns one receipt (CBOR) for each message, in their order.
   */
  signBatch(
    agentId: string,
    messages: readonly BlindedMessage[],
    options: SignBatchOptions,
  ): Promise<readonly Buffer[]>;
}

/**
 * Signs messages of one agent in batches that form by themselves.
 *
 * @example
 * ```ts
 * await using signer = new BatchSigner(exchange, 'invoice-bot');
 * const receipt = await signer.sign(Buffer.from('pay 10 EUR to alice'));
 * await verifyReceipt(Buffer.from('pay 10 EUR to alice'), receipt, jwk); // true
 * ```
 */
export class BatchSigner {
  readonly #exchange: BatchExchange;
  readonly #agentId: string;
  readonly #options: ResolvedSignerOptions;
  readonly #context: ErrorContext;
  /** Messages of one batch at most: those that have a place in the queue. */
  readonly #limit: number;
  readonly #messages: WaitingMessages;
  readonly #pace: Pace;
  #running: Promise<void> | undefined;
  /** Batches that have no receipts yet. The receipts of one may be written while the HSM signs the next. */
  readonly #underWay = new Set<Promise<void>>();
  #wake: (() => void) | undefined;
  #closed = false;

  /** @throws InvalidArgumentError for an agent id that is none; InvalidConfigError naming every option that is wrong. */
  constructor(exchange: BatchExchange, agentId: string, options: BatchSignerOptions = {}) {
    this.#context = agentContext('BatchSigner.sign', agentId);
    const parsed = parseAgentId(agentId);
    if (!parsed.ok) throw new InvalidArgumentError(this.#context, parsed.problem);
    this.#exchange = exchange;
    this.#agentId = agentId;
    this.#options = parseSignerOptions(options);
    const { clock, maxBatch, maxQueue } = this.#options;
    this.#limit = Math.min(maxBatch, maxQueue);
    this.#pace = new Pace(clock);
    this.#messages = new WaitingMessages(this.#context, clock, () => this.#wake?.());
  }

  /** Messages that wait for a batch or are being signed; at most `maxQueue`. */
  get queued(): number {
    return Math.min(this.#messages.size, this.#options.maxQueue);
  }

  /** Calls that wait for a place in the queue; only with `whenFull: 'wait'`, and at most `maxInLine`. */
  get inLine(): number {
    return Math.max(0, this.#messages.size - this.#options.maxQueue);
  }

  /**
   * The receipt of the message. The message is hashed before this returns and may be changed or dropped then.
   * @throws QueueFullError when the queue is full; with `whenFull: 'wait'` the call waits in line, first come first served, and
   *   is refused when the line is full.
   * @throws InvalidArgumentError for what is not bytes nor a whole `BlindedMessage`, and for options that are wrong.
   * @throws ClientClosedError when the signer is closed; OperationAbortedError when the signal fires.
   * @throws IntegrityError when there is no receipt for the message; what signing throws, for all messages of a batch.
   * @throws DeadlineExceededError with the latest quota answer as `cause`, if the quota was what it waited for.
   */
  async sign(message: Uint8Array | BlindedMessage, options?: BatchSignOptions): Promise<Buffer> {
    const { signal, timeoutMs } = options === undefined ? {} : parseSignOptions(this.#context, options);
    if (this.#closed) throw new ClientClosedError(this.#context);
    // Those in line are held as well, so their number has a limit too.
    const { maxMessages } = this.#options;
    if (this.#messages.size >= maxMessages) throw new QueueFullError(this.#context, maxMessages);
    const own = blind(this.#context, 'the message', message);
    // What its caller still has is copied, so that nothing it does with it meanwhile concerns the others of the batch.
    const blinded = own === message ? new BlindedMessage(own) : own;
    const receipt = this.#messages.add(blinded, { signal, timeoutMs: timeoutMs ?? this.#options.timeoutMs });
    if (this.#messages.waiting === this.#limit) this.#wake?.();
    this.#running ??= this.#run();
    return receipt;
  }

  /**
   * Takes no more messages, signs those that wait, and settles when every call has.
   * @throws InvalidArgumentError for options that are wrong; nothing is closed then.
   */
  async close(options: BatchCloseOptions = {}): Promise<void> {
    const { timeoutMs } = parseCloseOptions(this.#context, options);
    this.#closed = true;
    this.#wake?.();
    const giveUp = (): void => this.#messages.failAll(new ClientClosedError(this.#context));
    const cancel = timeoutMs === undefined ? undefined : this.#options.clock.setTimer(timeoutMs, giveUp);
    await this.#running;
    await Promise.all(this.#underWay);
    cancel?.();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** One batch after the other, until no message waits. */
  async #run(): Promise<void> {
    let slot: Slot | undefined;
    for (;;) {
      // Receipts of two batches are written at the same time at most. What is in line for the queue stays there, and a batch
      // is not smaller because of that.
      while (this.#underWay.size > 1 || this.#room < this.#nextSize) await Promise.race(this.#underWay);
      // Callers of the same turn, and those who got their receipts just now and send again, go into one batch.
      if (slot === undefined) await nextTurn();
      const oldest = this.#messages.oldest;
      if (oldest === undefined) {
        // In the same turn, so that the next message never finds a run that has ended.
        this.#running = undefined;
        return;
      }
      slot ??= this.#pace.reserve();
      const delayMs = Math.max(slot.at, this.#dueAt(oldest)) - this.#options.clock.monotonic();
      if (delayMs > 0) {
        await this.#sleep(delayMs);
        continue;
      }
      await this.#start(this.#messages.first(this.#limit), slot);
      slot = undefined;
    }
  }

  /** Places in the queue for those that are in no batch. */
  get #room(): number {
    return this.#options.maxQueue - (this.#messages.size - this.#messages.waiting);
  }

  /** Messages of the next batch, as far as they are there. */
  get #nextSize(): number {
    return Math.min(this.#limit, this.#messages.waiting);
  }

  /** When a batch that is not full is signed all the same. */
  #dueAt(oldest: WaitingMessage): number {
    const full = this.#messages.waiting >= this.#limit;
    return full || this.#closed ? 0 : oldest.since + this.#options.maxDelayMs;
  }

  /** Signs a batch; settles when the HSM is free for the next one. */
  #start(batch: readonly WaitingMessage[], slot: Slot): Promise<void> {
    return new Promise((resolve) => {
      const written = this.#sign(batch, slot, resolve).then(() => {
        this.#underWay.delete(written);
        resolve();
      });
      this.#underWay.add(written);
    });
  }

  async #sign(batch: readonly WaitingMessage[], slot: Slot, onSigned: () => void): Promise<void> {
    const work = this.#messages.begin(batch);
    let isSigned = false;
    const signed = (): void => {
      if (isSigned) return;
      isSigned = true;
      this.#pace.succeeded();
      onSigned();
    };
    try {
      const messages = batch.map(({ blinded }) => blinded);
      const { reason, correlationId } = this.#options;
      const receipts = await this.#exchange.signBatch(this.#agentId, messages, {
        signal: work.signal,
        timeoutMs: work.timeoutMs,
        onQuota: 'fail',
        onRootSigned: signed,
        reason,
        correlationId,
      });
      signed();
      if (receipts.length !== batch.length) {
        const check = `${receipts.length} receipts for ${batch.length} messages`;
        throw new IntegrityError(this.#context, check);
      }
      this.#messages.succeed(batch, receipts);
    } catch (error) {
      // Nothing was signed and nothing is wrong with the messages: they stay at the head of the queue.
      if (error instanceof ResourceExhaustedError && !isSigned) {
        this.#pace.refused(slot, error.retryAfterMs);
        this.#messages.postpone(batch, error);
      } else {
        this.#messages.fail(batch, error);
      }
    } finally {
      work.end();
    }
  }

  /** Until the time has passed, or something changes that the time depends on. */
  #sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        cancel();
        this.#wake = undefined;
        resolve();
      };
      const cancel = this.#options.clock.setTimer(delayMs, wake);
      this.#wake = wake;
    });
  }
}
