import { describe, expect, it } from 'vitest';
import { findAlgorithm } from '../../src/keys/algorithms.js';
import {
  administrativeKind,
  keyUseKind,
  PUBLISHED_TOKENS_PER_MINUTE,
  publishedTokens,
} from '../../src/kms/quota-table.js';

describe('published quotas', () => {
  const tokens = (name: string, level: string): number => {
    const algorithm = findAlgorithm(name);
    if (algorithm === undefined) throw new Error(name);
    return publishedTokens(keyUseKind(level), algorithm);
  };

  it.each([
    ['RSA_SIGN_PSS_2048_SHA256', 1_500],
    ['RSA_SIGN_PKCS1_3072_SHA256', 3_500],
    ['RSA_DECRYPT_OAEP_4096_SHA512', 14_000],
    ['EC_SIGN_P256_SHA256', 4_500],
    ['EC_SIGN_SECP256K1_SHA256', 4_500],
    ['EC_SIGN_P384_SHA384', 7_000],
    ['GOOGLE_SYMMETRIC_ENCRYPTION', 100],
    ['HMAC_SHA256', 100],
  ])('has the HSM take %s for %i tokens', (name, expected) => {
    expect(tokens(name, 'HSM')).toBe(expected);
  });

  it('allows 428 signatures with P-384 a minute in the HSM', () => {
    const perMinute = PUBLISHED_TOKENS_PER_MINUTE.hsm / tokens('EC_SIGN_P384_SHA384', 'HSM');
    expect(Math.floor(perMinute)).toBe(428);
  });

  it('has the same price for all software keys, and counts external ones by the call', () => {
    expect(tokens('EC_SIGN_P384_SHA384', 'SOFTWARE')).toBe(100);
    expect(tokens('EC_SIGN_P384_SHA384', 'EXTERNAL')).toBe(1);
  });

  it('counts what reads and what writes apart', () => {
    expect(administrativeKind('getPublicKey')).toBe('read');
    expect(administrativeKind('listCryptoKeys')).toBe('read');
    expect(administrativeKind('testIamPermissions')).toBe('read');
    expect(administrativeKind('createCryptoKeyVersion')).toBe('write');
    expect(administrativeKind('setIamPolicy')).toBe('write');
  });
});
