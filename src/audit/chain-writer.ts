/**
 * Writes the chain of one writer: lines one after the other, however many calls end at once, many with one write. After a
 * failure the sink is opened again, and what was lost in between is told of in the chain.
 */

import type { CancelTimer, Clock } from '../clock.js';
import type { Logger } from '../logger.js';
import { loadCanonicalize } from './canonical-json.js';
import { Chain, type ChainHead, type FoundLines, foundUnsigned, type Section } from './chain.js';
import { type AuditCheckpoint, CHAIN_START, type LineBody } from './line.js';
import type { TrailSink } from './sink.js';
import { overdue, withinLimit } from './time-limit.js';
import { Untold } from './untold.js';
import { bodiesOf, isLine, type Waiting, type WaitingLine, WriteQueue } from './write-queue.js';

interface ChainWriterOptions {
  readonly sink: TrailSink;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly writeTimeoutMs: number;
  /** Writer of a chain on a sink that cannot tell what it holds. */
  readonly newWriter: () => string;
  /** What the first line of each process says, also of lines that it found unsigned. */
  readonly start: (found: FoundLines | undefined) => LineBody;
  /** Lines were written. */
  readonly onWritten: () => void;
}

/** A sink that failed is opened again after this at the earliest. */
const REOPEN_AFTER_MS = 1_000;

export class ChainWriter {
  readonly #options: ChainWriterOptions;
  readonly #queue = new WriteQueue((batch) => this.#writeBatch(batch));
  readonly #untold: Untold;
  #chain: Chain | undefined;
  #state: 'new' | 'open' | 'broken' | 'closed' = 'new';
  #opening: Promise<Chain> | undefined;
  #failure: unknown;
  #failedAt = 0;
  /** The write that takes too long, if one does. */
  #isOverdue = false;
  /** The last checkpoint in what the chain goes on from, for whoever can check its signature. */
  foundCheckpoint: AuditCheckpoint | undefined;

  constructor(options: ChainWriterOptions) {
    this.#options = options;
    this.#untold = new Untold(options.clock);
  }

  /** The end of the chain as it is written; sequence 0 before the first line. */
  get anchor(): ChainHead & { readonly writer: string | undefined } {
    return { writer: this.#chain?.writer, ...(this.#chain?.head ?? { sequence: 0, sha256: CHAIN_START }) };
  }

  /** Lines that no checkpoint covers. */
  get unsigned(): number {
    return this.#chain?.unsigned ?? 0;
  }

  /** Whether the chain does not yet tell of events that were lost, or of a start or a torn line. */
  get hasUntold(): boolean {
    return !this.#untold.isEmpty;
  }

  /** Events that were not written, ever. */
  get lostEvents(): number {
    return this.#untold.lostEvents;
  }

  get isOpen(): boolean {
    return this.#state === 'open' && !this.#isOverdue;
  }

  /** @throws what is wrong with the sink, when it cannot be written to, or does not say so in time. */
  async ensureOpen(): Promise<void> {
    const { clock, writeTimeoutMs: timeoutMs } = this.#options;
    if (this.#isOverdue) throw this.#overdue();
    if (this.#state === 'open') return;
    await withinLimit(this.#openLater(), { clock, timeoutMs, what: 'opening the audit trail' });
  }

  /** Not at once after a failure. */
  #openLater(): Promise<Chain> {
    const isEarly = this.#options.clock.monotonic() < this.#failedAt + REOPEN_AFTER_MS;
    if (this.#state === 'broken' && isEarly) return Promise.reject(this.#failure);
    return this.#openNow();
  }

  async #openNow(): Promise<Chain> {
    if (this.#state === 'open' && this.#chain !== undefined) return this.#chain;
    if (this.#state === 'closed') throw closedError();
    this.#opening ??= this.#open().finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  /** Settles when the line is written; rejects when it is not, or not in time. */
  append(body: LineBody): Promise<void> {
    const refusal = this.#isOverdue
      ? this.#overdue()
      : this.#state === 'closed'
        ? closedError()
        : this.#queue.refusal();
    if (refusal === undefined) return this.#queue.append(body);
    this.#lose([body], refusal);
    return Promise.reject(refusal);
  }

  /** Ends the section of the chain that grows; what is to be signed, if anything. */
  closeSection(): Promise<Section | undefined> {
    if (this.#isOverdue) return Promise.reject(this.#overdue());
    return this.#queue.pause(() => this.#chain?.close());
  }

  /**
   * Settles when everything that was appended before is written or lost, and the chain tells of all that is lost.
   * @throws what is wrong with the sink, when it cannot be told, or not in time.
   */
  flush(): Promise<void> {
    if (this.#isOverdue) return Promise.reject(this.#overdue());
    return this.#queue.flush();
  }

  /** Writes what it can and closes the sink. Never rejects, and never takes long: what goes wrong is logged. */
  async close(): Promise<void> {
    const { sink, clock, logger, writeTimeoutMs: timeoutMs } = this.#options;
    const problems: unknown[] = [];
    const note = (error: unknown): void => void problems.push(error);
    await this.flush().catch(note);
    this.#state = 'closed';
    const closing = Promise.resolve().then(() => sink.close());
    await withinLimit(closing, { clock, timeoutMs, what: 'closing the audit trail' }).catch(note);
    if (problems.length === 0) return;
    const fields = {
      event: 'audit-close-failed',
      untold: this.#untold.lost,
      problems: problems.map(messageOf),
    };
    logger.error(
      fields,
      'the audit trail could not be closed as it should; untold events show nowhere in it',
    );
  }

  async #writeBatch(batch: readonly Waiting[]): Promise<void> {
    const lines = batch.filter(isLine);
    const isFlush = lines.length < batch.length;
    if (lines.length === 0 && !this.hasUntold) {
      for (const { resolve } of batch) resolve();
      return;
    }
    const cancel = this.#watch(batch);
    try {
      const chain = await (isFlush ? this.#openNow() : this.#openLater());
      const unwritten = await this.#write(chain, lines);
      if (unwritten === undefined) for (const { resolve } of batch) resolve();
      else {
        const flushes = batch.filter((waiting) => !isLine(waiting));
        this.#refuse([...unwritten.lines, ...flushes], unwritten.error);
      }
    } catch (error) {
      this.#refuse(batch, error);
    } finally {
      cancel();
      this.#isOverdue = false;
    }
    this.#options.onWritten();
  }

  /** Settles who waits for what was written. @returns the lines that were not. */
  async #write(chain: Chain, waiting: readonly WaitingLine[]): Promise<Unwritten | undefined> {
    const batch = waiting.filter(({ body, reject }) => {
      const isStale = body.type === 'checkpoint' && !chain.awaits(body.statement);
      if (isStale) reject(new Error('the sink was opened again while the checkpoint was signed'));
      return !isStale;
    });
    const told = this.#untold.tell();
    const draft = chain.draft([...told.lines, ...batch.map(({ body }) => body)]);
    const { written, error } = await this.#options.sink.append(draft.map(({ text }) => text));
    chain.commit(draft.slice(0, written));
    told.written(written);
    const done = Math.max(0, written - told.lines.length);
    for (const { resolve } of batch.slice(0, done)) resolve();
    if (written === draft.length) return undefined;
    this.#untold.unsure = draft.slice(written);
    this.#break(error);
    return { lines: batch.slice(done), error };
  }

  /** Has those who wait told when the write takes too long. Whether it is ever made is seen when it ends. */
  #watch(batch: readonly Waiting[]): CancelTimer {
    const { clock, writeTimeoutMs } = this.#options;
    return clock.setTimer(writeTimeoutMs, () => {
      this.#isOverdue = true;
      const error = this.#overdue();
      for (const { reject } of batch) reject(error);
      this.#lose(this.#queue.reject(error), error);
    });
  }

  #refuse(batch: readonly Waiting[], error: unknown): void {
    this.#lose(bodiesOf(batch), error);
    for (const { reject } of batch) reject(error);
  }

  #lose(bodies: readonly LineBody[], error: unknown): void {
    if (bodies.length === 0) return;
    const lost = this.#untold.lose(bodies);
    const problem = messageOf(error);
    const requestIds = bodies.flatMap((body) => (body.type === 'event' ? [body.requestId] : []));
    this.#options.logger.error(
      { event: 'audit-write-failed', lost, requestIds: requestIds.slice(0, 100), problem },
      'events could not be written to the audit trail',
    );
  }

  #break(error: unknown): void {
    if (this.#state !== 'closed') this.#state = 'broken';
    this.#failure = error;
    this.#failedAt = this.#options.clock.monotonic();
  }

  async #open(): Promise<Chain> {
    const { sink, newWriter, start } = this.#options;
    try {
      const canonicalize = await loadCanonicalize();
      const past = await sink.open();
      if (this.#state === 'closed') {
        await sink.close();
        throw closedError();
      }
      const before = this.#chain;
      if (before !== undefined && past !== undefined) this.#untold.settle(past, before);
      const found = past ?? NOTHING;
      const chain = before ?? new Chain(past?.writer ?? newWriter(), canonicalize, found);
      this.#untold.begin(before === undefined ? [start(foundUnsigned(found))] : [], past?.torn ?? []);
      if (before === undefined) this.foundCheckpoint = found.checkpoint;
      this.#chain = chain;
      this.#state = 'open';
      return chain;
    } catch (error) {
      this.#break(error);
      throw error;
    }
  }

  #overdue(): Error {
    return overdue('a write to the audit trail', this.#options.writeTimeoutMs);
  }
}

interface Unwritten {
  readonly lines: readonly WaitingLine[];
  readonly error: unknown;
}

const NOTHING = { head: { sequence: 0, sha256: CHAIN_START }, checkpoint: undefined, lines: [] };

const closedError = (): Error => new Error('the audit trail is closed');

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : 'unknown reason');
