/**
 * The lines of an audit trail: one JSON object each, in canonical form (RFC 8785), joined by the SHA-256 of the line
 * before. What a reader takes for a line is parsed strictly; a second spelling of a line is none.
 */

import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Canonicalize } from './canonical-json.js';

/** `prev` of the first line of a chain. */
export const CHAIN_START = '0'.repeat(64);
/** The longest line of this library has some 3 KB. */
export const LINE_MAX_BYTES = 65_536;
/** Who writes a chain: at most 128 characters that need no escape anywhere. */
const WRITER_ID = /^[A-Za-z0-9][A-Za-z0-9._:@/-]{0,127}$/;
/** Put behind what was left of a line by a crash, so that it can never be taken for a line. */
export const TORN_MARK = '#torn';

/** SHA-256 in hex, as sha256sum prints it. */
export const sha256Hex = (bytes: Uint8Array | string): string =>
  createHash('sha256').update(bytes).digest('hex');

export const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'must be a SHA-256: 64 digits of lower-case hex');
const counter = z.int().min(0);
export const position = z.int('must be a whole number').min(1, 'must be at least 1');
export const writerId = z.string().regex(WRITER_ID, 'must be the writer of a chain');
const text = z.string().max(1_024);
const facts = z.record(z.string().max(64), z.union([text, z.number(), z.boolean()]));

const chained = {
  /** Version of this format. */
  v: z.literal(1),
  writer: writerId,
  /** Counts up from 1 in the chain of its writer. */
  sequence: position,
  /** SHA-256 of the line before in the chain, without its line feed. */
  prev: sha256,
};

const covered = {
  ...chained,
  /** RFC 3339, UTC: when the call ended, or what is noted happened. */
  time: z.iso.datetime({ precision: 3 }),
  /** Number of the checkpoint that covers it. */
  checkpoint: position,
};

const eventSchema = z.strictObject({
  ...covered,
  type: z.literal('event'),
  requestId: z.uuid(),
  /** The public method. */
  operation: text,
  keyRing: text,
  /** Full CryptoKey name; absent for calls that are about no key, and where what was passed is none. */
  key: text.optional(),
  agent: text.optional(),
  /** Full CryptoKeyVersion name; absent where none was chosen. */
  keyVersion: text.optional(),
  algorithm: text.optional(),
  protectionLevel: text.optional(),
  /** Of what was signed, verified or decrypted. */
  subjectSha256: sha256.optional(),
  /** Of the signature or the ciphertext that came out. */
  productSha256: sha256.optional(),
  outcome: z.enum(['succeeded', 'failed', 'refused']),
  verdict: z.enum(['valid', 'invalid']).optional(),
  errorCode: text.optional(),
  durationMs: z.number().min(0),
  /** How often Cloud KMS was asked. */
  attempts: counter,
  reason: text.optional(),
  correlationId: text.optional(),
  /** The flags in force. */
  configuration: facts,
});

const noticeSchema = z.strictObject({
  ...covered,
  type: z.literal('notice'),
  notice: z.enum(['start', 'recovery', 'gap', 'software-keys-in-production']),
  details: facts,
});

const statementSchema = z.strictObject({
  writer: chained.writer,
  number: position,
  /** Sequence numbers of the first and the last line that it covers, and how many they are. */
  first: position,
  last: position,
  count: position,
  /** Merkle root (RFC 9162) over the covered lines. */
  root: sha256,
  /** SHA-256 of line `last`: what was before it is signed by it too. */
  head: sha256,
  time: covered.time,
  keyVersion: text,
  algorithm: text,
  protectionLevel: text,
});

const checkpointSchema = z.strictObject({
  ...chained,
  type: z.literal('checkpoint'),
  statement: statementSchema,
  /** Detached JWS (RFC 7515 appendix F) over the canonical form of the statement. */
  jws: z.string().max(8_192),
});

const lineSchema = z.discriminatedUnion('type', [eventSchema, noticeSchema, checkpointSchema]);

/** One call, as the audit trail has it: who, what, when, with which key version, and how it ended. */
export type AuditEvent = z.output<typeof eventSchema>;
/** An entry of the trail that is not a call: a start, lines lost or torn, software keys in production. */
export type AuditNotice = z.output<typeof noticeSchema>;
/** A signature over the lines since the checkpoint before. */
export type AuditCheckpoint = z.output<typeof checkpointSchema>;
export type CheckpointStatement = z.output<typeof statementSchema>;
/** A line of an audit trail; `type` says which of the three it is. */
export type AuditLine = z.output<typeof lineSchema>;

type Chained = 'v' | 'writer' | 'sequence' | 'prev' | 'checkpoint';
/** A line that has no place in a chain yet. */
export type LineBody =
  | Omit<AuditEvent, Chained>
  | Omit<AuditNotice, Chained>
  | Omit<AuditCheckpoint, Chained>;

/** A line that was read. */
export interface ReadLine {
  readonly text: string;
  readonly line: AuditLine;
}

/** The text that bytes are; undefined when they are none, since a replacement character would hide what was there. */
export const decodeLine = (bytes: Buffer): string | undefined =>
  isUtf8(bytes) ? bytes.toString('utf8') : undefined;

/** The line that a text is; undefined when it is none, or is one in another spelling. */
export function parseLine(text: string, canonicalize: Canonicalize): AuditLine | undefined {
  try {
    const parsed = lineSchema.safeParse(JSON.parse(text));
    return parsed.success && canonicalize(parsed.data) === text ? parsed.data : undefined;
  } catch {
    // No JSON, or without a canonical form: a lone surrogate has none.
    return undefined;
  }
}
