/** The emulator's statements have the form of genuine ones: the same attributes in the same order, each of the same length. */

import { createHash } from 'node:crypto';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { SIGNATURE_BYTES } from '../../../src/attestation/content.js';
import { ATTRIBUTE, type Attributes, parseStatement } from '../../../src/attestation/statement.js';
import { attestationOf } from '../../../src/emulator/attestation/statement.js';
import { generateKeyMaterial } from '../../../src/emulator/crypto/key-material.js';
import { findAlgorithm } from '../../../src/keys/algorithms.js';
import { genuineAttestation } from '../../support/genuine-attestations.js';

const NAME = 'projects/p/locations/global/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1';
/** CKA_VALUE_LEN, and the check values over the public key. */
const VALUE_LENGTH = 0x161;
const KEY_CHECK_VALUE = 0x173;
const EXTENDED_KEY_CHECK_VALUE = 0x1003;

const PAIRS = [
  ['p256-hsm', 'EC_SIGN_P256_SHA256'],
  ['rsa2048-hsm', 'RSA_SIGN_PSS_2048_SHA256'],
] as const;

function pairOf(content: Uint8Array): readonly Attributes[] {
  const objects = parseStatement(
    'CAVIUM_V2_COMPRESSED',
    gunzipSync(content).subarray(0, -SIGNATURE_BYTES),
    'pair',
  );
  if ('problem' in objects || objects.kind !== 'pair') throw new Error('not a pair');
  return [objects.publicKey, objects.privateKey];
}

async function emulated(algorithm: string): Promise<Uint8Array> {
  const entry = findAlgorithm(algorithm);
  if (entry === undefined) throw new Error('no such algorithm');
  const material = await generateKeyMaterial(entry);
  const content = attestationOf({ name: NAME, number: 1, material, isImported: false })?.['content'];
  if (!(content instanceof Uint8Array)) throw new Error('no statement');
  return content;
}

const shapeOf = (attributes: Attributes): readonly (readonly [number, number])[] =>
  [...attributes].map(([type, value]) => [type, value.length]);
const constants = (attributes: Attributes): readonly (readonly [number, string])[] => {
  const own: readonly number[] = [
    ...[ATTRIBUTE.id, ATTRIBUTE.modulus, KEY_CHECK_VALUE, EXTENDED_KEY_CHECK_VALUE, VALUE_LENGTH],
  ];
  return [...attributes]
    .filter(([type]) => !own.includes(type))
    .map(([type, value]) => [type, value.toString('hex')]);
};

describe.each(PAIRS)('a statement like the genuine %s', (genuine, algorithm) => {
  it('has its attributes, and the same values where these are not of one key', async () => {
    const own = pairOf(await emulated(algorithm));
    const expected = pairOf(genuineAttestation(genuine).content);
    expect(own.map(shapeOf)).toEqual(expected.map(shapeOf));
    expect(own.map(constants)).toEqual(expected.map(constants));
  });

  it('has check values over the SubjectPublicKeyInfo, as the genuine one has', () => {
    const { content, publicKey } = genuineAttestation(genuine);
    const spki = publicKey.export({ format: 'der', type: 'spki' });
    for (const attributes of pairOf(content)) {
      expect(attributes.get(KEY_CHECK_VALUE)).toEqual(
        createHash('sha1').update(spki).digest().subarray(0, 3),
      );
      expect(attributes.get(EXTENDED_KEY_CHECK_VALUE)).toEqual(createHash('sha256').update(spki).digest());
      expect(attributes.get(ATTRIBUTE.id)?.toString('latin1')).toMatch(/^[0-9a-f]{128}$/);
    }
  });
});

it('the length of the value is that of the point, of twice the modulus, and of the PKCS #8 form', async () => {
  const lengths = async (content: Uint8Array): Promise<readonly (number | undefined)[]> =>
    pairOf(content).map((attributes) => attributes.get(VALUE_LENGTH)?.readUInt32BE());
  expect(await lengths(await emulated('EC_SIGN_P256_SHA256'))).toEqual(
    await lengths(genuineAttestation('p256-hsm').content),
  );
  const [publicBytes, privateBytes = 0] = await lengths(await emulated('RSA_SIGN_PSS_2048_SHA256'));
  const [genuinePublic, genuinePrivate = 0] = await lengths(genuineAttestation('rsa2048-hsm').content);
  expect(publicBytes).toBe(genuinePublic);
  // DER integers of random values differ in length by a few bytes.
  expect(Math.abs(privateBytes - genuinePrivate)).toBeLessThan(6);
});
