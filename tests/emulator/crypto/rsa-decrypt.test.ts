import { constants, publicEncrypt, randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { CiphertextError, KeyMaterialError } from '../../../src/emulator/crypto/crypto-errors.js';
import type { KeyMaterial } from '../../../src/emulator/crypto/key-material.js';
import { decryptOaep } from '../../../src/emulator/crypto/rsa-decrypt.js';
import type { HashName } from '../../../src/keys/algorithm-types.js';
import { allAlgorithms } from '../../../src/keys/algorithms.js';
import { entryOf, materialFor } from '../../support/key-material.js';

const PLAINTEXT = Buffer.from('a short secret');
const OAEP_2048 = entryOf('ASYMMETRIC_DECRYPT', 'RSA_DECRYPT_OAEP_2048_SHA256');

function encrypt(material: KeyMaterial, oaepHash: HashName, plaintext = PLAINTEXT): Buffer {
  if (material.kind !== 'keypair') throw new Error('an RSA key is needed');
  const key = material.publicKey;
  return publicEncrypt({ key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash }, plaintext);
}

describe('decryptOaep', () => {
  const entries = allAlgorithms().filter((entry) => entry.purpose === 'ASYMMETRIC_DECRYPT');

  it.each(entries)('decrypts with $name', { timeout: 60_000 }, async (entry) => {
    const material = await materialFor(entry);

    expect(decryptOaep(entry, material, encrypt(material, entry.hash))).toEqual(PLAINTEXT);
  });

  it('decrypts an empty plaintext', async () => {
    const material = await materialFor(OAEP_2048);

    expect(decryptOaep(OAEP_2048, material, encrypt(material, 'sha256', Buffer.alloc(0)))).toHaveLength(0);
  });

  it('refuses a ciphertext made with another hash', async () => {
    const material = await materialFor(OAEP_2048);
    const ciphertext = encrypt(material, 'sha1');

    expect(() => decryptOaep(OAEP_2048, material, ciphertext)).toThrow(CiphertextError);
  });

  it.each([
    ['no bytes', Buffer.alloc(0)],
    ['random bytes of the right length', randomBytes(256)],
    ['bytes that are too long', randomBytes(257)],
  ])('refuses %s', async (_name, ciphertext) => {
    const material = await materialFor(OAEP_2048);

    expect(() => decryptOaep(OAEP_2048, material, ciphertext)).toThrow(CiphertextError);
  });

  it('refuses a key that is not asymmetric', async () => {
    const material = await materialFor(entryOf('ENCRYPT_DECRYPT', 'GOOGLE_SYMMETRIC_ENCRYPTION'));

    expect(() => decryptOaep(OAEP_2048, material, randomBytes(256))).toThrow(KeyMaterialError);
  });
});
