import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { algorithmsOf, allAlgorithms, findAlgorithm } from '../../src/keys/algorithms.js';

const packageRoot = dirname(createRequire(import.meta.url).resolve('@google-cloud/kms/package.json'));
const proto =
  /enum CryptoKeyVersionAlgorithm \{[\s\S]*?\n {2}\}/.exec(
    readFileSync(join(packageRoot, 'build/protos/google/cloud/kms/v1/resources.proto'), 'utf8'),
  )?.[0] ?? '';

describe('the algorithm table', () => {
  it('has only algorithms that Cloud KMS has', () => {
    for (const { name } of allAlgorithms()) expect(proto).toMatch(new RegExp(`^\\s+${name} = \\d+;`, 'm'));
  });

  it('leaves out only algorithms of external keys, pre-hashed post-quantum forms and key wrapping', () => {
    const names = [...proto.matchAll(/^ {4}([A-Z0-9_]+) = \d+;/gm)]
      .map(([, name]) => name ?? '')
      .filter((name) => name !== 'CRYPTO_KEY_VERSION_ALGORITHM_UNSPECIFIED');
    expect(names.filter((name) => findAlgorithm(name) === undefined).toSorted()).toEqual([
      'AES_256_KWP',
      'EXTERNAL_SYMMETRIC_ENCRYPTION',
      'PQ_SIGN_HASH_SLH_DSA_SHA2_128S_SHA256',
      'PQ_SIGN_ML_DSA_44_EXTERNAL_MU',
      'PQ_SIGN_ML_DSA_65_EXTERNAL_MU',
      'PQ_SIGN_ML_DSA_87_EXTERNAL_MU',
    ]);
  });

  it('has an HSM form of the curves of NIST and of secp256k1, and none of Ed25519', () => {
    expect(algorithmsOf('ASYMMETRIC_SIGN', 'HSM')).toEqual(
      expect.arrayContaining(['EC_SIGN_P256_SHA256', 'EC_SIGN_P384_SHA384', 'EC_SIGN_SECP256K1_SHA256']),
    );
    expect(algorithmsOf('ASYMMETRIC_SIGN', 'HSM')).not.toContain('EC_SIGN_ED25519');
    expect(algorithmsOf('ASYMMETRIC_SIGN', 'SOFTWARE')).not.toContain('EC_SIGN_SECP256K1_SHA256');
  });

  it('takes the digest that the name of the algorithm says', () => {
    for (const entry of allAlgorithms()) {
      const digest = /_(SHA256|SHA384|SHA512)$/.exec(entry.name)?.[1]?.toLowerCase();
      if (entry.purpose === 'ASYMMETRIC_SIGN') {
        expect(entry.input.kind === 'digest' ? entry.input.digest : undefined, entry.name).toBe(digest);
      }
    }
  });
});
