/** The part of the configuration about the audit trail. */

import { z } from 'zod';
import type { Logger } from '../logger.js';

/** A sink of your own. */
export interface AuditSink {
  /**
   * Takes one line, without its line feed. Lines come one at a time and in order. A rejection means that the line was not
   * taken; when the promise is fulfilled it must be kept.
   */
  write(line: string): void | Promise<void>;
  /** Called when the trail is closed. */
  close?(): void | Promise<void>;
}

/** Where the trail goes. */
export type AuditSinkConfig =
  | {
      readonly type: 'file';
      /** Made when it is not there, readable by its owner only (0600). One file for each trail. */
      readonly path: string;
      /**
       * `commit`, the default: an event counts as written when it is on the disk; with `failClosed` that is before the call
       * returns. `never`: left to the operating system.
       */
      readonly fsync?: 'commit' | 'never' | undefined;
    }
  | {
      /** Structured log entries of level `info` with the member `audit`. */
      readonly type: 'logger';
      /** Default: a pino logger of its own to standard error. */
      readonly logger?: Logger | undefined;
    }
  | AuditSink;

/** The audit trail (docs/audit-trail.md). */
export interface AuditConfig {
  readonly sink: AuditSinkConfig;
  /**
   * Beginning of the id of a chain, e.g. the name of the process; each new chain adds a random part, so that two files of
   * one process are two chains. A file that is there goes on with the id that it has. Letters, digits and `._:@/-`, at
   * most 80. Default: only the random part.
   */
  readonly writerId?: string | undefined;
  /** Lines after which a checkpoint is signed. Default 1,000. */
  readonly checkpointAfterLines?: number | undefined;
  /** Seconds after which lines that are still unsigned are signed. Default 60. */
  readonly checkpointAfterSeconds?: number | undefined;
  /**
   * Whether a call whose event cannot be written fails, with `AuditWriteError`. Default false: the loss is logged and
   * shows in the trail.
   */
  readonly failClosed?: boolean | undefined;
  /** How long a write may take. Milliseconds, default 5,000. */
  readonly writeTimeoutMs?: number | undefined;
}

const isSink = (value: unknown): value is AuditSink =>
  typeof value === 'object' && value !== null && typeof Reflect.get(value, 'write') === 'function';

/** A logger that drops what it is given at level `info` would drop the trail. */
const writesInfo = (value: unknown): value is Logger =>
  typeof value === 'object' &&
  value !== null &&
  typeof Reflect.get(value, 'info') === 'function' &&
  !(
    'isLevelEnabled' in value &&
    typeof value.isLevelEnabled === 'function' &&
    value.isLevelEnabled('info') === false
  );

const namedSink = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('file'),
    path: z.string('the path of the file is required').min(1, 'must not be empty'),
    fsync: z.enum(['commit', 'never'], 'must be commit or never').default('commit'),
  }),
  z.strictObject({
    type: z.literal('logger'),
    logger: z.custom<Logger>(writesInfo, 'must be a logger that writes level info').optional(),
  }),
]);

const whole = (defaultValue: number, max: number) =>
  z
    .int('a whole number is required')
    .min(1, 'at least 1 is required')
    .max(max, `at most ${max} are possible`)
    .default(defaultValue);

export const auditSchema = z.strictObject({
  sink: z.union(
    [z.custom<AuditSink>(isSink), namedSink],
    "must be { type: 'file', path }, { type: 'logger' } or have the method write",
  ),
  writerId: z
    .string('must be a string')
    .regex(/^[A-Za-z0-9][A-Za-z0-9._:@/-]{0,79}$/, 'has 1 to 80 letters, digits or ._:@/-')
    .optional(),
  checkpointAfterLines: whole(1_000, 1_000_000),
  checkpointAfterSeconds: whole(60, 86_400),
  failClosed: z.boolean('must be true or false').default(false),
  writeTimeoutMs: whole(5_000, 3_600_000),
});

export type ResolvedAuditConfig = z.output<typeof auditSchema>;
