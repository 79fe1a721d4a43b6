/**
 * Endorsements: a compact JWS in which the root key says which key is an agent's, for how long, and for which algorithm.
 * Whoever has the root's public key checks one offline. Claims are those of JWT (RFC 7519) and `cnf.jkt` (RFC 7800 and
 * RFC 9449 section 6.1).
 */

import { z } from 'zod';
import { type Clock, systemClock } from '../clock.js';
import type { ErrorContext } from '../errors/base.js';
import { EndorsementError, InvalidJwkError, JwsVerificationError } from '../errors/identity.js';
import { InvalidArgumentError } from '../errors/input.js';
import { agentContext, parseAgentId } from '../keys/agent-key-name.js';
import type { CallOptions } from '../keys/call-options.js';
import { isGiven, parseOptions } from '../provider/call-input.js';
import {
  ENDORSEMENT_VALIDITY_DEFAULT_SECONDS,
  ENDORSEMENT_VALIDITY_MAX_SECONDS,
} from './endorsement-validity.js';
import { isCalled } from './jose-algorithm.js';
import { memberOf, parseJsonObject } from './jose-header.js';
import { type JosePublicKey, type JwkLike, type PublicKeyInput, parsePublicKey } from './jwk.js';
import { isJwkSet, unlessForeign } from './jwk-set.js';
import { type JwsSigner, peekJwsHeader, signCompactJws, verifyCompactJws } from './jws.js';

/** `typ` of an endorsement (explicit typing, RFC 8725 section 3.11): no other JWS by the root passes for one. */
export const ENDORSEMENT_TYPE = 'a2a-endorsement+jwt';

const CLOCK_SKEW_DEFAULT_SECONDS = 60;
const CLOCK_SKEW_MAX_SECONDS = 300;
/** Header, claims with an agent id of 256 bytes and a resource name, and an ML-DSA-87 signature of 6,170 characters. */
const LIMIT_CHARACTERS = 16_384;
/** Versions of a root key that are published at once. */
const MAX_ROOT_KEYS = 64;

const seconds = z.int().min(0);
const claimsSchema = z.looseObject({
  sub: z.string(),
  iat: seconds,
  nbf: seconds,
  exp: seconds,
  cnf: z.looseObject({ jkt: z.string() }),
  key_version: z.string(),
  key_alg: z.string(),
  key_use: z.enum(['sig', 'enc']),
});

/** What an endorsement says; all of it was checked. */
export interface Endorsement {
  readonly agentId: string;
  /** RFC 7638 SHA-256 thumbprint of the agent's key, base64url. */
  readonly keyThumbprint: string;
  /** Full name of the key version, as its owner calls it. */
  readonly keyVersion: string;
  /** JOSE name of the algorithm that the key may be used with. */
  readonly algorithm: string;
  readonly use: 'sig' | 'enc';
  readonly issuedAt: Date;
  readonly notBefore: Date;
  readonly expiresAt: Date;
  /** Thumbprint of the root key that signed. */
  readonly rootThumbprint: string;
}

/** What is endorsed, and for how long. */
export interface IssueEndorsementOptions extends CallOptions {
  readonly agentId: string;
  /** The agent's public key. */
  readonly key: PublicKeyInput;
  /** Full name of the agent's key version. */
  readonly keyVersion: string;
  /** Default 2,592,000 (30 days), at most 34,300,800 (397 days). */
  readonly validitySeconds?: number | undefined;
  readonly clock?: Clock | undefined;
}

/** One key, a list of them, or a JWK Set, of which keys that cannot be a root's are passed over. */
type RootKeys = PublicKeyInput | readonly PublicKeyInput[] | { readonly keys: readonly JwkLike[] };

/** What an endorsement is checked against. */
export interface VerifyEndorsementOptions {
  /**
   * The root's public key, or those of its versions, also as a JWK Set, from a trusted source, never from the agent. All keys
   * of a set are taken for the root's.
   */
  readonly rootPublicKey: RootKeys;
  /** The agent that the key is expected to be of. */
  readonly agentId: string;
  /** The key that is to be used as the agent's. An RSA key has to name its algorithm, in a JWK. */
  readonly key: PublicKeyInput;
  /** Default: the system's clock. */
  readonly clock?: Pick<Clock, 'now'> | undefined;
  /** How far the clocks may be apart, in seconds. Default 60, at most 300. */
  readonly clockSkewSeconds?: number | undefined;
}

const skew = `must be 0 to ${CLOCK_SKEW_MAX_SECONDS}`;
const verifyOptions = z.strictObject({
  rootPublicKey: z.custom<VerifyEndorsementOptions['rootPublicKey']>(isGiven, 'is required'),
  agentId: z.string('must be the id of the agent'),
  key: z.custom<PublicKeyInput>(isGiven, 'is required'),
  clock: z
    .custom<Pick<Clock, 'now'>>(
      (clock) => typeof Object(clock).now === 'function',
      'must have the method now',
    )
    .optional(),
  clockSkewSeconds: z
    .number(skew)
    .min(0, skew)
    .max(CLOCK_SKEW_MAX_SECONDS, skew)
    .default(CLOCK_SKEW_DEFAULT_SECONDS),
});

/** Signs an endorsement with the root key: one signature in the HSM. */
export async function issueEndorsement(
  provider: JwsSigner,
  rootKeyId: string,
  options: IssueEndorsementOptions,
): Promise<string> {
  const {
    agentId,
    key,
    keyVersion,
    validitySeconds = ENDORSEMENT_VALIDITY_DEFAULT_SECONDS,
    clock = systemClock,
    ...callOptions
  } = options;
  const context = agentContext('issueEndorsement', agentId);
  const parsed = parseAgentId(agentId);
  if (!parsed.ok) throw new InvalidArgumentError(context, parsed.problem);
  requireValidity(context, validitySeconds);
  const { thumbprint, jwk } = parsePublicKey(context, key);
  const now = Math.floor(clock.now() / 1_000);
  const claims = {
    sub: parsed.value,
    iat: now,
    nbf: now,
    exp: now + validitySeconds,
    cnf: { jkt: thumbprint },
    key_version: keyVersion,
    key_alg: jwk.alg,
    key_use: jwk.use,
  } satisfies z.input<typeof claimsSchema>;
  const payload = Buffer.from(JSON.stringify(claims), 'utf8');
  return signCompactJws(provider, rootKeyId, payload, { typ: ENDORSEMENT_TYPE }, callOptions);
}

/** @throws InvalidArgumentError for what is not a period that an endorsement may be valid for. */
export function requireValidity(context: ErrorContext, validitySeconds: number): void {
  const isPeriod = Number.isInteger(validitySeconds) && validitySeconds >= 1;
  if (isPeriod && validitySeconds <= ENDORSEMENT_VALIDITY_MAX_SECONDS) return;
  throw new InvalidArgumentError(
    context,
    `validitySeconds is 1 to ${ENDORSEMENT_VALIDITY_MAX_SECONDS} whole seconds.`,
  );
}

/**
 * Checks offline, against the root's public key, that an endorsement is valid now and says that the key is the agent's.
 * @throws EndorsementError saying which check failed.
 * @throws InvalidJwkError when a key that was passed in is not usable.
 */
export async function verifyEndorsement(
  endorsement: string,
  options: VerifyEndorsementOptions,
): Promise<Endorsement> {
  const context = agentContext('verifyEndorsement', options?.agentId);
  const {
    agentId,
    clock = systemClock,
    clockSkewSeconds: skewSeconds,
    ...keys
  } = parseOptions(context, verifyOptions, options);
  const key = parsePublicKey(context, keys.key);
  const { payload, root } = await verifyByRoot(context, endorsement, rootKeys(context, keys.rootPublicKey));
  const parsed = claimsSchema.safeParse(parseJsonObject(payload));
  if (!parsed.success) {
    const fields = parsed.error.issues.map((issue) => issue.path.map(String).join('.') || 'payload');
    throw refuse(context, 'format', `its claims are not those of an endorsement: ${fields.join(', ')}.`);
  }
  const claims = parsed.data;
  if (claims.exp <= claims.nbf || claims.exp - claims.nbf > ENDORSEMENT_VALIDITY_MAX_SECONDS) {
    throw refuse(context, 'format', 'its times do not make a period of validity.');
  }
  const now = clock.now() / 1_000;
  if (now + skewSeconds < Math.max(claims.nbf, claims.iat)) {
    throw refuse(context, 'not-yet-valid', `it is valid from ${iso(Math.max(claims.nbf, claims.iat))} on.`);
  }
  if (now - skewSeconds >= claims.exp) throw refuse(context, 'expired', `it expired at ${iso(claims.exp)}.`);
  if (claims.sub !== agentId) {
    throw refuse(context, 'agent', `it is for agent ${JSON.stringify(claims.sub.slice(0, 256))}.`);
  }
  if (claims.cnf.jkt !== key.thumbprint) throw refuse(context, 'key', 'it is for another key.');
  if (!isCalled(key.algorithm, claims.key_alg) || claims.key_use !== key.jwk.use) {
    throw refuse(
      context,
      'key-algorithm',
      `it is for ${JSON.stringify(claims.key_alg.slice(0, 50))}, the key was given for ${key.jwk.alg}.`,
    );
  }
  return {
    agentId: claims.sub,
    keyThumbprint: claims.cnf.jkt,
    keyVersion: claims.key_version,
    algorithm: claims.key_alg,
    use: claims.key_use,
    issuedAt: new Date(claims.iat * 1_000),
    notBefore: new Date(claims.nbf * 1_000),
    expiresAt: new Date(claims.exp * 1_000),
    rootThumbprint: root.thumbprint,
  };
}

async function verifyByRoot(
  context: ErrorContext,
  endorsement: string,
  roots: readonly JosePublicKey[],
): Promise<{ readonly payload: Buffer; readonly root: JosePublicKey }> {
  try {
    // `kid` only chooses among keys that are trusted already.
    const kid = memberOf(peekJwsHeader(endorsement, { limitCharacters: LIMIT_CHARACTERS }), 'kid');
    const root = roots.find(({ jwk, thumbprint }) => kid === thumbprint || kid === jwk.kid);
    if (root === undefined)
      throw refuse(context, 'root-key', 'it is not signed by any of the given root keys.');
    const { payload } = await verifyCompactJws(endorsement, root, {
      algorithm: root.algorithm.joseName,
      typ: ENDORSEMENT_TYPE,
      limitCharacters: LIMIT_CHARACTERS,
    });
    return { payload, root };
  } catch (cause) {
    if (!(cause instanceof JwsVerificationError)) throw cause;
    throw new EndorsementError({ ...context, cause }, cause.check, cause.message);
  }
}

function rootKeys(context: ErrorContext, input: RootKeys): readonly JosePublicKey[] {
  const inputs = isJwkSet(input) ? input.keys : isList(input) ? input : [input];
  if (inputs.length === 0 || inputs.length > MAX_ROOT_KEYS) {
    throw new InvalidArgumentError(context, `1 to ${MAX_ROOT_KEYS} root keys are required.`);
  }
  if (!isJwkSet(input)) return inputs.map((key) => rootKey(context, key));
  const keys = inputs.flatMap((key) => unlessForeign(() => rootKey(context, key)));
  if (keys.length === 0) throw new InvalidJwkError(context, 'none of the set can be a root key.');
  return keys;
}

function rootKey(context: ErrorContext, input: PublicKeyInput): JosePublicKey {
  const key = parsePublicKey(context, input);
  if (key.jwk.use !== 'sig') throw new InvalidJwkError(context, 'a root key is one that signs.');
  return key;
}

const isList = (input: RootKeys): input is readonly PublicKeyInput[] => Array.isArray(input);

/** A number of a stranger may be beyond what a Date can hold. */
function iso(epochSeconds: number): string {
  const date = new Date(epochSeconds * 1_000);
  return Number.isNaN(date.getTime()) ? `second ${epochSeconds}` : date.toISOString();
}

const refuse = (context: ErrorContext, check: EndorsementError['check'], problem: string): EndorsementError =>
  new EndorsementError(context, check, problem);
