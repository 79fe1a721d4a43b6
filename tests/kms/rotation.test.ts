import type { KeyManagementServiceClient } from '@google-cloud/kms';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type FaultRule, type KmsEmulator, ManualClock } from '../../src/emulator/index.js';
import type { KeyMetadata, KeySpec, KMSClient, KMSConfig, Logger } from '../../src/index.js';
import { lifecycleOf } from '../../src/keys/version-history.js';
import { CallClock } from '../support/call-clock.js';
import {
  newClient,
  officialClient,
  silentLogger,
  startTestEmulator,
  UNHURRIED,
} from '../support/emulator.js';
import { FastClock } from '../support/fast-clock.js';
import { MemoryPublicKeyArchive } from '../support/memory-archive.js';

const message = Buffer.from('pay 10 EUR to alice');
const SIGNING = { purpose: 'ASYMMETRIC_SIGN', algorithm: 'EC_SIGN_P256_SHA256' } as const;
const SYMMETRIC = { purpose: 'ENCRYPT_DECRYPT', algorithm: 'GOOGLE_SYMMETRIC_ENCRYPTION' } as const;
/** When a write that was on its way has landed: then the clients whose time stands still look again. */
const ATTEMPT_MS = UNHURRIED.attemptMs;

let emulator: KmsEmulator;
let client: KMSClient;
/** Somebody who writes labels without reading them again first. */
let official: KeyManagementServiceClient;
let count = 0;

const quick: Partial<KMSConfig> = { clock: new FastClock(), retry: { initialDelayMs: 1, maxDelayMs: 2 } };

beforeAll(async () => {
  emulator = await startTestEmulator({ asymmetricGenerationMs: 1, hsmGenerationMs: 1 });
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

const newKey = (kind: Pick<KeySpec, 'purpose' | 'algorithm'> = SIGNING): Promise<KeyMetadata> =>
  client.generateKey({ name: `rotated-${++count}`, ...kind });
const version = (key: KeyMetadata, number: number): string => `${key.name}/cryptoKeyVersions/${number}`;

async function readLabels(key: KeyMetadata): Promise<Record<string, string>> {
  const [{ labels }] = await official.getCryptoKey({ name: key.name });
  return { ...labels };
}

async function writeLabels(key: KeyMetadata, labels: Record<string, string>): Promise<void> {
  await official.updateCryptoKey({
    cryptoKey: { name: key.name, labels },
    updateMask: { paths: ['labels'] },
  });
}

/** Calls for this key: clients look again at other keys, seconds after they rotated them, in tests that follow. */
const callsFor =
  (key: KeyMetadata): NonNullable<FaultRule['when']> =>
  ({ name, parent, cryptoKey }) =>
    name === key.name ||
    parent === key.name ||
    (typeof cryptoKey === 'object' && cryptoKey !== null && Reflect.get(cryptoKey, 'name') === key.name);

/** A client whose time stands still, so that what it does later can be had at will. */
function slowClient(rest: Partial<KMSConfig> = {}): {
  readonly slow: KMSClient;
  readonly clock: CallClock;
} {
  const clock = new CallClock(Date.now());
  return { slow: newClient(emulator, { clock, deadlines: UNHURRIED, ...rest }), clock };
}

/** Uses a client that is closed then, so that it does not look at the key again while the test goes on. */
async function byAnother<T>(work: (own: KMSClient) => Promise<T>): Promise<T> {
  await using own = newClient(emulator, quick);
  return await work(own);
}

/** What a process that starts now takes for the version in use. */
async function versionInUse(key: KeyMetadata): Promise<string> {
  await using fresh = newClient(emulator);
  return (await fresh.resolveKeyVersion(key.name)).keyVersion;
}

describe('the version in use', () => {
  it('after the ninth is the tenth, with the pointer and without it (D3)', async () => {
    const key = await newKey();
    for (let number = 2; number <= 10; number++)
      expect((await client.rotateKey(key.name)).primary).toBe(version(key, number));
    expect(await versionInUse(key)).toBe(version(key, 10));
    await writeLabels(key, {});
    expect(await versionInUse(key)).toBe(version(key, 10));
    expect((await client.setPrimaryVersion(key.name, 9)).primary).toBe(version(key, 9));
    expect((await client.rotateKey(key.name)).primary).toBe(version(key, 11));
  });

  it('moves from P-384 to P-256, and processes that knew the key before verify both', async () => {
    const key = await newKey({ purpose: 'ASYMMETRIC_SIGN', algorithm: 'EC_SIGN_P384_SHA384' });
    await using verifier = newClient(emulator, { cache: { keyVersionTtlMs: 1 } });
    const before = await client.signDetailed(key.name, message);
    expect(await verifier.verify(key.name, message, before.signature)).toBe(true);
    await client.rotateKey(key.name, { algorithm: 'EC_SIGN_P256_SHA256' });
    const after = await client.signDetailed(key.name, message);
    expect([before.algorithm, after.algorithm]).toEqual(['EC_SIGN_P384_SHA384', 'EC_SIGN_P256_SHA256']);
    await expect.poll(() => verifier.verify(key.name, message, after.signature)).toBe(true);
    for (const signed of [before, after]) {
      expect(await verifier.verify(key.name, message, signed.signature)).toBe(true);
      expect(await verifier.verify(signed.keyVersion, message, signed.signature)).toBe(true);
    }
    expect(await verifier.verify(after.keyVersion, message, before.signature)).toBe(false);
  });

  it('goes back in one call, while a process that does not know yet goes on to sign with what verifies', async () => {
    const key = await newKey();
    await client.rotateKey(key.name);
    await using unaware = newClient(emulator);
    await unaware.sign(key.name, message);
    expect((await client.setPrimaryVersion(key.name, 1)).primary).toBe(version(key, 1));
    const signed = await unaware.signDetailed(key.name, message);
    expect(signed.keyVersion).toBe(version(key, 2));
    expect(await client.verify(key.name, message, signed.signature)).toBe(true);
    expect(await versionInUse(key)).toBe(version(key, 1));
  });

  it('is the new one where the one before was disabled, also when that is enabled again', async () => {
    const key = await newKey();
    await client.rotateKey(key.name);
    for (const number of [1, 2]) await setState(version(key, number), 'DISABLED');
    expect((await client.rotateKey(key.name)).primary).toBe(version(key, 3));
    for (const number of [1, 2]) await setState(version(key, number), 'ENABLED');
    expect(await versionInUse(key)).toBe(version(key, 3));
  });

  it('is still found, and old versions are no new ones, when the labels that said so are gone', async () => {
    const key = await newKey();
    for (let rotations = 0; rotations < 3; rotations++) await client.rotateKey(key.name);
    await client.setPrimaryVersion(key.name, 1);
    const labels = await readLabels(key);
    const { 'a2a-version-2': _, 'a2a-version-3': __, ...others } = labels;
    await writeLabels(key, others);
    const { prepared } = await client.prepareRotation(key.name);
    expect(prepared).toBe(version(key, 5));
  });
});

async function setState(name: string, state: 'ENABLED' | 'DISABLED'): Promise<void> {
  await official.updateCryptoKeyVersion({
    cryptoKeyVersion: { name, state },
    updateMask: { paths: ['state'] },
  });
}

describe('a rotation', () => {
  it('fails with the reason when the new version cannot be generated, and the next one makes another', async () => {
    const key = await newKey();
    emulator.failGeneration('the HSM is tired');
    await expect(client.rotateKey(key.name)).rejects.toMatchObject({
      code: 'KEY_GENERATION_FAILED',
      message: expect.stringContaining('the HSM is tired'),
    });
    emulator.failGeneration(undefined);
    expect(await versionInUse(key)).toBe(version(key, 1));
    expect((await client.rotateKey(key.name)).primary).toBe(version(key, 3));
  });

  it('takes the lowest of several that wait, and reports the others as disposed of', async () => {
    const key = await newKey();
    await client.prepareRotation(key.name);
    for (let spares = 0; spares < 2; spares++) await official.createCryptoKeyVersion({ parent: key.name });
    await expect
      .poll(async () => (await client.listKeyVersions(key.name)).map(({ state }) => state))
      .not.toContain('PENDING_GENERATION');
    const rotated = await client.activateRotation(key.name);
    expect(rotated.primary).toBe(version(key, 2));
    expect(rotated.prepared).toBeUndefined();
    expect(rotated.disposed.map(({ name }) => name)).toEqual([version(key, 3), version(key, 4)]);
    expect(rotated.disposed[0]?.destroyTime.getTime()).toBeGreaterThan(Date.now());
  });

  it('of a key without a version that works leads to one that does', async () => {
    const key = await newKey();
    await client.destroyKey(key.name);
    expect((await client.rotateKey(key.name)).primary).toBe(version(key, 2));
    expect((await readLabels(key))['a2a-primary']).toBe('2');
    await client.restoreKey(version(key, 1));
    expect(await versionInUse(key)).toBe(version(key, 2));
  });
});

describe('a pointer that names a version that is not there', () => {
  it.each(['99', '2', 'first', ''])(
    '(%j) is no hindrance: the key is used, prepared, rotated and taken back',
    async (label) => {
      const key = await newKey();
      await writeLabels(key, { 'a2a-primary': label });
      expect(await versionInUse(key)).toBe(version(key, 1));
      expect(await client.prepareRotation(key.name)).toMatchObject({
        primary: version(key, 1),
        prepared: version(key, 2),
      });
      expect((await client.activateRotation(key.name)).primary).toBe(version(key, 2));
      await writeLabels(key, { 'a2a-primary': label === '2' ? '77' : label });
      expect((await client.setPrimaryVersion(key.name, 1)).primary).toBe(version(key, 1));
    },
  );
});

describe.each([
  ['an asymmetric key', SIGNING],
  ['a symmetric key', SYMMETRIC],
] as const)('six clients at once: %s', (_, kind) => {
  it.each(['the same version', 'whatever is in use'])('that replace %s end with one in use', async (what) => {
    const key = await newKey(kind);
    const clients = Array.from({ length: 6 }, () => newClient(emulator, quick));
    const options = what === 'the same version' ? { replacing: key.primary } : {};
    const results = await Promise.all(clients.map((each) => each.rotateKey(key.name, options)));
    const { primary } = await client.getKey(key.name);
    expect(results.map((each) => each.primary)).toContain(primary);
    const disposed = new Set(results.flatMap((each) => each.disposed.map(({ name }) => name)));
    const after = await client.getKey(key.name);
    const inUse = Number(primary?.split('/').at(-1));
    for (const each of await client.listKeyVersions(key.name)) {
      const life = lifecycleOf(after.labels, each, inUse);
      if (disposed.has(each.name)) expect([each.name, life]).toEqual([each.name, 'destroyed']);
      else expect([each.name, life]).toEqual([each.name, each.version === inUse ? 'active' : 'retiring']);
    }
    expect(await versionInUse(key)).toBe(primary);
    await Promise.all(clients.map((each) => each.close()));
  });
});

describe('a key that others change between the two reads of it', () => {
  /** Fails a read of a client whose time stands still; what is done then happens before it is repeated. */
  async function between<T>(
    key: KeyMetadata,
    failing:
      | 'GetCryptoKey'
      | 'ListCryptoKeyVersions'
      | { readonly rpc: 'GetCryptoKey'; readonly after: number },
    read: (slow: KMSClient) => Promise<T>,
    change: () => Promise<unknown>,
  ): Promise<T> {
    const { slow, clock } = slowClient();
    await using _ = slow;
    const which = typeof failing === 'string' ? { rpc: failing } : failing;
    const fault = emulator.faults.add({
      ...which,
      when: callsFor(key),
      status: { code: 'UNAVAILABLE' },
      times: 1,
    });
    const reading = read(slow);
    // The deadline, and the delay before the repeat.
    await expect.poll(() => [fault.hits, clock.awaitedTimers > 1]).toEqual([1, true]);
    await change();
    clock.advance(1_000);
    return await reading;
  }

  it('is read again when a version was put to use that could not be used before: the rotation is not taken for one to a spare', async () => {
    const key = await newKey();
    await byAnother((own) => own.prepareRotation(key.name));
    await official.createCryptoKeyVersion({ parent: key.name });
    await expect.poll(async () => (await client.listKeyVersions(key.name))[2]?.state).toBe('ENABLED');
    await setState(version(key, 2), 'DISABLED');
    const { primary, cached } = await between(
      key,
      'GetCryptoKey',
      async (slow) => {
        const rotated = await slow.rotateKey(key.name, { replacing: key.primary });
        return { primary: rotated.primary, cached: (await slow.resolveKeyVersion(key.name)).keyVersion };
      },
      async () => {
        await setState(version(key, 2), 'ENABLED');
        await client.setPrimaryVersion(key.name, 2);
      },
    );
    expect(primary).toBe(version(key, 2));
    expect(cached).toBe(version(key, 2));
  });

  it('keeps the version that was put to use after it was listed as DISABLED: the pointer names it, so it is not unset', async () => {
    const key = await newKey();
    await byAnother((own) => own.prepareRotation(key.name));
    await official.createCryptoKeyVersion({ parent: key.name });
    await expect.poll(async () => (await client.listKeyVersions(key.name))[2]?.state).toBe('ENABLED');
    await setState(version(key, 2), 'DISABLED');
    const { primary } = await between(
      key,
      // It reads the key with the versions to find the one that waits, and again until that one is ENABLED; the third read
      // is the one that the pointer is moved on.
      { rpc: 'GetCryptoKey', after: 2 },
      (slow) => slow.rotateKey(key.name, { replacing: key.primary }),
      async () => {
        await setState(version(key, 2), 'ENABLED');
        await client.setPrimaryVersion(key.name, 2);
      },
    );
    expect(primary).toBe(version(key, 2));
    expect(await readLabels(key)).toMatchObject({ 'a2a-primary': '2' });
    expect(await versionInUse(key)).toBe(version(key, 2));
  });

  it('does not have a version signed with that was only prepared', async () => {
    const key = await newKey();
    const signed = await between(
      key,
      'ListCryptoKeyVersions',
      (slow) => slow.signDetailed(key.name, message),
      () => client.prepareRotation(key.name),
    );
    expect(signed.keyVersion).toBe(version(key, 1));
  });
});

describe('labels, which have no compare-and-swap', () => {
  const warningsTo = (warnings: object[]): Logger => ({
    ...silentLogger,
    warn: (fields) => void warnings.push(fields),
  });

  it.each([
    ['later', (_: KMSClient, clock: ManualClock) => clock.advance(ATTEMPT_MS)],
    ['when the client is closed', (slow: KMSClient) => slow.close()],
  ] as const)(
    'written from an old copy, undo a rotation for a moment; it is put right %s',
    async (_, end) => {
      const key = await newKey();
      await client.prepareRotation(key.name);
      const warnings: object[] = [];
      const { slow, clock } = slowClient({ logger: warningsTo(warnings) });
      const old = await readLabels(key);
      expect((await slow.activateRotation(key.name)).primary).toBe(version(key, 2));
      await writeLabels(key, { ...old, 'a2a-seen': '20260101' });
      expect(await versionInUse(key)).toBe(version(key, 1));
      await end(slow, clock);
      await expect.poll(() => versionInUse(key)).toBe(version(key, 2));
      expect(warnings).toContainEqual({ keyVersion: version(key, 2) });
      expect(await readLabels(key)).toMatchObject({ 'a2a-seen': '20260101', 'a2a-primary': '2' });
      await slow.close();
    },
  );

  it('written from an old copy, undo the way back for a moment', async () => {
    const key = await newKey();
    await client.rotateKey(key.name);
    const { slow, clock } = slowClient();
    const old = await readLabels(key);
    clock.advance(10_000);
    await slow.setPrimaryVersion(key.name, 1);
    await writeLabels(key, old);
    expect(await versionInUse(key)).toBe(version(key, 2));
    await slow.close();
    expect(await versionInUse(key)).toBe(version(key, 1));
  });

  it('written twice from an old copy are put right twice', async () => {
    const key = await newKey();
    await client.prepareRotation(key.name);
    const { slow, clock } = slowClient();
    const old = await readLabels(key);
    await slow.activateRotation(key.name);
    for (let times = 0; times < 2; times++) {
      await writeLabels(key, old);
      clock.advance(ATTEMPT_MS);
      await expect.poll(() => versionInUse(key)).toBe(version(key, 2));
      // The call is over; what waits is the next check, and the watch over the channel.
      const calls = (): number => slow.stats().connection.callsInFlight;
      await expect.poll(() => [clock.awaitedTimers, clock.pendingTimers, calls()]).toEqual([0, 2, 0]);
    }
    await slow.close();
  });

  it('of somebody who knew of the rotation and went back are respected', async () => {
    const key = await newKey();
    const { slow } = slowClient();
    await client.prepareRotation(key.name);
    await slow.activateRotation(key.name);
    await client.setPrimaryVersion(key.name, 1);
    await slow.close();
    expect(await versionInUse(key)).toBe(version(key, 1));
  });

  it('are not put right for a version that was disabled since', async () => {
    const key = await newKey();
    const { slow } = slowClient();
    await client.prepareRotation(key.name);
    const old = await readLabels(key);
    await slow.activateRotation(key.name);
    await writeLabels(key, old);
    await setState(version(key, 2), 'DISABLED');
    await slow.close();
    expect((await readLabels(key))['a2a-primary']).toBe('1');
  });

  it('that cannot be looked at again are told of, and the client closes', async () => {
    const key = await newKey();
    const warnings: object[] = [];
    const { slow } = slowClient({ logger: warningsTo(warnings) });
    await slow.setPrimaryVersion(key.name, 1);
    emulator.faults.add({ rpc: 'GetCryptoKey', status: { code: 'PERMISSION_DENIED' } });
    await slow.close();
    expect(warnings).toContainEqual({
      key: key.name,
      error: expect.objectContaining({ code: 'PERMISSION_DENIED' }),
    });
  });

  it.each(['UNAVAILABLE', 'RESOURCE_EXHAUSTED'] as const)(
    'are read again after %s, so that what others wrote meanwhile stays',
    async (code) => {
      const key = await newKey();
      await client.prepareRotation(key.name);
      const { slow, clock } = slowClient();
      const when = callsFor(key);
      const fault = emulator.faults.add({ rpc: 'UpdateCryptoKey', when, status: { code }, times: 1 });
      const writing = slow.updateLabels(key.name, { team: 'billing' });
      // The deadline, and the delay before the next attempt.
      await expect.poll(() => [fault.hits, clock.awaitedTimers > 1]).toEqual([1, true]);
      await client.activateRotation(key.name);
      clock.advance(1_000);
      expect((await writing).primary).toBe(version(key, 2));
      expect(await readLabels(key)).toMatchObject({ team: 'billing', 'a2a-primary': '2' });
      await slow.close();
    },
  );

  it('that cannot be written end as the error they end with', async () => {
    const key = await newKey();
    emulator.faults.add({ rpc: 'UpdateCryptoKey', status: { code: 'UNAVAILABLE' } });
    await expect(client.updateLabels(key.name, { team: 'billing' })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    });
    expect(await readLabels(key)).toEqual({});
  });

  it('that somebody overwrites each time end as CONCURRENT_CHANGE', async () => {
    const key = await newKey();
    emulator.faults.add({
      rpc: 'UpdateCryptoKey',
      when: ({ cryptoKey }) => {
        if (typeof cryptoKey === 'object' && cryptoKey !== null) Reflect.set(cryptoKey, 'labels', {});
        return false;
      },
    });
    emulator.requests.clear();
    await expect(client.updateLabels(key.name, { team: 'billing' })).rejects.toMatchObject({
      code: 'CONCURRENT_CHANGE',
    });
    expect(emulator.requests.count('UpdateCryptoKey')).toBe(5);
  });

  it('written from an old copy while the new version is made do not put it to use', async () => {
    const key = await newKey();
    const clock = new ManualClock(Date.now());
    await using still = await startTestEmulator({ clock });
    await using own = newClient(still, quick);
    await own.initialize();
    const creating = own.generateKey({ name: 'still', ...SIGNING });
    await expect.poll(() => still.requests.count('GetCryptoKeyVersion')).toBeGreaterThan(0);
    clock.advance(1_000);
    const { name } = await creating;
    const preparing = own.prepareRotation(name);
    still.requests.clear();
    // It waits for the HSM now.
    await expect.poll(() => still.requests.count('GetCryptoKeyVersion')).toBeGreaterThan(0);
    const other = officialClient(still);
    await other.updateCryptoKey({ cryptoKey: { name, labels: {} }, updateMask: { paths: ['labels'] } });
    await other.close();
    clock.advance(1_000);
    const { primary, prepared } = await preparing;
    expect([primary, prepared]).toEqual([version({ ...key, name }, 1), version({ ...key, name }, 2)]);
  });
});

describe('the primary of a symmetric key, which has no compare-and-swap either', () => {
  const setPrimary = (key: KeyMetadata, number: number) =>
    official.updateCryptoKeyPrimaryVersion({ name: key.name, cryptoKeyVersionId: String(number) });

  it('that a slow rotation set back is put right', async () => {
    const key = await newKey(SYMMETRIC);
    const { slow } = slowClient();
    await slow.rotateKey(key.name);
    await setPrimary(key, 1);
    await slow.close();
    expect((await client.getKey(key.name)).primary).toBe(version(key, 2));
  });

  it('that somebody sets back each time ends as CONCURRENT_CHANGE, with the version before in use', async () => {
    const key = await newKey(SYMMETRIC);
    emulator.faults.add({
      rpc: 'UpdateCryptoKeyPrimaryVersion',
      when: (request) => {
        Reflect.set(request, 'cryptoKeyVersionId', '1');
        return false;
      },
    });
    await expect(client.rotateKey(key.name)).rejects.toMatchObject({ code: 'CONCURRENT_CHANGE' });
    emulator.faults.clear();
    expect(await client.activateRotation(key.name)).toMatchObject({
      primary: version(key, 2),
      prepared: undefined,
    });
  });

  it('that somebody went back to is respected', async () => {
    const key = await newKey(SYMMETRIC);
    const { slow } = slowClient();
    await slow.rotateKey(key.name);
    await client.setPrimaryVersion(key.name, 1);
    await slow.close();
    expect((await client.getKey(key.name)).primary).toBe(version(key, 1));
  });

  it('is not set again after a lost answer when somebody set it meanwhile', async () => {
    const key = await newKey(SYMMETRIC);
    const { prepared } = await client.prepareRotation(key.name);
    expect(prepared).toBe(version(key, 2));
    const { slow, clock } = slowClient();
    await using _ = slow;
    const fault = emulator.faults.add({
      rpc: 'UpdateCryptoKeyPrimaryVersion',
      when: callsFor(key),
      status: { code: 'UNAVAILABLE' },
      applyAfterExecution: true,
      times: 1,
    });
    const activating = slow.activateRotation(key.name);
    await expect.poll(() => [fault.hits, clock.awaitedTimers > 1]).toEqual([1, true]);
    const { primary } = await client.rotateKey(key.name);
    expect(primary).toBe(version(key, 3));
    clock.advance(1_000);
    expect((await activating).primary).toBe(primary);
    expect((await client.getKey(key.name)).primary).toBe(primary);
  });

  it('that cannot be used any more is replaced by the one before', async () => {
    const key = await newKey(SYMMETRIC);
    await client.prepareRotation(key.name);
    // Somebody else destroys it between the look and the call.
    const fault = emulator.faults.add({
      rpc: 'UpdateCryptoKeyPrimaryVersion',
      when: callsFor(key),
      status: { code: 'UNAVAILABLE' },
      times: 1,
    });
    const { slow, clock } = slowClient();
    await using _ = slow;
    const activating = slow.activateRotation(key.name);
    await expect.poll(() => [fault.hits, clock.awaitedTimers > 1]).toEqual([1, true]);
    await official.destroyCryptoKeyVersion({ name: version(key, 2) });
    clock.advance(1_000);
    expect((await activating).primary).toBe(version(key, 1));
    await client.decrypt(key.name, await client.encrypt(key.name, message));
    expect((await client.rotateKey(key.name)).primary).toBe(version(key, 3));
  });
});

describe('the rotation schedule', () => {
  it.each([
    ['a period below a day', { rotationPeriodSeconds: 86_399 }],
    ['a period above 876,000 hours', { rotationPeriodSeconds: 876_000 * 3_600 + 1 }],
    ['a period that is not whole', { rotationPeriodSeconds: 86_400.5 }],
    ['a period that is no number', { rotationPeriodSeconds: Number.NaN }],
    ['a first rotation in the past', { rotationPeriodSeconds: 86_400, nextRotationTime: new Date(0) }],
    [
      'a first rotation at no time',
      { rotationPeriodSeconds: 86_400, nextRotationTime: new Date(Number.NaN) },
    ],
  ])('with %s is refused before any call', async (_, schedule) => {
    emulator.requests.clear();
    await expect(client.setRotationSchedule('any', schedule)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      attempts: 0,
    });
    expect(emulator.requests.count()).toBe(0);
  });

  it.each([86_400, 876_000 * 3_600])(
    'with a period of %i s is set, and the first rotation is one period away',
    async (seconds) => {
      const key = await newKey(SYMMETRIC);
      const { nextRotationTime, rotationPeriodSeconds } = await client.setRotationSchedule(key.name, {
        rotationPeriodSeconds: seconds,
      });
      expect(rotationPeriodSeconds).toBe(seconds);
      expect(Math.abs((nextRotationTime?.getTime() ?? 0) - Date.now() - seconds * 1_000)).toBeLessThan(
        60_000,
      );
    },
  );
});

describe('retirement', () => {
  it('without an archive leaves the versions as they are, and says so', async () => {
    const key = await newKey();
    await client.rotateKey(key.name);
    expect(await client.retire(key.name, { graceSeconds: 0 })).toMatchObject({
      disabled: [],
      kept: [{ name: version(key, 1), reason: 'there is no archive of public keys' }],
    });
    expect((await client.listKeyVersions(key.name)).map(({ state }) => state)).toEqual([
      'ENABLED',
      'ENABLED',
    ]);
  });

  it('with an archive that fails touches nothing, and goes on when it works again', async () => {
    const key = await newKey();
    const archive = new MemoryPublicKeyArchive();
    await using archiving = newClient(emulator, { ...quick, publicKeyArchive: archive });
    await client.rotateKey(key.name);
    archive.putsLeft = 0;
    emulator.requests.clear();
    await expect(archiving.retire(key.name, { graceSeconds: 0 })).rejects.toMatchObject({ code: 'ARCHIVE' });
    expect(emulator.requests.entries.filter(({ rpc }) => rpc.startsWith('Update'))).toEqual([]);
    archive.putsLeft = 1;
    expect((await archiving.retire(key.name, { graceSeconds: 0 })).disabled).toEqual([version(key, 1)]);
    expect([...archive.keys.keys()]).toEqual([version(key, 1)]);
  });

  it('keeps a version that was disabled by hand before its public key was archived', async () => {
    const key = await newKey();
    await using archiving = newClient(emulator, { ...quick, publicKeyArchive: new MemoryPublicKeyArchive() });
    await client.rotateKey(key.name);
    await setState(version(key, 1), 'DISABLED');
    expect(await archiving.retire(key.name, { graceSeconds: 0, keepVersions: 1 })).toMatchObject({
      scheduled: [],
      kept: [{ name: version(key, 1), reason: expect.stringContaining('was not archived before') }],
    });
  });

  it('without a version in use touches nothing', async () => {
    const key = await newKey();
    await using archiving = newClient(emulator, { ...quick, publicKeyArchive: new MemoryPublicKeyArchive() });
    await setState(version(key, 1), 'DISABLED');
    expect(await archiving.retire(key.name, { graceSeconds: 0, keepVersions: 1 })).toMatchObject({
      disabled: [],
      scheduled: [],
      kept: [],
    });
  });
});

describe('retirement at the same time as', () => {
  it('somebody goes back to the version: it is enabled again', async () => {
    const key = await newKey();
    await client.rotateKey(key.name);
    // Its time is that after the rotation.
    const { slow, clock } = slowClient({ publicKeyArchive: new MemoryPublicKeyArchive() });
    await using _ = slow;
    const fault = emulator.faults.add({
      rpc: 'UpdateCryptoKeyVersion',
      status: { code: 'UNAVAILABLE' },
      times: 1,
    });
    const retiring = slow.retire(key.name, { graceSeconds: 0 });
    await expect.poll(() => [fault.hits, clock.awaitedTimers > 1]).toEqual([1, true]);
    await client.setPrimaryVersion(key.name, 1);
    clock.advance(1_000);
    await expect(retiring).rejects.toMatchObject({ code: 'CONCURRENT_CHANGE' });
    expect(await versionInUse(key)).toBe(version(key, 1));
  });
});

describe('the way back of a key with many labels', () => {
  /** As somebody does who labels everything that there is. */
  async function fillUp(key: KeyMetadata, total: number): Promise<void> {
    const labels = await readLabels(key);
    const missing = total - Object.keys(labels).length;
    const more = Array.from({ length: missing }, (_, index) => [`own-${index}`, 'x'] as const);
    await writeLabels(key, { ...labels, ...Object.fromEntries(more) });
  }

  it.each([60, 61])(
    'of %i does not have the version signed with again that it led away from',
    async (total) => {
      const key = await newKey();
      await fillUp(key, total);
      await client.rotateKey(key.name);
      await client.setPrimaryVersion(key.name, 1);
      const rotated = await client.rotateKey(key.name);
      expect(rotated.primary).toBe(version(key, 3));
      expect(await versionInUse(key)).toBe(version(key, 3));
      const archived = newClient(emulator, { ...quick, publicKeyArchive: new MemoryPublicKeyArchive() });
      const { disabled } = await archived.retire(key.name, { graceSeconds: 0 });
      await archived.close();
      expect(disabled).toEqual([version(key, 1), version(key, 2)]);
    },
  );

  it('is refused where the labels have no room for it, and retirement says that it cannot begin', async () => {
    const key = await newKey();
    await client.rotateKey(key.name);
    const labels = await readLabels(key);
    await writeLabels(key, { 'a2a-primary': labels['a2a-primary'] ?? '' });
    await fillUp(key, 64);
    await expect(client.setPrimaryVersion(key.name, 1)).rejects.toMatchObject({
      code: 'FAILED_PRECONDITION',
      message: expect.stringContaining('with updateLabels'),
    });
    expect(await versionInUse(key)).toBe(version(key, 2));
    expect((await client.retire(key.name)).kept).toEqual([
      { name: version(key, 1), reason: expect.stringContaining('labels') },
    ]);
    await client.updateLabels(key.name, { 'own-0': null, 'own-1': null });
    expect((await client.setPrimaryVersion(key.name, 1)).primary).toBe(version(key, 1));
  });
});

describe('setPrimaryVersion, when the key changes in the same moment', () => {
  /** Has the write lost once, so that something can be done before it is made again. */
  async function meanwhile(
    which: Pick<FaultRule, 'rpc' | 'after'>,
    key: KeyMetadata,
    change: () => Promise<unknown>,
  ): Promise<void> {
    const { slow, clock } = slowClient();
    await using _ = slow;
    const fault = emulator.faults.add({
      ...which,
      when: callsFor(key),
      status: { code: 'UNAVAILABLE' },
      times: 1,
    });
    const setting = slow.setPrimaryVersion(key.name, 1);
    const refused = expect(setting).rejects.toMatchObject({ code: 'CONCURRENT_CHANGE' });
    await expect.poll(() => [fault.hits, clock.awaitedTimers > 1]).toEqual([1, true]);
    await change();
    clock.advance(1_000);
    await refused;
  }

  it('by retirement, which disables the version: says so, and the version before goes on being the one in use', async () => {
    const key = await newKey();
    await client.rotateKey(key.name);
    await using archiving = newClient(emulator, {
      ...quick,
      publicKeyArchive: new MemoryPublicKeyArchive(),
    });
    await meanwhile({ rpc: 'UpdateCryptoKey' }, key, () => archiving.retire(key.name, { graceSeconds: 0 }));
    expect(await readLabels(key)).toMatchObject({ 'a2a-primary': '2' });
    expect(await versionInUse(key)).toBe(version(key, 2));
    await setState(version(key, 1), 'ENABLED');
    expect(await versionInUse(key)).toBe(version(key, 2));
  });

  it('of a symmetric key by somebody else: says so, and the key goes on encrypting', async () => {
    const key = await newKey(SYMMETRIC);
    await client.rotateKey(key.name);
    await meanwhile({ rpc: 'UpdateCryptoKeyPrimaryVersion' }, key, () =>
      setState(version(key, 1), 'DISABLED'),
    );
    expect((await client.getKey(key.name)).primary).toBe(version(key, 2));
    await client.encrypt(key.name, message);
  });

  it('and another one is put to use: says so, and leaves that one', async () => {
    const key = await newKey();
    await byAnother((own) => own.rotateKey(key.name));
    // The second list of the versions is the one after the write.
    await meanwhile({ rpc: 'ListCryptoKeyVersions', after: 1 }, key, () => client.rotateKey(key.name));
    expect(await versionInUse(key)).toBe(version(key, 3));
  });
});
