/** What a caller gets who asks for a key, by flags and phase: the key that was asked for, or an error. */

import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { type A2AKeyExchange, type A2AKeyExchangeConfig, KeyHierarchy } from '../../src/index.js';
import { type MigrationWorld, type Mode, startMigrationWorld } from '../support/migration.js';

const message = Buffer.from('pay 10 EUR to alice');

let world: MigrationWorld;
beforeAll(async () => {
  world = await startMigrationWorld();
});
afterAll(() => world[Symbol.asyncDispose]());

let agents = 0;
const newId = (): string => `agent-${agents++}`;

async function softwareAgent(
  options?: Parameters<A2AKeyExchange['generateAgentKey']>[1],
): Promise<{ readonly agentId: string; readonly keyName: string }> {
  const agentId = newId();
  const keyName = await world.within('software-only', (software) =>
    software.generateAgentKey(agentId, options),
  );
  return { agentId, keyName };
}

async function start(mode: Mode, config?: Partial<A2AKeyExchangeConfig>): Promise<A2AKeyExchange> {
  const started = await world.start(mode, config);
  onTestFinished(() => started.close());
  return started;
}

const HSM = { protectionLevel: 'HSM' } as const;

/** The ways to ask for an HSM key by name. */
const WAYS = {
  generateAgentKey: (exchange, agentId) => exchange.generateAgentKey(agentId, HSM),
  'KeyHierarchy.generateAgentKeys': (exchange, agentId) =>
    new KeyHierarchy(exchange.keys, { defaultAlgorithm: 'ecdsa-p256' }).generateAgentKeys(agentId, HSM),
  'keys.generateKey': (exchange, agentId) =>
    exchange.keys.generateKey({
      name: `agent-${agentId}-signing-key`,
      purpose: 'ASYMMETRIC_SIGN',
      algorithm: 'EC_SIGN_P256_SHA256',
      ...HSM,
    }),
} as const satisfies Record<string, (exchange: A2AKeyExchange, agentId: string) => Promise<unknown>>;
type Way = keyof typeof WAYS;
const WAY_NAMES: readonly Way[] = ['generateAgentKey', 'KeyHierarchy.generateAgentKeys', 'keys.generateKey'];

const by = (modes: readonly Mode[]): readonly (readonly [Mode, Way])[] =>
  modes.flatMap((mode) => WAY_NAMES.map((way) => [mode, way] as const));

describe('an HSM key that is asked for by name', () => {
  it.each(by(['software-only', 'rollback']))(
    'is refused while HSM keys are switched off, and no software key is made in its place: %s, %s',
    async (mode, way) => {
      const exchange = await start(mode);
      const agentId = newId();
      await expect(WAYS[way](exchange, agentId)).rejects.toMatchObject({
        code: 'UNSUPPORTED_ALGORITHM',
        message: expect.stringContaining('ENABLE_HSM_KEYS'),
      });
      await expect(exchange.describeAgent(agentId)).rejects.toMatchObject({ code: 'AGENT_KEY_NOT_FOUND' });
    },
  );

  it.each(by([1, 2]))('is not the software key that an agent has: phase %s, %s', async (mode, way) => {
    const { agentId } = await softwareAgent();
    const exchange = await start(mode);
    await expect(WAYS[way](exchange, agentId)).rejects.toMatchObject({
      code: 'KEY_SPEC_MISMATCH',
      differences: [{ field: 'protectionLevel', expected: 'HSM', actual: 'SOFTWARE' }],
    });
    await WAYS[way](exchange, newId());
  });

  it.each(by([3]))('is refused with the way to migrate: phase %s, %s', async (mode, way) => {
    const { agentId } = await softwareAgent();
    const exchange = await start(mode);
    await expect(WAYS[way](exchange, agentId)).rejects.toMatchObject({ code: 'SOFTWARE_SIGNING_REFUSED' });
  });
});

describe('an agent that was not migrated', () => {
  it('keeps its software key only for those who ask for such a key', async () => {
    const { agentId, keyName } = await softwareAgent({ algorithm: 'ecdsa-p256' });
    const exchange = await start(2);
    expect(await exchange.generateAgentKey(agentId)).toBe(keyName);
    expect(await exchange.generateAgentKey(agentId, { algorithm: 'ecdsa-p256' })).toBe(keyName);
    await expect(exchange.generateAgentKey(agentId, { algorithm: 'ecdsa-p384' })).rejects.toMatchObject({
      code: 'KEY_SPEC_MISMATCH',
      differences: [{ field: 'algorithm', expected: 'EC_SIGN_P384_SHA384', actual: 'EC_SIGN_P256_SHA256' }],
    });
  });

  it('keeps a key that the HSM does not have for those who ask for the configured algorithm', async () => {
    const { agentId, keyName } = await softwareAgent({ algorithm: 'ed25519' });
    const exchange = await start(2);
    expect(await exchange.generateAgentKey(agentId)).toBe(keyName);
    await expect(exchange.generateAgentKey(agentId, { algorithm: 'ecdsa-p384' })).rejects.toMatchObject({
      code: 'KEY_SPEC_MISMATCH',
    });
  });

  it('is not given an HSM key beside it by who asks for the key without naming the agent', async () => {
    const { agentId, keyName } = await softwareAgent();
    const { keys } = await start(2);
    const spec = { name: keyName, purpose: 'ASYMMETRIC_SIGN', algorithm: 'EC_SIGN_P256_SHA256' } as const;
    expect(await keys.generateKey(spec)).toMatchObject({ name: keyName, protectionLevel: 'SOFTWARE' });
    await world.within(2, (each) => each.migrateAgent(agentId, { strategy: 'regenerate' }));
    expect(await keys.generateKey(spec)).toMatchObject({ name: keyName, protectionLevel: 'HSM' });
  });
});

describe('an agent that was destroyed before it was migrated', () => {
  it('has no key that could be used until it is gone, and gets an HSM key then; what it signed verifies', async () => {
    const { agentId, keyName } = await softwareAgent();
    const exchange = await start(2);
    const signature = await exchange.signMessage(agentId, message);
    await exchange.destroyAgent(agentId);
    await expect(exchange.generateAgentKey(agentId)).rejects.toMatchObject({ code: 'NO_USABLE_VERSION' });
    world.clock.advanceDays(31);
    expect(await exchange.generateAgentKey(agentId)).toBe(keyName);
    expect((await exchange.signMessageDetailed(agentId, message)).protectionLevel).toBe('HSM');
    expect(await exchange.verifyMessage(agentId, message, signature)).toBe(true);
  });

  it('keeps nobody from migrating the others, nor from phase 4', async () => {
    await using own = await startMigrationWorld();
    await own.within('software-only', async (software) => {
      for (const agentId of ['gone', 'going', 'alive']) await software.generateAgentKey(agentId);
      await software.destroyAgent('gone');
      own.clock.advanceDays(31);
      await software.destroyAgent('going');
    });
    const third = await own.start(3);
    const report = await third.migrateAllAgents({ strategy: 'regenerate' });
    expect(report.agents.map(({ agentId, outcome }) => [agentId, outcome])).toEqual([['alive', 'migrated']]);
    await expect(third.migrateAgent('gone', { strategy: 'regenerate' })).rejects.toMatchObject({
      code: 'AGENT_KEY_NOT_FOUND',
    });
    await third.close();
    const fourth = await own.start(4);
    expect((await fourth.listAgents()).map(({ agentId }) => agentId)).toEqual(['alive']);
  });
});
