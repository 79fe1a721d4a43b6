/** What a statement says of a key: that it is a private or secret one, never leaves the HSM, and is the very key in question. */

import { createHash, type KeyObject } from 'node:crypto';
import { ATTRIBUTE, type AttestedObjects, type Attributes } from './statement.js';
import type { AttestationCheck } from './verify-attestation.js';

/** What is known of a key outside of the HSM. */
export type AttestedKey =
  | { readonly kind: 'pair'; readonly publicKey: KeyObject }
  /** A symmetric key, of which nothing is known. */
  | { readonly kind: 'secret' }
  /** A post-quantum key pair: no statement is known that shows the public key of one, so none is accepted for it. */
  | { readonly kind: 'post-quantum' };

/** What a statement is held against. */
export interface AttestedSubject {
  readonly key: AttestedKey;
  /** Full name of the version. */
  readonly keyVersion?: string | undefined;
}

/** PKCS #11, CK_OBJECT_CLASS. */
const CLASS_PUBLIC = 2;
const CLASS_PRIVATE = 3;
const CLASS_SECRET = 4;
/** PKCS #11, CK_KEY_TYPE. */
const KEY_TYPE_RSA = 0;
const KEY_TYPE_EC = 3;
/** CKA_CHECK_VALUE. */
const KEY_CHECK_VALUE_BYTES = 3;

export function checkAttributes(
  objects: AttestedObjects,
  { key, keyVersion }: AttestedSubject,
): readonly AttestationCheck[] {
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
    ...(keyVersion === undefined ? [] : [checkVersionName(owned, keyVersion)]),
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
      detail: `not compared with the key: key check value ${value.toString('hex')}, which only encryption of a bare block would show`,
    };
  }
  if (key.kind === 'post-quantum') {
    const detail = 'there is no known way to find the public key of a post-quantum key in a statement';
    return { name: 'key', outcome: 'failed', detail };
  }
  const good = [objects.publicKey, objects.privateKey].every((object) => isPublicKey(object, key.publicKey));
  return {
    name: 'key',
    outcome: good ? 'passed' : 'failed',
    detail: good ? 'the public key is that of the version' : 'the public key is another one',
  };
}

/**
 * The id of a key in the HSM is two SHA-256 values in hexadecimal, of which the second is said to be that of the version's
 * name. Google does not document it, and no statement with its name is at hand: equality proves that the statement names
 * the version, while its absence proves nothing.
 */
function checkVersionName(owned: Attributes, keyVersion: string): AttestationCheck {
  const id = owned.get(ATTRIBUTE.id)?.toString('latin1') ?? '';
  const digest = createHash('sha256').update(keyVersion).digest('hex');
  return id.length === 2 * digest.length && id.endsWith(digest)
    ? {
        name: 'version-name',
        outcome: 'passed',
        detail: 'the id of the key has the SHA-256 of the name of the version',
      }
    : {
        name: 'version-name',
        outcome: 'not-checked',
        detail: 'the id of the key shows no name that is known here',
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
