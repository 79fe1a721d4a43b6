import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { KeyMaterialError } from '../../../src/emulator/crypto/crypto-errors.js';
import {
  decodeKeyMaterial,
  encodeKeyMaterial,
  fingerprintKeyMaterial,
  generateKeyMaterial,
  importKeyMaterial,
  type KeyMaterial,
  postQuantumKeyFor,
  privateKeyFor,
  symmetricKey,
} from '../../../src/emulator/crypto/key-material.js';
import { rawKeySizes } from '../../../src/emulator/crypto/post-quantum.js';
import type { AlgorithmEntry } from '../../../src/keys/algorithm-types.js';
import { allAlgorithms } from '../../../src/keys/algorithms.js';
import { entryOf, materialFor } from '../../support/key-material.js';

const sameKey = (a: KeyMaterial, b: KeyMaterial): boolean =>
  fingerprintKeyMaterial(a) === fingerprintKeyMaterial(b);

const RSA_2048_PKCS1 = entryOf('ASYMMETRIC_SIGN', 'RSA_SIGN_PKCS1_2048_SHA256');
const RSA_3072_OAEP = entryOf('ASYMMETRIC_DECRYPT', 'RSA_DECRYPT_OAEP_3072_SHA256');
const P256 = entryOf('ASYMMETRIC_SIGN', 'EC_SIGN_P256_SHA256');
const P384 = entryOf('ASYMMETRIC_SIGN', 'EC_SIGN_P384_SHA384');
const ED25519 = entryOf('ASYMMETRIC_SIGN', 'EC_SIGN_ED25519');
const ML_DSA_44 = entryOf('ASYMMETRIC_SIGN', 'PQ_SIGN_ML_DSA_44');
const GOOGLE = entryOf('ENCRYPT_DECRYPT', 'GOOGLE_SYMMETRIC_ENCRYPTION');
const HMAC_SHA512 = entryOf('MAC', 'HMAC_SHA512');

function pkcs8(type: 'prime256v1' | 'ed25519' | 'x25519' | 'rsa-pss'): Buffer {
  const encoding = { format: 'der', type: 'pkcs8' } as const;
  switch (type) {
    case 'prime256v1':
      return generateKeyPairSync('ec', { namedCurve: type }).privateKey.export(encoding);
    case 'ed25519':
      return generateKeyPairSync('ed25519').privateKey.export(encoding);
    case 'x25519':
      return generateKeyPairSync('x25519').privateKey.export(encoding);
    case 'rsa-pss':
      return generateKeyPairSync('rsa-pss', { modulusLength: 2048 }).privateKey.export(encoding);
  }
}

function expectedKind(entry: AlgorithmEntry): KeyMaterial['kind'] {
  if (!('key' in entry)) return 'symmetric';
  return entry.key.kind === 'pqc' ? 'pqc' : 'keypair';
}

describe.each(allAlgorithms().map((entry) => [entry.name, entry] as const))(
  'a key for %s',
  (_name, entry) => {
    it('has the kind of the algorithm and survives the state file', { timeout: 60_000 }, async () => {
      const material = await materialFor(entry);

      expect(material.kind).toBe(expectedKind(entry));
      const decoded = decodeKeyMaterial(entry, encodeKeyMaterial(material));
      expect(sameKey(material, decoded)).toBe(true);
      expect(encodeKeyMaterial(decoded)).toEqual(encodeKeyMaterial(material));
    });
  },
);

describe('generateKeyMaterial', () => {
  it('gives another key each time', async () => {
    const [first, second] = await Promise.all([generateKeyMaterial(P256), generateKeyMaterial(P256)]);

    expect(sameKey(first, second)).toBe(false);
  });

  it.each([
    ['GOOGLE_SYMMETRIC_ENCRYPTION', GOOGLE, 32],
    ['AES_128_CBC', entryOf('RAW_ENCRYPT_DECRYPT', 'AES_128_CBC'), 16],
    ['HMAC_SHA512', HMAC_SHA512, 64],
  ])('makes a key for %s with the size that the algorithm demands', async (_name, entry, sizeBytes) => {
    expect(symmetricKey(await generateKeyMaterial(entry))).toHaveLength(sizeBytes);
  });

  it('makes an RSA key with the modulus of the algorithm', { timeout: 60_000 }, async () => {
    const key = privateKeyFor(RSA_3072_OAEP, await materialFor(RSA_3072_OAEP));

    expect(key.asymmetricKeyDetails?.modulusLength).toBe(3072);
  });

  it('makes post-quantum keys with the sizes of the standard', async () => {
    const { secretKey, publicKey } = postQuantumKeyFor(ML_DSA_44, await materialFor(ML_DSA_44));

    expect({ secretKeyBytes: secretKey.length, publicKeyBytes: publicKey.length }).toEqual(
      rawKeySizes('ml-dsa-44'),
    );
  });
});

describe('importKeyMaterial', () => {
  it('takes a PKCS#8 key of the curve', () => {
    const der = pkcs8('prime256v1');

    expect(encodeKeyMaterial(importKeyMaterial(P256, der))).toEqual(der);
  });

  it('takes a PKCS#8 Ed25519 key', () => {
    const der = pkcs8('ed25519');

    expect(encodeKeyMaterial(importKeyMaterial(ED25519, der))).toEqual(der);
  });

  it('keeps its own copy of symmetric key bytes', () => {
    const bytes = randomBytes(32);
    const original = Buffer.from(bytes);

    const material = importKeyMaterial(GOOGLE, bytes);
    bytes.fill(0);

    expect(symmetricKey(material)).toEqual(original);
  });

  it.each([
    ['a key on another curve', P384, () => pkcs8('prime256v1'), 'must be ec secp384r1, not ec prime256v1'],
    ['an Ed25519 key for an ECDSA algorithm', P256, () => pkcs8('ed25519'), 'not ed25519'],
    ['an X25519 key for Ed25519', ED25519, () => pkcs8('x25519'), 'must be ed25519, not x25519'],
    ['an RSA key that is bound to PSS', RSA_2048_PKCS1, () => pkcs8('rsa-pss'), 'not rsa-pss 2048'],
    ['bytes that are no key', P256, () => Buffer.from('not a key'), 'not a PKCS#8 private key'],
    ['a symmetric key that is too short', GOOGLE, () => randomBytes(16), 'must have 32 bytes, not 16'],
    ['an HMAC key that is too long', HMAC_SHA512, () => randomBytes(65), 'must have 64 bytes, not 65'],
    ['a post-quantum key', ML_DSA_44, () => randomBytes(2560), 'cannot be imported'],
  ])('refuses %s', (_name, entry, bytes, message) => {
    const importing = () => importKeyMaterial(entry, bytes());

    expect(importing).toThrow(KeyMaterialError);
    expect(importing).toThrow(message);
  });

  it('refuses an RSA key with another modulus', { timeout: 60_000 }, async () => {
    const der = encodeKeyMaterial(await materialFor(RSA_3072_OAEP));

    expect(() => importKeyMaterial(RSA_2048_PKCS1, der)).toThrow('must be rsa 2048, not rsa 3072');
  });

  it('refuses a public key', async () => {
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });

    expect(() => importKeyMaterial(P256, publicKey.export({ format: 'der', type: 'spki' }))).toThrow(
      KeyMaterialError,
    );
  });
});

describe('decodeKeyMaterial', () => {
  it('refuses a post-quantum key that lost a byte', async () => {
    const stored = encodeKeyMaterial(await materialFor(ML_DSA_44));

    expect(() => decodeKeyMaterial(ML_DSA_44, stored.subarray(1))).toThrow(KeyMaterialError);
  });

  it('does not share memory with the bytes it was given', async () => {
    const material = await materialFor(ML_DSA_44);
    const stored = encodeKeyMaterial(material);

    const decoded = decodeKeyMaterial(ML_DSA_44, stored);
    stored.fill(0);

    expect(sameKey(decoded, material)).toBe(true);
  });
});

describe('fingerprintKeyMaterial', () => {
  it('tells symmetric keys of different length apart', () => {
    const short: KeyMaterial = { kind: 'symmetric', bytes: Buffer.alloc(16) };
    const long: KeyMaterial = { kind: 'symmetric', bytes: Buffer.alloc(32) };

    expect(sameKey(short, long)).toBe(false);
  });

  it('tells keys of different kinds apart', async () => {
    expect(sameKey(await materialFor(P256), await materialFor(GOOGLE))).toBe(false);
  });

  it('recognises a symmetric key that was imported twice', () => {
    const bytes = randomBytes(32);

    expect(sameKey(importKeyMaterial(GOOGLE, bytes), importKeyMaterial(GOOGLE, bytes))).toBe(true);
  });
});

describe('a key used for another algorithm', () => {
  it('is refused by symmetricKey when it is a key pair', async () => {
    const material = await materialFor(P256);

    expect(() => symmetricKey(material)).toThrow(KeyMaterialError);
  });

  it.each([
    ['a symmetric key', GOOGLE],
    ['a key on another curve', P384],
    ['an Ed25519 key', ED25519],
    ['a post-quantum key', ML_DSA_44],
  ])('is refused by privateKeyFor when it is %s', async (_name, entry) => {
    const material = await materialFor(entry);

    expect(() => privateKeyFor(P256, material)).toThrow('A key for EC_SIGN_P256_SHA256 is needed');
  });

  it.each([
    ['a symmetric key', GOOGLE],
    ['a key of another parameter set', entryOf('ASYMMETRIC_SIGN', 'PQ_SIGN_ML_DSA_65')],
  ])('is refused by postQuantumKeyFor when it is %s', async (_name, entry) => {
    const material = await materialFor(entry);

    expect(() => postQuantumKeyFor(ML_DSA_44, material)).toThrow('A key for PQ_SIGN_ML_DSA_44 is needed');
  });
});
