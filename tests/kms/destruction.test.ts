import type { KeyManagementServiceClient } from '@google-cloud/kms';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type KmsEmulator, ManualClock } from '../../src/emulator/index.js';
import type { KeyMetadata, KeySpec, KMSClient, KMSConfig } from '../../src/index.js';
import { CallClock } from '../support/call-clock.js';
import { newClient, officialClient, startTestEmulator, UNHURRIED } from '../support/emulator.js';
import { FastClock } from '../support/fast-clock.js';
import { CalendarClock, DAY_SECONDS } from '../support/lifecycle.js';
import { MemoryPublicKeyArchive } from '../support/memory-archive.js';

const message = Buffer.from('pay 10 EUR to alice');
const SIGNING = { purpose: 'ASYMMETRIC_SIGN', algorithm: 'EC_SIGN_P256_SHA256' } as const;
const WRITES = /^(?:Create|Update|Destroy|Restore|Import|Delete)/;

let clock: CalendarClock;
let emulator: KmsEmulator;
let client: KMSClient;
let official: KeyManagementServiceClient;
let count = 0;
const quick: Partial<KMSConfig> = { clock: new FastClock(), retry: { initialDelayMs: 1, maxDelayMs: 2 } };

beforeAll(async () => {
  clock = new CalendarClock();
  emulator = await startTestEmulator({ clock, asymmetricGenerationMs: 1, hsmGenerationMs: 1 });
  official = officialClient(emulator);
  client = newClient(emulator, quick);
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

const newKey = (rest: Partial<KeySpec> = {}): Promise<KeyMetadata> =>
  client.generateKey({ name: `ended-${++count}`, ...SIGNING, ...rest });
const version = (key: KeyMetadata, number: number): string => `${key.name}/cryptoKeyVersions/${number}`;
const statesOf = async (key: KeyMetadata): Promise<readonly string[]> =>
  (await client.listKeyVersions(key.name)).map(({ state }) => state);
/** Calls that change something, since the log was cleared. */
const writes = (): readonly string[] =>
  emulator.requests.entries.map(({ rpc }) => rpc).filter((rpc) => WRITES.test(rpc));

/** A client with an archive of its own. */
function archivingClient(): { readonly archiving: KMSClient; readonly archive: MemoryPublicKeyArchive } {
  const archive = new MemoryPublicKeyArchive();
  return { archiving: newClient(emulator, { ...quick, publicKeyArchive: archive }), archive };
}

describe('the delay of a destruction, in seconds', () => {
  it('that is longer than the key has is refused before anything is touched', async () => {
    const key = await newKey({ destroyScheduledDurationSeconds: 2 * DAY_SECONDS });
    const { archiving, archive } = archivingClient();
    emulator.requests.clear();
    await expect(archiving.destroyKey(key.name, 2 * DAY_SECONDS + 1)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringMatching(/172801 s.*172800 s.*Nothing was touched/),
    });
    expect(writes()).toEqual([]);
    expect(archive.keys.size).toBe(0);
    await archiving.close();
  });

  it.each([-1, 0.5, Number.NaN])('that is %d is refused before any call', async (seconds) => {
    emulator.requests.clear();
    await expect(client.destroyKey('any', seconds)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      attempts: 0,
    });
    expect(emulator.requests.count()).toBe(0);
  });

  it('that the key has is kept: the version is destroyed then, and not before', async () => {
    const key = await newKey({ destroyScheduledDurationSeconds: 2 * DAY_SECONDS });
    const calledAt = clock.now();
    const { name, versions } = await client.destroyKey(key.name, 2 * DAY_SECONDS);
    expect(name).toBe(key.name);
    const destroyTime = versions[0]?.destroyTime.getTime() ?? 0;
    expect(Math.abs(destroyTime - calledAt - 2 * DAY_SECONDS * 1_000)).toBeLessThan(60_000);
    clock.advance(destroyTime - clock.now() - 60_000);
    expect(await statesOf(key)).toEqual(['DESTROY_SCHEDULED']);
    clock.advance(120_000);
    expect(await statesOf(key)).toEqual(['DESTROYED']);
    await expect(client.restoreKey(key.name)).rejects.toMatchObject({ code: 'FAILED_PRECONDITION' });
    expect((await client.destroyKey(key.name)).versions).toEqual([]);
    expect((await client.destroyKey(version(key, 1))).versions).toEqual([]);
  });
});

describe('the version in use', () => {
  it('is refused by its name before anything is touched, and taken with force', async () => {
    const key = await newKey();
    await client.rotateKey(key.name);
    const { archiving, archive } = archivingClient();
    emulator.requests.clear();
    await expect(archiving.destroyKey(version(key, 2))).rejects.toMatchObject({ code: 'VERSION_IN_USE' });
    expect([writes(), archive.keys.size]).toEqual([[], 0]);
    const { versions } = await archiving.destroyKey(version(key, 2), undefined, { force: true });
    expect(versions).toEqual([{ name: version(key, 2), destroyTime: expect.any(Date) }]);
    expect((await client.signDetailed(key.name, message)).keyVersion).toBe(version(key, 1));
    await archiving.close();
  });

  it('of a symmetric key is refused too', async () => {
    const key = await newKey({ purpose: 'ENCRYPT_DECRYPT', algorithm: 'GOOGLE_SYMMETRIC_ENCRYPTION' });
    await expect(client.destroyKey(version(key, 1))).rejects.toMatchObject({ code: 'VERSION_IN_USE' });
  });

  it('until it was disabled is destroyed by its name, and stays so', async () => {
    const key = await newKey();
    await client.setPrimaryVersion(key.name, 1);
    await official.updateCryptoKeyVersion({
      cryptoKeyVersion: { name: version(key, 1), state: 'DISABLED' },
      updateMask: { paths: ['state'] },
    });
    expect((await client.destroyKey(version(key, 1))).versions).toHaveLength(1);
    expect(await statesOf(key)).toEqual(['DESTROY_SCHEDULED']);
  });

  it('is scheduled last when the whole key is destroyed', async () => {
    const key = await newKey();
    await client.rotateKey(key.name);
    await client.rotateKey(key.name);
    await client.setPrimaryVersion(key.name, 1);
    const { versions } = await client.destroyKey(key.name);
    expect(versions.map(({ name }) => name)).toEqual([version(key, 2), version(key, 3), version(key, 1)]);
  });

  it('that somebody goes back to in the same moment is not lost', async () => {
    const key = await newKey();
    await client.rotateKey(key.name);
    const manual = new CallClock(Date.now());
    await using slow = newClient(emulator, { clock: manual, deadlines: UNHURRIED });
    emulator.faults.add({ rpc: 'DestroyCryptoKeyVersion', status: { code: 'UNAVAILABLE' }, times: 1 });
    const destroying = slow.destroyKey(version(key, 1));
    const refused = expect(destroying).rejects.toMatchObject({ code: 'VERSION_IN_USE' });
    await expect.poll(() => manual.awaitedTimers).toBe(2);
    await client.setPrimaryVersion(key.name, 1);
    manual.advance(1_000);
    await refused;
    expect(await statesOf(key)).toEqual(['ENABLED', 'ENABLED']);
    expect((await client.signDetailed(key.name, message)).keyVersion).toBe(version(key, 1));
  });
});

describe('a version that is being made', () => {
  it('is waited for, so that it is not usable after all others are gone', async () => {
    const manual = new ManualClock(Date.now());
    await using still = await startTestEmulator({ clock: manual });
    await using own = newClient(still, quick);
    await own.initialize();
    const polled = (): Promise<void> =>
      expect.poll(() => still.requests.count('GetCryptoKeyVersion')).toBeGreaterThan(0);
    const creating = own.generateKey({ name: 'still', ...SIGNING });
    await polled();
    manual.advance(1_000);
    const { name } = await creating;
    const other = officialClient(still);
    await other.createCryptoKeyVersion({ parent: name });
    await other.close();
    still.requests.clear();
    const destroying = own.destroyKey(name);
    await polled();
    expect(still.requests.count('DestroyCryptoKeyVersion')).toBe(0);
    manual.advance(1_000);
    const { versions } = await destroying;
    expect(versions.map((version) => version.name)).toEqual([
      `${name}/cryptoKeyVersions/2`,
      `${name}/cryptoKeyVersions/1`,
    ]);
  });

  it('and fails is left out: there is nothing to destroy', async () => {
    const key = await newKey();
    emulator.failGeneration('no entropy');
    await official.createCryptoKeyVersion({ parent: key.name });
    const { versions } = await client.destroyKey(key.name);
    emulator.failGeneration(undefined);
    expect(versions.map(({ name }) => name)).toEqual([version(key, 1)]);
  });
});

describe('the public key', () => {
  it('is archived first, and verifies when the version is gone for good', async () => {
    const key = await newKey();
    const signature = await client.sign(key.name, message);
    const { archiving, archive } = archivingClient();
    emulator.faults.add({
      rpc: 'DestroyCryptoKeyVersion',
      when: () => {
        expect([...archive.keys.keys()]).toEqual([version(key, 1)]);
        return false;
      },
    });
    await archiving.destroyKey(key.name);
    expect(archive.keys.get(version(key, 1))).toMatchObject({
      algorithm: SIGNING.algorithm,
      protectionLevel: 'HSM',
      notAfter: expect.any(Date),
    });
    await archiving.close();
    clock.advanceDays(31);
    await using fresh = newClient(emulator, { publicKeyArchive: archive });
    expect(await fresh.verify(key.name, message, signature)).toBe(true);
    expect(await fresh.verify(version(key, 1), message, signature)).toBe(true);
    expect(await fresh.verify(key.name, Buffer.from('pay 11 EUR'), signature)).toBe(false);
    expect((await fresh.getPublicKey(version(key, 1))).toString()).toContain('BEGIN PUBLIC KEY');
  });

  it('that cannot be archived leaves everything as it is, also what comes before it', async () => {
    const key = await newKey();
    await client.rotateKey(key.name);
    const { archiving, archive } = archivingClient();
    archive.putsLeft = 1;
    emulator.requests.clear();
    for (const options of [{}, { force: true }])
      await expect(archiving.destroyKey(key.name, undefined, options)).rejects.toMatchObject({
        code: 'ARCHIVE',
      });
    expect(writes()).toEqual([]);
    expect(await statesOf(key)).toEqual(['ENABLED', 'ENABLED']);
    archive.putsLeft = 2;
    expect((await archiving.destroyKey(key.name)).versions).toHaveLength(2);
    await archiving.close();
  });

  it('of a DISABLED version that was not archived before is missed before anything is touched, unless forced', async () => {
    const key = await newKey();
    await official.updateCryptoKeyVersion({
      cryptoKeyVersion: { name: version(key, 1), state: 'DISABLED' },
      updateMask: { paths: ['state'] },
    });
    const { archiving } = archivingClient();
    emulator.requests.clear();
    await expect(archiving.destroyKey(key.name)).rejects.toMatchObject({
      code: 'PUBLIC_KEY_NOT_ARCHIVED',
      keyVersions: [version(key, 1)],
    });
    expect(writes()).toEqual([]);
    expect((await archiving.destroyKey(key.name, undefined, { force: true })).versions).toHaveLength(1);
    await archiving.close();
  });

  it('of another key under the name of the version is refused, and nothing is destroyed', async () => {
    const [key, other] = [await newKey(), await newKey()];
    const { archiving, archive } = archivingClient();
    await archiving.destroyKey(other.name);
    const archived = archive.keys.get(version(other, 1)) ?? expect.fail('not archived');
    await using fresh = newClient(emulator, { publicKeyArchive: archive });
    const signature = await client.sign(key.name, message);
    await official.updateCryptoKeyVersion({
      cryptoKeyVersion: { name: version(key, 1), state: 'DISABLED' },
      updateMask: { paths: ['state'] },
    });
    const lies = [
      { keyVersion: version(other, 1) },
      { algorithm: 'EC_SIGN_P384_SHA384' as const },
      { protectionLevel: 'SOFTWARE' },
      { pem: 'not a key' },
    ];
    for (const lie of lies) {
      archive.keys.set(version(key, 1), { ...archived, keyVersion: version(key, 1), ...lie });
      await expect(fresh.verify(key.name, message, signature)).rejects.toMatchObject({ code: 'INTEGRITY' });
    }
    await archiving.close();
  });
});

describe('a destruction whose answer is lost', () => {
  it.each(['key', 'version'] as const)('is not repeated, and reported with its time: a %s', async (what) => {
    const key = await newKey();
    await client.rotateKey(key.name);
    emulator.requests.clear();
    emulator.faults.add({
      rpc: 'DestroyCryptoKeyVersion',
      applyAfterExecution: true,
      times: 1,
      status: { code: 'UNAVAILABLE' },
    });
    const { versions } = await client.destroyKey(what === 'key' ? key.name : version(key, 1));
    expect(versions[0]).toEqual({ name: version(key, 1), destroyTime: expect.any(Date) });
    expect(emulator.requests.count('DestroyCryptoKeyVersion')).toBe(versions.length);
  });

  it('and that somebody else did in the same moment is theirs', async () => {
    const key = await newKey();
    await client.rotateKey(key.name);
    const both = await Promise.all([client.destroyKey(version(key, 1)), client.destroyKey(version(key, 1))]);
    expect(both[0]).toEqual(both[1]);
  });

  it('for good is an error', async () => {
    const key = await newKey();
    emulator.faults.add({ rpc: 'DestroyCryptoKeyVersion', status: { code: 'FAILED_PRECONDITION' } });
    await expect(client.destroyKey(key.name)).rejects.toMatchObject({ code: 'FAILED_PRECONDITION' });
  });
});

describe('restoring within the window', () => {
  it('brings versions back ENABLED, with the one in use as it was', async () => {
    const key = await newKey();
    const signature = await client.sign(key.name, message);
    await client.rotateKey(key.name);
    await client.destroyKey(key.name);
    clock.advanceDays(29);
    const restored = await client.restoreKey(key.name);
    expect(restored.primary).toBe(version(key, 2));
    expect(restored.labels).not.toHaveProperty('a2a-restoring');
    expect(await statesOf(key)).toEqual(['ENABLED', 'ENABLED']);
    expect(await client.verify(key.name, message, signature)).toBe(true);
    expect(await client.verify(key.name, message, await client.sign(key.name, message))).toBe(true);
  });

  it('leaves them DISABLED where that is asked for', async () => {
    const key = await newKey();
    await client.destroyKey(key.name);
    await client.restoreKey(key.name, { state: 'DISABLED' });
    expect(await statesOf(key)).toEqual(['DISABLED']);
  });

  it('of many versions brings them all back', async () => {
    const key = await newKey();
    for (let versions = 0; versions < 10; versions++)
      await official.createCryptoKeyVersion({ parent: key.name });
    await client.destroyKey(key.name);
    await client.restoreKey(key.name);
    expect(new Set(await statesOf(key))).toEqual(new Set(['ENABLED']));
  });

  it('while somebody schedules the version once more ends ENABLED all the same', async () => {
    const key = await newKey();
    await client.rotateKey(key.name);
    await client.destroyKey(version(key, 1));
    emulator.faults.add({
      rpc: 'UpdateCryptoKeyVersion',
      times: 1,
      status: { code: 'FAILED_PRECONDITION' },
    });
    // The state does not say that somebody did, so the answer stands.
    await expect(client.restoreKey(version(key, 1))).rejects.toMatchObject({ code: 'FAILED_PRECONDITION' });
    const manual = new CallClock(Date.now());
    await using slow = newClient(emulator, { clock: manual, deadlines: UNHURRIED });
    emulator.faults.add({ rpc: 'UpdateCryptoKeyVersion', times: 1, status: { code: 'UNAVAILABLE' } });
    const restoring = slow.restoreKey(version(key, 1));
    await expect.poll(() => manual.awaitedTimers).toBe(2);
    await official.destroyCryptoKeyVersion({ name: version(key, 1) });
    manual.advance(1_000);
    await restoring;
    expect(await statesOf(key)).toEqual(['ENABLED', 'ENABLED']);
  });
});
