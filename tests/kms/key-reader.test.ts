import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { KmsEmulator } from '../../src/emulator/index.js';
import { newClient, officialClient, startTestEmulator, UNHURRIED } from '../support/emulator.js';

describe('listings', () => {
  let emulator: KmsEmulator;
  beforeAll(async () => {
    emulator = await startTestEmulator();
    await using client = newClient(emulator);
    await client.initialize();
  });
  afterAll(() => emulator.close());

  it('of more keys than a page holds are whole', async () => {
    await using client = newClient(emulator, { deadlines: UNHURRIED });
    const official = officialClient(emulator);
    const cryptoKey = { purpose: 'ENCRYPT_DECRYPT', versionTemplate: { protectionLevel: 'HSM' } } as const;
    const ids = Array.from({ length: 1_005 }, (_, index) => `k${index}`);
    await Promise.all(
      ids.map((cryptoKeyId) => official.createCryptoKey({ parent: client.keyRing, cryptoKeyId, cryptoKey })),
    );
    await official.close();
    emulator.requests.clear();
    const keys = await client.listKeys();
    expect(keys.map(({ name }) => name.split('/').at(-1)).toSorted()).toEqual(ids.toSorted());
    expect(keys[0]?.primary).toMatch(/\/cryptoKeyVersions\/1$/);
    expect(emulator.requests.count('ListCryptoKeys')).toBe(2);
  });

  it('of a key ring that does not exist are NOT_FOUND', async () => {
    await using client = newClient(emulator, { keyRingId: 'missing' });
    await expect(client.listKeys()).rejects.toMatchObject({ code: 'NOT_FOUND', operation: 'listKeys' });
  });
});
