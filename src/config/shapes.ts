/**
 * What the configurations of providers have in common. Unknown fields are refused, so that a misspelt option is never
 * accepted and ignored.
 */

import { z } from 'zod';
import { clockSchema } from '../clock.js';
import type { ConfigProblem } from '../errors/input.js';
import type { PublicKeyArchive } from '../keys/public-key-archive.js';
import type { Logger } from '../logger.js';
import type { ProviderObserver } from '../provider/observer.js';
import { schemaProblems } from '../schema-problems.js';
import { auditSchema } from './audit-config.js';

const PROJECT_ID = /^(?:[a-z0-9.-]{1,253}:)?[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$|^[0-9]{1,20}$/;
const LOCATION_ID = /^[a-z][a-z0-9-]{0,62}$/;
const KEY_RING_ID = /^[a-zA-Z0-9_-]{1,63}$/;

/** The environment variables that are read. */
export type Environment = Readonly<Record<string, string | undefined>>;

export const milliseconds = (defaultMs: number) =>
  z
    .int('a whole number of milliseconds is required')
    .min(1, 'at least 1 ms is required')
    .max(3_600_000, 'at most 3,600,000 ms (one hour) are possible')
    .default(defaultMs);

export const count = (defaultCount: number, max: number) =>
  z
    .int('a whole number is required')
    .min(1, 'at least 1 is required')
    .max(max, `at most ${max} are possible`)
    .default(defaultCount);

const isLogger = (value: unknown): value is Logger =>
  typeof value === 'object' &&
  value !== null &&
  (['debug', 'info', 'warn', 'error'] as const).every(
    (level) => typeof Reflect.get(value, level) === 'function',
  );

const isObserver = (value: unknown): value is ProviderObserver =>
  typeof value === 'object' && value !== null && typeof Reflect.get(value, 'begin') === 'function';

const isArchive = (value: unknown): value is PublicKeyArchive =>
  typeof value === 'object' &&
  value !== null &&
  (['put', 'get', 'list'] as const).every((method) => typeof Reflect.get(value, method) === 'function');

/** The key ring that a provider works in. */
export const keyRingShape = {
  projectId: z
    .string('the Google Cloud project is required')
    .regex(PROJECT_ID, 'is not a project id or number'),
  locationId: z
    .string('the Cloud KMS location is required, e.g. europe-west3 or global')
    .regex(LOCATION_ID, 'is not a location id such as europe-west3, us or global'),
  keyRingId: z
    .string('the key ring is required')
    .regex(KEY_RING_ID, 'a key ring id has 1 to 63 letters, digits, "_" or "-"'),
} as const;

/** What every provider works with besides its keys. */
export const runtimeShape = {
  publicKeyArchive: z
    .custom<PublicKeyArchive>(
      isArchive,
      'must have the methods put, get and list, like a FilePublicKeyArchive',
    )
    .optional(),
  logger: z
    .custom<Logger>(isLogger, 'must have the methods debug, info, warn and error, like a pino logger')
    .optional(),
  clock: clockSchema.optional(),
  observers: z
    .array(z.custom<ProviderObserver>(isObserver, 'must have the method begin'), 'must be a list')
    .default([]),
  audit: auditSchema.optional(),
  telemetry: z.enum(['off', 'auto', 'on'], 'must be off, auto or on').default('off'),
} as const;

/** What a schema found wrong with a configuration. */
export const toProblems = (error: z.ZodError): ConfigProblem[] =>
  schemaProblems(error).map(({ field, problem }) => ({ field: field || 'configuration', problem }));
