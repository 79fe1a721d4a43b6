/** What callers pass to the methods of a provider, parsed once: options and bytes. */

import { z } from 'zod';
import type { ErrorContext } from '../errors/base.js';
import { InvalidArgumentError } from '../errors/input.js';
import type { KeyAlgorithm } from '../keys/algorithm-types.js';
import { isKeyAlgorithm } from '../keys/algorithms.js';
import type { CallOptions } from '../keys/call-options.js';
import {
  countOtherLabels,
  isHistoryLabel,
  type Labels,
  MAX_LABELS,
  MAX_OTHER_LABELS,
} from '../keys/version-history.js';
import { schemaSentence } from '../schema-problems.js';

/** What travels in a gRPC header as it is: printable ASCII (PROTOCOL-HTTP2 of gRPC, "Custom-Metadata"). */
function callerText(maxCharacters: number) {
  return z
    .string('must be a string')
    .regex(/^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/, 'must be printable ASCII without space at its ends')
    .max(maxCharacters, `must have at most ${maxCharacters} characters`);
}

/** The options that every call takes, to be spread into the schema of each method's own. */
export const callShape = {
  signal: z.instanceof(AbortSignal, { error: 'must be an AbortSignal' }).optional(),
  timeoutMs: z
    .int('must be whole milliseconds')
    .min(1, 'must be at least 1')
    .max(3_600_000, 'must be at most 3,600,000')
    .optional(),
  onQuota: z.enum(['retry', 'fail'], 'must be retry or fail').optional(),
  reason: callerText(256).optional(),
  correlationId: callerText(128).optional(),
};

/** An option that is a function of the caller. */
export const callback = <Callback extends (value: never) => void>() =>
  z.custom<Callback>((value) => typeof value === 'function', 'must be a function').optional();

export const callOptions = z.strictObject(callShape);

export const verifyOptions = z.strictObject({
  ...callShape,
  newVersions: z.enum(['look', 'ignore'], 'must be look or ignore').optional(),
});

export const encryptionOptions = z.strictObject({
  ...callShape,
  additionalAuthenticatedData: z
    .instanceof(Uint8Array, { error: 'must be bytes (Buffer or Uint8Array)' })
    .optional(),
});

export const grantOptions = z.strictObject({
  ...callShape,
  publicMembers: z.enum(['refuse', 'allow'], 'must be refuse or allow').optional(),
});

export const listKeysOptions = z.strictObject({
  ...callShape,
  labels: z.record(z.string(), z.string()).optional(),
});

export const restoreOptions = z.strictObject({
  ...callShape,
  state: z.enum(['ENABLED', 'DISABLED'], 'must be ENABLED or DISABLED').optional(),
});

export const rotationOptions = z.strictObject({
  ...callShape,
  algorithm: z
    .custom<KeyAlgorithm>(
      isKeyAlgorithm,
      'must be the Cloud KMS name of an algorithm, such as EC_SIGN_P384_SHA384',
    )
    .optional(),
  replacing: z.string('must be the full name of a version').optional(),
});

/** Of `verifyMessage`: whether the version is one of the agent's key is known when that is found. */
export const verifyMessageOptions = z.strictObject({
  ...callShape,
  keyVersion: z.string('must be the full name of a version').optional(),
});

const seconds = z.int('must be whole seconds').min(0, 'must not be negative').optional();

export const retireOptions = z.strictObject({
  ...callShape,
  graceSeconds: seconds,
  retireAfterSeconds: seconds,
  keepVersions: z.int('must be a whole number').min(1, 'must be at least 1').optional(),
});

export const destroyOptions = z.strictObject({
  ...callShape,
  force: z.boolean('must be true or false').optional(),
});

export const rotationSchedule = z
  .strictObject(
    {
      rotationPeriodSeconds: z.int('must be whole seconds'),
      nextRotationTime: z.date('must be a date').optional(),
    },
    'must be a schedule, or null to end the rotation',
  )
  .nullable();

export const labelChanges = z
  .record(z.string(), z.string('must be a string, or null to remove it').nullable())
  .refine(
    (changes) => !Object.keys(changes).some(isHistoryLabel),
    'must leave a2a-primary, a2a-version-…, a2a-restoring and a2a-disabled alone; they say which version is in use, and what is under way',
  );

/**
 * The labels of a key with the changes made.
 * @throws InvalidArgumentError when that adds to more labels than leave room for those that a provider keeps.
 */
export function changedLabels(
  context: ErrorContext,
  labels: Labels,
  changes: z.output<typeof labelChanges>,
): Labels {
  const kept = Object.entries({ ...labels, ...changes });
  const changed = Object.fromEntries(
    kept.flatMap(([label, value]) => (value === null ? [] : [[label, value]])),
  );
  const count = countOtherLabels(changed);
  if (count <= MAX_OTHER_LABELS || count <= countOtherLabels(labels)) return changed;
  throw new InvalidArgumentError(
    context,
    `the key would have ${count} labels and may have ${MAX_OTHER_LABELS}; the others of the ${MAX_LABELS} that are possible tell which versions were in use.`,
  );
}

export const destroyAfterSeconds = z.int('must be whole seconds').min(0, 'must not be negative').optional();

/**
 * Parses an argument.
 * @throws InvalidArgumentError naming every field that is wrong.
 */
export function parseInput<Schema extends z.ZodType>(
  context: ErrorContext,
  schema: Schema,
  input: { readonly name: string; readonly value: unknown },
): z.output<Schema> {
  const parsed = schema.safeParse(input.value);
  if (parsed.success) return parsed.data;
  throw new InvalidArgumentError(context, schemaSentence(parsed.error, input.name));
}

/** Parses options; none are the same as empty ones. */
export function parseOptions<Schema extends z.ZodType>(
  context: ErrorContext,
  schema: Schema,
  options: unknown,
): z.output<Schema> {
  return parseInput(context, schema, { name: 'options', value: options ?? {} });
}

/** Whether an argument is there at all; what it is is for its own parser to say. */
export const isGiven = (value: unknown): boolean => value !== undefined && value !== null;

/** The part of a method's options that every call takes: what is passed on to the calls that it makes. */
export function callOptionsOf(options: CallOptions | undefined): CallOptions | undefined {
  if (options === undefined) return undefined;
  const { signal, timeoutMs, onQuota, reason, correlationId } = options;
  return { signal, timeoutMs, onQuota, reason, correlationId };
}

/** As `callOptionsOf`, for what a call does when it is over or was given up: it says why, and is not cut short. */
export function purposeOf(options: CallOptions | undefined): CallOptions {
  return { reason: options?.reason, correlationId: options?.correlationId };
}

/** @throws InvalidArgumentError for what is not bytes. Strings are not taken: their encoding would be a guess. */
export function requireBytes(context: ErrorContext, name: string, value: unknown): Uint8Array {
  if (value instanceof Uint8Array) return value;
  throw new InvalidArgumentError(
    context,
    `${name} must be bytes (Buffer or Uint8Array), got ${value === null ? 'null' : typeof value}.`,
  );
}
