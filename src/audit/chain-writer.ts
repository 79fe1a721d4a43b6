/**
 * Writes the chain of one writer: lines one after the other, however many calls end at once, many with one write. After a
 * failure the sink is opened again, and what was lost in between is told of in the chain.
 */

import type { CancelTimer, Clock } from '../clock.js';
import type { Logger } from '../logger.js';
import { loadCanonicalize } from './canonical-json.js';
import { Chain, type ChainHead, type DraftLine, type Section } from './chain.js';
import { type AuditNotice, CHAIN_START, type LineBody } from './line.js';
import type { Past, TrailSink } from './sink.js';

interface ChainWriterOptions {
  readonly sink: TrailSink;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly writeTimeoutMs: number;
  /** Writer of a chain on a sink that cannot tell what it holds. */
  readonly newWriter: () => string;
  /** What the first line of each process says. */
  readonly start: () => LineBody;
  /** Lines were written. */
  readonly onWritten: () => void;
}

/** Lines of one write. */
const MAX_BATCH = 256;
/** Far more than wait behind any write that ends. */
const MAX_QUEUED = 65_536;
/** A sink that failed is opened again after this at the earliest. */
const REOPEN_AFTER_MS = 1_000;

interface Waiting {
  readonly body: LineBody;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Done between two writes, when all that was appended before is written or lost. */
interface Pause {
  readonly work: () => void;
}

type Queued = Waiting | Pause;
const isWaiting = (queued: Queued): queued is Waiting => 'body' in queued;

export class ChainWriter {
  readonly #options: ChainWriterOptions;
  #chain: Chain | undefined;
  #state: 'new' | 'open' | 'broken' | 'closed' = 'new';
  #opening: Promise<void> | undefined;
  #failure: unknown;
  #failedAt = 0;
  #queue: Queued[] = [];
  #isRunning = false;
  /** The write that takes too long, if one does. */
  #isOverdue = false;
  /** Lines that have to come before all others: what is to be told of a restart or a failure. */
  #notices: LineBody[] = [];
  /** Events that were not written and that no line tells of yet. */
  #lost = 0;
  /** Lines of a failed write, some of which may be there. */
  #unsure: readonly DraftLine[] = [];
  /** Events that were not written, ever. */
  lostEvents = 0;

  constructor(options: ChainWriterOptions) {
    this.#options = options;
  }

  /** The end of the chain as it is written; sequence 0 before the first line. */
  get anchor(): ChainHead & { readonly writer: string | undefined } {
    return { writer: this.#chain?.writer, ...(this.#chain?.head ?? { sequence: 0, sha256: CHAIN_START }) };
  }

  /** Lines that no checkpoint covers. */
  get unsigned(): number {
    return this.#chain?.unsigned ?? 0;
  }

  get isOpen(): boolean {
    return this.#state === 'open' && !this.#isOverdue;
  }

  /** @throws what is wrong with the sink, when it cannot be written to. */
  async ensureOpen(): Promise<void> {
    if (this.#isOverdue) throw overdue(this.#options.writeTimeoutMs);
    if (this.#state === 'open') return;
    if (this.#state === 'closed') throw new Error('the audit trail is closed');
    const { clock } = this.#options;
    if (this.#state === 'broken' && clock.now() < this.#failedAt + REOPEN_AFTER_MS) throw this.#failure;
    this.#opening ??= this.#open().finally(() => {
      this.#opening = undefined;
    });
    await this.#opening;
  }

  /** Settles when the line is written; rejects when it is not, or not in time. */
  append(body: LineBody): Promise<void> {
    const { writeTimeoutMs } = this.#options;
    const refusal = this.#isOverdue
      ? overdue(writeTimeoutMs)
      : this.#state === 'closed'
        ? new Error('the audit trail is closed')
        : this.#queue.length >= MAX_QUEUED
          ? new Error(`${MAX_QUEUED} events wait to be written`)
          : undefined;
    if (refusal !== undefined) {
      this.#lose([body], refusal);
      return Promise.reject(refusal);
    }
    return new Promise((resolve, reject) => {
      this.#queue.push({ body, resolve, reject });
      this.#run();
    });
  }

  /** Ends the section of the chain that grows; what is to be signed, if anything. */
  closeSection(): Promise<Section | undefined> {
    return this.#pause(() => this.#chain?.close());
  }

  /** Settles when everything that was appended before is written, or lost. */
  flush(): Promise<void> {
    return this.#pause(() => {});
  }

  async close(): Promise<void> {
    await this.flush();
    this.#state = 'closed';
    await this.#options.sink.close();
  }

  #pause<T>(work: () => T): Promise<T> {
    return new Promise((resolve) => {
      this.#queue.push({ work: () => resolve(work()) });
      this.#run();
    });
  }

  #run(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    void this.#drain();
  }

  /** Never rejects: what goes wrong with a batch is told to those who wait for it. */
  async #drain(): Promise<void> {
    // What ends in the same turn of the event loop is written together.
    await Promise.resolve();
    for (let next = this.#queue[0]; next !== undefined; next = this.#queue[0]) {
      if (isWaiting(next)) await this.#writeBatch(this.#nextBatch());
      else this.#queue.shift();
      if (!isWaiting(next)) next.work();
    }
    // In the same turn as the last look at the queue: what comes from now on starts anew.
    this.#isRunning = false;
  }

  #nextBatch(): readonly Waiting[] {
    const end = this.#queue.slice(0, MAX_BATCH).findIndex((queued) => !isWaiting(queued));
    return this.#queue.splice(0, end < 0 ? MAX_BATCH : end).filter(isWaiting);
  }

  async #writeBatch(batch: readonly Waiting[]): Promise<void> {
    const cancel = this.#watch(batch);
    try {
      await this.ensureOpen();
      if (this.#chain !== undefined) await this.#write(this.#chain, batch);
    } catch (error) {
      this.#refuse(batch, error);
    } finally {
      cancel();
      this.#isOverdue = false;
    }
    this.#options.onWritten();
  }

  async #write(chain: Chain, waiting: readonly Waiting[]): Promise<void> {
    const batch = waiting.filter(({ body, reject }) => {
      const isStale = body.type === 'checkpoint' && !chain.awaits(body.statement);
      if (isStale) reject(new Error('the sink was opened again while the checkpoint was signed'));
      return !isStale;
    });
    const { length: notices } = this.#notices;
    const lost = this.#lost;
    const gap = lost > 0 ? [this.#notice('gap', { lost })] : [];
    const told = [...this.#notices, ...gap];
    const draft = chain.draft([...told, ...batch.map(({ body }) => body)]);
    const { written, error } = await this.#options.sink.append(draft.map(({ text }) => text));
    chain.commit(draft.slice(0, written));
    this.#notices.splice(0, Math.min(notices, written));
    if (written >= told.length) this.#lost -= lost;
    const done = Math.max(0, written - told.length);
    for (const { resolve } of batch.slice(0, done)) resolve();
    if (written === draft.length) return;
    this.#unsure = draft.slice(written);
    this.#break(error);
    this.#refuse(batch.slice(done), error);
  }

  /** Has those who wait told when the write takes too long. Whether it is ever made is seen when it ends. */
  #watch(batch: readonly Waiting[]): CancelTimer {
    const { clock, writeTimeoutMs } = this.#options;
    return clock.setTimer(writeTimeoutMs, () => {
      this.#isOverdue = true;
      const error = overdue(writeTimeoutMs);
      for (const { reject } of batch) reject(error);
      const behind = this.#queue.filter(isWaiting);
      this.#queue = this.#queue.filter((queued) => !isWaiting(queued));
      this.#refuse(behind, error);
    });
  }

  #refuse(batch: readonly Waiting[], error: unknown): void {
    if (batch.length === 0) return;
    this.#lose(
      batch.map(({ body }) => body),
      error,
    );
    for (const { reject } of batch) reject(error);
  }

  #lose(bodies: readonly LineBody[], error: unknown): void {
    const lost = bodies.filter(({ type }) => type === 'event').length;
    this.#lost += lost;
    this.lostEvents += lost;
    // Notices come again; a checkpoint is made anew.
    this.#notices.push(...bodies.filter(({ type }) => type === 'notice'));
    const problem = error instanceof Error ? error.message : 'unknown reason';
    const requestIds = bodies.flatMap((body) => (body.type === 'event' ? [body.requestId] : []));
    this.#options.logger.error(
      { event: 'audit-write-failed', lost, requestIds: requestIds.slice(0, 100), problem },
      'events could not be written to the audit trail',
    );
  }

  #break(error: unknown): void {
    this.#state = 'broken';
    this.#failure = error;
    this.#failedAt = this.#options.clock.now();
  }

  #notice(notice: AuditNotice['notice'], details: AuditNotice['details']): LineBody {
    return { type: 'notice', notice, time: new Date(this.#options.clock.now()).toISOString(), details };
  }

  async #open(): Promise<void> {
    const { sink, newWriter, start } = this.#options;
    try {
      const canonicalize = await loadCanonicalize();
      const past = await sink.open();
      const before = this.#chain;
      const none = { head: { sequence: 0, sha256: CHAIN_START }, signed: 0, unsigned: [] };
      this.#chain =
        past === undefined && before !== undefined
          ? before
          : new Chain(past?.writer ?? newWriter(), canonicalize, past ?? none);
      if (past !== undefined && before !== undefined) this.#settleUnsure(past, before);
      const torn = (past?.torn ?? []).map(({ bytes, sha256 }) =>
        this.#notice('recovery', { tornBytes: bytes, tornSha256: sha256 }),
      );
      this.#notices.unshift(...torn, ...(before === undefined ? [start()] : []));
      this.#state = 'open';
    } catch (error) {
      this.#break(error);
      throw error;
    }
  }

  /** Lines of the failed write that are there all the same are not lost. */
  #settleUnsure(past: Past, before: Chain): void {
    const there = this.#unsure.filter(({ sequence }) => sequence <= past.head.sequence);
    const events =
      before.writer === past.writer ? there.filter(({ body }) => body.type === 'event').length : 0;
    this.#lost -= events;
    this.lostEvents -= events;
    this.#unsure = [];
  }
}

const overdue = (writeTimeoutMs: number): Error =>
  new Error(`a write to the audit trail takes longer than ${writeTimeoutMs} ms`);
