/**
 * Archived public keys as a JWK Set (RFC 7517 section 5): each key as anybody can read it, with the times of OpenID
 * Federation's historical keys (`nbf`, `exp`) and, under names of our own, the key version it is of. What is read is
 * checked: it may come from a file that somebody else wrote.
 */

import type { ErrorContext } from '../errors/base.js';
import { ArchiveError } from '../errors/storage.js';
import { decodeBase64url } from '../identity/base64url.js';
import { type JwkLike, jwkThumbprint } from '../identity/jwk.js';
import { fromJwkMembers, fromPem } from '../identity/jwk-material.js';
import type {
  DecryptionAlgorithmEntry,
  KeyAlgorithm,
  SigningAlgorithmEntry,
} from '../keys/algorithm-types.js';
import { findAlgorithm, isKeyAlgorithm } from '../keys/algorithms.js';
import type { ArchivedPublicKey, PublicKeyArchive } from '../keys/public-key-archive.js';
import { hasSpki, postQuantumBytesOfPem, postQuantumSpki, toPem } from '../keys/spki.js';

/** 9999-12-31T23:59:59Z, where RFC 3339 ends; what is later is no time but damage. */
const LATEST_SECONDS = 253_402_300_799;

/** An archived public key as JWK. */
export interface ArchivedJwk extends JwkLike {
  readonly kty: string;
  /** RFC 7638 SHA-256 thumbprint, base64url. */
  readonly kid: string;
  /** `enc` for a key that is encrypted to: it is kept as a record that there is such a key, and verifies nothing. */
  readonly use: 'sig' | 'enc';
  /** When the key was generated, in seconds since the epoch. */
  readonly nbf: number;
  /** When its version was disabled or its destruction scheduled, in seconds since the epoch. */
  readonly exp?: number;
  /** Full CryptoKeyVersion name. */
  readonly a2a_key_version: string;
  /** Cloud KMS name of the algorithm; `alg` is absent where JOSE has none for it. */
  readonly a2a_algorithm: KeyAlgorithm;
  readonly a2a_protection_level: string;
}

/** Archived public keys as a JWK Set (RFC 7517 section 5), one JWK for each key version. */
export interface ArchivedJwkSet {
  readonly keys: readonly ArchivedJwk[];
}

/** Everything in an archive, or what it has of one key (by its full CryptoKey name), as a JWK Set. */
export async function exportJwkSet(archive: PublicKeyArchive, keyName?: string): Promise<ArchivedJwkSet> {
  const keys = (await archive.list(keyName)).map((key) => toArchivedJwk(key));
  return { keys: keys.toSorted((a, b) => a.nbf - b.nbf || (a.a2a_key_version < b.a2a_key_version ? -1 : 1)) };
}

/**
 * Puts the keys of a JWK Set that `exportJwkSet` made into an archive. Says how many there were.
 * @throws ArchiveError before anything is put, when an entry is not usable; while putting, when another key is there.
 */
export async function importJwkSet(archive: PublicKeyArchive, jwkSet: unknown): Promise<number> {
  const context = { operation: 'importJwkSet', resource: 'JWK Set' };
  const entries = isObject(jwkSet) ? jwkSet['keys'] : undefined;
  if (!Array.isArray(entries)) throw new ArchiveError(context, 'it is not a JWK Set: keys is no list.');
  const keys = entries.map((entry: unknown, index) =>
    fromArchivedJwk({ ...context, resource: `keys[${index}]` }, entry),
  );
  for (const key of keys) await archive.put(key);
  return keys.length;
}

/** @throws ArchiveError when the key is not one of its algorithm. */
export function toArchivedJwk(
  key: ArchivedPublicKey,
  context: ErrorContext = { operation: 'archive', resource: key.keyVersion },
): ArchivedJwk {
  const algorithm = keyPairAlgorithm(context, key.algorithm);
  const members = membersOf(context, algorithm, key.pem);
  const jwk: JwkLike & { readonly kty: string } = {
    ...members,
    ...(algorithm.joseName !== undefined && { alg: algorithm.joseName }),
  };
  return {
    ...jwk,
    kid: jwkThumbprint(members),
    use: algorithm.purpose === 'ASYMMETRIC_SIGN' ? 'sig' : 'enc',
    nbf: Math.floor(key.notBefore.getTime() / 1_000),
    ...(key.notAfter && { exp: Math.ceil(key.notAfter.getTime() / 1_000) }),
    a2a_key_version: key.keyVersion,
    a2a_algorithm: algorithm.name,
    a2a_protection_level: key.protectionLevel,
  };
}

/** @throws ArchiveError for an entry that is damaged, or is not what it says. */
export function fromArchivedJwk(context: ErrorContext, entry: unknown): ArchivedPublicKey {
  if (!isObject(entry)) throw new ArchiveError(context, 'the entry is not a JWK.');
  const { nbf, exp, a2a_key_version, a2a_algorithm, a2a_protection_level } = entry;
  if (
    typeof a2a_key_version !== 'string' ||
    typeof a2a_protection_level !== 'string' ||
    !isTime(nbf) ||
    !(exp === undefined || isTime(exp))
  ) {
    throw new ArchiveError(context, 'the entry does not say of which version the key is, and from when.');
  }
  const algorithm = keyPairAlgorithm(context, a2a_algorithm);
  const key: ArchivedPublicKey = {
    keyVersion: a2a_key_version,
    algorithm: algorithm.name,
    protectionLevel: a2a_protection_level,
    pem: pemOf(context, algorithm, entry),
    notBefore: new Date(nbf * 1_000),
    ...(exp !== undefined && { notAfter: new Date(exp * 1_000) }),
  };
  const expected: Readonly<Record<string, unknown>> = { ...toArchivedJwk(key, context) };
  const wrong = ['kty', 'kid', 'alg', 'use'].find((member) => entry[member] !== expected[member]);
  if (wrong === undefined) return key;
  throw new ArchiveError(context, `${wrong} is not what it is for a key of ${algorithm.name}.`);
}

type KeyPairAlgorithmEntry = SigningAlgorithmEntry | DecryptionAlgorithmEntry;

function keyPairAlgorithm(context: ErrorContext, name: unknown): KeyPairAlgorithmEntry {
  const entry = isKeyAlgorithm(name) ? findAlgorithm(name) : undefined;
  if (entry?.purpose === 'ASYMMETRIC_SIGN' || entry?.purpose === 'ASYMMETRIC_DECRYPT') return entry;
  throw new ArchiveError(
    context,
    `${JSON.stringify(name)} is no algorithm that signs or decrypts with a key pair.`,
  );
}

/** The members that make up the key (RFC 7638 section 3.2), from its PEM. */
function membersOf(
  context: ErrorContext,
  algorithm: KeyPairAlgorithmEntry,
  pem: string,
): JwkLike & { readonly kty: string } {
  const { key } = algorithm;
  if (key.kind === 'pqc') {
    const bytes = postQuantumBytesOfPem(key.parameterSet, pem);
    if (bytes !== undefined)
      return { kty: 'AKP', alg: akpName(key.parameterSet), pub: bytes.toString('base64url') };
  } else {
    const read = fromPem(pem);
    if (read.ok && isOfType(algorithm, read.value.shape)) return read.value.members;
  }
  throw new ArchiveError(context, `the public key is not one for ${algorithm.name}.`);
}

/** `alg` of a post-quantum key: ML-DSA as registered; SLH-DSA as its draft for JOSE has it. */
const akpName = (parameterSet: string): string =>
  parameterSet.startsWith('slh') ? parameterSet.toUpperCase().replace(/S$/, 's') : parameterSet.toUpperCase();

type Shape = Extract<ReturnType<typeof fromPem>, { readonly ok: true }>['value']['shape'];

function isOfType({ key }: KeyPairAlgorithmEntry, shape: Shape): boolean {
  if (key.kind === 'ec') return shape.kind === 'ec' && shape.curve === key.curve;
  if (key.kind === 'rsa') return shape.kind === 'rsa' && shape.modulusBits === key.modulusBits;
  return shape.kind === key.kind;
}

/** The PEM of an entry's key. Whether it is one for the algorithm is judged afterwards. */
function pemOf(
  context: ErrorContext,
  { key }: KeyPairAlgorithmEntry,
  entry: Readonly<Record<string, unknown>>,
): string {
  if (key.kind === 'pqc') {
    if (Object.hasOwn(entry, 'priv')) throw new ArchiveError(context, 'it holds a private key.');
    const bytes = decodeBase64url(String(entry['pub']));
    if (bytes !== undefined && hasSpki(key.parameterSet))
      return toPem('PUBLIC KEY', postQuantumSpki(key.parameterSet, bytes));
    throw new ArchiveError(context, 'pub is not base64url.');
  }
  const read = fromJwkMembers(entry);
  if (!read.ok) throw new ArchiveError(context, read.problem);
  const { material } = read.value;
  if (material.kind === 'raw')
    throw new ArchiveError(context, 'it is a post-quantum key of another algorithm.');
  return material.keyObject.export({ type: 'spki', format: 'pem' }).toString();
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isTime = (value: unknown): value is number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= LATEST_SECONDS;
