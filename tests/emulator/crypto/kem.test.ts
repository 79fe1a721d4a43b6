import { randomBytes } from 'node:crypto';
import { ml_kem768_x25519 } from '@noble/post-quantum/hybrid.js';
import { ml_kem768, ml_kem1024 } from '@noble/post-quantum/ml-kem.js';
import { describe, expect, it } from 'vitest';
import { CiphertextError, KeyMaterialError } from '../../../src/emulator/crypto/crypto-errors.js';
import { decapsulate } from '../../../src/emulator/crypto/kem.js';
import {
  generateKeyMaterial,
  type KeyMaterial,
  postQuantumKeyFor,
} from '../../../src/emulator/crypto/key-material.js';
import { entryOf } from '../../support/key-material.js';

const ML_KEM_768 = entryOf('KEY_ENCAPSULATION', 'ML_KEM_768');
const XWING = entryOf('KEY_ENCAPSULATION', 'KEM_XWING');

describe('decapsulate', () => {
  it.each([
    ['ML_KEM_768', ml_kem768],
    ['ML_KEM_1024', ml_kem1024],
    ['KEM_XWING', ml_kem768_x25519],
  ])('gives the secret that was encapsulated for %s', async (name, scheme) => {
    const entry = entryOf('KEY_ENCAPSULATION', name);
    const material = await generateKeyMaterial(entry);
    const { cipherText, sharedSecret } = scheme.encapsulate(postQuantumKeyFor(entry, material).publicKey);

    const secret = await decapsulate(entry, material, Buffer.from(cipherText));

    expect(secret).toHaveLength(32);
    expect(secret).toEqual(Buffer.from(sharedSecret));
  });

  it('gives the known answer of the X-Wing draft', async () => {
    // draft-connolly-cfrg-xwing-kem appendix C, first vector.
    const seed = Buffer.from('7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26', 'hex');
    const encapsulationSeed = Buffer.from(
      '3cb1eea988004b93103cfb0aeefd2a686e01fa4a58e8a3639ca8a1e3f9ae57e2' +
        '35b8cc873c23dc62b8d260169afa2f75ab916a58d974918835d25e6a435085b2',
      'hex',
    );
    const { secretKey, publicKey } = ml_kem768_x25519.keygen(seed);
    const { cipherText } = ml_kem768_x25519.encapsulate(publicKey, encapsulationSeed);
    const material: KeyMaterial = {
      kind: 'pqc',
      parameterSet: 'x-wing',
      secretKey: Buffer.from(secretKey),
      publicKey: Buffer.from(publicKey),
    };

    const secret = await decapsulate(XWING, material, Buffer.from(cipherText));

    expect(secret.toString('hex')).toBe('d2df0522128f09dd8e2c92b1e905c793d8f57a54c3da25861f10bf4ca613e384');
  });

  it('gives another secret when the ciphertext was altered', async () => {
    const material = await generateKeyMaterial(ML_KEM_768);
    const { cipherText, sharedSecret } = ml_kem768.encapsulate(
      postQuantumKeyFor(ML_KEM_768, material).publicKey,
    );
    cipherText[0] = (cipherText[0] ?? 0) ^ 0x01;

    const secret = await decapsulate(ML_KEM_768, material, Buffer.from(cipherText));

    expect(secret).not.toEqual(Buffer.from(sharedSecret));
  });

  it('refuses a ciphertext of another length', async () => {
    const material = await generateKeyMaterial(ML_KEM_768);

    await expect(decapsulate(ML_KEM_768, material, randomBytes(1087))).rejects.toThrow(CiphertextError);
  });

  it('refuses a key of another parameter set', async () => {
    const material = await generateKeyMaterial(ML_KEM_768);

    await expect(decapsulate(XWING, material, randomBytes(1120))).rejects.toThrow(KeyMaterialError);
  });

  it('refuses an entry that names a signature scheme', async () => {
    const signing = entryOf('ASYMMETRIC_SIGN', 'PQ_SIGN_ML_DSA_44');
    const entry = { ...ML_KEM_768, key: { kind: 'pqc', parameterSet: 'ml-dsa-44' } as const };

    await expect(
      decapsulate(entry, await generateKeyMaterial(signing), randomBytes(ML_KEM_768.ciphertextBytes)),
    ).rejects.toThrow(KeyMaterialError);
  });
});
