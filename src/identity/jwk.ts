/**
 * Public keys as JSON Web Keys (RFC 7517; RFC 8037, RFC 8812 and the ML-DSA registration for what came later) with their
 * thumbprint (RFC 7638) as `kid`. A key that is read is bound to exactly one entry of the algorithm table, and is refused
 * in any form but its canonical one. Must never take in a private key.
 */

import { createHash, KeyObject } from 'node:crypto';
import { z } from 'zod';
import type { ErrorContext } from '../errors/base.js';
import { InvalidJwkError } from '../errors/identity.js';
import type { KeyAlgorithm } from '../keys/algorithm-types.js';
import type { ParseResult } from '../keys/parse-result.js';
import { parseOptions } from '../provider/call-input.js';
import {
  algorithmsForKey,
  type Ed25519Name,
  ed25519Name,
  findJoseAlgorithm,
  isCalled,
  type JoseAlgorithm,
} from './jose-algorithm.js';
import { memberOf } from './jose-header.js';
import { fromJwkMembers, fromKeyObject, fromPem, type KeyMaterial } from './jwk-material.js';

/** A public key as this library publishes it. */
export interface PublicJwk {
  readonly kty: 'EC' | 'OKP' | 'RSA' | 'AKP';
  /** RFC 7638 SHA-256 thumbprint, base64url, in keys of this library; whatever their owner chose in others. */
  readonly kid: string;
  /** JOSE name of the one algorithm that the key is used with. */
  readonly alg: string;
  readonly use: 'sig' | 'enc';
  readonly crv?: string;
  readonly x?: string;
  readonly y?: string;
  readonly n?: string;
  readonly e?: string;
  readonly pub?: string;
}

/** A public key that was read, checked, and bound to its one algorithm. */
export interface JosePublicKey {
  readonly jwk: PublicJwk;
  /** RFC 7638 SHA-256 thumbprint, base64url: the identity of the key, whatever its `kid` says. */
  readonly thumbprint: string;
  readonly algorithm: JoseAlgorithm;
  readonly material: KeyMaterial['material'];
}

/** Anybody's JWK; its members are checked, not believed. */
export interface JwkLike {
  readonly kty?: unknown;
  readonly kid?: unknown;
  readonly alg?: unknown;
  readonly use?: unknown;
  readonly key_ops?: unknown;
  readonly crv?: unknown;
  readonly x?: unknown;
  readonly y?: unknown;
  readonly n?: unknown;
  readonly e?: unknown;
  readonly pub?: unknown;
}

/** A public key in any of its forms: a JWK, a PEM (`PUBLIC KEY`), a KeyObject, or one that was parsed before. */
export type PublicKeyInput = JosePublicKey | KeyObject | string | Uint8Array | JwkLike;

/** What the caller knows of a key; where it can be told from the key, it is checked against it. */
interface ExpectedKey {
  /** JOSE name; needed for an RSA key that does not name its algorithm. */
  readonly algorithm?: string | undefined;
  readonly use?: 'sig' | 'enc' | undefined;
  /** Cloud KMS name, which says the size of an RSA key too. */
  readonly keyAlgorithm?: KeyAlgorithm | undefined;
}

const parsedKeys = new WeakSet<object>();
const isParsed = (input: object): input is JosePublicKey => parsedKeys.has(input);

const jwkOptions = z.strictObject({ ed25519Name });

/**
 * The JWK of a public key of this library, with `kid`, `alg` and `use`.
 * @throws InvalidJwkError when it is not a public key, not one of the algorithm, or JOSE has no name for the algorithm.
 * @throws InvalidArgumentError for other options.
 */
export function toPublicJwk(
  publicKey: KeyObject | string | Uint8Array,
  algorithm: KeyAlgorithm,
  options: { readonly ed25519Name?: Ed25519Name | undefined } = {},
): PublicJwk {
  const context = { operation: 'toPublicJwk', resource: String(algorithm) };
  const { ed25519Name } = parseOptions(context, jwkOptions, options);
  const entry = findJoseAlgorithm(algorithm);
  if (entry === undefined) throw new InvalidJwkError(context, `JOSE has no name for ${algorithm}.`);
  const { jwk } = parsePublicKey(context, publicKey, { keyAlgorithm: entry.name });
  return entry.key.kind === 'okp' && ed25519Name ? { ...jwk, alg: ed25519Name } : jwk;
}

/**
 * Reads a public key and binds it to one algorithm.
 * @throws InvalidJwkError
 */
export function parsePublicKey(
  context: ErrorContext,
  input: PublicKeyInput,
  expected: ExpectedKey = {},
): JosePublicKey {
  if (typeof input === 'object' && input !== null && isParsed(input)) {
    if (isExpected(input.algorithm, expected)) return input;
    throw unexpectedKey(context, [input.algorithm], expected);
  }
  const attributes = isJwk(input) ? readAttributes(context, input) : {};
  const read = readMaterial(input);
  if (!read.ok) throw new InvalidJwkError(context, read.problem);
  const { members, shape, material } = read.value;
  const own = algorithmsForKey(shape).filter(
    (entry) =>
      (attributes.alg === undefined || isCalled(entry, attributes.alg)) &&
      (attributes.use === undefined || useOf(entry) === attributes.use),
  );
  const [algorithm, ambiguous] = own.filter((entry) => isExpected(entry, expected));
  if (algorithm === undefined) {
    throw own.length > 0
      ? unexpectedKey(context, own, expected)
      : new InvalidJwkError(
          context,
          `a key of its type and size is not one for ${named([attributes.alg, attributes.use])}.`,
        );
  }
  if (ambiguous !== undefined) {
    throw new InvalidJwkError(
      context,
      'it can be used with several algorithms; name the one in the JWK (alg) or in the options.',
    );
  }
  const thumbprint = jwkThumbprint(members);
  const key: JosePublicKey = Object.freeze({
    jwk: Object.freeze({
      ...members,
      kid: attributes.kid ?? thumbprint,
      alg: attributes.alg ?? algorithm.joseName,
      use: useOf(algorithm),
    }),
    thumbprint,
    algorithm,
    material,
  });
  parsedKeys.add(key);
  return key;
}

/**
 * RFC 7638 SHA-256 thumbprint of the key's required members, base64url. The members are hashed as they are: nothing
 * checks that they make a key.
 */
export function jwkThumbprint(jwk: JwkLike): string {
  const members = new Map<string, unknown>(Object.entries(jwk));
  const required = REQUIRED_MEMBERS.get(members.get('kty'))?.map(
    (name) => [name, members.get(name)] as const,
  );
  if (required === undefined || required.some(([, value]) => typeof value !== 'string')) {
    throw new InvalidJwkError(
      { operation: 'jwkThumbprint', resource: 'JWK' },
      'it lacks a member that its type needs.',
    );
  }
  // Names in lexicographic order, no white space (RFC 7638 section 3.3).
  const json = JSON.stringify(Object.fromEntries(required));
  return createHash('sha256').update(json, 'utf8').digest('base64url');
}

/** RFC 7638 section 3.2, RFC 8037 section 2, and the registration of AKP with ML-DSA; in lexicographic order. */
const REQUIRED_MEMBERS: ReadonlyMap<unknown, readonly string[]> = new Map([
  ['AKP', ['alg', 'kty', 'pub']],
  ['EC', ['crv', 'kty', 'x', 'y']],
  ['OKP', ['crv', 'kty', 'x']],
  ['RSA', ['e', 'kty', 'n']],
]);

const useOf = (entry: JoseAlgorithm): 'sig' | 'enc' => (entry.purpose === 'ASYMMETRIC_SIGN' ? 'sig' : 'enc');

const isJwk = (input: unknown): input is Readonly<Record<string, unknown>> =>
  typeof input === 'object' &&
  input !== null &&
  !(input instanceof KeyObject) &&
  !(input instanceof Uint8Array);

function readMaterial(input: unknown): ParseResult<KeyMaterial> {
  if (input instanceof KeyObject) return fromKeyObject(input);
  if (typeof input === 'string' || input instanceof Uint8Array) return fromPem(input);
  if (isJwk(input)) return fromJwkMembers(input);
  return { ok: false, problem: 'a JWK, a PEM or a KeyObject is required.' };
}

interface Attributes {
  readonly kid?: string;
  readonly alg?: string;
  readonly use?: string;
}

/** A `kid` goes into headers and maps; this is far above any that is in use. */
const KID_MAX_LENGTH = 256;

function readAttributes(context: ErrorContext, jwk: Readonly<Record<string, unknown>>): Attributes {
  const attribute = (name: string): string | undefined => {
    const value = memberOf(jwk, name);
    if (value === undefined || typeof value === 'string') return value;
    throw new InvalidJwkError(context, `${name} is not a string.`);
  };
  const [kid, alg, use] = [attribute('kid'), attribute('alg'), attribute('use')];
  if (kid !== undefined && (kid === '' || kid.length > KID_MAX_LENGTH)) {
    throw new InvalidJwkError(context, `kid has 1 to ${KID_MAX_LENGTH} characters.`);
  }
  const operations = memberOf(jwk, 'key_ops');
  const permitted = ['verify', 'encrypt', 'wrapKey'];
  if (
    operations !== undefined &&
    !(Array.isArray(operations) && operations.some((name) => permitted.includes(String(name))))
  ) {
    throw new InvalidJwkError(context, 'its key_ops permit neither verification nor encryption.');
  }
  return { ...(kid && { kid }), ...(alg !== undefined && { alg }), ...(use !== undefined && { use }) };
}

function isExpected(entry: JoseAlgorithm, { algorithm, use, keyAlgorithm }: ExpectedKey): boolean {
  return (
    (algorithm === undefined || isCalled(entry, algorithm)) &&
    (use === undefined || useOf(entry) === use) &&
    (keyAlgorithm === undefined || entry.name === keyAlgorithm)
  );
}

/** Nothing is wrong with the key: it is for something else than what was asked for. */
function unexpectedKey(
  context: ErrorContext,
  own: readonly JoseAlgorithm[],
  { keyAlgorithm, algorithm, use }: ExpectedKey,
): InvalidJwkError {
  const names = [...new Set(own.map(({ joseName }) => joseName))].join(', ');
  return new InvalidJwkError(
    context,
    `it is a key for ${names}, and one for ${named([keyAlgorithm, algorithm, use])} was asked for.`,
    'Check the algorithm that was asked for, or ask its owner for another key.',
  );
}

function named(names: readonly (string | undefined)[]): string {
  const quoted = names.filter((name) => name !== undefined).map((name) => JSON.stringify(name.slice(0, 50)));
  return [...new Set(quoted)].join(' and ') || 'any known algorithm';
}
