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

type Facts = Readonly<Record<string, string | number | boolean>>;

interface ChainedLine {
  /** Version of this format. */
  readonly v: 1;
  readonly writer: string;
  /** Counts up from 1 in the chain of its writer. */
  readonly sequence: number;
  /** SHA-256 of the line before in the chain, without its line feed. */
  readonly prev: string;
}

interface CoveredLine extends ChainedLine {
  /** RFC 3339, UTC: when the call ended, or what is noted happened. */
  readonly time: string;
  /** Number of the checkpoint that covers it. */
  readonly checkpoint: number;
}

/** One call, as the audit trail has it: who, what, when, with which key version, and how it ended. */
export interface AuditEvent extends CoveredLine {
  readonly type: 'event';
  readonly requestId: string;
  /** The public method. */
  readonly operation: string;
  readonly keyRing: string;
  /** Full CryptoKey name; absent for calls that are about no key, and where what was passed is none. */
  readonly key?: string | undefined;
  readonly agent?: string | undefined;
  /** Full CryptoKeyVersion name; absent where none was chosen. */
  readonly keyVersion?: string | undefined;
  readonly algorithm?: string | undefined;
  readonly protectionLevel?: string | undefined;
  /** Of what was signed, verified or decrypted. */
  readonly subjectSha256?: string | undefined;
  /** Of the signature or the ciphertext that came out. */
  readonly productSha256?: string | undefined;
  readonly outcome: 'succeeded' | 'failed' | 'refused';
  readonly verdict?: 'valid' | 'invalid' | undefined;
  readonly errorCode?: string | undefined;
  readonly durationMs: number;
  /** How often Cloud KMS was asked. */
  readonly attempts: number;
  readonly reason?: string | undefined;
  readonly correlationId?: string | undefined;
  /** The flags in force. */
  readonly configuration: Facts;
}

/** An entry of the trail that is not a call: a start, lines lost or torn, software keys in production. */
export interface AuditNotice extends CoveredLine {
  readonly type: 'notice';
  readonly notice: 'start' | 'recovery' | 'gap' | 'software-keys-in-production';
  readonly details: Facts;
}

export interface CheckpointStatement {
  readonly writer: string;
  readonly number: number;
  /** Sequence numbers of the first and the last line that it covers, and how many they are. */
  readonly first: number;
  readonly last: number;
  readonly count: number;
  /** Merkle root (RFC 9162) over the covered lines. */
  readonly root: string;
  /** SHA-256 of line `last`: what was before it is signed by it too. */
  readonly head: string;
  readonly time: string;
  readonly keyVersion: string;
  readonly algorithm: string;
  readonly protectionLevel: string;
}

/** A signature over the lines since the checkpoint before. */
export interface AuditCheckpoint extends ChainedLine {
  readonly type: 'checkpoint';
  readonly statement: CheckpointStatement;
  /** Detached JWS (RFC 7515 appendix F) over the canonical form of the statement. */
  readonly jws: string;
}

/** A line of an audit trail; `type` says which of the three it is. */
export type AuditLine = AuditEvent | AuditNotice | AuditCheckpoint;

export const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'must be a SHA-256: 64 digits of lower-case hex');
const counter = z.int().min(0);
export const position = z.int('must be a whole number').min(1, 'must be at least 1');
export const writerId = z.string().regex(WRITER_ID, 'must be the writer of a chain');
const text = z.string().max(1_024);
const facts = z.record(z.string().max(64), z.union([text, z.number(), z.boolean()]));

const chained = {
  v: z.literal(1),
  writer: writerId,
  sequence: position,
  prev: sha256,
};

const covered = {
  ...chained,
  time: z.iso.datetime({ precision: 3 }),
  checkpoint: position,
};

/**
 * A schema of exactly the fields of `Line`. The interfaces are not made of the schemas: the types of this package would
 * need those of zod, and a compiler that understands them.
 */
const schemaOf =
  <Line extends object>() =>
  <Shape extends { readonly [Field in keyof Required<Line>]: z.ZodType<Line[Field]> }>(
    shape: Shape & { readonly [Field in Exclude<keyof Shape, keyof Line>]: never },
  ) =>
    z.strictObject<Shape>(shape);

const eventSchema = schemaOf<AuditEvent>()({
  ...covered,
  type: z.literal('event'),
  requestId: z.uuid(),
  operation: text,
  keyRing: text,
  key: text.optional(),
  agent: text.optional(),
  keyVersion: text.optional(),
  algorithm: text.optional(),
  protectionLevel: text.optional(),
  subjectSha256: sha256.optional(),
  productSha256: sha256.optional(),
  outcome: z.enum(['succeeded', 'failed', 'refused']),
  verdict: z.enum(['valid', 'invalid']).optional(),
  errorCode: text.optional(),
  durationMs: z.number().min(0),
  attempts: counter,
  reason: text.optional(),
  correlationId: text.optional(),
  configuration: facts,
});

const noticeSchema = schemaOf<AuditNotice>()({
  ...covered,
  type: z.literal('notice'),
  notice: z.enum(['start', 'recovery', 'gap', 'software-keys-in-production']),
  details: facts,
});

const statementSchema = schemaOf<CheckpointStatement>()({
  writer: chained.writer,
  number: position,
  first: position,
  last: position,
  count: position,
  root: sha256,
  head: sha256,
  time: covered.time,
  keyVersion: text,
  algorithm: text,
  protectionLevel: text,
});

const checkpointSchema = schemaOf<AuditCheckpoint>()({
  ...chained,
  type: z.literal('checkpoint'),
  statement: statementSchema,
  jws: z.string().max(8_192),
});

const lineSchema = z.discriminatedUnion('type', [eventSchema, noticeSchema, checkpointSchema]);

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
