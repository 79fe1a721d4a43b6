import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { A2AKeyExchange, A2AKeyExchangeConfig, KeyProvider } from '../../src/index.js';
import { ArchivedKeys } from '../../src/migration/archived-keys.js';
import { planKey } from '../../src/migration/migrate-key.js';
import { SoftwareKeys } from '../../src/migration/software-keys.js';
import { SoftwareKeyProvider } from '../../src/software/software-key-provider.js';
import { KEY_RING, silentLogger } from '../support/emulator.js';
import { type MigrationWorld, type Mode, startMigrationWorld } from '../support/migration.js';

const message = Buffer.from('pay 10 EUR to alice');
const digest = createHash('sha256').update(message).digest();

let world: MigrationWorld;
/** A process in phase 2. */
let exchange: A2AKeyExchange;
beforeAll(async () => {
  world = await startMigrationWorld();
  exchange = await world.start(2);
});
afterAll(() => world[Symbol.asyncDispose]());

let agents = 0;
const newId = (): string => `agent-${agents++}`;

async function softwareAgent(): Promise<string> {
  const agentId = newId();
  await world.within('software-only', (software) => software.generateAgentKey(agentId));
  return agentId;
}

async function migratedAgent(): Promise<string> {
  const agentId = await softwareAgent();
  await exchange.migrateAgent(agentId, { strategy: 'regenerate' });
  return agentId;
}

async function start(mode: Mode, config?: Partial<A2AKeyExchangeConfig>): Promise<A2AKeyExchange> {
  const started = await world.start(mode, config);
  onTestFinished(() => started.close());
  return started;
}

const keyOf = async (agentId: string): Promise<string> => (await exchange.describeAgent(agentId)).keyName;
const levelOf = async (keys: KeyProvider, keyName: string): Promise<string> =>
  (await keys.signDetailed(keyName, message)).protectionLevel;

describe('generateAgentKey', () => {
  it('makes an HSM key for a new agent', async () => {
    const agentId = newId();
    const keyName = await exchange.generateAgentKey(agentId);
    expect(await levelOf(exchange.keys, keyName)).toBe('HSM');
  });

  it('finds the software key of an agent that was not migrated, and the HSM key of one that was', async () => {
    const agentId = await softwareAgent();
    const keyName = await exchange.generateAgentKey(agentId);
    expect(await levelOf(exchange.keys, keyName)).toBe('SOFTWARE');
    await exchange.migrateAgent(agentId, { strategy: 'regenerate' });
    expect(await exchange.generateAgentKey(agentId)).toBe(keyName);
    expect(await levelOf(exchange.keys, keyName)).toBe('HSM');
  });

  it('gives no software key to a caller who asks for an HSM key by name', async () => {
    const agentId = await softwareAgent();
    const protectionLevel = 'HSM';
    await expect(exchange.generateAgentKey(agentId, { protectionLevel })).rejects.toMatchObject({
      code: 'KEY_SPEC_MISMATCH',
      differences: [{ field: 'protectionLevel', expected: 'HSM', actual: 'SOFTWARE' }],
    });
    await exchange.migrateAgent(agentId, { strategy: 'regenerate' });
    expect(await exchange.generateAgentKey(agentId, { protectionLevel })).toBe(await keyOf(agentId));
  });

  it('gives an HSM agent a software key in a rollback, which stands back when HSM keys are there again', async () => {
    const agentId = newId();
    await exchange.generateAgentKey(agentId);
    const byHsm = await exchange.signMessage(agentId, message);
    const rolledBack = await start('rollback');
    await rolledBack.generateAgentKey(agentId);
    const standIn = await rolledBack.signMessageDetailed(agentId, message);
    expect(standIn.protectionLevel).toBe('SOFTWARE');
    expect(await rolledBack.verifyMessage(agentId, message, byHsm)).toBe(true);
    for (const mode of [2, 3] as const) {
      const back = await start(mode);
      expect((await back.signMessageDetailed(agentId, message)).protectionLevel).toBe('HSM');
      expect(await back.verifyMessage(agentId, message, standIn.signature)).toBe(true);
    }
    expect((await exchange.describeAgent(agentId)).versions.map(({ provider }) => provider)).toEqual([
      'software',
      'kms',
    ]);
  });

  it('makes a plain software key for an agent that is new in a rollback, to be migrated later', async () => {
    const agentId = newId();
    const rolledBack = await start('rollback');
    await rolledBack.generateAgentKey(agentId);
    expect((await exchange.signMessageDetailed(agentId, message)).protectionLevel).toBe('SOFTWARE');
    expect((await exchange.migrateAgent(agentId, { strategy: 'regenerate' })).outcome).toBe('migrated');
  });
});

describe('keys that are no agent’s', () => {
  const wrapping = {
    name: 'wrapping',
    purpose: 'ENCRYPT_DECRYPT',
    algorithm: 'GOOGLE_SYMMETRIC_ENCRYPTION',
  } as const;
  const signing = { name: 'own', purpose: 'ASYMMETRIC_SIGN', algorithm: 'EC_SIGN_P256_SHA256' } as const;

  it('go on in software until they are asked for again, and what they made stays usable', async () => {
    const { signature, ciphertext } = await world.within('software-only', async ({ keys }) => {
      await keys.generateKey(wrapping);
      await keys.generateKey(signing);
      return {
        signature: await keys.sign('own', message),
        ciphertext: await keys.encrypt('wrapping', message),
      };
    });
    const { keys } = exchange;
    expect(await levelOf(keys, 'own')).toBe('SOFTWARE');
    expect(await keys.decrypt('wrapping', ciphertext)).toEqual(message);
    const third = await start(3);
    await expect(third.keys.sign('own', message)).rejects.toMatchObject({
      code: 'SOFTWARE_SIGNING_REFUSED',
      message: expect.stringContaining('Call generateKey'),
    });
    await expect(third.keys.encrypt('wrapping', message)).rejects.toMatchObject({
      code: 'SOFTWARE_SIGNING_REFUSED',
    });
    await keys.generateKey(wrapping);
    await keys.generateKey(signing);
    expect(await levelOf(keys, 'own')).toBe('HSM');
    expect(await keys.verify('own', message, signature)).toBe(true);
    expect(await keys.decrypt('wrapping', ciphertext)).toEqual(message);
    expect(await keys.decrypt('wrapping', await keys.encrypt('wrapping', message))).toEqual(message);
    await expect(keys.decrypt('wrapping', Buffer.alloc(80))).rejects.toMatchObject({
      code: 'DECRYPTION_FAILED',
    });
  });

  it('are not decrypted with elsewhere when there is no other key', async () => {
    await exchange.keys.generateKey({ ...wrapping, name: 'hsm-wrapping' });
    await expect(exchange.keys.decrypt('hsm-wrapping', Buffer.alloc(80))).rejects.toMatchObject({
      code: 'DECRYPTION_FAILED',
    });
  });

  it('are of the HSM again after a rollback in which software keys stood in for them', async () => {
    const hierarchy = {};
    const first = await start(2, { hierarchy });
    const root = await first.keys.getPublicKey(first.hierarchy.rootKeyId);
    const rolledBack = await start('rollback', { hierarchy });
    expect(await rolledBack.keys.getPublicKey(first.hierarchy.rootKeyId)).not.toEqual(root);
    const back = await start(2, { hierarchy });
    expect(await back.keys.getPublicKey(first.hierarchy.rootKeyId)).toEqual(root);
  });
});

describe('an agent with keys of both kinds', () => {
  it('is destroyed and restored as a whole, so that no rollback brings it back', async () => {
    const agentId = await migratedAgent();
    const { versions } = await exchange.destroyAgent(agentId);
    expect(versions).toHaveLength(1);
    const rolledBack = await start('rollback');
    await expect(rolledBack.signMessage(agentId, message)).rejects.toMatchObject({
      code: 'NO_USABLE_VERSION',
    });
    await exchange.restoreAgent(agentId);
    expect((await exchange.signMessageDetailed(agentId, message)).protectionLevel).toBe('HSM');
    expect((await rolledBack.signMessageDetailed(agentId, message)).protectionLevel).toBe('SOFTWARE');
  });

  it('signs with no version of the software key, also when it is asked for by name', async () => {
    const agentId = await migratedAgent();
    const { versions } = await exchange.describeAgent(agentId);
    const software = versions.find(({ provider }) => provider === 'software')?.name ?? '';
    await expect(exchange.keys.sign(software, message)).rejects.toMatchObject({
      code: 'SOFTWARE_SIGNING_REFUSED',
    });
    await expect(exchange.keys.signDigest(software, digest)).rejects.toMatchObject({
      code: 'SOFTWARE_SIGNING_REFUSED',
    });
    expect(await exchange.keys.getPublicKey(software)).not.toEqual(await exchange.getPublicKey(agentId));
  });

  it('is verified by the archive where the software key is in a store of another machine', async () => {
    const agentId = await softwareAgent();
    const signature = await exchange.signMessage(agentId, message);
    await exchange.migrateAgent(agentId, { strategy: 'regenerate' });
    const softwareKeyStore = {
      type: 'file',
      path: `${world.storePath}-other`,
      key: Buffer.alloc(32, 7),
    } as const;
    const elsewhere = await start(2, { softwareKeyStore });
    expect(await elsewhere.verifyMessage(agentId, message, signature)).toBe(true);
    expect(await elsewhere.verifyMessage(agentId, digest, signature)).toBe(false);
  });

  it('verifies what the software key signed without asking the HSM for new versions, and what those sign at once', async () => {
    const agentId = await softwareAgent();
    const signature = await exchange.signMessage(agentId, message);
    await exchange.migrateAgent(agentId, { strategy: 'regenerate' });
    const verifier = await start(2);
    expect(await verifier.verifyMessage(agentId, message, signature)).toBe(true);
    world.emulator.requests.clear();
    for (let n = 0; n < 10; n++) expect(await verifier.verifyMessage(agentId, message, signature)).toBe(true);
    expect(world.emulator.requests.count('ListCryptoKeyVersions')).toBe(0);
    await exchange.rotateAgentKey(agentId);
    const latest = await exchange.signMessage(agentId, message);
    const keyName = await keyOf(agentId);
    const ignored = { newVersions: 'ignore' } as const;
    expect(await verifier.keys.verify(keyName, message, latest, ignored)).toBe(false);
    expect(await verifier.verifyMessage(agentId, message, latest)).toBe(true);
  });

  it('has its HSM versions’ public keys in a rollback, from the archive', async () => {
    const agentId = await migratedAgent();
    const { keyVersion } = await exchange.signMessageDetailed(agentId, message);
    const rolledBack = await start('rollback');
    expect(await rolledBack.keys.getPublicKey(keyVersion)).toEqual(await exchange.getPublicKey(agentId));
  });

  it('rotates in the HSM, and what the new version signs verifies in a rollback', async () => {
    const agentId = await migratedAgent();
    const rotated = await exchange.rotateAgentKey(agentId);
    expect(rotated.primary).toMatch(/cryptoKeyVersions\/2$/);
    const signature = await exchange.signMessage(agentId, message);
    const rolledBack = await start('rollback');
    expect(await rolledBack.verifyMessage(agentId, message, signature)).toBe(true);
  });
});

describe('a software agent before its migration', () => {
  it('is rotated, rolled back and retired in software, under names that are no HSM version’s', async () => {
    const agentId = await softwareAgent();
    const keyName = await keyOf(agentId);
    const version = (number: number): string => `${keyName}/cryptoKeyVersions/${number}@software`;
    const prepared = await exchange.prepareAgentRotation(agentId, { replacing: version(1) });
    expect(prepared).toMatchObject({ primary: version(1), prepared: version(2) });
    expect(await exchange.activateAgentRotation(agentId)).toMatchObject({ primary: version(2) });
    expect(await exchange.setAgentPrimaryVersion(agentId, version(1))).toMatchObject({ primary: version(1) });
    expect(await exchange.setAgentPrimaryVersion(agentId, 2)).toMatchObject({ primary: version(2) });
    expect(await exchange.rotateAgentKey(agentId)).toMatchObject({ primary: version(3) });
    world.clock.advanceDays(10);
    const { disabled } = await exchange.keys.retire(keyName);
    expect(disabled).toContain(version(1));
    const { versions } = await exchange.keys.destroyKey(version(1));
    expect(versions[0]?.name).toBe(version(1));
    await exchange.keys.restoreKey(version(1), { state: 'DISABLED' });
    expect((await exchange.keys.listKeyVersions(keyName)).map(({ name }) => name)).toEqual(
      [1, 2, 3].map(version),
    );
  });

  it('signs digests, resolves its version and keeps labels', async () => {
    const agentId = await softwareAgent();
    const keyName = await keyOf(agentId);
    const { keyVersion, signature } = await exchange.keys.signDigest(keyName, digest);
    expect(await exchange.keys.resolveKeyVersion(keyName)).toMatchObject({
      keyVersion,
      protectionLevel: 'SOFTWARE',
    });
    expect(await exchange.keys.verify(keyVersion, message, signature)).toBe(true);
    expect((await exchange.keys.updateLabels(keyName, { team: 'payments' })).labels).toMatchObject({
      team: 'payments',
    });
    await expect(exchange.keys.setRotationSchedule(keyName, null)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  });
});

describe('verification', () => {
  it('of a key that there is nowhere says so', async () => {
    await expect(exchange.keys.verify('nowhere', message, digest)).rejects.toMatchObject({
      code: 'NOT_FOUND',
    });
    const rolledBack = await start('rollback');
    await expect(rolledBack.keys.verify('nowhere', message, digest)).rejects.toMatchObject({
      code: 'NOT_FOUND',
    });
    await expect(rolledBack.verifyMessage('nobody', message, digest)).rejects.toMatchObject({
      code: 'AGENT_KEY_NOT_FOUND',
    });
  });

  it('works without any archive where there are only software keys', async () => {
    const agentId = await softwareAgent();
    const alone = await start('software-only', { publicKeyArchive: undefined });
    const signature = await alone.signMessage(agentId, message);
    expect(await alone.verifyMessage(agentId, message, signature)).toBe(true);
    expect(await alone.verifyMessage(agentId, digest, signature)).toBe(false);
    await expect(alone.verifyMessage('nobody', message, signature)).rejects.toMatchObject({
      code: 'AGENT_KEY_NOT_FOUND',
    });
    await alone.generateAgentKey(newId());
  });
});

describe('a store that cannot be opened', () => {
  it('fails the start and each call: nothing is taken for an HSM key in its place', async () => {
    await softwareAgent();
    const softwareKeyStore = { type: 'file', path: world.storePath, key: Buffer.alloc(32, 9) } as const;
    const locked = world.make(2, { softwareKeyStore });
    await expect(locked.initialize()).rejects.toMatchObject({ code: 'KEY_STORE_LOCKED' });
    await expect(locked.signMessage('agent-0', message)).rejects.toMatchObject({ code: 'KEY_STORE_LOCKED' });
    await expect(world.make(4, { softwareKeyStore }).initialize()).rejects.toMatchObject({
      code: 'KEY_STORE_LOCKED',
    });
  });
});

describe('HSM keys in more than one key ring', () => {
  it('cannot be imported into, and the error says what can be done', async () => {
    const { keys } = exchange;
    const services = {
      hsm: keys,
      importer: undefined,
      requireAttested: undefined,
      software: new SoftwareKeys(
        new SoftwareKeyProvider({ ...KEY_RING, softwareKeyStore: { type: 'memory' }, logger: silentLogger }),
      ),
      archived: new ArchivedKeys({ archive: world.archive, clock: world.clock, maxVersions: 1 }),
      defaultAlgorithm: 'EC_SIGN_P256_SHA256',
      now: () => world.clock.now(),
    } as const;
    const key = await services.software.generateKey({
      name: 'somebody',
      purpose: 'ASYMMETRIC_SIGN',
      algorithm: 'EC_SIGN_P256_SHA256',
    });
    const wish = { agentId: 'somebody', role: 'signing', key, strategy: 'import' } as const;
    const context = { operation: 'migrateAgent', resource: 'somebody' };
    await expect(planKey(services, context, wish, {})).rejects.toMatchObject({
      code: 'MIGRATION_PHASE',
      message: expect.stringContaining('regenerate'),
    });
  });
});
