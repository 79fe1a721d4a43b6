/**
 * Compact JWS (RFC 7515) signed in the HSM and verified here. The algorithm comes from the key version when signing and
 * from the caller when verifying; what a message says of its algorithm is only compared.
 */

import { z } from 'zod';
import type { ErrorContext } from '../errors/base.js';
import { JwsVerificationError } from '../errors/identity.js';
import { InvalidArgumentError, UnsupportedAlgorithmError } from '../errors/input.js';
import { IntegrityError } from '../errors/service.js';
import type { SigningAlgorithmEntry } from '../keys/algorithm-types.js';
import { algorithmsOf, findAlgorithm } from '../keys/algorithms.js';
import type { CallOptions } from '../keys/call-options.js';
import type { KeyProvider } from '../keys/key-provider.js';
import { callShape, parseInput, parseOptions, requireBytes } from '../provider/call-input.js';
import { signNamingVersion } from '../provider/sign-naming-version.js';
import { verifySignature } from '../provider/signature-check.js';
import { decodeBase64url, encodeBase64url } from './base64url.js';
import { derToP1363, p1363ToDer } from './der.js';
import {
  type Ed25519Name,
  ed25519Name,
  findJoseAlgorithm,
  isCalled,
  type JoseAlgorithm,
} from './jose-algorithm.js';
import { isMediaType, type JoseHeader, memberOf, parseJoseHeader } from './jose-header.js';
import { type JosePublicKey, type PublicKeyInput, parsePublicKey, toPublicJwk } from './jwk.js';

/** What signing needs of a provider. */
export type JwsSigner = Pick<KeyProvider, 'resolveKeyVersion' | 'getPublicKey' | 'signDetailed'>;

/** Members of the protected header. `alg` is set from the key. */
export interface JwsHeader {
  /** Media type of the whole JWS, e.g. `JWT`. */
  readonly typ?: string | undefined;
  /** Media type of the payload. */
  readonly cty?: string | undefined;
  /** Default: the RFC 7638 thumbprint of the version that signs. */
  readonly kid?: string | undefined;
  readonly [name: string]: unknown;
}

/** Options of `signCompactJws`. */
export interface SignJwsOptions extends CallOptions {
  /** Default `EdDSA`, which every verifier knows. */
  readonly ed25519Name?: Ed25519Name | undefined;
}

/** What `verifyCompactJws` accepts. Unknown options are refused: a misspelt one would be a check that is not made. */
export interface VerifyJwsOptions {
  /** JOSE name of the one algorithm that is accepted. `EdDSA` and `Ed25519` are the same. */
  readonly algorithm: string;
  /** The `typ` that the header must have. Default: any, or none. */
  readonly typ?: string | undefined;
  /** Extensions that the caller implements; any other one that the header calls critical is refused. */
  readonly understoodCritical?: readonly string[] | undefined;
  /** Longest JWS that is looked at, in characters. Default 1,048,576. */
  readonly limitCharacters?: number | undefined;
}

/** A JWS whose signature is right. */
export interface VerifiedJws {
  readonly header: JoseHeader;
  readonly payload: Buffer;
  readonly key: JosePublicKey;
}

const DEFAULT_LIMIT_CHARACTERS = 1_048_576;
/** Set by this library, or meaningless without it. */
const OWN_MEMBERS = ['alg', 'crit', 'b64', 'enc', 'zip'];

const text = z.string('must be a string').optional();
const headerSchema = z.looseObject({ typ: text, cty: text, kid: text });
const signOptions = z.strictObject({ ...callShape, ed25519Name });
const peekOptions = z.strictObject({
  limitCharacters: z
    .int('must be a whole number')
    .min(1, 'must be at least 1')
    .default(DEFAULT_LIMIT_CHARACTERS),
});
const verifyOptions = z.strictObject({
  ...peekOptions.shape,
  algorithm: z.string('is required: the JOSE name of the one that is expected'),
  typ: text,
  understoodCritical: z.array(z.string(), 'must be a list of names').default([]),
});

/**
 * Signs a payload as compact JWS.
 * @throws UnsupportedAlgorithmError when JOSE has no name for the key's algorithm.
 */
export async function signCompactJws(
  provider: JwsSigner,
  keyId: string,
  payload: Uint8Array,
  header: JwsHeader = {},
  options: SignJwsOptions = {},
): Promise<string> {
  const context = { operation: 'signCompactJws', resource: keyId };
  const { kid: ownKid } = parseInput(context, headerSchema, { name: 'header', value: header });
  // The caller may change it while the key is looked up.
  const members = { ...header };
  const own = OWN_MEMBERS.find((name) => memberOf(members, name) !== undefined);
  if (own !== undefined) {
    throw new InvalidArgumentError(context, `${own} cannot be set in the header: it follows from the key.`);
  }
  const { ed25519Name, ...callOptions } = parseOptions(context, signOptions, options);
  const encodedPayload = encodeBase64url(requireBytes(context, 'payload', payload));
  const { signingInput, entry, signed } = await signNamingVersion(context, keyId, {
    inUse: () => provider.resolveKeyVersion(keyId, callOptions),
    sign: async ({ keyVersion, algorithm }, signer) => {
      const entry = requireSigning(context, algorithm);
      const kid = ownKid ?? toPublicJwk(await provider.getPublicKey(keyVersion, callOptions), entry.name).kid;
      const alg = (entry.key.kind === 'okp' && ed25519Name) || entry.joseName;
      const encodedHeader = encodeHeader(context, { ...members, alg, kid });
      const signingInput = `${encodedHeader}.${encodedPayload}`;
      const data = Buffer.from(signingInput, 'ascii');
      return { signingInput, entry, signed: await provider.signDetailed(signer, data, callOptions) };
    },
  });
  return `${signingInput}.${encodeBase64url(toJoseSignature(context, entry, signed.signature))}`;
}

/**
 * Verifies a compact JWS with a key and the algorithm that the caller expects.
 * @throws JwsVerificationError saying which check failed; InvalidJwkError when the key is not usable.
 */
export async function verifyCompactJws(
  jws: string,
  publicKey: PublicKeyInput,
  options: VerifyJwsOptions,
): Promise<VerifiedJws> {
  const context = { operation: 'verifyCompactJws', resource: 'JWS' };
  const { algorithm, typ, ...limits } = parseOptions(context, verifyOptions, options);
  const { header, payload, signingInput, signature } = parseCompactJws(context, jws, limits);
  const key = parsePublicKey(context, publicKey, { algorithm, use: 'sig' });
  const named = memberOf(header, 'alg');
  if (!isCalled(key.algorithm, named)) {
    throw refuse(context, 'algorithm', `expected ${algorithm}, it names ${shown(named)}.`);
  }
  if (typ !== undefined && !isMediaType(memberOf(header, 'typ'), typ)) {
    throw refuse(context, 'type', `expected typ ${typ}, it has ${shown(memberOf(header, 'typ'))}.`);
  }
  if (!(await isSignature(key, Buffer.from(signingInput, 'ascii'), signature))) {
    throw refuse(context, 'signature', 'the signature is not by the key.');
  }
  return { header, payload, key };
}

/**
 * The header of a compact JWS, before anything of it is believed: for choosing the key by `kid`.
 * @throws JwsVerificationError saying which check failed.
 */
export function peekJwsHeader(
  jws: string,
  options: Pick<VerifyJwsOptions, 'limitCharacters'> = {},
): JoseHeader {
  const context = { operation: 'peekJwsHeader', resource: 'JWS' };
  const { limitCharacters } = parseOptions(context, peekOptions, options);
  return parseCompactJws(context, jws, { limitCharacters, understoodCritical: [] }).header;
}

interface ParsedJws {
  readonly header: JoseHeader;
  readonly payload: Buffer;
  readonly signature: Buffer;
  readonly signingInput: string;
}

function parseCompactJws(
  context: ErrorContext,
  jws: string,
  limits: { readonly limitCharacters: number; readonly understoodCritical: readonly string[] },
): ParsedJws {
  const { limitCharacters, understoodCritical } = limits;
  if (typeof jws !== 'string') throw refuse(context, 'format', 'a compact JWS is a string.');
  if (jws.length > limitCharacters) {
    throw refuse(context, 'size', `at most ${limitCharacters} characters are accepted, got ${jws.length}.`);
  }
  const parts = jws.split('.', 4);
  const [encodedHeader, encodedPayload, encodedSignature] = parts;
  if (
    parts.length !== 3 ||
    encodedHeader === undefined ||
    encodedPayload === undefined ||
    encodedSignature === undefined
  ) {
    throw refuse(context, 'format', 'it does not have three parts.');
  }
  const parsed = parseJoseHeader(encodedHeader, understoodCritical);
  if (!parsed.ok) throw refuse(context, parsed.check, parsed.problem);
  const payload = decodeBase64url(encodedPayload);
  const signature = decodeBase64url(encodedSignature);
  if (payload === undefined || signature === undefined) {
    throw refuse(context, 'format', 'payload or signature is not canonical base64url without padding.');
  }
  return { header: parsed.header, payload, signature, signingInput: `${encodedHeader}.${encodedPayload}` };
}

/** @throws InvalidArgumentError for members that JSON has no form for. */
function encodeHeader(context: ErrorContext, header: JoseHeader): string {
  try {
    return encodeBase64url(Buffer.from(JSON.stringify(header), 'utf8'));
  } catch (cause) {
    throw new InvalidArgumentError({ ...context, cause }, 'the header has a member that is not JSON.');
  }
}

/** The signature as JOSE has it (RFC 7518 section 3.4), from what Cloud KMS gives. */
function toJoseSignature(context: ErrorContext, entry: SigningAlgorithmEntry, signature: Buffer): Buffer {
  if (entry.signatureEncoding !== 'der' || entry.key.kind !== 'ec') return signature;
  const raw = derToP1363(signature, entry.key.coordinateBytes);
  if (!raw.ok) throw new IntegrityError(context, `the signature is not strict DER: ${raw.problem}`);
  return raw.value;
}

async function isSignature(key: JosePublicKey, data: Buffer, signature: Buffer): Promise<boolean> {
  const { algorithm, material } = key;
  if (algorithm.key.kind !== 'ec') return verifySignature({ algorithm, material }, data, signature);
  const der = p1363ToDer(signature, algorithm.key.coordinateBytes);
  return der.ok && verifySignature({ algorithm, material }, data, der.value);
}

function requireSigning(
  context: ErrorContext,
  name: string,
): Extract<JoseAlgorithm, { purpose: 'ASYMMETRIC_SIGN' }> {
  const entry = findJoseAlgorithm(name);
  if (entry?.purpose === 'ASYMMETRIC_SIGN') return entry;
  throw new UnsupportedAlgorithmError(
    context,
    `JOSE has no signature algorithm for ${name}.`,
    algorithmsOf('ASYMMETRIC_SIGN').filter((candidate) => {
      const other = findAlgorithm(candidate);
      return other !== undefined && 'joseName' in other;
    }),
  );
}

const shown = (value: unknown): string =>
  value === undefined ? 'none' : (JSON.stringify(value)?.slice(0, 60) ?? 'none');

const refuse = (
  context: ErrorContext,
  check: JwsVerificationError['check'],
  problem: string,
): JwsVerificationError => new JwsVerificationError(context, check, problem);
