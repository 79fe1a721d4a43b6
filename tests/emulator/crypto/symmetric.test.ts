import { randomBytes, randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  CiphertextError,
  CryptoInputError,
  KeyMaterialError,
} from '../../../src/emulator/crypto/crypto-errors.js';
import type { KeyMaterial } from '../../../src/emulator/crypto/key-material.js';
import {
  decryptSymmetric,
  encryptSymmetric,
  readCiphertextKey,
} from '../../../src/emulator/crypto/symmetric.js';
import { entryOf, materialFor } from '../../support/key-material.js';

const NO_AAD = Buffer.alloc(0);
const KEY_ID = randomUUID();

const newKey = (): KeyMaterial => ({ kind: 'symmetric', bytes: randomBytes(32) });

function encrypt(
  material: KeyMaterial,
  changes: Partial<Parameters<typeof encryptSymmetric>[0]> = {},
): Buffer {
  return encryptSymmetric({
    material,
    keyId: KEY_ID,
    version: 1,
    plaintext: Buffer.from('data key'),
    aad: NO_AAD,
    ...changes,
  });
}

describe('encryptSymmetric', () => {
  it('round-trips any plaintext with any associated data', () => {
    const material = newKey();

    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 500 }),
        fc.uint8Array({ maxLength: 100 }),
        fc.integer({ min: 1, max: 0xffff_ffff }),
        (plaintext, aad, version) => {
          const ciphertext = encrypt(material, {
            plaintext: Buffer.from(plaintext),
            aad: Buffer.from(aad),
            version,
          });
          expect(readCiphertextKey(ciphertext)).toEqual({ keyId: KEY_ID, version });
          expect(decryptSymmetric({ material, ciphertext, aad: Buffer.from(aad) })).toEqual(
            Buffer.from(plaintext),
          );
        },
      ),
    );
  });

  it('gives another ciphertext each time', () => {
    const material = newKey();

    expect(encrypt(material)).not.toEqual(encrypt(material));
  });

  it.each(['', 'a/b', 'k'.repeat(256)])('refuses the key id "%s"', (keyId) => {
    expect(() => encrypt(newKey(), { keyId })).toThrow(CryptoInputError);
  });

  it.each([0, -1, 1.5, 2 ** 32])('refuses version %d', (version) => {
    expect(() => encrypt(newKey(), { version })).toThrow(CryptoInputError);
  });

  it('refuses a key that is not symmetric', async () => {
    const material = await materialFor(entryOf('ASYMMETRIC_SIGN', 'EC_SIGN_P256_SHA256'));

    expect(() => encrypt(material)).toThrow(KeyMaterialError);
  });
});

describe('readCiphertextKey', () => {
  it('reads the longest key id', () => {
    const keyId = 'k'.repeat(255);

    expect(readCiphertextKey(encrypt(newKey(), { keyId }))).toEqual({ keyId, version: 1 });
  });

  it('reads the ciphertext of an empty plaintext', () => {
    const ciphertext = encrypt(newKey(), { plaintext: Buffer.alloc(0) });

    expect(readCiphertextKey(ciphertext)).toEqual({ keyId: KEY_ID, version: 1 });
  });

  it.each([
    ['no bytes', Buffer.alloc(0)],
    ['the first byte alone', Buffer.from([0x0a])],
    ['text', Buffer.from('this is not a ciphertext at all, though it is long enough')],
    [
      'a ciphertext without its last byte of the shortest length',
      encrypt(newKey(), { plaintext: NO_AAD }).subarray(0, -1),
    ],
    [
      'a key id with a forbidden character',
      Buffer.concat([Buffer.from([0x0a, 1, 0x2f, 0, 0, 0, 1]), Buffer.alloc(28)]),
    ],
    ['a key id of no length', Buffer.concat([Buffer.from([0x0a, 0, 0, 0, 0, 1]), Buffer.alloc(28)])],
    ['version 0', Buffer.concat([Buffer.from([0x0a, 1, 0x61, 0, 0, 0, 0]), Buffer.alloc(28)])],
  ])('does not take %s for a ciphertext', (_name, bytes) => {
    expect(readCiphertextKey(bytes)).toBeUndefined();
  });
});

describe('decryptSymmetric', () => {
  it('refuses another key', () => {
    const ciphertext = encrypt(newKey());

    expect(() => decryptSymmetric({ material: newKey(), ciphertext, aad: NO_AAD })).toThrow(CiphertextError);
  });

  it('refuses other associated data', () => {
    const material = newKey();
    const ciphertext = encrypt(material, { aad: Buffer.from('agent one') });

    expect(() => decryptSymmetric({ material, ciphertext, aad: Buffer.from('agent two') })).toThrow(
      CiphertextError,
    );
  });

  it('refuses a ciphertext with any byte altered, the header included', () => {
    const material = newKey();
    const ciphertext = encrypt(material);

    for (let index = 0; index < ciphertext.length; index++) {
      const altered = Buffer.from(ciphertext);
      altered[index] = (altered[index] ?? 0) ^ 0x01;
      expect(() => decryptSymmetric({ material, ciphertext: altered, aad: NO_AAD })).toThrow(CiphertextError);
    }
  });

  it('refuses garbage', () => {
    const garbage = Buffer.from('garbage');

    expect(() => decryptSymmetric({ material: newKey(), ciphertext: garbage, aad: NO_AAD })).toThrow(
      CiphertextError,
    );
  });
});
