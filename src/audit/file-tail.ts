/** Reads the end of an audit file, backwards, as far as the trail needs it to go on: to the last line that is signed. */

import type { FileHandle } from 'node:fs/promises';
import type { Canonicalize } from './canonical-json.js';
import {
  type AuditCheckpoint,
  type AuditLine,
  CHAIN_START,
  decodeLine,
  LINE_MAX_BYTES,
  parseLine,
  type ReadLine,
  sha256Hex,
  TORN_MARK,
} from './line.js';
import type { Past } from './sink.js';

const CHUNK_BYTES = 65_536;
const LINE_FEED = 0x0a;
const TORN_END = Buffer.from(TORN_MARK, 'utf8');

type Tail =
  | {
      readonly kind: 'chain';
      /** Undefined where there is no line yet. */
      readonly past: Omit<Past, 'torn'> | undefined;
      /** What is behind the last line feed. */
      readonly rest: Buffer;
      /** What earlier crashes left, marked, and no notice tells of, in the order of the file. */
      readonly marked: readonly Buffer[];
    }
  /** The last line is none of a trail, or lines before it are not of one chain. */
  | { readonly kind: 'foreign'; readonly problem: string };

export async function readTail(file: FileHandle, canonicalize: Canonicalize): Promise<Tail> {
  const lines = linesBackwards(file);
  const rest = (await lines.next()).value ?? Buffer.alloc(0);
  const read: ReadLine[] = [];
  const marked: Buffer[] = [];
  let checkpoint: AuditCheckpoint | undefined;
  let covered: ReadLine | undefined;
  for await (const bytes of lines) {
    const text = decodeLine(bytes);
    const line = text === undefined ? undefined : parseLine(text, canonicalize);
    if (text === undefined || line === undefined) {
      const told = read.some((later) => tellsOf(later, bytes));
      if (!told && !(isMarked(bytes) && read.length === 0)) {
        return foreign('a line at its end is none of an audit trail');
      }
      if (!told) marked.unshift(Buffer.from(bytes));
      continue;
    }
    const next = read[0]?.line;
    if (next !== undefined && !follows(next, { text, line })) {
      return foreign(`line ${next.sequence} of the chain does not follow from the one before it`);
    }
    if (line.type !== 'checkpoint' && checkpoint !== undefined && isCoveredBy(line, checkpoint)) {
      covered = { text, line };
      break;
    }
    read.unshift({ text, line });
    if (line.type === 'checkpoint') checkpoint ??= line;
  }
  const [first] = read;
  const last = read.at(-1);
  if (first === undefined || last === undefined) return { kind: 'chain', past: undefined, rest, marked };
  if (checkpoint !== undefined && !(covered !== undefined && isHeadOf(checkpoint, covered))) {
    return foreign('its last checkpoint is not about the lines before it');
  }
  if (covered === undefined && (first.line.sequence !== 1 || first.line.prev !== CHAIN_START)) {
    return foreign('its first line is not the first of a chain');
  }
  const { writer, sequence } = last.line;
  const head = { sequence, sha256: sha256Hex(last.text) };
  return { kind: 'chain', past: { writer, head, checkpoint, lines: read }, rest, marked };
}

const foreign = (problem: string): Tail => ({ kind: 'foreign', problem });

const isMarked = (bytes: Buffer): boolean => bytes.subarray(-TORN_END.length).equals(TORN_END);

const follows = (next: AuditLine, { text, line }: ReadLine): boolean =>
  next.writer === line.writer && next.sequence === line.sequence + 1 && next.prev === sha256Hex(text);

const isCoveredBy = (line: { readonly checkpoint: number }, { statement }: AuditCheckpoint): boolean =>
  line.checkpoint <= statement.number;

const isHeadOf = ({ statement, writer }: AuditCheckpoint, { text, line }: ReadLine): boolean =>
  statement.writer === writer && statement.last === line.sequence && statement.head === sha256Hex(text);

const tellsOf = ({ line }: ReadLine, bytes: Buffer): boolean =>
  line.type === 'notice' && line.notice === 'recovery' && line.details['tornSha256'] === sha256Hex(bytes);

/** First what is behind the last line feed, then the lines from the last to the first. */
async function* linesBackwards(file: FileHandle): AsyncGenerator<Buffer, void, void> {
  let position = (await file.stat()).size;
  let rest: Buffer = Buffer.alloc(0);
  while (position > 0) {
    const length = Math.min(CHUNK_BYTES, position);
    position -= length;
    const chunk = Buffer.alloc(length);
    await readFully(file, chunk, position);
    rest = Buffer.concat([chunk, rest]);
    if (rest.length > LINE_MAX_BYTES + 2 * CHUNK_BYTES)
      throw new RangeError('it has lines longer than any of a trail');
    for (let at = rest.lastIndexOf(LINE_FEED); at >= 0; at = rest.lastIndexOf(LINE_FEED)) {
      yield rest.subarray(at + 1);
      rest = rest.subarray(0, at);
    }
  }
  yield rest;
}

async function readFully(file: FileHandle, chunk: Buffer, position: number): Promise<void> {
  for (let done = 0; done < chunk.length; ) {
    const { bytesRead } = await file.read(chunk, done, chunk.length - done, position + done);
    if (bytesRead === 0) throw new RangeError('the file became shorter while it was read');
    done += bytesRead;
  }
}
