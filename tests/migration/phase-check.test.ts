import { describe, expect, it } from 'vitest';
import { UnmigratedAgentsError } from '../../src/index.js';
import type { Logger } from '../../src/logger.js';
import { type MigrationWorld, startMigrationWorld } from '../support/migration.js';

interface Line {
  readonly level: string;
  readonly record: object;
}

function recordingLogger(): Logger & { readonly lines: Line[] } {
  const lines: Line[] = [];
  const at = (level: string) => (record: object) => void lines.push({ level, record });
  return { lines, debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

async function linesAtStart(
  mode: Parameters<MigrationWorld['start']>[0],
  nodeEnv: string | undefined,
): Promise<readonly Line[]> {
  await using world = await startMigrationWorld();
  await world.within('software-only', (software) => software.generateAgentKey('bot'));
  const logger = recordingLogger();
  const before = process.env['NODE_ENV'];
  if (nodeEnv !== undefined) process.env['NODE_ENV'] = nodeEnv;
  try {
    await world.start(mode, { logger, allowEmulatorInProduction: true });
  } finally {
    process.env['NODE_ENV'] = before;
  }
  return logger.lines;
}

const SIGN = expect.objectContaining({ event: 'software-keys-sign' });

describe('a start', () => {
  it.each(['software-only', 1, 2, 'rollback'] as const)(
    'in mode %s in production warns that software keys sign',
    async (mode) => {
      expect(await linesAtStart(mode, 'production')).toContainEqual({ level: 'warn', record: SIGN });
    },
  );

  it('elsewhere says it without a warning', async () => {
    expect(await linesAtStart(2, undefined)).toContainEqual({ level: 'info', record: SIGN });
  });

  it('in phase 3 names who cannot sign', async () => {
    expect(await linesAtStart(3, 'production')).toContainEqual({
      level: 'warn',
      record: expect.objectContaining({ phase: 3, agentIds: ['bot'] }),
    });
  });
});

it('a start in phase 4 warns of keys that are no agent’s, and does not refuse', async () => {
  await using world = await startMigrationWorld();
  await world.within('software-only', ({ keys }) =>
    keys.generateKey({ name: 'own', purpose: 'ASYMMETRIC_SIGN', algorithm: 'EC_SIGN_P256_SHA256' }),
  );
  const logger = recordingLogger();
  await world.start(4, { logger });
  expect(logger.lines).toContainEqual({
    level: 'warn',
    record: expect.objectContaining({ keyNames: [expect.stringMatching(/cryptoKeys\/own$/)] }),
  });
});

it('a list of many unmigrated agents is shortened in the message and whole in the error', () => {
  const ids = Array.from({ length: 30 }, (_, index) => `agent-${index}`);
  const error = new UnmigratedAgentsError({ operation: 'initialize', resource: 'store' }, ids);
  expect(error.agentIds).toHaveLength(30);
  expect(error.message).toContain('and 10 more');
});
