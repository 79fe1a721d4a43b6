import { type KeyObject, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { KeyUnwrapError } from '../../../src/emulator/crypto/crypto-errors.js';
import {
  generateImportKeyPair,
  isImportMethod,
  unwrapAesKwp,
  unwrapImportedKey,
} from '../../../src/emulator/crypto/key-wrap.js';
import { wrapAesKwp, wrapDirectly, wrapWithEphemeralKey } from '../../support/wrap-for-import.js';

interface WrappingKeys {
  publicKey: KeyObject;
  privateKey: KeyObject;
}

let keys3072: WrappingKeys;
let keys4096: WrappingKeys;

beforeAll(async () => {
  [keys3072, keys4096] = await Promise.all([
    generateImportKeyPair('RSA_OAEP_3072_SHA256_AES_256'),
    generateImportKeyPair('RSA_OAEP_4096_SHA256_AES_256'),
  ]);
});

describe('generateImportKeyPair', () => {
  it('makes a key of the size that the method names', () => {
    expect(keys3072.publicKey.asymmetricKeyDetails?.modulusLength).toBe(3072);
    expect(keys4096.publicKey.asymmetricKeyDetails?.modulusLength).toBe(4096);
  });
});

describe('isImportMethod', () => {
  it.each([
    ['RSA_OAEP_3072_SHA1_AES_256', true],
    ['RSA_OAEP_4096_SHA256', true],
    ['HPKE_KEM_XWING_HKDF_SHA256_AES_256_GCM', false],
    ['IMPORT_METHOD_UNSPECIFIED', false],
    ['toString', false],
  ])('of %s is %s', (name, expected) => {
    expect(isImportMethod(name)).toBe(expected);
  });
});

describe('unwrapAesKwp', () => {
  const wrappingKey = Buffer.from('5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8', 'hex');

  it.each([
    [
      '20 octets',
      'c37b7e6492584340bed12207808941155068f738',
      '138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a',
    ],
    ['7 octets', '466f7250617369', 'afbeb0f07dfbf5419200f2ccb50bb24f'],
  ])('gives the key data of RFC 5649 section 6 for %s', (_name, keyData, wrapped) => {
    expect(unwrapAesKwp(wrappingKey, Buffer.from(wrapped, 'hex')).toString('hex')).toBe(keyData);
  });

  it('unwraps whatever was wrapped', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
        fc.uint8Array({ minLength: 1, maxLength: 300 }),
        (keyBytes, material) => {
          const key = Buffer.from(keyBytes);
          expect(unwrapAesKwp(key, wrapAesKwp(key, material))).toEqual(Buffer.from(material));
        },
      ),
    );
  });

  it('refuses a wrapped key with any byte altered', () => {
    const key = randomBytes(32);
    const wrapped = wrapAesKwp(key, randomBytes(32));

    for (let index = 0; index < wrapped.length; index++) {
      const altered = Buffer.from(wrapped);
      altered[index] = (altered[index] ?? 0) ^ 0x01;
      expect(() => unwrapAesKwp(key, altered)).toThrow(KeyUnwrapError);
    }
  });

  it('refuses a wrapped key that is not whole blocks', () => {
    expect(() => unwrapAesKwp(randomBytes(32), randomBytes(41))).toThrow(KeyUnwrapError);
  });
});

describe('unwrapImportedKey', () => {
  it.each([
    ['RSA_OAEP_3072_SHA1_AES_256', 'sha1', () => keys3072],
    ['RSA_OAEP_3072_SHA256_AES_256', 'sha256', () => keys3072],
    ['RSA_OAEP_4096_SHA1_AES_256', 'sha1', () => keys4096],
    ['RSA_OAEP_4096_SHA256_AES_256', 'sha256', () => keys4096],
  ] as const)('gives back the key that was wrapped with %s', (method, hash, keys) => {
    const { publicKey, privateKey } = keys();
    const material = randomBytes(1217);

    const wrapped = wrapWithEphemeralKey(publicKey, hash, { material });

    expect(unwrapImportedKey(method, privateKey, wrapped)).toEqual(material);
  });

  it.each([
    ['RSA_OAEP_3072_SHA256', () => keys3072],
    ['RSA_OAEP_4096_SHA256', () => keys4096],
  ] as const)('gives back the key that was wrapped with %s', (method, keys) => {
    const { publicKey, privateKey } = keys();
    const material = randomBytes(138);

    expect(unwrapImportedKey(method, privateKey, wrapDirectly(publicKey, 'sha256', material))).toEqual(
      material,
    );
  });

  it('gives back any material', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 300 }), (material) => {
        const wrapped = wrapWithEphemeralKey(keys3072.publicKey, 'sha256', { material });
        const unwrapped = unwrapImportedKey('RSA_OAEP_3072_SHA256_AES_256', keys3072.privateKey, wrapped);
        expect(unwrapped).toEqual(Buffer.from(material));
      }),
      { numRuns: 25 },
    );
  });

  it.each([
    ['nothing', () => Buffer.alloc(0), 'too short'],
    [
      'an ephemeral key alone',
      () => wrapDirectly(keys3072.publicKey, 'sha256', randomBytes(32)),
      'too short',
    ],
    ['random bytes', () => randomBytes(384 + 40), "not encrypted with the import job's public key"],
    [
      'an ephemeral key of another hash',
      () => wrapWithEphemeralKey(keys3072.publicKey, 'sha1', { material: randomBytes(32) }),
      "not encrypted with the import job's public key",
    ],
    [
      'an AES-128 ephemeral key',
      () =>
        wrapWithEphemeralKey(keys3072.publicKey, 'sha256', {
          material: randomBytes(32),
          ephemeralKey: randomBytes(16),
        }),
      'not an AES-256 key',
    ],
    [
      'a key wrapped with another ephemeral key',
      () =>
        Buffer.concat([
          wrapDirectly(keys3072.publicKey, 'sha256', randomBytes(32)),
          wrapAesKwp(randomBytes(32), randomBytes(32)),
        ]),
      'cannot be unwrapped with the ephemeral wrapping key',
    ],
  ])('refuses %s', (_name, wrapped, message) => {
    const unwrapping = () =>
      unwrapImportedKey('RSA_OAEP_3072_SHA256_AES_256', keys3072.privateKey, wrapped());

    expect(unwrapping).toThrow(KeyUnwrapError);
    expect(unwrapping).toThrow(message);
  });

  it('refuses garbage where the key is wrapped directly', () => {
    expect(() => unwrapImportedKey('RSA_OAEP_3072_SHA256', keys3072.privateKey, randomBytes(384))).toThrow(
      KeyUnwrapError,
    );
  });
});
