/**
 * What callers pass to `verifyAuditTrail`, parsed once. An anchor or an option that is taken for none would make a trail
 * that was cut off look valid, so nothing is passed over.
 */

import { z } from 'zod';
import type { ErrorContext } from '../errors/base.js';
import { InvalidArgumentError } from '../errors/input.js';
import { type JosePublicKey, type PublicKeyInput, parsePublicKey } from '../identity/jwk.js';
import { isGiven, parseInput, parseOptions } from '../provider/call-input.js';
import type { AuditAnchor } from './audit-trail.js';
import { position, sha256, writerId } from './line.js';

/** Keys that sign checkpoints: one, several, or a JWK Set. All versions that ever signed belong in it. */
export type AuditKeys =
  | PublicKeyInput
  | readonly PublicKeyInput[]
  | { readonly keys: readonly PublicKeyInput[] };

/** Options of `verifyAuditTrail`. Unknown ones are refused. */
export interface VerifyAuditTrailOptions {
  readonly auditKeys: AuditKeys;
  /** Where chains stood, kept elsewhere: they must be there, unchanged. Without one, lines cut off at the end do not show. */
  readonly expectedLast?: AuditAnchor | readonly AuditAnchor[] | undefined;
  /** `pino`: lines of a log, of which those with a member `audit` count. Default `lines`, as a file sink writes them. */
  readonly format?: 'lines' | 'pino' | undefined;
  /** Problems that are listed; the rest is counted. Default 1,000. */
  readonly maxProblems?: number | undefined;
}

/** What the verification works with. */
export interface ResolvedVerification {
  /** By thumbprint. */
  readonly keys: ReadonlyMap<string, JosePublicKey>;
  readonly anchors: readonly AuditAnchor[];
  readonly format: 'lines' | 'pino';
  readonly maxProblems: number;
}

type Chunks = AsyncIterable<Uint8Array | string>;

const CONTEXT: ErrorContext = { operation: 'verifyAuditTrail', resource: 'audit trail' };
const DEFAULT_MAX_PROBLEMS = 1_000;

const anchor = z.strictObject({ writer: writerId, sequence: position, sha256 });

const schema = z.strictObject({
  auditKeys: z.custom<AuditKeys>(isGiven, 'is required: the public keys of the audit key'),
  expectedLast: z
    .union([anchor, z.array(anchor)], 'must be an anchor { writer, sequence, sha256 }, or a list of anchors')
    .optional(),
  format: z.enum(['lines', 'pino'], 'must be lines or pino').default('lines'),
  maxProblems: z.int('must be a whole number').min(0, 'must not be negative').default(DEFAULT_MAX_PROBLEMS),
});

const streamSchema = z.custom<Chunks>(
  (value) => typeof value === 'object' && value !== null && Symbol.asyncIterator in value,
  'must be a stream: an AsyncIterable of bytes or text, as createReadStream(path) gives one',
);

/** @throws InvalidArgumentError naming each problem; InvalidJwkError when a key is not usable. */
export function parseVerification(
  stream: unknown,
  options: unknown,
): ResolvedVerification & { readonly chunks: Chunks } {
  const chunks = parseInput(CONTEXT, streamSchema, { name: 'stream', value: stream });
  const { auditKeys, expectedLast = [], format, maxProblems } = parseOptions(CONTEXT, schema, options);
  const anchors = Array.isArray(expectedLast) ? expectedLast : [expectedLast];
  return { chunks: checked(chunks), keys: parseKeys(auditKeys), anchors, format, maxProblems };
}

/** @throws InvalidArgumentError for a chunk of anything else, as a stream in object mode has them. */
async function* checked(chunks: Chunks): Chunks {
  for await (const chunk of chunks) {
    if (typeof chunk !== 'string' && !(chunk instanceof Uint8Array))
      throw new InvalidArgumentError(CONTEXT, `the stream must give bytes or text, it gave ${typeof chunk}.`);
    yield chunk;
  }
}

function parseKeys(keys: AuditKeys): ReadonlyMap<string, JosePublicKey> {
  const parsed = toList(keys).map((key) => parsePublicKey(CONTEXT, key, { use: 'sig' }));
  if (parsed.length === 0) throw new InvalidArgumentError(CONTEXT, 'auditKeys must have at least one key.');
  return new Map(parsed.map((key) => [key.thumbprint, key]));
}

function toList(keys: AuditKeys): readonly PublicKeyInput[] {
  if (isKeyList(keys)) return keys;
  if (isKeySet(keys)) return keys.keys;
  return [keys];
}

const isKeyList = (keys: AuditKeys): keys is readonly PublicKeyInput[] => Array.isArray(keys);
const isKeySet = (keys: AuditKeys): keys is { readonly keys: readonly PublicKeyInput[] } =>
  typeof keys === 'object' && 'keys' in keys && Array.isArray(keys.keys);
