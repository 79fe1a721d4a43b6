/** Options of a `BatchSigner` and of its calls, parsed once, with defaults and limits. */

import { z } from 'zod';
import { type Clock, clockSchema, systemClock } from '../clock.js';
import type { ErrorContext } from '../errors/base.js';
import { InvalidConfigError } from '../errors/input.js';
import { callShape, parseOptions } from '../provider/call-input.js';
import { schemaProblems } from '../schema-problems.js';
import { MAX_BATCH_MESSAGES } from './sign-batch.js';

/** Options of a `BatchSigner`; all are optional. */
export interface BatchSignerOptions {
  /** The most messages that one operation of the HSM signs, 1 to 65,536. Default 4,096: receipts of about 600 bytes. */
  readonly maxBatch?: number | undefined;
  /**
   * How long a message may wait for others when nothing else holds it up, in milliseconds, 0 to 60,000. Default 0: an idle
   * signer signs at once. Above 0 it makes fewer operations of the HSM, which are billed and count for the quota, and each
   * message takes that much longer under low load. A full batch does not wait.
   */
  readonly maxDelayMs?: number | undefined;
  /** The most messages that wait or are being signed, 1 to 10,000,000. Default 65,536. */
  readonly maxQueue?: number | undefined;
  /**
   * What happens to a call when the queue is full. Default `reject`, with `QueueFullError`; with `wait` it waits in
   * line.
   */
  readonly whenFull?: 'reject' | 'wait' | undefined;
  /**
   * With `whenFull: 'wait'`: calls that wait in line at the most, 1 to 10,000,000. Default 65,536; further ones are refused
   * with `QueueFullError`.
   */
  readonly maxInLine?: number | undefined;
  /**
   * Deadline of a call in milliseconds, from the call to its receipt, 1 to 3,600,000. Default 90,000: a quota per minute that
   * is used up returns within one.
   */
  readonly timeoutMs?: number | undefined;
  /**
   * Why the signer signs, as in `CallOptions`. It is the signer's, not a message's: messages with different reasons share an
   * operation of the HSM.
   */
  readonly reason?: string | undefined;
  /** Id of the work that the signer is part of, as in `CallOptions`. */
  readonly correlationId?: string | undefined;
  /** Default: the real one. For tests. */
  readonly clock?: Clock | undefined;
}

/** Options of one `BatchSigner.sign` call. */
export interface BatchSignOptions {
  /** Takes this message back: its call rejects with `OperationAbortedError`, the others of its batch go on. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Deadline in milliseconds, 1 to 3,600,000, in place of that of the signer; the time in the queue counts. Among messages with
   * other deadlines it may be kept late, by less than 1/128 of it.
   */
  readonly timeoutMs?: number | undefined;
}

/** Options of `BatchSigner.close`. */
export interface BatchCloseOptions {
  /**
   * How long messages that wait may still be signed, in milliseconds, 1 to 3,600,000; those that are not then are refused with
   * `ClientClosedError`. Default: each until its own deadline.
   */
  readonly timeoutMs?: number | undefined;
}

const upTo = (cap: number) =>
  z
    .int('a whole number is required')
    .min(1, 'at least 1 is required')
    .max(cap, `at most ${cap.toLocaleString('en')} is possible`);

const MAX_IN_LINE_DEFAULT = 65_536;

const signerShape = z.strictObject(
  {
    maxBatch: upTo(MAX_BATCH_MESSAGES).default(4_096),
    maxDelayMs: z
      .int('a whole number is required')
      .min(0, 'must not be negative')
      .max(60_000, 'at most 60,000 is possible')
      .default(0),
    maxQueue: upTo(10_000_000).default(65_536),
    whenFull: z.enum(['reject', 'wait'], 'must be reject or wait').default('reject'),
    maxInLine: upTo(10_000_000).optional(),
    /** At most an hour. */
    timeoutMs: upTo(3_600_000).default(90_000),
    reason: callShape.reason,
    correlationId: callShape.correlationId,
    clock: clockSchema.default(systemClock),
  },
  'must be an object',
);

const signerOptions = signerShape
  .refine(({ maxInLine, whenFull }) => maxInLine === undefined || whenFull === 'wait', {
    path: ['maxInLine'],
    error: 'is only for whenFull: "wait"',
  })
  .transform((options) => {
    const { maxQueue, whenFull, maxInLine = MAX_IN_LINE_DEFAULT } = options;
    return { ...options, maxMessages: maxQueue + (whenFull === 'wait' ? maxInLine : 0) };
  });

export type ResolvedSignerOptions = z.output<typeof signerOptions>;

/** @throws InvalidConfigError naming every option that is wrong. */
export function parseSignerOptions(options: BatchSignerOptions): ResolvedSignerOptions {
  const parsed = signerOptions.safeParse(options);
  if (parsed.success) return parsed.data;
  throw new InvalidConfigError(schemaProblems(parsed.error, 'batchSigner'));
}

const signOptions = z.strictObject(
  { signal: callShape.signal, timeoutMs: callShape.timeoutMs },
  'must be an object',
);

/** @throws InvalidArgumentError naming every option that is wrong. */
export function parseSignOptions(context: ErrorContext, options: BatchSignOptions): BatchSignOptions {
  return parseOptions(context, signOptions, options);
}

const closeOptions = z.strictObject({ timeoutMs: callShape.timeoutMs }, 'must be an object');

/** @throws InvalidArgumentError naming every option that is wrong. */
export function parseCloseOptions(context: ErrorContext, options: BatchCloseOptions): BatchCloseOptions {
  return parseOptions(context, closeOptions, options);
}
