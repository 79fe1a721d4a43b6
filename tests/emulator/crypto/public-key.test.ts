import { createPublicKey } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { KeyMaterialError } from '../../../src/emulator/crypto/crypto-errors.js';
import { postQuantumKeyFor, privateKeyFor } from '../../../src/emulator/crypto/key-material.js';
import { encodePublicKey, publicKeyFormats, publicKeyPem } from '../../../src/emulator/crypto/public-key.js';
import { entryOf, materialFor } from '../../support/key-material.js';

const P256 = entryOf('ASYMMETRIC_SIGN', 'EC_SIGN_P256_SHA256');
const ED25519 = entryOf('ASYMMETRIC_SIGN', 'EC_SIGN_ED25519');
const RSA = entryOf('ASYMMETRIC_DECRYPT', 'RSA_DECRYPT_OAEP_2048_SHA256');
const ML_DSA_44 = entryOf('ASYMMETRIC_SIGN', 'PQ_SIGN_ML_DSA_44');
const ML_DSA_65 = entryOf('ASYMMETRIC_SIGN', 'PQ_SIGN_ML_DSA_65');
const ML_DSA_87 = entryOf('ASYMMETRIC_SIGN', 'PQ_SIGN_ML_DSA_87');
const SLH_DSA = entryOf('ASYMMETRIC_SIGN', 'PQ_SIGN_SLH_DSA_SHA2_128S');
const ML_KEM_768 = entryOf('KEY_ENCAPSULATION', 'ML_KEM_768');
const XWING = entryOf('KEY_ENCAPSULATION', 'KEM_XWING');
const GOOGLE = entryOf('ENCRYPT_DECRYPT', 'GOOGLE_SYMMETRIC_ENCRYPTION');

describe('publicKeyPem', () => {
  it.each([P256, ED25519, RSA])('is the SPKI PEM of the private key for $name', async (entry) => {
    const material = await materialFor(entry);

    const pem = publicKeyPem(material);

    expect(pem).toMatch(/^-----BEGIN PUBLIC KEY-----\n[\s\S]+\n-----END PUBLIC KEY-----\n$/);
    expect(createPublicKey(pem).equals(createPublicKey(privateKeyFor(entry, material)))).toBe(true);
  });

  it('is the SPKI of RFC 9881 for ML-DSA', async () => {
    const material = await materialFor(ML_DSA_44);

    const der = Buffer.from(publicKeyPem(material).replace(/-----.+-----/g, ''), 'base64');

    // SEQUENCE { SEQUENCE { 2.16.840.1.101.3.4.3.17 }, BIT STRING } as in the examples of RFC 9881 appendix C.
    const prefix = Buffer.from('30820532300b060960864801650304031103820521' + '00', 'hex');
    expect(der).toEqual(Buffer.concat([prefix, postQuantumKeyFor(ML_DSA_44, material).publicKey]));
  });

  it.each([GOOGLE, SLH_DSA, ML_KEM_768, XWING])('is refused for $name', async (entry) => {
    const material = await materialFor(entry);

    expect(() => publicKeyPem(material)).toThrow(KeyMaterialError);
  });
});

describe('publicKeyFormats', () => {
  it.each([
    [P256, ['PEM', 'DER']],
    [RSA, ['PEM', 'DER']],
    [ML_DSA_44, ['PEM', 'NIST_PQC']],
    [ML_DSA_65, ['PEM', 'NIST_PQC']],
    [ML_DSA_87, ['PEM', 'NIST_PQC']],
    [SLH_DSA, ['NIST_PQC']],
    [ML_KEM_768, ['NIST_PQC']],
    [entryOf('KEY_ENCAPSULATION', 'ML_KEM_1024'), ['NIST_PQC']],
    [XWING, ['XWING_RAW_BYTES']],
    [GOOGLE, []],
  ])('lists what $name has', (entry, formats) => {
    expect(publicKeyFormats(entry)).toEqual(formats);
  });
});

describe('encodePublicKey', () => {
  it('gives PEM as the bytes of the text', async () => {
    const material = await materialFor(P256);

    expect(encodePublicKey(P256, material, 'PEM')?.toString()).toBe(publicKeyPem(material));
  });

  it('gives DER of the same key', async () => {
    const material = await materialFor(P256);

    const der = encodePublicKey(P256, material, 'DER') ?? Buffer.alloc(0);

    expect(
      createPublicKey({ key: der, format: 'der', type: 'spki' }).export({ format: 'pem', type: 'spki' }),
    ).toBe(publicKeyPem(material));
  });

  it.each([
    [ML_DSA_65, 'NIST_PQC', 1952],
    [SLH_DSA, 'NIST_PQC', 32],
    [ML_KEM_768, 'NIST_PQC', 1184],
    [XWING, 'XWING_RAW_BYTES', 1216],
  ] as const)('gives the raw key for $0.name in $1', async (entry, format, sizeBytes) => {
    const material = await materialFor(entry);

    const encoded = encodePublicKey(entry, material, format);

    expect(encoded).toHaveLength(sizeBytes);
    expect(encoded).toEqual(postQuantumKeyFor(entry, material).publicKey);
    expect(encoded).not.toBe(postQuantumKeyFor(entry, material).publicKey);
  });

  it.each([
    [P256, 'NIST_PQC'],
    [P256, 'XWING_RAW_BYTES'],
    [ML_DSA_44, 'DER'],
    [ML_KEM_768, 'PEM'],
    [XWING, 'NIST_PQC'],
    [GOOGLE, 'PEM'],
  ] as const)('is undefined for $0.name in $1', async (entry, format) => {
    expect(encodePublicKey(entry, await materialFor(entry), format)).toBeUndefined();
  });

  it('is undefined when the key is symmetric though the algorithm is not', async () => {
    expect(encodePublicKey(P256, await materialFor(GOOGLE), 'DER')).toBeUndefined();
  });
});
