/** Where the lines of an audit trail go, as the trail uses it, and what it makes of a sink that only takes lines. */

import type { AuditSink } from '../config/audit-config.js';
import type { Logger } from '../logger.js';
import type { ChainHead } from './chain.js';
import type { AuditCheckpoint, ReadLine } from './line.js';

/** What a sink holds already. */
export interface Past {
  readonly writer: string;
  readonly head: ChainHead;
  /** The last checkpoint, as it is there: its signature is not checked. */
  readonly checkpoint: AuditCheckpoint | undefined;
  /** The last lines, at least all that the last checkpoint does not cover. */
  readonly lines: readonly ReadLine[];
  /** What crashes left of lines, in their order. */
  readonly torn: readonly TornLine[];
}

/** A line that was not written to its end. */
export interface TornLine {
  readonly bytes: number;
  /** SHA-256 of the line that it has become in the file. */
  readonly sha256: string;
}

export interface AppendResult {
  /** How many of the lines were written, from the first on. */
  readonly written: number;
  /** Why the others were not. */
  readonly error?: unknown;
}

/** A sink as the trail uses it. */
export interface TrailSink {
  /** Makes it ready, first and after a failure. Undefined: the sink cannot tell what it holds. */
  open(): Promise<Past | undefined>;
  append(lines: readonly string[]): Promise<AppendResult>;
  close(): Promise<void>;
}

/** A sink that takes lines and gives none back: each trail on it is a chain of its own. */
export class LineSink implements TrailSink {
  readonly #sink: AuditSink;

  constructor(sink: AuditSink) {
    this.#sink = sink;
  }

  open(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  async append(lines: readonly string[]): Promise<AppendResult> {
    let written = 0;
    try {
      for (const line of lines) {
        await this.#sink.write(line);
        written += 1;
      }
      return { written };
    } catch (error) {
      return { written, error };
    }
  }

  async close(): Promise<void> {
    await this.#sink.close?.();
  }
}

type InfoLogger = Pick<Logger, 'info'>;

/** Each line as a structured log entry, in its member `audit`. Without a logger: pino to standard error. */
export function loggerSink(given: InfoLogger | undefined): AuditSink {
  let loading: Promise<InfoLogger> | undefined;
  const write = (logger: InfoLogger, line: string): void => {
    const audit: unknown = JSON.parse(line);
    logger.info({ audit }, 'audit');
  };
  return {
    async write(line) {
      loading ??= given === undefined ? ownLogger() : Promise.resolve(given);
      write(await loading, line);
    },
  };
}

/** Loaded with the first line. A line is written when `info` returns. */
async function ownLogger(): Promise<InfoLogger> {
  const { default: pino } = await import('pino');
  const logger: InfoLogger = pino(
    { name: 'a2a-kms-audit', level: 'info' },
    pino.destination({ dest: 2, sync: true }),
  );
  return logger;
}
