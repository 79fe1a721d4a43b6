/** What callers pass to the migration, parsed once; every problem is named. */

import { z } from 'zod';
import { type ErrorContext, InvalidArgumentError } from '../errors.js';
import type {
  MigrateAgentOptions,
  MigrateAllAgentsOptions,
  MigrationProgress,
  PurgeMigratedKeysOptions,
} from './migration-report.js';

const DEFAULT_CONCURRENCY = 4;

const callShape = {
  signal: z.instanceof(AbortSignal, { error: 'must be an AbortSignal' }).optional(),
  timeoutMs: z.int('must be whole milliseconds').min(1, 'must be at least 1').optional(),
};
const agentShape = {
  ...callShape,
  strategy: z.enum(['regenerate', 'import'], 'must be regenerate or import'),
  dryRun: z.boolean('must be true or false').default(false),
};

const migrateAgent = z.strictObject(agentShape, 'must be an object with a strategy');
const migrateAll = z.strictObject(
  {
    ...agentShape,
    concurrency: z
      .int('must be a whole number')
      .min(1, 'must be at least 1')
      .max(64, 'must be at most 64')
      .default(DEFAULT_CONCURRENCY),
    onProgress: z
      .custom<(progress: MigrationProgress) => void>(
        (value) => typeof value === 'function',
        'must be a function',
      )
      .optional(),
  },
  'must be an object with a strategy',
);
const purge = z.strictObject({ ...callShape, dryRun: z.boolean('must be true or false').default(true) });

export const parseMigrateAgent = (
  context: ErrorContext,
  options: MigrateAgentOptions,
): z.output<typeof migrateAgent> => parse(context, migrateAgent, options);

export const parseMigrateAll = (
  context: ErrorContext,
  options: MigrateAllAgentsOptions,
): z.output<typeof migrateAll> => parse(context, migrateAll, options);

export const parsePurge = (
  context: ErrorContext,
  options: PurgeMigratedKeysOptions | undefined,
): z.output<typeof purge> => parse(context, purge, options ?? {});

function parse<Schema extends z.ZodType>(
  context: ErrorContext,
  schema: Schema,
  options: unknown,
): z.output<Schema> {
  const parsed = schema.safeParse(options);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map((issue) =>
    issue.code === 'unrecognized_keys'
      ? `${issue.keys.join(', ')} is not an option`
      : `${['options', ...issue.path.map(String)].join('.')} ${issue.message}`,
  );
  throw new InvalidArgumentError(context, `${problems.join('; ')}.`);
}
