/**
 * Writes the chain of one writer: lines one after the other, however many calls end at once, many with one write. After a
 * failure the sink is opened again, and what was lost in between is told of in the chain.
 */

import type { CancelTimer, Clock } from '../clock.js';
import type { Logger } from '../logger.js';
import { loadCanonicalize } from './canonical-json.js';
import {
  Chain,
  type ChainHead,
  type DraftLine,
  type FoundLines,
  foundUnsigned,
  type Section,
} from './chain.js';
import { type AuditCheckpoint, type AuditNotice, CHAIN_START, type LineBody } from './line.js';
import type { Past, TrailSink } from './sink.js';
import { overdue, withinLimit } from './time-limit.js';

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

/** Lines of one write. */
const MAX_BATCH = 256;
/** Far more than wait behind any write that ends. */
const MAX_QUEUED = 65_536;
/** A sink that failed is opened again after this at the earliest. */
const REOPEN_AFTER_MS = 1_000;

interface Waiting {
  /** Undefined: nothing but what the chain has to be told of. */
  readonly body: LineBody | undefined;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Done between two writes, when all that was appended before is written or lost. */
interface Pause {
  readonly work: () => void;
  readonly reject: (error: unknown) => void;
}

type Queued = Waiting | Pause;
const isWaiting = (queued: Queued): queued is Waiting => 'body' in queued;

interface WaitingLine extends Waiting {
  readonly body: LineBody;
}
const isLine = (waiting: Waiting): waiting is WaitingLine => waiting.body !== undefined;

export class ChainWriter {
  readonly #options: ChainWriterOptions;
  #chain: Chain | undefined;
  #state: 'new' | 'open' | 'broken' | 'closed' = 'new';
  #opening: Promise<Chain> | undefined;
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
  /** The last checkpoint in what the chain goes on from, for whoever can check its signature. */
  foundCheckpoint: AuditCheckpoint | undefined;

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

  /** Whether the chain does not yet tell of events that were lost, or of a start or a torn line. */
  get hasUntold(): boolean {
    return this.#lost > 0 || this.#notices.length > 0;
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

  /**
   * Settles when everything that was appended before is written or lost, and the chain tells of all that is lost.
   * @throws what is wrong with the sink, when it cannot be told, or not in time.
   */
  flush(): Promise<void> {
    if (this.#isOverdue) return Promise.reject(this.#overdue());
    return new Promise((resolve, reject) => {
      this.#queue.push({ body: undefined, resolve, reject });
      this.#run();
    });
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
    const fields = { event: 'audit-close-failed', untold: this.#lost, problems: problems.map(messageOf) };
    logger.error(
      fields,
      'the audit trail could not be closed as it should; untold events show nowhere in it',
    );
  }

  #pause<T>(work: () => T): Promise<T> {
    if (this.#isOverdue) return Promise.reject(this.#overdue());
    return new Promise((resolve, reject) => {
      this.#queue.push({ work: () => resolve(work()), reject });
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
    if (written === draft.length) return undefined;
    this.#unsure = draft.slice(written);
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
      const behind = this.#queue;
      this.#queue = [];
      for (const { reject } of behind) reject(error);
      this.#lose(bodiesOf(behind.filter(isWaiting)), error);
    });
  }

  #refuse(batch: readonly Waiting[], error: unknown): void {
    this.#lose(bodiesOf(batch), error);
    for (const { reject } of batch) reject(error);
  }

  #lose(bodies: readonly LineBody[], error: unknown): void {
    if (bodies.length === 0) return;
    const lost = bodies.filter(({ type }) => type === 'event').length;
    this.#lost += lost;
    this.lostEvents += lost;
    // Notices come again; a checkpoint is made anew.
    this.#notices.push(...bodies.filter(({ type }) => type === 'notice'));
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

  #notice(notice: AuditNotice['notice'], details: AuditNotice['details']): LineBody {
    return { type: 'notice', notice, time: new Date(this.#options.clock.now()).toISOString(), details };
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
      if (before !== undefined && past !== undefined) this.#settleUnsure(past, before);
      const found = past ?? NOTHING;
      const chain = before ?? new Chain(past?.writer ?? newWriter(), canonicalize, found);
      const torn = (past?.torn ?? []).filter(({ sha256 }) => !this.#notices.some(tellsOf(sha256)));
      this.#notices.unshift(
        ...(before === undefined ? [start(foundUnsigned(found))] : []),
        ...torn.map(({ bytes, sha256 }) =>
          this.#notice('recovery', { tornBytes: bytes, tornSha256: sha256 }),
        ),
      );
      if (before === undefined) this.foundCheckpoint = found.checkpoint;
      this.#chain = chain;
      this.#state = 'open';
      return chain;
    } catch (error) {
      this.#break(error);
      throw error;
    }
  }

  /**
   * Lines of the failed write that are there all the same are not lost.
   * @throws Error when the sink holds anything else than what this process wrote: it would be signed as if it had.
   */
  #settleUnsure({ head, lines }: Past, before: Chain): void {
    const there = lines.filter(({ line }) => line.sequence > before.head.sequence);
    const ours = this.#unsure.slice(0, there.length);
    const isOurs = there.length === ours.length && there.every(({ text }, at) => text === ours[at]?.text);
    const end = ours.at(-1) ?? before.head;
    if (!isOurs || head.sequence !== end.sequence || head.sha256 !== end.sha256) {
      throw new Error(
        'what was written last is not there as it was: somebody else changed, shortened or replaced it. ' +
          'Verify it, and restart with another path',
      );
    }
    before.commit(ours);
    const bodies = ours.map(({ body }) => body);
    const events = bodies.filter(({ type }) => type === 'event').length;
    this.#notices = this.#notices.filter((notice) => !bodies.includes(notice));
    this.#lost -= events + bodies.reduce((sum, body) => sum + toldLoss(body), 0);
    this.lostEvents -= events;
    this.#unsure = [];
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

const bodiesOf = (batch: readonly Waiting[]): readonly LineBody[] => batch.flatMap(({ body }) => body ?? []);

const closedError = (): Error => new Error('the audit trail is closed');

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : 'unknown reason');

const tellsOf =
  (tornSha256: string) =>
  (body: LineBody): boolean =>
    body.type === 'notice' && body.details['tornSha256'] === tornSha256;

/** The events that a `gap` tells of. */
function toldLoss(body: LineBody): number {
  const lost = body.type === 'notice' && body.notice === 'gap' ? body.details['lost'] : 0;
  return Number(lost);
}
