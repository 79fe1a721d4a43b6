/** What callers pass to the migration, parsed once; every problem is named. */

import { z } from 'zod';
import type { ErrorContext } from '../errors/base.js';
import { callback, callShape, parseOptions } from '../provider/call-input.js';
import type {
  MigrateAgentOptions,
  MigrateAllAgentsOptions,
  MigrationProgress,
  PurgeMigratedKeysOptions,
} from './migration-report.js';

const DEFAULT_CONCURRENCY = 4;

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
    onProgress: callback<(progress: MigrationProgress) => void>(),
  },
  'must be an object with a strategy',
);
const purge = z.strictObject({ ...callShape, dryRun: z.boolean('must be true or false').default(true) });

export const parseMigrateAgent = (
  context: ErrorContext,
  options: MigrateAgentOptions,
): z.output<typeof migrateAgent> => parseOptions(context, migrateAgent, options);

export const parseMigrateAll = (
  context: ErrorContext,
  options: MigrateAllAgentsOptions,
): z.output<typeof migrateAll> => parseOptions(context, migrateAll, options);

export const parsePurge = (
  context: ErrorContext,
  options: PurgeMigratedKeysOptions | undefined,
): z.output<typeof purge> => parseOptions(context, purge, options);
