import { constants, createHash, generateKeyPairSync, type KeyObject, verify } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock.js';
import type { SigningAlgorithmEntry } from '../../src/keys/algorithm-types.js';
import { algorithmsOf } from '../../src/keys/algorithms.js';
import { Operation } from '../../src/provider/operation.js';
import { verifySignature } from '../../src/provider/signature-check.js';
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
