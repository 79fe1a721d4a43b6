/**
 * The table of what every combination of flags, policy and phase means for an agent, by where its key is: what signs, what
 * verifies, and what is refused. How flags are read from the environment is in tests/config/flags.test.ts.
 */

import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { A2AKeyExchange, A2AKeyExchangeConfig } from '../../src/index.js';
import { type MigrationWorld, startMigrationWorld } from '../support/migration.js';
import { recordingLogger } from '../support/software-provider.js';

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

/** No migration is configured. */
const NONE = 'none';
type Phase = typeof NONE | 1 | 2 | 3 | 4;
type Meaning = keyof typeof MEANINGS;
/** What is wrong with a configuration: the fields that the error names. */
type Refused = readonly ('enableHsmKeys' | 'useSoftwareKeys')[];

const WITHOUT_SOFTWARE: Refused = ['useSoftwareKeys'];
const FORBIDDEN: Refused = ['useSoftwareKeys'];
const NEITHER: Refused = ['enableHsmKeys'];

/** Every combination: HSM keys, software keys, phase → what it means where software keys are allowed, and forbidden. */
const TABLE: readonly (readonly ['on' | 'off', 'on' | 'off', Phase, Meaning | Refused, Meaning | Refused])[] =
  [
    ['on', 'off', NONE, 'hsm only', 'hsm only'],
    ['on', 'off', 1, WITHOUT_SOFTWARE, WITHOUT_SOFTWARE],
    ['on', 'off', 2, WITHOUT_SOFTWARE, WITHOUT_SOFTWARE],
    ['on', 'off', 3, 'phase 3', 'phase 3'],
    ['on', 'off', 4, 'phase 4', 'phase 4'],
    ['on', 'on', NONE, 'phase 1', FORBIDDEN],
    ['on', 'on', 1, 'phase 1', FORBIDDEN],
    ['on', 'on', 2, 'phase 2', FORBIDDEN],
    ['on', 'on', 3, 'phase 3', FORBIDDEN],
    ['on', 'on', 4, 'phase 4', FORBIDDEN],
    ['off', 'on', NONE, 'software only', FORBIDDEN],
    ['off', 'on', 1, 'rollback', FORBIDDEN],
    ['off', 'on', 2, 'rollback', FORBIDDEN],
    ['off', 'on', 3, 'rollback', FORBIDDEN],
    ['off', 'on', 4, 'rollback', FORBIDDEN],
    ['off', 'off', NONE, NEITHER, NEITHER],
    ['off', 'off', 1, NEITHER, NEITHER],
    ['off', 'off', 2, NEITHER, NEITHER],
    ['off', 'off', 3, NEITHER, NEITHER],
    ['off', 'off', 4, NEITHER, NEITHER],
  ];

/** What signs for an agent, by its state: a protection level, or the code of the refusal; and what becomes of `migrateAgent`. */
const MEANINGS = {
  'hsm only': { signs: ['AGENT_KEY_NOT_FOUND', 'HSM', 'HSM', 'HSM'], migrates: 'MIGRATION_PHASE' },
  'phase 1': { signs: ['SOFTWARE', 'HSM', 'HSM', 'HSM'], migrates: 'MIGRATION_PHASE' },
  'phase 2': { signs: ['SOFTWARE', 'HSM', 'HSM', 'HSM'], migrates: 'already-migrated' },
  'phase 3': { signs: ['SOFTWARE_SIGNING_REFUSED', 'HSM', 'HSM', 'HSM'], migrates: 'already-migrated' },
  /** Once no agent is left that was not migrated. */
  'phase 4': { signs: ['HSM', 'HSM', 'HSM', 'HSM'], migrates: 'MIGRATION_PHASE' },
  rollback: {
    signs: ['SOFTWARE', 'SOFTWARE', 'SOFTWARE', 'AGENT_KEY_NOT_FOUND'],
    migrates: 'MIGRATION_PHASE',
  },
  'software only': {
    signs: ['SOFTWARE', 'SOFTWARE', 'SOFTWARE', 'AGENT_KEY_NOT_FOUND'],
    migrates: 'MIGRATION_PHASE',
  },
} as const;

/** A configuration and what it has to amount to. */
interface Case {
  readonly title: string;
  readonly config: Partial<A2AKeyExchangeConfig>;
  readonly expected: Meaning | Refused;
}

const CASES: readonly Case[] = TABLE.flatMap(([hsm, software, phase, allowed, forbidden]) =>
  ([[allowed, 'allowed'] as const, [forbidden, 'forbidden'] as const] as const).map(
    ([expected, softwareKeys]) => ({
      title: `HSM keys ${hsm}, software keys ${software} and ${softwareKeys}, phase ${phase}`,
      config: {
        ...{ enableHsmKeys: hsm === 'on', useSoftwareKeys: software === 'on', softwareKeys },
        migration: phase === NONE ? undefined : { phase },
      },
      expected,
    }),
  ),
);

const isMeaning = (expected: Meaning | Refused): expected is Meaning => typeof expected === 'string';
const refused = CASES.filter(({ expected }) => !isMeaning(expected));
const started = CASES.flatMap(({ title, config, expected }) =>
  isMeaning(expected) ? [{ title, config, meaning: expected }] : [],
);

/** Checks what a process that was started does for every agent, and with every signature. */
async function expectMeaning(exchange: A2AKeyExchange, meaning: Meaning): Promise<void> {
  const { signs, migrates } = MEANINGS[meaning];
  const outcomes = await Promise.all(
    STATES.map((state) =>
      exchange.signMessageDetailed(state, message).then(
        ({ protectionLevel }) => protectionLevel,
        (error: { code: string }) => error.code,
      ),
    ),
  );
  expect(outcomes).toEqual(signs);

  // Signatures of the kinds that are configured verify, with their version or without; nothing else does.
  for (const { state, kind, signature, keyVersion } of made) {
    const other = state === 'regenerated' ? 'imported' : 'regenerated';
    expect(await exchange.verifyMessage(other, message, signature), `${keyVersion} as ${other}`).toBe(false);
    const isKnown =
      meaning === 'hsm only' ? kind === 'hsm' : meaning !== 'software only' || state !== 'hsm-born';
    if (!isKnown) continue;
    expect(await exchange.verifyMessage(state, message, signature), keyVersion).toBe(true);
    expect(await exchange.verifyMessage(state, message, signature, { keyVersion }), keyVersion).toBe(true);
    expect(await exchange.verifyMessage(state, Buffer.from('pay 99 EUR'), signature)).toBe(false);
  }

  const levels = (await exchange.listAgents()).map(
    ({ agentId, protectionLevel }) => [agentId, protectionLevel] as const,
  );
  const expected = STATES.flatMap((state, index) => {
    const level = signs[index] === 'SOFTWARE_SIGNING_REFUSED' ? 'SOFTWARE' : signs[index];
    return level === 'AGENT_KEY_NOT_FOUND' ? [] : [[state, level] as const];
  });
  expect(Object.fromEntries(levels)).toEqual(Object.fromEntries(expected));

  const migrated = await exchange.migrateAgent('imported', { strategy: 'import' }).then(
    ({ outcome }) => outcome,
    (error: { code: string }) => error.code,
  );
  expect(migrated).toBe(migrates);
}

it('the table has every combination of flags, phase and policy once', () => {
  expect(new Set(CASES.map(({ title }) => title)).size).toBe(2 * 2 * 5 * 2);
});

it.each(refused)('does not start: $title', ({ config, expected }) => {
  const problems = (isMeaning(expected) ? [] : expected).map((field) => expect.objectContaining({ field }));
  expect(() => world.make(2, config)).toThrow(expect.objectContaining({ code: 'INVALID_CONFIG', problems }));
});

/** With statements required: refused wherever a software key would sign, besides what is refused anyway. */
it.each(CASES)(
  'statements of an HSM are required of no software key: $title',
  async ({ config, expected }) => {
    const make = (): A2AKeyExchange => world.make(2, { ...config, requireAttestation: true });
    const signsInSoftware =
      isMeaning(expected) && (MEANINGS[expected].signs as readonly string[]).includes('SOFTWARE');
    if (isMeaning(expected) && !signsInSoftware) {
      await make().close();
      return;
    }
    const fields = isMeaning(expected) ? ['requireAttestation'] : expected;
    const problems = fields.map((field) => expect.objectContaining({ field }));
    expect(make).toThrow(expect.objectContaining({ code: 'INVALID_CONFIG', problems }));
  },
);

it.each(started.filter(({ meaning }) => meaning !== 'phase 4'))(
  'signs, verifies and refuses as $meaning: $title',
  async ({ config, meaning }) => {
    const exchange = await world.start(2, config);
    onTestFinished(() => exchange.close());
    await expectMeaning(exchange, meaning);
  },
);

describe('in phase 4', () => {
  const inPhase4 = started.filter(({ meaning }) => meaning === 'phase 4');

  it.each(inPhase4)('no process starts with an agent that was not migrated: $title', async ({ config }) => {
    const exchange = world.make(2, config);
    await expect(exchange.initialize()).rejects.toMatchObject({
      code: 'UNMIGRATED_AGENTS',
      agentIds: ['software'],
      message: expect.stringMatching(/"software".*migrateAllAgents/),
    });
    await exchange.close();
  });

  it.each(inPhase4)('afterwards all sign with HSM keys, and all verifies: $title', async ({ config }) => {
    await world.within(3, (exchange) => exchange.migrateAgent('software', { strategy: 'regenerate' }));
    const exchange = await world.start(2, config);
    onTestFinished(() => exchange.close());
    await expectMeaning(exchange, 'phase 4');
  });

  it('the store is neither opened nor made where there is none', async () => {
    const elsewhere = `${world.storePath}-elsewhere`;
    const softwareKeyStore = { type: 'file', path: elsewhere, passphrase: 'not the right one' } as const;
    const exchange = await world.start(4, { softwareKeyStore });
    onTestFinished(() => exchange.close());
    await exchange.generateAgentKey('late');
    expect(existsSync(elsewhere)).toBe(false);
  });

  it('an empty directory stays empty, and a start says that there was nothing to check', async () => {
    const path = `${world.storePath}-empty`;
    mkdirSync(path, { mode: 0o755 });
    const logger = recordingLogger();
    const exchange = await world.start(4, { softwareKeyStore: { type: 'file', path }, logger });
    onTestFinished(() => exchange.close());
    expect(readdirSync(path)).toEqual([]);
    expect(logger.lines).toContainEqual(
      expect.objectContaining({ level: 'warn', fields: { event: 'software-store-not-found', phase: 4 } }),
    );
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
