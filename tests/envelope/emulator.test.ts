/** Envelopes under a key in the emulator's HSM: few calls, and a rotation that needs no new encryption. */

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { KmsEmulator } from '../../src/emulator/index.js';
import { EnvelopeCipher, type KMSClient } from '../../src/index.js';
import { openOfficialClient } from '../bench/official-client.js';
import { newClient, startTestEmulator } from '../support/emulator.js';
import { readAll } from '../support/streams.js';

let emulator: KmsEmulator;
let kms: KMSClient;

beforeAll(async () => {
  emulator = await startTestEmulator();
  kms = newClient(emulator);
  await kms.initialize();
  await kms.generateKey({
    name: 'kek',
    purpose: 'ENCRYPT_DECRYPT',
    algorithm: 'GOOGLE_SYMMETRIC_ENCRYPTION',
  });
});
afterAll(async () => {
  await kms.close();
  await emulator.close();
});

describe('under a key in Cloud KMS', () => {
  it('10,000 messages of 1 KiB take one Encrypt and, elsewhere, one Decrypt', async () => {
    const message = Buffer.alloc(1_024, 7);
    await using cipher = new EnvelopeCipher(kms, 'kek');
    emulator.requests.clear();
    const ciphertexts = await Promise.all(Array.from({ length: 10_000 }, () => cipher.encrypt(message)));
    expect(emulator.requests.count('Encrypt')).toBe(1);
    await using other = new EnvelopeCipher(kms, 'kek');
    const plaintexts = await Promise.all(ciphertexts.map((ciphertext) => other.decrypt(ciphertext)));
    expect(plaintexts.every((plaintext) => plaintext.equals(message))).toBe(true);
    expect(emulator.requests.count('Decrypt')).toBe(1);
  });

  it('what was encrypted before a rotation is read after it, and wrapped anew without its plaintext', async () => {
    await using cipher = new EnvelopeCipher(kms, 'kek');
    const message = Buffer.from('pay 10 EUR');
    const old = await cipher.encrypt(message);
    await kms.rotateKey('kek');
    const renewed = await cipher.reencrypt(old);
    await kms.destroyKey(`${kms.keyRing}/cryptoKeys/kek/cryptoKeyVersions/1`);
    await using other = new EnvelopeCipher(kms, 'kek');
    expect(await other.decrypt(renewed)).toEqual(message);
    await using third = new EnvelopeCipher(kms, 'kek');
    await expect(third.decrypt(old)).rejects.toMatchObject({ operation: 'decrypt' });
    for (const { request } of emulator.requests.entries) {
      expect(JSON.stringify(request)).not.toContain(message.toString('base64'));
    }
  });

  it('what an older version wrapped is read while the version in use is disabled', async () => {
    await kms.generateKey({
      name: 'paused',
      purpose: 'ENCRYPT_DECRYPT',
      algorithm: 'GOOGLE_SYMMETRIC_ENCRYPTION',
    });
    await using cipher = new EnvelopeCipher(kms, 'paused');
    const old = await cipher.encrypt(Buffer.from('pay 10 EUR'));
    const { primary } = await kms.rotateKey('paused');
    const official = await openOfficialClient(emulator.endpoint);
    await official.updateCryptoKeyVersion({
      cryptoKeyVersion: { name: primary ?? '', state: 'DISABLED' },
      updateMask: { paths: ['state'] },
    });
    await official.close();
    await using fresh = newClient(emulator);
    await using other = new EnvelopeCipher(fresh, 'paused');
    expect((await other.decrypt(old)).toString()).toBe('pay 10 EUR');
    await expect(other.encrypt(Buffer.from('x'))).rejects.toMatchObject({ code: 'FAILED_PRECONDITION' });
  });

  it('streams go both ways', async () => {
    await using cipher = new EnvelopeCipher(kms, 'kek');
    const bytes = Buffer.alloc(2_500_000, 'stream');
    const encrypted = await readAll([bytes], cipher.encryptStream());
    await using other = new EnvelopeCipher(kms, 'kek');
    expect((await readAll([encrypted], other.decryptStream())).equals(bytes)).toBe(true);
  });
});
