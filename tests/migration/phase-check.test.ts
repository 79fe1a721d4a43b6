import { open } from 'lmdb';
import { describe, expect, it } from 'vitest';
import { type ProviderObserver, UnmigratedAgentsError } from '../../src/index.js';
import type { Logger } from '../../src/logger.js';
import { memorySink, parsed } from '../support/audit.js';
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

async function atStart(
  mode: Parameters<MigrationWorld['start']>[0],
  nodeEnv: string | undefined,
): Promise<{ readonly lines: readonly Line[]; readonly events: readonly string[] }> {
  await using world = await startMigrationWorld();
  await world.within('software-only', (software) => software.generateAgentKey('bot'));
  const logger = recordingLogger();
  const events: string[] = [];
  const observer: ProviderObserver = {
    begin: ({ method, keyId }) => ({
      end: ({ status }) => void events.push(`${method} ${keyId.split('/').at(-1)} ${status}`),
    }),
  };
  const before = process.env['NODE_ENV'];
  if (nodeEnv !== undefined) process.env['NODE_ENV'] = nodeEnv;
  try {
    await world.start(mode, { logger, observers: [observer], allowEmulatorInProduction: true });
  } finally {
    process.env['NODE_ENV'] = before;
  }
  return { lines: logger.lines, events };
}

const SIGN = expect.objectContaining({ event: 'software-keys-sign' });

describe('a start', () => {
  it.each(['software-only', 1, 2, 'rollback'] as const)(
    'in mode %s in production warns that software keys sign, and has one event of it for the audit trail',
    async (mode) => {
      const { lines, events } = await atStart(mode, 'production');
      expect(lines).toContainEqual({ level: 'warn', record: SIGN });
      expect(events.filter((event) => event === 'softwareKeysSign agents succeeded')).toHaveLength(1);
    },
  );

  it('elsewhere says it without a warning', async () => {
    const { lines } = await atStart(2, undefined);
    expect(lines).toContainEqual({ level: 'info', record: SIGN });
  });

  it('in phase 3 names who cannot sign', async () => {
    const { lines, events } = await atStart(3, 'production');
    expect(events).not.toContain('softwareKeysSign agents succeeded');
    expect(lines).toContainEqual({
      level: 'warn',
      record: expect.objectContaining({ phase: 3, agentIds: ['bot'] }),
    });
  });
});

it('the audit trail has an event of each start where software keys sign, and of none else', async () => {
  await using world = await startMigrationWorld();
  for (const [mode, events] of [
    ['software-only', 1],
    [2, 1],
    ['rollback', 1],
    [3, 0],
  ] as const) {
    const sink = memorySink();
    const exchange = await world.start(mode, { audit: { sink, failClosed: true } });
    await exchange.close();
    const found = sink.lines.map(parsed).filter(({ operation }) => operation === 'softwareKeysSign');
    expect(found, String(mode)).toHaveLength(events);
    for (const event of found) {
      expect(event).toMatchObject({ outcome: 'succeeded', configuration: { softwareKeys: true } });
    }
  }
});

it('a start is refused when the audit trail does not take the event that software keys sign', async () => {
  await using world = await startMigrationWorld();
  const failure = new Error('the audit trail is full');
  const observer: ProviderObserver = {
    begin: ({ method }) => {
      if (method === 'softwareKeysSign') throw failure;
      return { end() {} };
    },
  };
  await expect(world.start(2, { observers: [observer] })).rejects.toBe(failure);
});

it('a record that is damaged keeps phase 3 from nothing, and phase 4 does not start', async () => {
  await using world = await startMigrationWorld();
  await world.within('software-only', (software) => software.generateAgentKey('bot'));
  await world.within(2, (exchange) => exchange.migrateAgent('bot', { strategy: 'regenerate' }));
  const database = open<Buffer, string>({ path: world.storePath, noSubdir: false, encoding: 'binary' });
  const [place = ''] = [...database.getKeys({ start: 'key/', end: 'key0' })];
  await database.put(place, Buffer.alloc(100));
  await database.close();
  const logger = recordingLogger();
  const exchange = await world.start(3, { logger });
  expect(logger.lines).toContainEqual({
    level: 'error',
    record: { event: 'stored-key-damaged', damaged: expect.stringMatching(/bot/) },
  });
  await exchange.close();
  await expect(world.start(4)).rejects.toMatchObject({ code: 'STORED_KEY_DAMAGED' });
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

describe('what opens the store that phase 4 looks into', () => {
  async function worldWith(agentId: string) {
    const world = await startMigrationWorld();
    await world.within('software-only', (software) => software.generateAgentKey(agentId));
    return world;
  }

  it('is copied: the caller may wipe its key when the exchange is made', async () => {
    await using world = await worldWith('bot');
    const key = Buffer.from(world.storeKey);
    const exchange = world.make(4, { softwareKeyStore: { type: 'file', path: world.storePath, key } });
    key.fill(0);
    await expect(exchange.initialize()).rejects.toMatchObject({ code: 'UNMIGRATED_AGENTS' });
  });

  it('is kept until the look finds nothing, and forgotten then', async () => {
    await using world = await worldWith('bot');
    const exchange = world.make(4);
    await expect(exchange.initialize()).rejects.toMatchObject({ code: 'UNMIGRATED_AGENTS' });
    await world.within(3, (third) => third.migrateAgent('bot', { strategy: 'regenerate' }));
    await exchange.initialize();
    await world.within('software-only', (software) => software.generateAgentKey('another'));
    await exchange.initialize();
    await expect(world.start(4)).rejects.toMatchObject({ agentIds: ['another'] });
  });

  it('is forgotten by close', async () => {
    await using world = await worldWith('bot');
    const exchange = world.make(4);
    await exchange.close();
    await expect(exchange.initialize()).rejects.toMatchObject({ code: 'CLIENT_CLOSED' });
  });
});

it('a start in phase 4 warns of keys that are scheduled for destruction, and does not refuse', async () => {
  await using world = await startMigrationWorld();
  await world.within('software-only', async (software) => {
    await software.generateAgentKey('going');
    await software.destroyAgent('going');
  });
  const logger = recordingLogger();
  await world.start(4, { logger });
  expect(logger.lines).toContainEqual({
    level: 'warn',
    record: { phase: 4, agentIds: ['going'], keyNames: [expect.stringMatching(/agent-going-signing-key$/)] },
  });
});

it('a list of many unmigrated agents is shortened in the message and whole in the error', () => {
  const ids = Array.from({ length: 30 }, (_, index) => `agent-${index}`);
  const error = new UnmigratedAgentsError({ operation: 'initialize', resource: 'store' }, ids);
  expect(error.agentIds).toHaveLength(30);
  expect(error.message).toContain('and 10 more');
});
