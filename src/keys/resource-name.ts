/**
 * Resource names of Cloud KMS, parsed once and branded. A reference to a key is a short id, a full CryptoKey name or a
 * full CryptoKeyVersion name; nothing is guessed, and a full name is never prefixed a second time.
 */

import type { ParseResult } from './parse-result.js';

declare const brand: unique symbol;
/** Full name of a key ring. */
export type KeyRingName = string & { readonly [brand]: 'KeyRingName' };
/** Full name of a CryptoKey. */
export type CryptoKeyName = string & { readonly [brand]: 'CryptoKeyName' };
/** Full name of a CryptoKeyVersion. */
export type CryptoKeyVersionName = string & { readonly [brand]: 'CryptoKeyVersionName' };

interface KeyRingLocation {
  readonly projectId: string;
  readonly locationId: string;
  readonly keyRingId: string;
}

/** A reference to a key, or to one version of it. */
export type KeyReference =
  | { readonly kind: 'key'; readonly key: CryptoKeyName }
  | { readonly kind: 'version'; readonly key: CryptoKeyName; readonly version: KeyVersion };

export interface KeyVersion {
  readonly name: CryptoKeyVersionName;
  /** Counts up from 1 and is compared as a number: version 10 is newer than version 9. */
  readonly number: number;
}

/** "Must match the regular expression [a-zA-Z0-9_-]{1,63}" (service.proto, CreateCryptoKeyRequest.crypto_key_id). */
const RESOURCE_ID = /^[a-zA-Z0-9_-]{1,63}$/;
const COLLECTION = '/cryptoKeys/';
const VERSION_NUMBER = /^[1-9][0-9]{0,14}$/;

export function isResourceId(text: string): boolean {
  return RESOURCE_ID.test(text);
}

const isKeyRingName = (text: string): text is KeyRingName =>
  /^projects\/[^/]+\/locations\/[^/]+\/keyRings\/[^/]+$/.test(text);
const isCryptoKeyName = (text: string): text is CryptoKeyName => text.includes('/cryptoKeys/');
const isVersionName = (text: string): text is CryptoKeyVersionName => text.includes('/cryptoKeyVersions/');

/** The name of a key ring whose parts were parsed already. */
export function keyRingName(location: KeyRingLocation): KeyRingName {
  const name = `projects/${location.projectId}/locations/${location.locationId}/keyRings/${location.keyRingId}`;
  if (!isKeyRingName(name)) throw new TypeError(`not a key ring: ${name}`);
  return name;
}

/** The name of the key with that id in a key ring. */
export function cryptoKeyName(keyRing: KeyRingName, keyId: string): CryptoKeyName {
  const name = `${keyRing}/cryptoKeys/${keyId}`;
  if (!RESOURCE_ID.test(keyId) || !isCryptoKeyName(name)) throw new TypeError(`not a key id: ${keyId}`);
  return name;
}

/** The version with that number of a key. */
export function keyVersion(key: CryptoKeyName, number: number): KeyVersion {
  const name = `${key}/cryptoKeyVersions/${number}`;
  if (!Number.isSafeInteger(number) || number < 1 || !isVersionName(name))
    throw new TypeError(`not a version number: ${number}`);
  return { name, number };
}

/** The short id at the end of a key's name. */
export function keyIdOf(key: CryptoKeyName): string {
  return key.slice(key.lastIndexOf('/') + 1);
}

/** The version named by `text` if it is a version of `key`, compared exactly: `key1` never accepts `key10`. */
export function parseVersionOf(key: CryptoKeyName, text: string): KeyVersion | undefined {
  const prefix = `${key}/cryptoKeyVersions/`;
  if (!text.startsWith(prefix)) return undefined;
  const number = text.slice(prefix.length);
  return VERSION_NUMBER.test(number) ? keyVersion(key, Number(number)) : undefined;
}

/**
 * Parses a reference to a key of `keyRing`: a short key id, a full CryptoKey name, or a full CryptoKeyVersion name
 * (which pins the version). A name in another key ring is refused.
 */
export function parseKeyReference(text: string, keyRing: KeyRingName): ParseResult<KeyReference> {
  if (typeof text !== 'string')
    return { ok: false, problem: 'a key id or resource name (a string) is required.' };
  if (!text.includes('/')) {
    if (RESOURCE_ID.test(text))
      return { ok: true, value: { kind: 'key', key: cryptoKeyName(keyRing, text) } };
    return {
      ok: false,
      problem: `a key id has 1 to 63 letters, digits, "_" or "-", got ${JSON.stringify(text.slice(0, 100))}.`,
    };
  }
  if (!text.startsWith(keyRing) || !text.startsWith(COLLECTION, keyRing.length)) {
    return {
      ok: false,
      problem: `${JSON.stringify(text.slice(0, 300))} is not a key of the configured key ring ${keyRing}.`,
    };
  }
  const idStart = keyRing.length + COLLECTION.length;
  // The whole name of a key, which is what the hot path is called with, is taken as it is and not put together again.
  if (RESOURCE_ID.test(text.slice(idStart)) && isCryptoKeyName(text))
    return { ok: true, value: { kind: 'key', key: text } };
  const [keyId = '', collection, number, ...rest] = text.slice(idStart).split('/');
  if (!RESOURCE_ID.test(keyId))
    return { ok: false, problem: `${JSON.stringify(keyId.slice(0, 100))} is not a key id.` };
  const key = cryptoKeyName(keyRing, keyId);
  if (
    collection !== 'cryptoKeyVersions' ||
    number === undefined ||
    rest.length > 0 ||
    !VERSION_NUMBER.test(number)
  ) {
    return {
      ok: false,
      problem: `after the key id only "/cryptoKeyVersions/NUMBER" may follow, got ${JSON.stringify(text.slice(idStart + keyId.length, 300))}.`,
    };
  }
  return { ok: true, value: { kind: 'version', key, version: keyVersion(key, Number(number)) } };
}
