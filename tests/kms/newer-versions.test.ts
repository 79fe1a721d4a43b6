/** Signatures by versions that another process made a moment ago, and what signatures by no version at all may cost. */

import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { KMSConfig } from '../../src/config/kms-config.js';
import { type KmsEmulator, ManualClock } from '../../src/emulator/index.js';
import type { KMSClient } from '../../src/index.js';
import { newClient, officialClient, startTestEmulator } from '../support/emulator.js';
import { MemoryPublicKeyArchive } from '../support/memory-archive.js';

const message = Buffer.from('pay 10 EUR to alice');
const SIGNING = { purpose: 'ASYMMETRIC_SIGN', algorithm: 'EC_SIGN_P256_SHA256' } as const;
/** Deadlines of gRPC pass in real time, whatever the clock of the client. */
const deadlines = { attemptMs: 60_000, operationMs: 60_000 };

let emulator: KmsEmulator;
let signer: KMSClient;
let made = 0;

beforeAll(async () => {
  emulator = await startTestEmulator({ asymmetricGenerationMs: 1, hsmGenerationMs: 1 });
  signer = newClient(emulator);
  await signer.initialize();
});
afterAll(async () => {
  await signer.close();
  await emulator.close();
});

const reads = (): number => emulator.requests.count('ListCryptoKeyVersions');
const forgery = (n: number): Buffer => Buffer.from(`pay ${n} EUR to mallory`);

async function newKey(): Promise<{ name: string; first: Buffer }> {
  made += 1;
  const { name } = await signer.generateKey({ name: `k${made}`, ...SIGNING });
  return { name, first: await signer.sign(name, message) };
}

/** A process that knows the versions of the keys as they are now; its time stands still. */
async function warmVerifier(
  keys: readonly { readonly name: string; readonly first: Buffer }[],
  config: Partial<KMSConfig> = {},
): Promise<{ verifier: KMSClient; clock: ManualClock }> {
  const clock = new ManualClock(Date.now());
  const verifier = newClient(emulator, { clock, deadlines, ...config });
  for (const { name, first } of keys) expect(await verifier.verify(name, message, first)).toBe(true);
  emulator.requests.clear();
  return { verifier, clock };
}

async function refuse(verifier: KMSClient, key: string, signature: Buffer, times: number): Promise<void> {
  for (let n = 0; n < times; n++) expect(await verifier.verify(key, forgery(n), signature)).toBe(false);
}

describe('a signature by a version that another process made since', () => {
  it('is valid at once, and what the version signs then makes no call', async () => {
    const key = await newKey();
    const { verifier } = await warmVerifier([key]);
    await signer.rotateKey(key.name);
    const second = await signer.sign(key.name, message);
    emulator.requests.clear();
    expect(await verifier.verify(key.name, message, second)).toBe(true);
    expect(reads()).toBe(1);
    emulator.requests.clear();
    expect(await verifier.verify(key.name, message, second)).toBe(true);
    expect(await verifier.verify(key.name, message, key.first)).toBe(true);
    expect(emulator.requests.count()).toBe(0);
    await verifier.close();
  });

  it('is valid also where the version in use was known, and its public key was not', async () => {
    const key = await newKey();
    const { verifier } = await warmVerifier([]);
    await verifier.resolveKeyVersion(key.name);
    await signer.rotateKey(key.name);
    const second = await signer.sign(key.name, message);
    expect(await verifier.verify(key.name, message, second)).toBe(true);
    await verifier.close();
  });

  it('is valid where the key had no version left to verify with before', async () => {
    const key = await newKey();
    const { verifier } = await warmVerifier([]);
    await signer.destroyKey(key.name);
    await expect(verifier.verify(key.name, message, key.first)).rejects.toMatchObject({
      code: 'NO_USABLE_VERSION',
    });
    await signer.restoreKey(key.name);
    expect(await verifier.verify(key.name, message, key.first)).toBe(true);
    await verifier.close();
  });

  it('costs one read for any number of signatures that come at once', async () => {
    const key = await newKey();
    const { verifier } = await warmVerifier([key]);
    await signer.rotateKey(key.name);
    const second = await signer.sign(key.name, message);
    emulator.requests.clear();
    const verdicts = await Promise.all(
      Array.from({ length: 300 }, (_, n) =>
        verifier.verify(key.name, n % 2 === 0 ? message : forgery(n), second),
      ),
    );
    expect(verdicts.filter((valid) => valid)).toHaveLength(150);
    expect(reads()).toBe(1);
    expect(emulator.requests.count('GetPublicKey')).toBe(1);
    await verifier.close();
  });

  it('is found although a look that began before it was made is under way', async () => {
    const key = await newKey();
    const official = officialClient(emulator);
    const [second] = await official.createCryptoKeyVersion({ parent: key.name });
    await expect
      .poll(async () => (await official.getCryptoKeyVersion({ name: second.name ?? '' }))[0].state)
      .toBe('ENABLED');
    await official.close();
    const { verifier, clock } = await warmVerifier([key], { retry: { initialDelayMs: 1, maxDelayMs: 1 } });
    // Of two versions none of which is named as the one in use, the key is read once more after the list: that is repeated
    // when the clock of the verifier moves.
    using _ = emulator.faults.add({
      rpc: 'GetCryptoKey',
      status: { code: 'UNAVAILABLE' },
      after: 1,
      times: 1,
    });
    const forged = verifier.verify(key.name, forgery(1), key.first);
    await expect.poll(() => clock.pendingTimers > 0 && emulator.requests.count('GetCryptoKey')).toBe(2);
    await using other = newClient(emulator);
    await other.rotateKey(key.name);
    const genuine = verifier.verify(key.name, message, await other.sign(key.name, message));
    let settled = false;
    void Promise.all([forged, genuine]).finally(() => {
      settled = true;
    });
    await vi.waitFor(() => {
      clock.advance(1);
      expect(settled).toBe(true);
    });
    expect([await forged, await genuine]).toEqual([false, true]);
    await verifier.close();
  });
});

describe('a signature by no version', () => {
  it('makes five looks at once and then one in 10 seconds, and keeps no valid one waiting for them', async () => {
    const key = await newKey();
    const { verifier, clock } = await warmVerifier([key]);
    await refuse(verifier, key.name, key.first, 50);
    expect(reads()).toBe(5);
    // The versions are looked up again in the background when half of their time is over; not within this.
    clock.advance(9_999);
    await refuse(verifier, key.name, key.first, 10);
    expect(reads()).toBe(5);
    clock.advance(1);
    await refuse(verifier, key.name, key.first, 10);
    expect(reads()).toBe(6);
    emulator.requests.clear();
    expect(await verifier.verify(key.name, message, key.first)).toBe(true);
    expect(emulator.requests.count()).toBe(0);
    await verifier.close();
  });

  it('costs no more than that where it comes for many keys', async () => {
    const keys = await Promise.all(Array.from({ length: 6 }, newKey));
    const { verifier, clock } = await warmVerifier(keys);
    for (const { name, first } of keys) await refuse(verifier, name, first, 6);
    expect(reads()).toBe(20);
    clock.advance(3_000);
    for (const { name, first } of keys) await refuse(verifier, name, first, 2);
    expect(reads()).toBe(21);
    await verifier.close();
  });

  it('costs no more than that where there is no version left to verify with', async () => {
    const key = await newKey();
    const { verifier } = await warmVerifier([]);
    await signer.destroyKey(key.name);
    emulator.requests.clear();
    for (let n = 0; n < 20; n++)
      await expect(verifier.verify(key.name, message, key.first)).rejects.toMatchObject({
        code: 'NO_USABLE_VERSION',
      });
    // The first of all is no look: nothing was known.
    expect(reads()).toBe(6);
    await verifier.close();
  });

  it('is false without a call where one version only may have made it', async () => {
    const key = await newKey();
    const version = `${key.name}/cryptoKeyVersions/1`;
    const pinnedVersions = [{ name: version, algorithm: SIGNING.algorithm }];
    const { verifier } = await warmVerifier([key], { pinnedVersions });
    await refuse(verifier, key.name, key.first, 2);
    await refuse(verifier, version, key.first, 2);
    expect(emulator.requests.count()).toBe(0);
    await verifier.close();
  });

  it('is false without a look for who does not want one', async () => {
    const key = await newKey();
    const { verifier } = await warmVerifier([key]);
    const options = { newVersions: 'ignore' } as const;
    expect(await verifier.verify(key.name, forgery(1), key.first, options)).toBe(false);
    expect(emulator.requests.count()).toBe(0);
    const other = await newKey();
    await verifier.resolveKeyVersion(other.name);
    emulator.requests.clear();
    // Its public key is fetched, which is no look.
    expect(await verifier.verify(other.name, forgery(1), other.first, options)).toBe(false);
    expect(reads()).toBe(0);
    await expect(
      verifier.verify(key.name, message, key.first, { newVersions: JSON.parse('"later"') }),
    ).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await verifier.close();
  });

  for (const code of ['UNAVAILABLE', 'PERMISSION_DENIED', 'RESOURCE_EXHAUSTED'] as const) {
    it(`is false when the look ends with ${code}, which takes nothing from what is known`, async () => {
      const key = await newKey();
      const { verifier } = await warmVerifier([key], { retry: { maxAttempts: 1 }, quota: { mode: 'off' } });
      const fault = emulator.faults.add({ rpc: 'GetCryptoKey', status: { code } });
      await refuse(verifier, key.name, key.first, 2);
      expect(emulator.requests.count('GetCryptoKey')).toBe(2);
      fault.remove();
      emulator.requests.clear();
      expect(await verifier.verify(key.name, message, key.first)).toBe(true);
      expect(emulator.requests.count()).toBe(0);
      await verifier.close();
    });
  }

  it('is false when the look brings no answer in its time, for all who wait for it', async () => {
    const key = await newKey();
    const { verifier, clock } = await warmVerifier([key]);
    const fault = emulator.faults.add({ rpc: 'GetCryptoKey', hang: true });
    const verdicts = [1, 2].map((n) => verifier.verify(key.name, forgery(n), key.first));
    await expect.poll(() => emulator.requests.count('GetCryptoKey')).toBe(1);
    expect(await verifier.verify(key.name, message, key.first)).toBe(true);
    clock.advance(2_000);
    expect(await Promise.all(verdicts)).toEqual([false, false]);
    fault.remove();
    await verifier.close();
  });

  it('is false in half of a deadline that is shorter', async () => {
    const key = await newKey();
    const { verifier, clock } = await warmVerifier([key]);
    const fault = emulator.faults.add({ rpc: 'GetCryptoKey', hang: true });
    const verdict = verifier.verify(key.name, forgery(1), key.first, { timeoutMs: 100 });
    await expect.poll(() => emulator.requests.count('GetCryptoKey')).toBe(1);
    clock.advance(50);
    expect(await verdict).toBe(false);
    fault.remove();
    await verifier.close();
  });
});

it('versions that are in no list of before come after the others have been tried, and once', async () => {
  const archive = new MemoryPublicKeyArchive();
  const key = await newKey();
  const { verifier } = await warmVerifier([key], { publicKeyArchive: archive });
  for (const _ of [2, 3]) await signer.rotateKey(key.name);
  emulator.requests.clear();
  await refuse(verifier, key.name, key.first, 1);
  expect(emulator.requests.count('GetPublicKey')).toBe(2);
  await refuse(verifier, key.name, key.first, 10);
  expect(emulator.requests.count('GetPublicKey')).toBe(2);
  await verifier.close();
});
