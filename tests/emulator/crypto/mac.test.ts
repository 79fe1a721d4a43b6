import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { CryptoInputError, KeyMaterialError } from '../../../src/emulator/crypto/crypto-errors.js';
import { generateKeyMaterial, type KeyMaterial } from '../../../src/emulator/crypto/key-material.js';
import { macSign, macVerify } from '../../../src/emulator/crypto/mac.js';
import { allAlgorithms } from '../../../src/keys/algorithms.js';
import { entryOf, materialFor } from '../../support/key-material.js';

const HMAC_SHA256 = entryOf('MAC', 'HMAC_SHA256');

describe('macSign', () => {
  // RFC 4231 section 4.3 (test case 2) and RFC 2202 section 3 (test case 2 for SHA-1): key "Jefe".
  it.each([
    ['HMAC_SHA1', 'effcdf6ae5eb2fa2d27416d5f184df9c259a7c79'],
    ['HMAC_SHA224', 'a30e01098bc6dbbf45690f3a7e9e6d0f8bbea2a39e6148008fd05e44'],
    ['HMAC_SHA256', '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843'],
    [
      'HMAC_SHA384',
      'af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649',
    ],
    [
      'HMAC_SHA512',
      '164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737',
    ],
  ])('gives the known answer for %s', (name, tag) => {
    const material: KeyMaterial = { kind: 'symmetric', bytes: Buffer.from('Jefe') };

    const mac = macSign(entryOf('MAC', name), material, Buffer.from('what do ya want for nothing?'));

    expect(mac.toString('hex')).toBe(tag);
  });

  it('refuses a key that is not symmetric', async () => {
    const material = await materialFor(entryOf('ASYMMETRIC_SIGN', 'EC_SIGN_ED25519'));

    expect(() => macSign(HMAC_SHA256, material, Buffer.alloc(1))).toThrow(KeyMaterialError);
  });
});

describe('macVerify', () => {
  const entries = allAlgorithms().filter((entry) => entry.purpose === 'MAC');

  it.each(entries)('accepts what macSign made with $name', async (entry) => {
    const material = await generateKeyMaterial(entry);
    const data = randomBytes(100);

    expect(macVerify(entry, material, { data, mac: macSign(entry, material, data) })).toBe(true);
  });

  it('is false for the tag of other data', async () => {
    const material = await generateKeyMaterial(HMAC_SHA256);
    const mac = macSign(HMAC_SHA256, material, Buffer.from('one'));

    expect(macVerify(HMAC_SHA256, material, { data: Buffer.from('two'), mac })).toBe(false);
  });

  it.each([0, 31, 33])('refuses a tag of %d bytes', async (sizeBytes) => {
    const material = await generateKeyMaterial(HMAC_SHA256);

    expect(() =>
      macVerify(HMAC_SHA256, material, { data: Buffer.alloc(1), mac: Buffer.alloc(sizeBytes) }),
    ).toThrow(CryptoInputError);
  });
});
