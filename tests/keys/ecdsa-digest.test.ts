import { createHash, generateKeyPairSync, verify } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { derToP1363 } from '../../src/identity/der.js';
import { signEcdsaDigest } from '../../src/keys/ecdsa-digest.js';
import { entryOf } from '../support/key-material.js';

const message = Buffer.from('pay 10 EUR to alice');

describe.each(['EC_SIGN_P256_SHA256', 'EC_SIGN_P384_SHA384', 'EC_SIGN_SECP256K1_SHA256'] as const)(
  'ECDSA over a given digest with %s',
  (name) => {
    const entry = entryOf('ASYMMETRIC_SIGN', name);
    if (entry.key.kind !== 'ec' || entry.input.kind !== 'digest') throw new Error(`${name} is not ECDSA`);
    const { key: type, input } = entry;

    it('verifies with OpenSSL, for any key and message, as canonical DER with a nonce of its own', () => {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 64 }), (data) => {
          const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: type.nodeCurve });
          const digest = createHash(input.digest).update(data).digest();
          const signature = signEcdsaDigest(type, privateKey, digest);
          expect(verify(input.digest, data, publicKey, signature)).toBe(true);
          expect(signEcdsaDigest(type, privateKey, digest)).not.toEqual(signature);
        }),
        { numRuns: 40 },
      );
    });

    it('has S in the lower half of the order exactly where Cloud KMS has', () => {
      const { privateKey } = generateKeyPairSync('ec', { namedCurve: type.nodeCurve });
      const digest = createHash(input.digest).update(message).digest();
      const highest = Array.from({ length: 40 }, () => {
        const signature = signEcdsaDigest(type, privateKey, digest);
        const s = signature.subarray(4 + signature.readUInt8(3));
        // 02, the length, and a zero byte where the first bit would be set.
        return s.readUInt8(1) === type.coordinateBytes + 1 ? 0x80 : s.readUInt8(2);
      });
      expect(highest.some((byte) => byte > 0x7f)).toBe(!type.lowS);
    });

    it('is as short as DER demands also for small numbers, of which some come up', () => {
      const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: type.nodeCurve });
      const digest = createHash(input.digest).update(message).digest();
      for (let run = 0; run < 100; run++) {
        const signature = signEcdsaDigest(type, privateKey, digest);
        expect(verify(input.digest, message, publicKey, signature)).toBe(true);
        expect(derToP1363(signature, type.coordinateBytes)).toMatchObject({ ok: true });
      }
    });
  },
);
