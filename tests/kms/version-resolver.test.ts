/** A key without a usable version, as a process sees it that has just been told so. */

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type KmsEmulator, ManualClock } from '../../src/emulator/index.js';
import type { KMSClient } from '../../src/index.js';
import { newClient, startTestEmulator } from '../support/emulator.js';

const message = Buffer.from('pay 10 EUR to alice');
const SIGNING = { purpose: 'ASYMMETRIC_SIGN', algorithm: 'EC_SIGN_P256_SHA256' } as const;

let emulator: KmsEmulator;
let admin: KMSClient;
let made = 0;

beforeAll(async () => {
  emulator = await startTestEmulator({ asymmetricGenerationMs: 1, hsmGenerationMs: 1 });
  admin = newClient(emulator);
  await admin.initialize();
});
afterAll(async () => {
  await admin.close();
  await emulator.close();
});

const reads = (): number => emulator.requests.count('ListCryptoKeyVersions');

/** Keys that were destroyed, and a process that knows it; its time stands still. */
async function afterDestruction(
  keys: number,
): Promise<{ names: readonly string[]; signer: KMSClient; clock: ManualClock }> {
  const clock = new ManualClock(Date.now());
  // Deadlines of gRPC pass in real time, whatever the clock of the client.
  const signer = newClient(emulator, { clock, deadlines: { attemptMs: 60_000, operationMs: 60_000 } });
  const names: string[] = [];
  for (let n = 0; n < keys; n++) {
    made += 1;
    const { name } = await admin.generateKey({ name: `k${made}`, ...SIGNING });
    await signer.sign(name, message);
    await admin.destroyKey(name);
    await expect(signer.sign(name, message)).rejects.toMatchObject({ code: 'NO_USABLE_VERSION' });
    names.push(name);
  }
  emulator.requests.clear();
  return { names, signer, clock };
}

const refused = async (signer: KMSClient, name: string): Promise<void> =>
  expect(signer.sign(name, message)).rejects.toMatchObject({ code: 'NO_USABLE_VERSION' });

describe('a key without a usable version', () => {
  it('is used at once when another process has restored it, by all who call at once', async () => {
    const { names, signer } = await afterDestruction(1);
    for (const name of names) {
      await admin.restoreKey(name);
      const signing = Array.from({ length: 20 }, () => signer.sign(name, message));
      for (const signature of await Promise.all(signing))
        expect(await admin.verify(name, message, signature)).toBe(true);
    }
    await signer.close();
  });

  it('is read again at most once a second, by all callers together', async () => {
    const { names, signer, clock } = await afterDestruction(1);
    for (const name of names) {
      await Promise.all(Array.from({ length: 20 }, () => refused(signer, name)));
      for (let n = 0; n < 20; n++) await refused(signer, name);
      expect(reads()).toBe(1);
      clock.advance(999);
      await refused(signer, name);
      expect(reads()).toBe(1);
      clock.advance(1);
      await refused(signer, name);
      expect(reads()).toBe(2);
    }
    await signer.close();
  });

  it('is not read again at once when it was just read', async () => {
    const { names } = await afterDestruction(1);
    await using fresh = newClient(emulator);
    for (const name of names) await refused(fresh, name);
    expect(reads()).toBe(1);
  });

  it('costs a bounded number of reads where there are many of them', async () => {
    const { names, signer, clock } = await afterDestruction(21);
    for (const name of names) await refused(signer, name);
    expect(reads()).toBe(20);
    clock.advance(1_000);
    for (const name of names) await refused(signer, name);
    expect(reads()).toBe(20);
    clock.advance(2_000);
    for (const name of names) await refused(signer, name);
    expect(reads()).toBe(21);
    await signer.close();
  });

  it('says why it could not be read again', async () => {
    const { names, signer } = await afterDestruction(1);
    using _ = emulator.faults.add({ rpc: 'GetCryptoKey', status: { code: 'PERMISSION_DENIED' } });
    for (const name of names)
      await expect(signer.sign(name, message)).rejects.toMatchObject({ code: 'PERMISSION_DENIED' });
    await signer.close();
  });
});
