/** Signatures by versions that were disabled or destroyed since this process looked: a verdict, and the same one each time. */

import type { KeyManagementServiceClient } from '@google-cloud/kms';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { KmsEmulator } from '../../src/emulator/index.js';
import type { KMSClient } from '../../src/index.js';
import { newClient, officialClient, startTestEmulator } from '../support/emulator.js';
import { CalendarClock } from '../support/lifecycle.js';
import { MemoryPublicKeyArchive } from '../support/memory-archive.js';
import { startTwoLocations } from '../support/two-locations.js';

const message = Buffer.from('pay 10 EUR to alice');
const forged = Buffer.from('pay 11 EUR to alice');
const SIGNING = { purpose: 'ASYMMETRIC_SIGN', algorithm: 'EC_SIGN_P256_SHA256' } as const;

let clock: CalendarClock;
let emulator: KmsEmulator;
let official: KeyManagementServiceClient;
let archive: MemoryPublicKeyArchive;
let client: KMSClient;

beforeAll(async () => {
  clock = new CalendarClock();
  emulator = await startTestEmulator({ clock, asymmetricGenerationMs: 1, hsmGenerationMs: 1 });
  official = officialClient(emulator);
  archive = new MemoryPublicKeyArchive();
  client = newClient(emulator, { clock, publicKeyArchive: archive });
  await client.initialize();
});
afterAll(async () => {
  await client.close();
  await official.close();
  await emulator.close();
});

const disable = (name: string, by: KeyManagementServiceClient = official): Promise<unknown> =>
  by.updateCryptoKeyVersion({
    cryptoKeyVersion: { name, state: 'DISABLED' },
    updateMask: { paths: ['state'] },
  });

describe('a version that was disabled a moment ago', () => {
  it('does not stand between a signature and the version that made it, nor make a forgery an error', async () => {
    const { name } = await client.generateKey({ name: 'just-disabled', ...SIGNING });
    const old = await client.sign(name, message);
    for (const _ of [2, 3]) await client.rotateKey(name);
    await using verifier = newClient(emulator);
    expect((await verifier.resolveKeyVersion(name)).keyVersion).toBe(`${name}/cryptoKeyVersions/3`);
    await disable(`${name}/cryptoKeyVersions/2`);
    emulator.requests.clear();
    expect(await verifier.verify(name, message, old)).toBe(true);
    expect(await verifier.verify(name, forged, old)).toBe(false);
    // What was known of the key was wrong, so it was read once more.
    expect(emulator.requests.count('ListCryptoKeyVersions')).toBe(1);
  });

  it('and was the only one leaves nothing to verify with; asked for by its name, the state is the error', async () => {
    const { name, primary = '' } = await client.generateKey({ name: 'only-one', ...SIGNING });
    const signature = await client.sign(name, message);
    await using verifier = newClient(emulator);
    await verifier.resolveKeyVersion(name);
    await disable(primary);
    await expect(verifier.verify(name, message, signature)).rejects.toMatchObject({
      code: 'NO_USABLE_VERSION',
      cause: { code: 'FAILED_PRECONDITION' },
    });
    await expect(verifier.verify(primary, message, signature)).rejects.toMatchObject({
      code: 'FAILED_PRECONDITION',
    });
  });

  it('in the first key ring does not keep the replica from being asked', async () => {
    const locations = await startTwoLocations();
    const exchange = locations.newExchange();
    await exchange.initialize();
    const { name, primary = '' } = await exchange.keys.generateKey({ name: 'k', ...SIGNING });
    const standby = 'projects/test-project/locations/europe-west4/keyRings/standby/cryptoKeys/k';
    const signature = await exchange.keys.sign(standby, message);
    const verifier = locations.newExchange();
    await verifier.keys.resolveKeyVersion(name);
    const by = officialClient(locations.first);
    await disable(primary, by);
    await by.close();
    expect(await verifier.keys.verify(name, message, signature)).toBe(true);
    await locations.close();
  });
});

describe('an archived version below more than 64 that are not in the archive', () => {
  it('verifies the first time, and every time', async () => {
    const { name } = await client.generateKey({ name: 'long-lived', ...SIGNING });
    const first = `${name}/cryptoKeyVersions/1`;
    const old = await client.sign(name, message);
    for (let made = 2; made <= 72; made++) await official.createCryptoKeyVersion({ parent: name });
    const states = async (): Promise<readonly string[]> =>
      (await client.listKeyVersions(name)).map(({ state }) => state);
    await expect.poll(async () => (await states()).includes('PENDING_GENERATION')).toBe(false);
    for (let gone = 2; gone <= 71; gone++)
      await official.destroyCryptoKeyVersion({ name: `${name}/cryptoKeyVersions/${gone}` });
    await client.setPrimaryVersion(name, 72);
    await client.destroyKey(first);
    clock.advanceDays(31);
    expect((await states()).filter((state) => state === 'DESTROYED')).toHaveLength(71);
    expect([...archive.keys.keys()]).toContain(first);
    await using verifier = newClient(emulator, { clock, publicKeyArchive: archive });
    for (const _ of ['first', 'again']) {
      expect(await verifier.verify(name, message, old)).toBe(true);
      expect(await verifier.verify(name, forged, old)).toBe(false);
    }
  });
});
