/**
 * The key inside a JWK, PEM or KeyObject: checked, and in its one canonical form. node:crypto reads and checks points and
 * moduli; post-quantum keys, which it cannot hold before version 24, are the bytes of their standard.
 */

import { createPublicKey, type KeyObject } from 'node:crypto';
import type { ParseResult } from '../keys/parse-result.js';
import { postQuantumSpki } from '../keys/spki.js';
import type { VerificationKey } from '../provider/signature-check.js';
import { decodeBase64url, encodeBase64url } from './base64url.js';
import type { KeyShape } from './jose-algorithm.js';
import { memberOf } from './jose-header.js';

/** A public key: its members in a JWK, what tells its algorithms, and what verifies or encrypts. */
export interface KeyMaterial {
  readonly members: KeyMembers;
  readonly shape: KeyShape;
  readonly material: VerificationKey['material'];
}

/** The members that make up the key, as RFC 7638 wants them. */
type KeyMembers =
  | { readonly kty: 'EC'; readonly crv: string; readonly x: string; readonly y: string }
  | { readonly kty: 'OKP'; readonly crv: string; readonly x: string }
  | { readonly kty: 'RSA'; readonly n: string; readonly e: string }
  | { readonly kty: 'AKP'; readonly alg: string; readonly pub: string };

const PEM_LABEL = '-----BEGIN PUBLIC KEY-----';
/** The largest public key of the algorithm table, ML-DSA-87, has 3.6 KB as PEM. */
const PEM_MAX_LENGTH = 16_384;
/** Private members of RFC 7518 section 6, RFC 8037 section 2 and of AKP. */
const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k', 'priv'];
/** FIPS 186-5 section 5.1: a public exponent is odd and above 2^16. Above 2^32 it only costs the verifier time. */
const EXPONENT_MIN = 65_537n;
const EXPONENT_MAX = 4_294_967_295n;

/** Sizes of the public keys (FIPS 204 table 2). */
const ML_DSA_BYTES = { 'ml-dsa-44': 1312, 'ml-dsa-65': 1952, 'ml-dsa-87': 2592 } as const;
type MlDsa = keyof typeof ML_DSA_BYTES;
const ML_DSA: readonly MlDsa[] = ['ml-dsa-44', 'ml-dsa-65', 'ml-dsa-87'];
const joseNameOf = (parameterSet: MlDsa): string => parameterSet.toUpperCase();

const refuse = (problem: string): { readonly ok: false; readonly problem: string } => ({
  ok: false,
  problem,
});

/** Reads the members of a JWK. What comes back when the key is written again must be what was read. */
export function fromJwkMembers(jwk: Readonly<Record<string, unknown>>): ParseResult<KeyMaterial> {
  if (PRIVATE_MEMBERS.some((name) => Object.hasOwn(jwk, name))) {
    return refuse('it holds private or secret key material; only the public key belongs here.');
  }
  const kty = memberOf(jwk, 'kty');
  if (kty === 'AKP') return fromPostQuantumMembers(jwk);
  const names =
    kty === 'EC' ? ['crv', 'x', 'y'] : kty === 'OKP' ? ['crv', 'x'] : kty === 'RSA' ? ['n', 'e'] : [];
  const members: Record<string, string> = { kty: String(kty) };
  for (const name of names) {
    const value = memberOf(jwk, name);
    if (typeof value !== 'string' || value.length > PEM_MAX_LENGTH) return refuse(`${name} is not there.`);
    members[name] = value;
  }
  if (names.length === 0) return refuse('its type (kty) is not EC, OKP, RSA or AKP.');
  let keyObject: KeyObject;
  try {
    keyObject = createPublicKey({ key: members, format: 'jwk' });
  } catch {
    return refuse('it is damaged: its numbers are no public key of its type.');
  }
  const read = fromKeyObject(keyObject);
  if (!read.ok) return read;
  const canonical = new Map<string, string>(Object.entries(read.value.members));
  const changed = names.find((name) => canonical.get(name) !== members[name]);
  return changed === undefined ? read : refuse(`${changed} is not in its canonical form.`);
}

/** Reads a SubjectPublicKeyInfo in PEM (RFC 7468 section 13). Other labels, private keys above all, are refused. */
export function fromPem(pem: string | Uint8Array): ParseResult<KeyMaterial> {
  const text = (typeof pem === 'string' ? pem : Buffer.from(pem).toString('latin1')).trim();
  if (!text.startsWith(PEM_LABEL) || text.length > PEM_MAX_LENGTH) {
    return refuse('it is not a PEM with the label PUBLIC KEY.');
  }
  const der = Buffer.from(text.slice(PEM_LABEL.length, text.indexOf('-----END')), 'base64');
  const postQuantum = fromPostQuantumSpki(der);
  if (postQuantum !== undefined) return postQuantum;
  try {
    return fromKeyObject(createPublicKey({ key: text, format: 'pem', type: 'spki' }));
  } catch {
    return refuse('the PEM is not a public key.');
  }
}

export function fromKeyObject(keyObject: KeyObject): ParseResult<KeyMaterial> {
  if (keyObject.type !== 'public') return refuse('it is a private or secret key; pass the public key.');
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = keyObject;
  const material = { kind: 'key-object', keyObject } as const;
  if (type !== 'ec' && type !== 'ed25519' && type !== 'rsa') {
    // From Node 24 on a KeyObject can hold a post-quantum key; it is taken as its bytes all the same.
    const postQuantum = fromPostQuantumSpki(keyObject.export({ type: 'spki', format: 'der' }));
    return postQuantum ?? refuse(`keys of type ${String(type)} are not supported.`);
  }
  if (type === 'rsa') {
    const exponent = details?.publicExponent ?? 0n;
    if (exponent < EXPONENT_MIN || exponent > EXPONENT_MAX || exponent % 2n === 0n) {
      return refuse('its public exponent is not an odd number from 65,537 to 2^32.');
    }
  }
  if (type === 'ec' && !SUPPORTED_CURVES.includes(String(details?.namedCurve))) {
    return refuse(`the curve ${String(details?.namedCurve)} is not supported.`);
  }
  const { kty, crv = '', x = '', y = '', n = '', e = '' } = keyObject.export({ format: 'jwk' });
  switch (kty) {
    case 'EC':
      return {
        ok: true,
        value: { members: { kty, crv, x, y }, shape: { kind: 'ec', curve: crv }, material },
      };
    case 'OKP':
      return { ok: true, value: { members: { kty, crv, x }, shape: { kind: 'okp' }, material } };
    default: {
      const modulusBits = details?.modulusLength ?? 0;
      return {
        ok: true,
        value: { members: { kty: 'RSA', n, e }, shape: { kind: 'rsa', modulusBits }, material },
      };
    }
  }
}

/** The curves of the algorithm table by their names in node:crypto. */
const SUPPORTED_CURVES = ['prime256v1', 'secp384r1', 'secp256k1'];

function fromPostQuantumMembers(jwk: Readonly<Record<string, unknown>>): ParseResult<KeyMaterial> {
  const parameterSet = ML_DSA.find((name) => joseNameOf(name) === memberOf(jwk, 'alg'));
  const pub = memberOf(jwk, 'pub');
  if (parameterSet === undefined || typeof pub !== 'string' || pub.length > PEM_MAX_LENGTH) {
    return refuse('an AKP key has alg (ML-DSA-44, ML-DSA-65 or ML-DSA-87) and pub.');
  }
  const bytes = decodeBase64url(pub);
  if (bytes?.length !== ML_DSA_BYTES[parameterSet]) {
    return refuse(`pub is not ${ML_DSA_BYTES[parameterSet]} bytes in canonical base64url.`);
  }
  return fromPostQuantum(parameterSet, bytes);
}

function fromPostQuantumSpki(der: Buffer): ParseResult<KeyMaterial> | undefined {
  for (const parameterSet of ML_DSA) {
    const bytes = der.subarray(-ML_DSA_BYTES[parameterSet]);
    if (der.equals(postQuantumSpki(parameterSet, bytes))) return fromPostQuantum(parameterSet, bytes);
  }
  return undefined;
}

function fromPostQuantum(parameterSet: MlDsa, bytes: Uint8Array): ParseResult<KeyMaterial> {
  const own = Uint8Array.from(bytes);
  return {
    ok: true,
    value: {
      members: { kty: 'AKP', alg: joseNameOf(parameterSet), pub: encodeBase64url(own) },
      shape: { kind: 'pqc', parameterSet },
      material: { kind: 'raw', parameterSet, bytes: own },
    },
  };
}
