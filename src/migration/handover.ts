/**
 * Handover statements: an agent's old key says which key takes its place, and the new key signs back. Whoever trusts the
 * old key learns of the new one from the statement alone, offline, without a directory.
 *
 * A statement is a compact JWS within a compact JWS. The inner one is by the old key; its claims are those of JWT (RFC
 * 7519) with the new key whole in `cnf.jwk` (RFC 7800 section 3.2). The outer one is by the new key, and its payload is the
 * inner one, so that both keys sign the same claims and neither signature can be taken for the other: each has a `typ` of
 * its own (explicit typing, RFC 8725 section 3.11).
 */

import { z } from 'zod';
import type { ErrorContext } from '../errors/base.js';
import { HandoverError, JwsVerificationError } from '../errors/identity.js';
import { InvalidArgumentError } from '../errors/input.js';
import { memberOf, parseJsonObject } from '../identity/jose-header.js';
import { type JosePublicKey, type PublicJwk, type PublicKeyInput, parsePublicKey } from '../identity/jwk.js';
import { type JwsSigner, peekJwsHeader, signCompactJws, verifyCompactJws } from '../identity/jws.js';
import { agentContext, parseAgentId } from '../keys/agent-key-name.js';
import type { CallOptions } from '../keys/call-options.js';
import { isGiven, parseOptions } from '../provider/call-input.js';

/** `typ` of the JWS by the old key. */
export const HANDOVER_TYPE = 'a2a-handover+jwt';
/** `typ` of the JWS by the new key, which wraps the one by the old key. */
export const HANDOVER_ACCEPTANCE_TYPE = 'a2a-handover-acceptance+jwt';

/** Two signatures of ML-DSA-87 and an RSA-4096 key, base64url twice over, with room to spare. */
const LIMIT_CHARACTERS = 32_768;

const claimsSchema = z.strictObject({
  /** The agent. */
  sub: z.string(),
  /** When the old key handed over, in seconds since the epoch. */
  iat: z.int().min(0),
  /** The old key. */
  old: z.strictObject({ jkt: z.string(), key_version: z.string() }),
  /** The new key. */
  new: z.strictObject({ jkt: z.string(), key_version: z.string() }),
  cnf: z.strictObject({ jwk: z.record(z.string(), z.unknown()) }),
});

/** A key, and who signs with it. */
export interface HandoverParty {
  readonly signer: JwsSigner;
  /** Full name of the version that signs. */
  readonly keyVersion: string;
  readonly key: JosePublicKey;
}

interface IssueHandoverOptions extends CallOptions {
  readonly agentId: string;
  readonly from: HandoverParty;
  readonly to: HandoverParty;
  readonly issuedAt: Date;
}

/** What a statement says; all of it was checked. */
export interface Handover {
  readonly agentId: string;
  /** RFC 7638 SHA-256 thumbprint of the key that handed over, base64url. */
  readonly oldThumbprint: string;
  /** Full name of its version, as its owner called it. */
  readonly oldKeyVersion: string;
  /** The key that is the agent's now. */
  readonly newKey: PublicJwk;
  readonly newThumbprint: string;
  readonly newKeyVersion: string;
  readonly issuedAt: Date;
}

/** What a handover is checked against. */
export interface VerifyHandoverOptions {
  /** The agent that the keys are expected to be of. */
  readonly agentId: string;
  /** The key that was trusted so far. An RSA key has to name its algorithm, in a JWK. */
  readonly oldKey: PublicKeyInput;
}

const verifyOptions = z.strictObject({
  agentId: z.string('must be the id of the agent'),
  oldKey: z.custom<PublicKeyInput>(isGiven, 'is required'),
});

/** Has the old key hand over and the new key sign back: one signature by each. */
export async function issueHandover(options: IssueHandoverOptions): Promise<string> {
  const { agentId, from, to, issuedAt, ...callOptions } = options;
  const claims = {
    sub: agentId,
    iat: Math.floor(issuedAt.getTime() / 1_000),
    old: { jkt: from.key.thumbprint, key_version: from.keyVersion },
    new: { jkt: to.key.thumbprint, key_version: to.keyVersion },
    cnf: { jwk: { ...to.key.jwk } },
  } satisfies z.input<typeof claimsSchema>;
  const payload = Buffer.from(JSON.stringify(claims), 'utf8');
  const handover = await signCompactJws(
    from.signer,
    from.keyVersion,
    payload,
    { typ: HANDOVER_TYPE },
    callOptions,
  );
  const header = { typ: HANDOVER_ACCEPTANCE_TYPE, cty: HANDOVER_TYPE };
  return signCompactJws(to.signer, to.keyVersion, Buffer.from(handover, 'ascii'), header, callOptions);
}

/**
 * Checks offline that the old key handed the agent over to another key, and that this key signed back. It says who the
 * successor was when the statement was made: whoever holds the old key today could make another one, so a statement is
 * worth as much as the old key was when you got it.
 * @throws HandoverError saying which check failed.
 * @throws InvalidJwkError when the old key that was passed in is not usable.
 */
export async function verifyHandover(statement: string, options: VerifyHandoverOptions): Promise<Handover> {
  const context = agentContext('verifyHandover', options?.agentId);
  const { agentId, oldKey: trusted } = parseOptions(context, verifyOptions, options);
  const agent = parseAgentId(agentId);
  if (!agent.ok) throw new InvalidArgumentError(context, agent.problem);
  const oldKey = parsePublicKey(context, trusted, { use: 'sig' });
  const inner = innerOf(context, statement);
  const payload = await verifyBy(context, inner, { key: oldKey, typ: HANDOVER_TYPE, by: 'old' });
  const parsed = claimsSchema.safeParse(parseJsonObject(payload));
  if (!parsed.success) {
    const fields = parsed.error.issues.map((issue) => issue.path.map(String).join('.') || 'payload');
    throw refuse(context, 'format', `its claims are not those of a handover: ${fields.join(', ')}.`);
  }
  const claims = parsed.data;
  const newKey = newKeyOf(context, claims.cnf.jwk);
  await verifyBy(context, statement, { key: newKey, typ: HANDOVER_ACCEPTANCE_TYPE, by: 'new' });
  if (claims.sub !== agent.value) {
    throw refuse(context, 'agent', `it is for agent ${JSON.stringify(claims.sub.slice(0, 256))}.`);
  }
  if (claims.old.jkt !== oldKey.thumbprint) throw refuse(context, 'key', 'it names another old key.');
  if (claims.new.jkt !== newKey.thumbprint) throw refuse(context, 'key', 'it names two different new keys.');
  if (newKey.thumbprint === oldKey.thumbprint) throw refuse(context, 'key', 'it hands a key over to itself.');
  return {
    agentId: claims.sub,
    oldThumbprint: claims.old.jkt,
    oldKeyVersion: claims.old.key_version,
    newKey: newKey.jwk,
    newThumbprint: claims.new.jkt,
    newKeyVersion: claims.new.key_version,
    issuedAt: new Date(claims.iat * 1_000),
  };
}

/** The JWS by the old key, which is what the JWS by the new key carries; nothing of either is believed yet. */
function innerOf(context: ErrorContext, statement: string): string {
  try {
    peekJwsHeader(statement, { limitCharacters: LIMIT_CHARACTERS });
  } catch (cause) {
    throw toHandoverError(context, cause);
  }
  const [, payload = ''] = statement.split('.');
  return Buffer.from(payload, 'base64url').toString('latin1');
}

async function verifyBy(
  context: ErrorContext,
  jws: string,
  expected: { readonly key: JosePublicKey; readonly typ: string; readonly by: 'old' | 'new' },
): Promise<Buffer> {
  const { key, typ, by } = expected;
  const { header, payload } = await verifyCompactJws(jws, key, {
    algorithm: key.algorithm.joseName,
    typ,
    limitCharacters: LIMIT_CHARACTERS,
  }).catch((cause: unknown) => {
    throw toHandoverError(context, cause);
  });
  // The signature is right, so the name of the key is either right too or a mistake of its owner.
  if (memberOf(header, 'kid') === key.thumbprint) return payload;
  throw refuse(context, 'key', `the part by the ${by} key names another one.`);
}

function newKeyOf(context: ErrorContext, jwk: Readonly<Record<string, unknown>>): JosePublicKey {
  try {
    return parsePublicKey(context, jwk, { use: 'sig' });
  } catch (cause) {
    throw new HandoverError({ ...context, cause }, 'key', 'the new key in it is not usable.');
  }
}

function toHandoverError(context: ErrorContext, cause: unknown): unknown {
  return cause instanceof JwsVerificationError
    ? new HandoverError({ ...context, cause }, cause.check, cause.message)
    : cause;
}

const refuse = (context: ErrorContext, check: HandoverError['check'], problem: string): HandoverError =>
  new HandoverError(context, check, problem);
