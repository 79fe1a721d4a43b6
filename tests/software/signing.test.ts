import { constants, createHash, generateKeyPairSync, type KeyObject, verify } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock.js';
import { derToP1363 } from '../../src/identity/der.js';
import type { SigningAlgorithmEntry } from '../../src/keys/algorithm-types.js';
import { algorithmsOf } from '../../src/keys/algorithms.js';
import { Operation } from '../../src/provider/operation.js';
import { verifySignature } from '../../src/provider/signature-check.js';
import { signEcdsaDigest } from '../../src/software/ecdsa-digest.js';
import { prepareSignature } from '../../src/software/signing.js';
import { entryOf } from '../support/key-material.js';

const operation = new Operation({ name: 'sign', resource: 'key', timeoutMs: 1_000, clock: systemClock });
const message = Buffer.from('pay 10 EUR to alice');

const rsa = generateKeyPairSync('rsa', { modulusLength: 4096 });
/** RSA 2048 and 3072 do the same with a smaller modulus; the key is the size that the algorithm demands. */
const rsaOf = new Map([
  [4096, rsa],
  [3072, generateKeyPairSync('rsa', { modulusLength: 3072 })],
  [2048, generateKeyPairSync('rsa', { modulusLength: 2048 })],
]);

function keyFor({ key }: SigningAlgorithmEntry): { privateKey: KeyObject; publicKey: KeyObject } {
  if (key.kind === 'rsa') return rsaOf.get(key.modulusBits) ?? rsa;
  if (key.kind === 'ec') return generateKeyPairSync('ec', { namedCurve: key.nodeCurve });
  return generateKeyPairSync('ed25519');
}

const algorithms = algorithmsOf('ASYMMETRIC_SIGN').filter((name) => !name.startsWith('PQ_'));

describe.each(algorithms)('%s', (name) => {
  const entry = entryOf('ASYMMETRIC_SIGN', name);
  const { privateKey, publicKey } = keyFor(entry);
  const material = { kind: 'key-object', keyObject: publicKey } as const;

  it('signs a message so that it verifies', async () => {
    const signature = await prepareSignature(operation, entry, { kind: 'message', bytes: message })(
      privateKey,
    );
    expect(await verifySignature({ algorithm: entry, material }, message, signature)).toBe(true);
  });

  it('signs a digest as it is, or says that it takes none', async () => {
    const { input } = entry;
    if (input.kind === 'data') {
      expect(() => prepareSignature(operation, entry, { kind: 'digest', bytes: message })).toThrow(
        expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
      );
      return;
    }
    const bytes = createHash(input.digest).update(message).digest();
    const signature = await prepareSignature(operation, entry, { kind: 'digest', bytes })(privateKey);
    expect(await verifySignature({ algorithm: entry, material }, message, signature)).toBe(true);
    if (entry.key.kind === 'rsa' && entry.key.padding === 'pss') {
      const strict = { key: publicKey, padding: constants.RSA_PKCS1_PSS_PADDING };
      const saltLength = constants.RSA_PSS_SALTLEN_DIGEST;
      expect(verify(input.digest, message, { ...strict, saltLength }, signature)).toBe(true);
    }
  });
});

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
      const half = { 'P-256': 0x7f, 'P-384': 0x7f, secp256k1: 0x7f }[type.curve];
      const highest = Array.from({ length: 40 }, () => {
        const signature = signEcdsaDigest(type, privateKey, digest);
        const s = signature.subarray(4 + signature.readUInt8(3));
        // 02, the length, and a zero byte where the first bit would be set.
        return s.readUInt8(1) === type.coordinateBytes + 1 ? 0x80 : s.readUInt8(2);
      });
      expect(highest.some((byte) => byte > half)).toBe(!type.lowS);
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
