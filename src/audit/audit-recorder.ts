/**
 * `AuditRecorder`: an observer of providers that writes what they did as a chain of events and has the chain signed by a key
 * of its own. It sees no plaintext and keeps no data, only digests.
 */

import { AsyncLocalStorage } from 'node:async_hooks';
import { randomUUID } from 'node:crypto';
import type { CancelTimer, Clock } from '../clock.js';
import { AuditWriteError } from '../errors/storage.js';
import type { JwsSigner } from '../identity/jws.js';
import type { Logger } from '../logger.js';
import type {
  CallObserver,
  ObservedCall,
  ObservedOutcome,
  ObservedWarning,
  ProviderObserver,
} from '../provider/observer.js';
import type { AuditAnchor, AuditStats, AuditTrail } from './audit-trail.js';
import { loadCanonicalize } from './canonical-json.js';
import { ChainWriter } from './chain-writer.js';
import { signSection } from './checkpoint.js';
import { digestOf, toEvent } from './event.js';
import { originOf } from './found-checkpoint.js';
import type { AuditEvent, LineBody } from './line.js';
import type { TrailSink } from './sink.js';
import { startDetails } from './start.js';

/** What the trail of this process is worth, for the evidence of an auditor. */
interface AuditTrailState extends AuditStats {
  readonly failClosed: boolean;
  /** Protection level of the version that signed the last checkpoint; undefined before the first. */
  readonly signedBy: string | undefined;
  /** Whether the last attempt at a checkpoint failed, so that it is tried again. */
  readonly isFailing: boolean;
}

interface AuditRecorderOptions {
  readonly sink: TrailSink;
  readonly checkpointAfterLines: number;
  readonly checkpointAfterSeconds: number;
  readonly failClosed: boolean;
  readonly writeTimeoutMs: number;
  readonly newWriter: () => string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** The flags in force; they stand in every event. */
  readonly configuration: AuditEvent['configuration'];
  /** Whose key it is, by its short id. */
  readonly agentOf: (keyId: string) => string | undefined;
}

const NOTHING_DONE = 'nothing was done';
const WITHHELD = 'the call was made, and its result is withheld';
const NOT_RECORDED: CallObserver = { end: () => {} };

export class AuditRecorder implements ProviderObserver, AuditTrail {
  readonly #options: AuditRecorderOptions;
  readonly #configuration: AuditEvent['configuration'];
  readonly #writer: ChainWriter;
  /** Calls that the trail itself makes, to sign: they show as checkpoints. */
  readonly #own = new AsyncLocalStorage<true>();
  #signer: JwsSigner | undefined;
  #signing: Promise<boolean> | undefined;
  #cancelTimer: CancelTimer | undefined;
  #isBackingOff = false;
  #isClosed = false;
  #events = 0;
  #checkpoints = 0;
  #failedCheckpoints = 0;
  #signedBy: string | undefined;
  #isFailing = false;

  constructor(options: AuditRecorderOptions) {
    this.#options = options;
    const { sink, clock, logger, writeTimeoutMs, newWriter, failClosed, configuration } = options;
    this.#configuration = { ...configuration, failClosed };
    this.#writer = new ChainWriter({
      ...{ sink, clock, logger, writeTimeoutMs, newWriter },
      start: (found) => {
        const details = { ...this.#configuration, ...startDetails(found) };
        return { type: 'notice', notice: 'start', time: this.#now(), details };
      },
      onWritten: () => this.#afterWrite(),
    });
  }

  /** Sets what signs checkpoints from now on. */
  signWith(signer: JwsSigner): void {
    this.#signer = signer;
  }

  /** Opens the sink, which is opened by the first event otherwise. @throws AuditWriteError with `failClosed`. */
  async open(): Promise<void> {
    await this.#guard('initialize', this.#writer.ensureOpen(), NOTHING_DONE);
  }

  /** Signs the beginning of the trail. @throws AuditWriteError with `failClosed`, when that is not possible. */
  async begun(): Promise<void> {
    if ((await this.checkpoint()) || !this.#options.failClosed) return;
    throw new AuditWriteError(
      { operation: 'initialize', resource: 'audit trail' },
      'no checkpoint can be signed; the log says why.',
    );
  }

  begin(call: ObservedCall): CallObserver | Promise<CallObserver> {
    if (this.#own.getStore() === true) return NOT_RECORDED;
    const { clock, failClosed } = this.#options;
    const begun = { requestId: randomUUID(), startedAt: clock.now(), call: { ...call, subject: undefined } };
    const subjectSha256 = digestOf(call.subject);
    const isReady = !failClosed || this.#writer.isOpen;
    if (isReady && !(subjectSha256 instanceof Promise)) return this.#observe({ ...begun, subjectSha256 });
    const ready = isReady ? undefined : this.#guard(call.method, this.#writer.ensureOpen(), NOTHING_DONE);
    return Promise.all([subjectSha256, ready]).then(([digest]) =>
      this.#observe({ ...begun, subjectSha256: digest }),
    );
  }

  warn({ warning, details }: ObservedWarning): void {
    this.#append({ type: 'notice', notice: warning, time: this.#now(), details }).catch(() => {});
  }

  async checkpoint(): Promise<boolean> {
    try {
      await this.#writer.flush();
    } catch (error) {
      this.#failed(error);
      return false;
    }
    // The first may only be the end of one that was under way.
    for (let round = 0; round < 3 && this.#writer.unsigned > 0; round++) {
      if (!(await this.#sign())) return false;
    }
    return this.#writer.unsigned === 0;
  }

  anchor(): AuditAnchor | undefined {
    const { writer, sequence, sha256 } = this.#writer.anchor;
    return writer === undefined || sequence === 0 ? undefined : { writer, sequence, sha256 };
  }

  /** What was written and signed so far. */
  stats(): AuditStats {
    return {
      events: this.#events,
      lostEvents: this.#writer.lostEvents,
      checkpoints: this.#checkpoints,
      failedCheckpoints: this.#failedCheckpoints,
      unsigned: this.#writer.unsigned,
    };
  }

  state(): AuditTrailState {
    const { failClosed } = this.#options;
    return { ...this.stats(), failClosed, signedBy: this.#signedBy, isFailing: this.#isFailing };
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.checkpoint();
    this.#cancelTimer?.();
    await this.#writer.close();
  }

  #observe(begun: Parameters<typeof toEvent>[0]): CallObserver {
    return {
      requestId: begun.requestId,
      end: (outcome) => {
        const productSha256 = digestOf(outcome.product);
        if (!(productSha256 instanceof Promise)) return this.#end(begun, outcome, productSha256);
        return productSha256.then((digest) => this.#end(begun, outcome, digest));
      },
    };
  }

  #end(
    begun: Parameters<typeof toEvent>[0],
    outcome: ObservedOutcome,
    productSha256: string | undefined,
  ): Promise<void> | undefined {
    const { clock, agentOf, failClosed } = this.#options;
    const configuration = this.#configuration;
    const written = this.#append(
      toEvent(begun, outcome, { endedAt: clock.now(), productSha256, configuration, agentOf }),
    );
    if (failClosed) return this.#guard(begun.call.method, written, WITHHELD);
    // The writer has logged it.
    written.catch(() => {});
    return undefined;
  }

  async #append(body: LineBody): Promise<void> {
    await this.#writer.append(body);
    if (body.type === 'event') this.#events += 1;
  }

  /** With `failClosed`, says what became of the call that the event is of. */
  async #guard(operation: string, work: Promise<void>, consequence: string): Promise<void> {
    try {
      await work;
    } catch (cause) {
      if (!this.#options.failClosed) return;
      const problem = cause instanceof Error ? cause.message : String(cause);
      const context = { operation, resource: 'audit trail', cause };
      throw new AuditWriteError(context, `the audit trail cannot be written (${problem}); ${consequence}.`);
    }
  }

  #afterWrite(): void {
    const { checkpointAfterLines, checkpointAfterSeconds, clock } = this.#options;
    if (this.#isClosed || (this.#writer.unsigned === 0 && !this.#writer.hasUntold)) return;
    const isDue = this.#writer.unsigned >= checkpointAfterLines;
    // After a failure the timer runs, and it alone says when to try again.
    if (isDue && this.#signing === undefined && !this.#isBackingOff) void this.#sign();
    this.#cancelTimer ??= clock.setTimer(
      checkpointAfterSeconds * 1_000,
      () => {
        this.#cancelTimer = undefined;
        this.#isBackingOff = false;
        void this.checkpoint();
      },
      { kind: 'background' },
    );
  }

  /** One checkpoint at a time. @returns whether nothing went wrong. */
  #sign(): Promise<boolean> {
    this.#signing ??= this.#signNext().finally(() => {
      this.#signing = undefined;
      this.#afterWrite();
    });
    return this.#signing;
  }

  async #signNext(): Promise<boolean> {
    const signer = this.#signer;
    try {
      if (signer !== undefined) await this.#own.run(true, () => this.#checkFound(signer));
      const section = await this.#writer.closeSection();
      const { writer } = this.#writer.anchor;
      if (section === undefined || writer === undefined) return true;
      if (signer === undefined) throw new Error('there is no key to sign with yet');
      const toSign = { ...section, writer, time: this.#now(), canonicalize: await loadCanonicalize() };
      const checkpoint = await this.#own.run(true, () => signSection(signer, toSign));
      await this.#writer.append(checkpoint);
      this.#checkpoints += 1;
      this.#signedBy = checkpoint.statement.protectionLevel;
      this.#isFailing = false;
      return true;
    } catch (error) {
      this.#failed(error);
      return false;
    }
  }

  #failed(error: unknown): void {
    this.#failedCheckpoints += 1;
    this.#isBackingOff = true;
    this.#isFailing = true;
    const problem = error instanceof Error ? error.message : 'unknown reason';
    this.#options.logger.error(
      { event: 'audit-checkpoint-failed', unsigned: this.#writer.unsigned, problem },
      'a checkpoint of the audit trail could not be signed; it is tried again',
    );
  }

  /** What was found in the file is signed by nobody who cannot tell it from a forgery. @throws Error for a forgery. */
  async #checkFound(signer: JwsSigner): Promise<void> {
    const { foundCheckpoint } = this.#writer;
    if (foundCheckpoint === undefined) return;
    const origin = await originOf(foundCheckpoint, signer, await loadCanonicalize());
    if (origin.kind === 'forged') {
      throw new Error('the last checkpoint that was there is not signed by the audit key: verify the trail');
    }
    this.#writer.foundCheckpoint = undefined;
    if (origin.kind === 'own') return;
    this.#options.logger.warn(
      { event: 'audit-checkpoint-unchecked', ...origin },
      'the key of the last checkpoint in the audit trail cannot be obtained; only its verification tells whether it is genuine',
    );
  }

  #now(): string {
    return new Date(this.#options.clock.now()).toISOString();
  }
}
