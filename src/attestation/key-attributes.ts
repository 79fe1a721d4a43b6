/** What a statement says of a key: that it is a private or secret one, never leaves the HSM, and is the very key in question. */

import type { KeyObject } from 'node:crypto';
import { ATTRIBUTE, type AttestedObjects, type Attributes } from './statement.js';
import type { AttestationCheck } from './verify-attestation.js';

/** A key pair by its public key, or a secret key, of which nothing is known outside of the HSM. */
export type AttestedKey =
  | { readonly kind: 'pair'; readonly publicKey: KeyObject }
  | { readonly kind: 'secret' };

/** PKCS #11, CK_OBJECT_CLASS. */
const CLASS_PUBLIC = 2;
const CLASS_PRIVATE = 3;
const CLASS_SECRET = 4;
/** PKCS #11, CK_KEY_TYPE. */
const KEY_TYPE_RSA = 0;
const KEY_TYPE_EC = 3;
/** CKA_CHECK_VALUE. */
const KEY_CHECK_VALUE_BYTES = 3;

export function checkAttributes(objects: AttestedObjects, key: AttestedKey): readonly AttestationCheck[] {
  const owned = objects.kind === 'pair' ? objects.privateKey : objects.secretKey;
  return [
    checkClass(objects),
    checkFlag(owned, 'not-extractable', {
      attribute: ATTRIBUTE.extractable,
      expected: 0,
      says: 'extractable',
    }),
    checkFlag(owned, 'local', { attribute: ATTRIBUTE.local, expected: 1, says: 'made in this HSM' }),
    checkFlag(owned, 'never-extractable', {
      attribute: ATTRIBUTE.neverExtractable,
      expected: 1,
      says: 'never extractable',
    }),
    checkFlag(owned, 'always-sensitive', {
      attribute: ATTRIBUTE.alwaysSensitive,
      expected: 1,
      says: 'always sensitive',
    }),
    checkKey(objects, key),
  ];
}

function checkClass(objects: AttestedObjects): AttestationCheck {
  const good =
    objects.kind === 'pair'
      ? numberOf(objects.publicKey, ATTRIBUTE.class) === CLASS_PUBLIC &&
        numberOf(objects.privateKey, ATTRIBUTE.class) === CLASS_PRIVATE
      : numberOf(objects.secretKey, ATTRIBUTE.class) === CLASS_SECRET;
  const expected = objects.kind === 'pair' ? 'a public and a private key' : 'a secret key';
  return {
    name: 'object-class',
    outcome: good ? 'passed' : 'failed',
    detail: good ? expected : `not ${expected}`,
  };
}

function checkFlag(
  owned: Attributes,
  name: AttestationCheck['name'],
  flag: { readonly attribute: number; readonly expected: 0 | 1; readonly says: string },
): AttestationCheck {
  const value = numberOf(owned, flag.attribute);
  return {
    name,
    outcome: value === flag.expected ? 'passed' : 'failed',
    detail: `${flag.says}: ${value ?? 'not stated'}`,
  };
}

function checkKey(objects: AttestedObjects, key: AttestedKey): AttestationCheck {
  if (objects.kind === 'secret' || key.kind === 'secret') {
    const value = objects.kind === 'secret' ? objects.secretKey.get(ATTRIBUTE.keyCheckValue) : undefined;
    if (value?.length !== KEY_CHECK_VALUE_BYTES)
      return { name: 'key', outcome: 'failed', detail: 'there is no key check value' };
    return {
      name: 'key',
      outcome: 'not-checked',
      detail: `key check value ${value.toString('hex')}; Cloud KMS gives no way to compute it for a symmetric key`,
    };
  }
  const good = [objects.publicKey, objects.privateKey].every((object) => isPublicKey(object, key.publicKey));
  return {
    name: 'key',
    outcome: good ? 'passed' : 'failed',
    detail: good ? 'the public key is that of the version' : 'the public key is another one',
  };
}

/** Both objects of a pair carry the public values: modulus and exponent, or the point. */
function isPublicKey(object: Attributes, publicKey: KeyObject): boolean {
  const keyType = numberOf(object, ATTRIBUTE.keyType);
  const value = object.get(ATTRIBUTE.modulus);
  if (value === undefined) return false;
  const { kty, n, e, x, y } = publicKey.export({ format: 'jwk' });
  if (kty === 'RSA' && n !== undefined && e !== undefined) {
    const exponent = object.get(ATTRIBUTE.publicExponent);
    return keyType === KEY_TYPE_RSA && isNumber(value, n) && exponent !== undefined && isNumber(exponent, e);
  }
  if (kty === 'EC' && x !== undefined && y !== undefined) {
    const point = Buffer.concat([Buffer.of(4), Buffer.from(x, 'base64url'), Buffer.from(y, 'base64url')]);
    return keyType === KEY_TYPE_EC && value.equals(point);
  }
  return false;
}

/** JWK numbers have no leading zeros (RFC 7518 section 6.3.1.1); the HSM's may. */
function isNumber(bytes: Buffer, base64url: string): boolean {
  const first = bytes.findIndex((byte) => byte !== 0);
  return first >= 0 && bytes.subarray(first).equals(Buffer.from(base64url, 'base64url'));
}

/** The value of a small number, of whatever length it is stated in. */
function numberOf(attributes: Attributes, type: number): number | undefined {
  const value = attributes.get(type);
  if (value === undefined || value.length === 0 || value.length > 6) return undefined;
  return value.readUIntBE(0, value.length);
}
