/**
 * The table of what the flags and the phase mean for an agent, by where its key is: what signs, what verifies, and what is
 * refused. Which combinations start at all is in tests/flags.test.ts.
 */

import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { A2AKeyExchange } from '../../src/index.js';
import { type MigrationWorld, type Mode, startMigrationWorld } from '../support/migration.js';

const message = Buffer.from('pay 10 EUR to alice');

/** Where an agent's key is. */
const STATES = ['software', 'regenerated', 'imported', 'hsm-born'] as const;
type State = (typeof STATES)[number];

/** A signature of an agent, and by which kind of key. */
interface Made {
  readonly state: State;
  readonly kind: 'software' | 'hsm';
  readonly signature: Buffer;
  readonly keyVersion: string;
}

let world: MigrationWorld;
const made: Made[] = [];

async function sign(exchange: A2AKeyExchange, state: State): Promise<void> {
  const { signature, keyVersion, protectionLevel } = await exchange.signMessageDetailed(state, message);
  made.push({ state, kind: protectionLevel === 'HSM' ? 'hsm' : 'software', signature, keyVersion });
}

beforeAll(async () => {
  world = await startMigrationWorld();
  await world.within('software-only', async (exchange) => {
    for (const state of ['software', 'regenerated', 'imported'] as const) {
      await exchange.generateAgentKey(state);
      await sign(exchange, state);
    }
  });
  await world.within(2, async (exchange) => {
    await exchange.generateAgentKey('hsm-born');
    await exchange.migrateAgent('regenerated', { strategy: 'regenerate' });
    await exchange.migrateAgent('imported', { strategy: 'import' });
    for (const state of ['regenerated', 'imported', 'hsm-born'] as const) await sign(exchange, state);
  });
});
afterAll(() => world[Symbol.asyncDispose]());

/** Mode → state → what signs: a protection level, or the code of the refusal. */
const SIGNS = {
  'software-only': {
    software: 'SOFTWARE',
    regenerated: 'SOFTWARE',
    imported: 'SOFTWARE',
    'hsm-born': 'AGENT_KEY_NOT_FOUND',
  },
  1: { software: 'SOFTWARE', regenerated: 'HSM', imported: 'HSM', 'hsm-born': 'HSM' },
  2: { software: 'SOFTWARE', regenerated: 'HSM', imported: 'HSM', 'hsm-born': 'HSM' },
  3: { software: 'SOFTWARE_SIGNING_REFUSED', regenerated: 'HSM', imported: 'HSM', 'hsm-born': 'HSM' },
  rollback: {
    software: 'SOFTWARE',
    regenerated: 'SOFTWARE',
    imported: 'SOFTWARE',
    'hsm-born': 'AGENT_KEY_NOT_FOUND',
  },
  'hsm-only': { software: 'AGENT_KEY_NOT_FOUND', regenerated: 'HSM', imported: 'HSM', 'hsm-born': 'HSM' },
} as const satisfies Record<Exclude<Mode, 4>, Record<State, string>>;

const MODES = ['software-only', 1, 2, 3, 'rollback', 'hsm-only'] as const;

describe.each(MODES)('in mode %s', (mode) => {
  let exchange: A2AKeyExchange;
  beforeAll(async () => {
    exchange = await world.start(mode);
  });
  afterAll(() => exchange.close());

  it.each(STATES)('the agent whose key is %s signs as the table says', async (state) => {
    const outcome = await exchange.signMessageDetailed(state, message).then(
      ({ protectionLevel }) => protectionLevel,
      (error: { code: string }) => error.code,
    );
    expect(outcome).toBe(SIGNS[mode][state]);
  });

  /** Whether the mode knows the key that made a signature. */
  const isKnown = ({ state, kind }: Made): boolean => {
    if (mode === 'hsm-only') return kind === 'hsm';
    return mode !== 'software-only' || state !== 'hsm-born';
  };

  it('every signature of the kinds that are configured verifies, with its version or without', async () => {
    const known = made.filter(isKnown);
    expect(known.length).toBeGreaterThan(2);
    for (const { state, signature, keyVersion } of known) {
      expect(await exchange.verifyMessage(state, message, signature), keyVersion).toBe(true);
      expect(await exchange.verifyMessage(state, message, signature, { keyVersion }), keyVersion).toBe(true);
    }
  });

  it('no signature verifies for another agent or another message', async () => {
    for (const each of made) {
      const { state, signature } = each;
      const other = state === 'regenerated' ? 'imported' : 'regenerated';
      expect(await exchange.verifyMessage(other, message, signature)).toBe(false);
      if (!isKnown(each)) continue;
      expect(await exchange.verifyMessage(state, Buffer.from('pay 99 EUR'), signature)).toBe(false);
    }
  });

  it('says of each agent where the key is that signs', async () => {
    const levels = Object.fromEntries(
      (await exchange.listAgents()).map(({ agentId, protectionLevel }) => [agentId, protectionLevel]),
    );
    const expected = STATES.filter((state) => SIGNS[mode][state] !== 'AGENT_KEY_NOT_FOUND').map((state) => {
      const signs = SIGNS[mode][state];
      return [state, signs === 'SOFTWARE_SIGNING_REFUSED' ? 'SOFTWARE' : signs];
    });
    expect(levels).toEqual(Object.fromEntries(expected));
  });
});

describe('in phase 4', () => {
  it('no process starts as long as there is an agent that was not migrated, and the error lists it', async () => {
    const exchange = world.make(4);
    await expect(exchange.initialize()).rejects.toMatchObject({
      code: 'UNMIGRATED_AGENTS',
      agentIds: ['software'],
      message: expect.stringMatching(/"software".*migrateAllAgents/),
    });
  });

  it('all agents sign with HSM keys, and signatures of either kind verify without the store', async () => {
    await world.within(3, (exchange) => exchange.migrateAgent('software', { strategy: 'regenerate' }));
    const exchange = await world.start(4);
    onTestFinished(() => exchange.close());
    for (const state of STATES) {
      expect((await exchange.signMessageDetailed(state, message)).protectionLevel).toBe('HSM');
    }
    for (const { state, signature, keyVersion } of made) {
      expect(await exchange.verifyMessage(state, message, signature), keyVersion).toBe(true);
      expect(await exchange.verifyMessage(state, message, signature, { keyVersion }), keyVersion).toBe(true);
      expect(await exchange.verifyMessage(state, Buffer.from('pay 99 EUR'), signature)).toBe(false);
    }
  });

  it('the store is neither opened nor made where there is none', async () => {
    const elsewhere = `${world.storePath}-elsewhere`;
    const softwareKeyStore = { type: 'file', path: elsewhere, passphrase: 'not the right one' } as const;
    const exchange = await world.start(4, { softwareKeyStore });
    onTestFinished(() => exchange.close());
    await exchange.generateAgentKey('late');
    const { existsSync } = await import('node:fs');
    expect(existsSync(elsewhere)).toBe(false);
  });

  it('a software version is refused by its name, for signing and for reading', async () => {
    const exchange = await world.start(4);
    onTestFinished(() => exchange.close());
    const { keyVersion } = made.find(({ kind }) => kind === 'software') ?? { keyVersion: '' };
    await expect(exchange.keys.sign(keyVersion, message)).rejects.toMatchObject({
      code: 'SOFTWARE_SIGNING_REFUSED',
    });
    await expect(exchange.keys.listKeyVersions(keyVersion)).rejects.toMatchObject({
      code: 'MIGRATION_PHASE',
    });
    expect((await exchange.keys.getPublicKey(keyVersion)).toString()).toContain('PUBLIC KEY');
  });
});

describe('an agent that was not migrated in phase 3', () => {
  it('is told how to go on', async () => {
    await world.within('software-only', (exchange) => exchange.generateAgentKey('forgotten'));
    const exchange = await world.start(3);
    onTestFinished(() => exchange.close());
    const refusal = {
      code: 'SOFTWARE_SIGNING_REFUSED',
      message: expect.stringContaining(`migrateAgent("forgotten", { strategy: 'regenerate' })`),
    };
    await expect(exchange.signMessage('forgotten', message)).rejects.toMatchObject(refusal);
    await expect(exchange.rotateAgentKey('forgotten')).rejects.toMatchObject(refusal);
    await expect(exchange.generateAgentKey('forgotten')).rejects.toMatchObject(refusal);
    await exchange.migrateAgent('forgotten', { strategy: 'regenerate' });
    expect((await exchange.signMessageDetailed('forgotten', message)).protectionLevel).toBe('HSM');
  });
});
