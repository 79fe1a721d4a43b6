/** Options of an `EnvelopeCipher`, parsed once, with defaults and hard caps. */

import { z } from 'zod';
import { type Clock, clockSchema, systemClock } from '../clock.js';
import type { ErrorContext } from '../errors/base.js';
import { InvalidArgumentError, InvalidConfigError } from '../errors/input.js';
import type { CallOptions } from '../keys/call-options.js';
import { callShape, parseOptions } from '../provider/call-input.js';
import { schemaProblems } from '../schema-problems.js';

/** Options of an `EnvelopeCipher`. */
export interface EnvelopeCipherOptions {
  /** Limits of the use of one data key for messages. A limit above its cap is refused. */
  readonly dataKeys?:
    | {
        /** Milliseconds, default 60,000, at most 300,000 (5 minutes). */
        readonly maxAgeMs?: number | undefined;
        /** Default 10,000, at most 1,048,576 (2^20). */
        readonly maxMessages?: number | undefined;
        /** Plaintext bytes, default 1 GiB, at most 64 GiB (2^36); a single message cannot be larger. */
        readonly maxBytes?: number | undefined;
      }
    | undefined;
  /** Unwrapped data keys that are remembered for decryption. */
  readonly cache?:
    | {
        /** Default 1,000, at most 100,000. */
        readonly maxKeys?: number | undefined;
        /** Milliseconds, default 60,000, at most 300,000 (5 minutes). */
        readonly maxAgeMs?: number | undefined;
      }
    | undefined;
  /** How long a call may wait for a data key. Milliseconds, default 10,000; `timeoutMs` of a call takes precedence. */
  readonly timeoutMs?: number | undefined;
  /**
   * Why the cipher calls its provider, as in `CallOptions`. It is the cipher's, not a call's: data keys, and the calls that
   * wrap and unwrap them, are shared by all that it encrypts.
   */
  readonly reason?: string | undefined;
  /** Id of the work that the cipher is part of, as in `CallOptions`. */
  readonly correlationId?: string | undefined;
  /** Default: the real one. For tests. */
  readonly clock?: Clock | undefined;
}

/**
 * Options of one call. `onQuota` and `reason` are not among them, because the call to the provider may be shared with
 * others; a reason is given to the cipher.
 */
export type EnvelopeCallOptions = Pick<CallOptions, 'signal' | 'timeoutMs'>;

export interface DataKeyLimits {
  readonly maxAgeMs: number;
  readonly maxMessages: number;
  readonly maxBytes: number;
}

export interface UnwrappedKeyLimits {
  readonly maxKeys: number;
  readonly maxAgeMs: number;
}

/** Five minutes: how long a data key, and with it access to data after a key was disabled, may outlive its last call. */
const MAX_AGE_CAP_MS = 300_000;
/** With random IVs the chance that two of 2^20 messages share one is below 2^-56. */
const MESSAGES_CAP = 2 ** 20;
const BYTES_CAP = 2 ** 36;

const upTo = (cap: number, byDefault: number) =>
  z
    .int('a whole number is required')
    .min(1, 'at least 1 is required')
    .max(cap, `at most ${cap.toLocaleString('en')} is possible`)
    .default(byDefault);

/** One hour. */
const timeoutMs = upTo(3_600_000, 10_000);

const cipherOptions = z.strictObject(
  {
    dataKeys: z
      .strictObject({
        maxAgeMs: upTo(MAX_AGE_CAP_MS, 60_000),
        maxMessages: upTo(MESSAGES_CAP, 10_000),
        maxBytes: upTo(BYTES_CAP, 2 ** 30),
      })
      .prefault({}),
    cache: z
      .strictObject({ maxKeys: upTo(100_000, 1_000), maxAgeMs: upTo(MAX_AGE_CAP_MS, 60_000) })
      .prefault({}),
    timeoutMs,
    reason: callShape.reason,
    correlationId: callShape.correlationId,
    clock: clockSchema.default(systemClock),
  },
  'must be an object',
);

const callOptions = z.strictObject(
  { signal: callShape.signal, timeoutMs: callShape.timeoutMs },
  'must be an object',
);

export type ResolvedEnvelopeOptions = z.output<typeof cipherOptions>;

/** @throws InvalidConfigError naming every option that is wrong. */
export function parseEnvelopeOptions(options: EnvelopeCipherOptions): ResolvedEnvelopeOptions {
  const parsed = cipherOptions.safeParse(options);
  if (parsed.success) return parsed.data;
  throw new InvalidConfigError(schemaProblems(parsed.error, 'envelope'));
}

/** @throws InvalidArgumentError naming every option that is wrong. */
export function parseCallOptions(context: ErrorContext, options: EnvelopeCallOptions): EnvelopeCallOptions {
  return parseOptions(context, callOptions, options);
}

/**
 * The bytes that were passed; a copy where other threads could change them meanwhile, after they were checked.
 * @throws InvalidArgumentError for what is not bytes. Strings are not taken: their encoding would be a guess.
 */
export function requireBytes(context: ErrorContext, name: string, value: unknown): Uint8Array {
  if (value instanceof Uint8Array) {
    return value.buffer instanceof SharedArrayBuffer ? Buffer.from(value) : value;
  }
  throw new InvalidArgumentError(
    context,
    `${name} must be bytes (Buffer or Uint8Array), got ${value === null ? 'null' : typeof value}.`,
  );
}
