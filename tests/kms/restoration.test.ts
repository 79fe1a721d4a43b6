/** What comes back of a destruction that was scheduled: each version as it was, once, and for as long as it was before. */

import type { KeyManagementServiceClient } from '@google-cloud/kms';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { KmsEmulator, RpcName } from '../../src/emulator/index.js';
import type { KeyMetadata, KMSClient } from '../../src/index.js';
import { newClient, officialClient, startTestEmulator } from '../support/emulator.js';
import { CalendarClock, DAY_SECONDS } from '../support/lifecycle.js';
import { MemoryPublicKeyArchive } from '../support/memory-archive.js';

const message = Buffer.from('pay 10 EUR to alice');

let clock: CalendarClock;
let emulator: KmsEmulator;
let client: KMSClient;
let official: KeyManagementServiceClient;
let count = 0;

beforeAll(async () => {
  clock = new CalendarClock();
  emulator = await startTestEmulator({ clock, asymmetricGenerationMs: 1, hsmGenerationMs: 1 });
  official = officialClient(emulator);
  client = newClient(emulator, {
    clock,
    publicKeyArchive: new MemoryPublicKeyArchive(),
    retry: { initialDelayMs: 1, maxDelayMs: 2 },
  });
  await client.initialize();
});
afterEach(() => {
  emulator.faults.clear();
});
afterAll(async () => {
  await client.close();
  await official.close();
  await emulator.close();
});

/** A key with that many versions, the newest in use. */
async function newKey(versions: number): Promise<KeyMetadata> {
  const { name } = await client.generateKey({
    name: `restored-${++count}`,
    purpose: 'ASYMMETRIC_SIGN',
    algorithm: 'EC_SIGN_P256_SHA256',
  });
  for (let made = 1; made < versions; made++) await client.rotateKey(name);
  return client.getKey(name);
}

const version = (key: KeyMetadata, number: number): string => `${key.name}/cryptoKeyVersions/${number}`;
const statesOf = async (key: KeyMetadata): Promise<readonly string[]> =>
  (await client.listKeyVersions(key.name)).map(({ state }) => state);
const labelsOf = async (key: KeyMetadata) => (await client.getKey(key.name)).labels;

/** As an operator does with gcloud. */
async function operatorSets(name: string, state: 'ENABLED' | 'DISABLED'): Promise<void> {
  await official.updateCryptoKeyVersion({
    cryptoKeyVersion: { name, state },
    updateMask: { paths: ['state'] },
  });
}

/** What is archived can be destroyed also while it is DISABLED. */
async function operatorDisables(key: KeyMetadata, number: number): Promise<void> {
  await client.getPublicKey(version(key, number));
  await operatorSets(version(key, number), 'DISABLED');
}

/** A restore that dies at the n-th call of an RPC, which has no effect any more. */
async function restoreDyingAt(name: string, rpc: RpcName, call: number): Promise<void> {
  using _fault = emulator.faults.add({ rpc, after: call - 1, status: { code: 'PERMISSION_DENIED' } });
  await expect(client.restoreKey(name)).rejects.toMatchObject({ code: 'PERMISSION_DENIED' });
}

describe('a version that was DISABLED on purpose', () => {
  it.each(['key', 'versions by name'] as const)('comes back DISABLED: destroyed as a %s', async (what) => {
    const key = await newKey(2);
    await operatorDisables(key, 1);
    const names = what === 'key' ? [key.name] : [version(key, 1), version(key, 2)];
    for (const name of names) await client.destroyKey(name, undefined, { force: true });
    expect(await labelsOf(key)).toMatchObject({ 'a2a-disabled': '1' });
    await client.restoreKey(key.name);
    expect(await statesOf(key)).toEqual(['DISABLED', 'ENABLED']);
    expect(await labelsOf(key)).not.toHaveProperty('a2a-disabled');
    await client.destroyKey(key.name);
    await client.restoreKey(key.name, { state: 'ENABLED' });
    expect(await statesOf(key)).toEqual(['ENABLED', 'ENABLED']);
  });

  it('and ENABLED again after its retirement comes back ENABLED', async () => {
    const key = await newKey(2);
    await client.retire(key.name, { graceSeconds: 0 });
    await operatorSets(version(key, 1), 'ENABLED');
    await client.destroyKey(key.name);
    await client.restoreKey(key.name);
    expect(await statesOf(key)).toEqual(['ENABLED', 'ENABLED']);
  });

  it('stays so when a restore died at its end, a long time ago', async () => {
    const key = await newKey(2);
    await client.destroyKey(key.name);
    // The first write says what is going to be enabled, the second one that it is.
    await restoreDyingAt(key.name, 'UpdateCryptoKey', 2);
    expect(await statesOf(key)).toEqual(['ENABLED', 'ENABLED']);
    clock.advanceDays(60);
    await operatorDisables(key, 1);
    await client.destroyKey(key.name);
    expect(await labelsOf(key)).not.toHaveProperty('a2a-restoring');
    await client.restoreKey(key.name);
    expect(await statesOf(key)).toEqual(['DISABLED', 'ENABLED']);
  });

  it('is not enabled by a restore that retirement has overtaken: there is nothing left to restore', async () => {
    const key = await newKey(2);
    await client.destroyKey(version(key, 1));
    await restoreDyingAt(key.name, 'UpdateCryptoKeyVersion', 1);
    await client.retire(key.name);
    expect(await labelsOf(key)).toMatchObject({ 'a2a-restoring': '1' });
    await client.retire(key.name, { graceSeconds: 0 });
    await expect(client.restoreKey(key.name)).rejects.toMatchObject({ code: 'FAILED_PRECONDITION' });
    expect(await statesOf(key)).toEqual(['DISABLED', 'ENABLED']);
  });

  it('by a retirement that scheduled it comes back DISABLED, also when the retirement died right after', async () => {
    const key = await newKey(2);
    using fault = emulator.faults.add({
      rpc: 'DestroyCryptoKeyVersion',
      applyAfterExecution: true,
      status: { code: 'PERMISSION_DENIED' },
    });
    const ending = client.retire(key.name, { graceSeconds: 0, keepVersions: 1 });
    await expect(ending).rejects.toMatchObject({ code: 'PERMISSION_DENIED' });
    fault.remove();
    expect(await statesOf(key)).toEqual(['DESTROY_SCHEDULED', 'ENABLED']);
    await client.restoreKey(key.name);
    expect(await statesOf(key)).toEqual(['DISABLED', 'ENABLED']);
  });
});

describe('a restore that died', () => {
  it('is finished by one of the whole key, also when another version was restored by its name meanwhile', async () => {
    const key = await newKey(3);
    for (const number of [1, 2]) await client.destroyKey(version(key, number));
    await restoreDyingAt(version(key, 2), 'UpdateCryptoKeyVersion', 1);
    expect(await statesOf(key)).toEqual(['DESTROY_SCHEDULED', 'DISABLED', 'ENABLED']);
    await client.restoreKey(version(key, 1));
    expect(await labelsOf(key)).toMatchObject({ 'a2a-restoring': '2' });
    await client.restoreKey(key.name);
    expect(await statesOf(key)).toEqual(['ENABLED', 'ENABLED', 'ENABLED']);
    expect(await labelsOf(key)).not.toHaveProperty('a2a-restoring');
  });

  it('is over for a version whose destruction is scheduled once more', async () => {
    const key = await newKey(3);
    for (const number of [1, 2]) await client.destroyKey(version(key, number));
    await restoreDyingAt(key.name, 'UpdateCryptoKeyVersion', 1);
    await client.getKey(key.name);
    await client.destroyKey(version(key, 1));
    expect(await labelsOf(key)).toMatchObject({ 'a2a-restoring': '2', 'a2a-disabled': '1' });
  });

  it('of a version that is not there is NOT_FOUND', async () => {
    const key = await newKey(1);
    await expect(client.restoreKey(version(key, 7))).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });
});

describe('restoring a whole key', () => {
  it('has no other version used than the one that was in use', async () => {
    const key = await newKey(3);
    await client.setPrimaryVersion(key.name, 2);
    await client.destroyKey(key.name);
    await restoreDyingAt(key.name, 'UpdateCryptoKeyVersion', 2);
    expect((await client.signDetailed(key.name, message)).keyVersion).toBe(version(key, 2));
    await client.restoreKey(key.name);
    expect(await statesOf(key)).toEqual(['ENABLED', 'ENABLED', 'ENABLED']);
  });
});

describe('a replaced version that was restored', () => {
  const policy = { graceSeconds: 7 * DAY_SECONDS, retireAfterSeconds: 20 * DAY_SECONDS, keepVersions: 1 };

  it.each([
    ['ENABLED', undefined],
    ['DISABLED', 'DISABLED'],
  ] as const)('to %s has its grace before it goes the same way again', async (state, wanted) => {
    const key = await newKey(2);
    clock.advanceDays(25);
    expect((await client.retire(key.name, policy)).scheduled).toHaveLength(1);
    await client.restoreKey(version(key, 1), { state: wanted });
    expect(await client.retire(key.name, policy)).toMatchObject({ disabled: [], scheduled: [] });
    expect(await statesOf(key)).toEqual([state, 'ENABLED']);
    clock.advanceDays(8);
    expect((await client.retire(key.name, policy)).scheduled).toHaveLength(1);
  });
});
