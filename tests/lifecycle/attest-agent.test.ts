/** Whoever has agent ids gets the HSMs' statements about agents' keys, and is told where there can be none. */

import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { EMULATOR_ATTESTATION_ROOTS, type KmsEmulator } from '../../src/emulator/index.js';
import { type A2AKeyExchange, attestedKeyOf, verifyAttestation } from '../../src/index.js';
import { KEY_RING, newExchange, startTestEmulator } from '../support/emulator.js';
import { startMigrationWorld } from '../support/migration.js';
import { STANDBY_RING, startTwoLocations } from '../support/two-locations.js';

const message = Buffer.from('pay 10 EUR to alice');
const ROOTS = { attestationRoots: EMULATOR_ATTESTATION_ROOTS } as const;
const ringName = ({ locationId, keyRingId }: { readonly locationId: string; readonly keyRingId: string }) =>
  `projects/${KEY_RING.projectId}/locations/${locationId}/keyRings/${keyRingId}`;

describe('an exchange with HSM keys', () => {
  let emulator: KmsEmulator;
  let exchange: A2AKeyExchange;
  beforeAll(async () => {
    emulator = await startTestEmulator();
    exchange = newExchange(emulator, ROOTS);
    await exchange.initialize();
    await exchange.generateAgentKey('bot', { purpose: 'both', algorithm: 'ecdsa-p256' });
  });
  afterAll(async () => {
    await exchange.close();
    await emulator.close();
  });

  it('gives a valid statement about the version that signs, also after a rotation', async () => {
    await exchange.rotateAgentKey('bot');
    const { keyVersion } = await exchange.signMessageDetailed('bot', message);
    const attested = await exchange.attestAgentKey('bot');
    expect(attested).toHaveLength(1);
    expect(attested[0]).toMatchObject({
      keyRing: ringName(KEY_RING),
      keyVersion,
      protectionLevel: 'HSM',
      verdict: 'valid',
    });
    expect(keyVersion).toMatch(/\/cryptoKeyVersions\/2$/);
  });

  it('gives evidence that is verified offline, as JSON', async () => {
    const [attested] = JSON.parse(JSON.stringify(await exchange.attestAgentKey('bot')));
    const { keyVersion, evidence } = attested;
    expect(evidence.publicKey).toBe((await exchange.getPublicKey('bot')).toString('utf8'));
    expect(
      verifyAttestation({
        format: evidence.format,
        content: Buffer.from(evidence.content, 'base64'),
        certChains: evidence.certChains,
        key: attestedKeyOf(evidence.publicKey),
        keyVersion,
        roots: EMULATOR_ATTESTATION_ROOTS,
        at: new Date(),
      }).verdict,
    ).toBe('valid');
  });

  it('gives that of the encryption key when that one is asked for', async () => {
    const [attested] = await exchange.attestAgentKey('bot', { role: 'encryption' });
    expect(attested).toMatchObject({ algorithm: expect.stringMatching(/^RSA_DECRYPT_/), verdict: 'valid' });
  });

  it('says of a key of level SOFTWARE in Cloud KMS that it is invalid', async () => {
    await exchange.generateAgentKey('cheap', { protectionLevel: 'SOFTWARE', algorithm: 'ecdsa-p256' });
    const [attested] = await exchange.attestAgentKey('cheap');
    expect(attested).toMatchObject({ protectionLevel: 'SOFTWARE', verdict: 'invalid' });
  });

  it('refuses an agent without a key, and what is no role, the latter before any call', async () => {
    await expect(exchange.attestAgentKey('nobody')).rejects.toMatchObject({ code: 'AGENT_KEY_NOT_FOUND' });
    const before = emulator.requests.entries.length;
    const role = JSON.parse('"root"');
    await expect(exchange.attestAgentKey('bot', { role })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
    await expect(exchange.attestAgentKey('')).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(emulator.requests.entries).toHaveLength(before);
  });
});

describe('an exchange with replicas', () => {
  it('gives one statement for each key ring, in their order, and none when a key ring is silent', async () => {
    const locations = await startTwoLocations();
    onTestFinished(() => locations.close());
    const exchange = locations.newExchange(ROOTS);
    await exchange.initialize();
    await exchange.generateAgentKey('bot', { algorithm: 'ecdsa-p256' });
    const attested = await exchange.attestAgentKey('bot');
    expect(attested.map(({ keyRing, verdict }) => [keyRing, verdict])).toEqual([
      [ringName(KEY_RING), 'valid'],
      [ringName(STANDBY_RING), 'valid'],
    ]);
    for (const { keyRing, keyVersion } of attested) expect(keyVersion.startsWith(`${keyRing}/`)).toBe(true);
    const [first, second] = attested.map(({ evidence }) => evidence.publicKey);
    expect(first).not.toBe(second);
    await locations.first.close();
    await expect(exchange.attestAgentKey('bot')).rejects.toMatchObject({
      code: 'REPLICATION_INCOMPLETE',
      completed: [ringName(STANDBY_RING)],
      failures: [{ keyRing: ringName(KEY_RING) }],
    });
  });
});

describe('an agent with software keys', () => {
  it('has no statement before it is migrated and in a rollback, and one in between', async () => {
    await using world = await startMigrationWorld();
    const refusal = {
      code: 'ATTESTATION_UNSUPPORTED',
      message: expect.stringContaining('no HSM made it'),
    };
    await world.within('software-only', async (exchange) => {
      await exchange.generateAgentKey('bot');
      await expect(exchange.attestAgentKey('bot')).rejects.toMatchObject(refusal);
    });
    await world.within(2, async (exchange) => {
      await expect(exchange.attestAgentKey('bot')).rejects.toMatchObject(refusal);
      await exchange.migrateAgent('bot', { strategy: 'regenerate' });
    });
    for (const phase of [2, 3, 4] as const) {
      const exchange = await world.start(phase, ROOTS);
      const [attested] = await exchange.attestAgentKey('bot');
      expect(attested).toMatchObject({
        keyRing: ringName(KEY_RING),
        protectionLevel: 'HSM',
        verdict: 'valid',
      });
    }
    await world.within('rollback', async (exchange) => {
      await expect(exchange.attestAgentKey('bot')).rejects.toMatchObject(refusal);
    });
  });

  it('that was imported into the HSM has one that says so', async () => {
    await using world = await startMigrationWorld();
    await world.within('software-only', (exchange) => exchange.generateAgentKey('bot'));
    const exchange = await world.start(3, ROOTS);
    await exchange.migrateAgent('bot', { strategy: 'import' });
    const [attested] = await exchange.attestAgentKey('bot');
    expect(attested).toMatchObject({ verdict: 'imported' });
  });
});
