import { createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { setImmediate as turnOfTheLoop } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { KeyAlgorithm } from '../../src/keys/algorithm-types.js';
import { findAlgorithm } from '../../src/keys/algorithms.js';
import type { PublicKey } from '../../src/kms/public-keys.js';
import { verifySignature } from '../../src/provider/signature-check.js';

const data = Buffer.from('data');

function key(name: KeyAlgorithm, material: PublicKey['material']): PublicKey {
  const algorithm = findAlgorithm(name);
  if (algorithm === undefined) throw new Error(name);
  return { algorithm, pem: '', material };
}
const rsa = (): PublicKey['material'] => ({
  kind: 'key-object',
  keyObject: createPublicKey(generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey),
});

describe('verifySignature', () => {
  it('is false for a key that does not sign', async () => {
    expect(await verifySignature(key('RSA_DECRYPT_OAEP_2048_SHA256', rsa()), data, Buffer.alloc(256))).toBe(
      false,
    );
  });

  it('is false for a number that is not below the modulus, and for one that is no padding', async () => {
    for (const signature of [Buffer.alloc(256, 0xff), Buffer.alloc(256, 1)]) {
      expect(await verifySignature(key('RSA_SIGN_RAW_PKCS1_2048', rsa()), data, signature)).toBe(false);
    }
  });

  it('is false for a post-quantum key that is not one, or of a parameter set that is not known', async () => {
    const broken: PublicKey['material'] = { kind: 'raw', parameterSet: 'ml-dsa-65', bytes: Buffer.alloc(3) };
    expect(await verifySignature(key('PQ_SIGN_ML_DSA_65', broken), data, Buffer.alloc(3_309))).toBe(false);
    const unknown: PublicKey['material'] = { kind: 'raw', parameterSet: 'ml-dsa-1', bytes: Buffer.alloc(3) };
    expect(await verifySignature(key('PQ_SIGN_ML_DSA_65', unknown), data, Buffer.alloc(3_309))).toBe(false);
    const slow: PublicKey['material'] = {
      kind: 'raw',
      parameterSet: 'slh-dsa-sha2-128s',
      bytes: Buffer.alloc(3),
    };
    expect(await verifySignature(key('PQ_SIGN_SLH_DSA_SHA2_128S', slow), data, Buffer.alloc(7_856))).toBe(
      false,
    );
  });

  describe.each([
    ['EC_SIGN_P256_SHA256', 'P-256', 'sha256', 64],
    ['EC_SIGN_P384_SHA384', 'P-384', 'sha384', 8],
  ] as const)('of a burst of %s', (algorithm, namedCurve, digest, atOnce) => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve });
    const signature = sign(digest, data, privateKey);
    const publicKey = key(algorithm, { kind: 'key-object', keyObject: createPublicKey(privateKey) });

    it('verifies only so many before the event loop turns, and all of them right', async () => {
      await turnOfTheLoop();
      const message = Buffer.from(data);
      const verdicts = Array.from({ length: 200 }, (_, index) =>
        verifySignature(publicKey, index % 2 === 0 ? message : Buffer.from('other'), signature),
      );
      // What waits is verified as it was when it was given.
      message.fill(0);
      const expected = verdicts.map((_, index) => index % 2 === 0);
      const done = verdicts.filter((verdict) => typeof verdict === 'boolean').length;
      expect(done).toBeGreaterThan(0);
      expect(done).toBeLessThanOrEqual(atOnce);
      expect(await Promise.all(verdicts)).toEqual(expected);
    });
  });
});
