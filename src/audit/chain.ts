/**
 * The chain of one writer as it grows: what the next lines are, and what the next checkpoint covers. Lines are drafted
 * first and count only when they were written.
 */

import { GrowingMerkleTree, hashLeaf } from '../merkle.js';
import type { Canonicalize } from './canonical-json.js';
import {
  type AuditEvent,
  type AuditNotice,
  CHAIN_START,
  type CheckpointStatement,
  type LineBody,
  sha256Hex,
} from './line.js';
import type { Past } from './sink.js';

/** The end of a chain. */
export interface ChainHead {
  /** 0 for a chain without a line. */
  readonly sequence: number;
  /** SHA-256 of the last line, hex. */
  readonly sha256: string;
}

/** What one checkpoint covers. */
export type Section = Pick<CheckpointStatement, 'number' | 'first' | 'last' | 'count' | 'root' | 'head'>;

/** A line that has its place in the chain, and is not written yet. */
export interface DraftLine {
  readonly text: string;
  readonly body: LineBody;
  readonly sequence: number;
  readonly sha256: string;
}

export const leafOf = (text: string): Buffer => hashLeaf(Buffer.from(text, 'utf8'), new Uint8Array());

/** A section that still grows. */
export class OpenSection {
  readonly number: number;
  readonly #tree = new GrowingMerkleTree();
  #first = 0;
  #last = 0;
  #head = CHAIN_START;

  constructor(number: number) {
    this.number = number;
  }

  get count(): number {
    return this.#tree.size;
  }

  add(line: { readonly sequence: number; readonly sha256: string; readonly leaf: Buffer }): void {
    if (this.#tree.size === 0) this.#first = line.sequence;
    this.#last = line.sequence;
    this.#head = line.sha256;
    this.#tree.add(line.leaf);
  }

  /** What it covers. Without a line there is nothing to ask for. */
  close(): Section {
    return {
      number: this.number,
      first: this.#first,
      last: this.#last,
      count: this.#tree.size,
      root: this.#tree.root().toString('hex'),
      head: this.#head,
    };
  }
}

/** What a chain goes on from. */
type ChainPast = Pick<Past, 'head' | 'checkpoint' | 'lines'>;

const signedBefore = ({ checkpoint }: ChainPast): number => checkpoint?.statement.number ?? 0;

function unsignedLines(
  past: ChainPast,
): readonly { readonly text: string; readonly line: AuditEvent | AuditNotice }[] {
  const signed = signedBefore(past);
  return past.lines.flatMap(({ text, line }) =>
    line.type !== 'checkpoint' && line.checkpoint > signed ? [{ text, line }] : [],
  );
}

/** Lines that were there, unsigned, when a process started. */
export interface FoundLines {
  /** Sequence numbers of the first and the last of them. */
  readonly first: number;
  readonly last: number;
  /** SHA-256 of the last one, hex: with the chain, of all of them. */
  readonly sha256: string;
}

/** What no checkpoint covers of what a chain goes on from. */
export function foundUnsigned(past: ChainPast): FoundLines | undefined {
  const unsigned = unsignedLines(past);
  const [first] = unsigned;
  const last = unsigned.at(-1);
  if (first === undefined || last === undefined) return undefined;
  return { first: first.line.sequence, last: last.line.sequence, sha256: sha256Hex(last.text) };
}

export class Chain {
  readonly writer: string;
  readonly #canonicalize: Canonicalize;
  #head: ChainHead;
  #open: OpenSection;
  /** Closed, and not signed yet. There is never a second one. */
  #closed: Section | undefined;

  constructor(writer: string, canonicalize: Canonicalize, past: ChainPast) {
    this.writer = writer;
    this.#canonicalize = canonicalize;
    this.#head = past.head;
    this.#open = new OpenSection(signedBefore(past) + 1);
    for (const { text, line } of unsignedLines(past)) {
      if (line.checkpoint > this.#open.number) this.close();
      this.#open.add({ sequence: line.sequence, sha256: sha256Hex(text), leaf: leafOf(text) });
    }
  }

  get head(): ChainHead {
    return this.#head;
  }

  /** How many lines no checkpoint covers yet. */
  get unsigned(): number {
    return this.#open.count + (this.#closed?.count ?? 0);
  }

  /** Whether a checkpoint signs what is closed now: not so when the chain was read again in the meantime. */
  awaits({ number, root }: CheckpointStatement): boolean {
    return this.#closed?.number === number && this.#closed.root === root;
  }

  draft(bodies: readonly LineBody[]): readonly DraftLine[] {
    let head = this.#head;
    return bodies.map((body) => {
      const sequence = head.sequence + 1;
      const chained = { v: 1, writer: this.writer, sequence, prev: head.sha256 };
      const section = body.type === 'checkpoint' ? {} : { checkpoint: this.#open.number };
      const text = this.#canonicalize({ ...body, ...chained, ...section });
      head = { sequence, sha256: sha256Hex(text) };
      return { text, body, ...head };
    });
  }

  /** The lines were written. */
  commit(lines: readonly DraftLine[]): void {
    for (const { text, body, sequence, sha256 } of lines) {
      this.#head = { sequence, sha256 };
      if (body.type !== 'checkpoint') this.#open.add({ sequence, sha256, leaf: leafOf(text) });
      else if (body.statement.number === this.#closed?.number) this.#closed = undefined;
    }
  }

  /** Ends the section that grows, if it has lines and the one before it is signed; what is to be signed, if anything. */
  close(): Section | undefined {
    if (this.#closed === undefined && this.#open.count > 0) {
      this.#closed = this.#open.close();
      this.#open = new OpenSection(this.#open.number + 1);
    }
    return this.#closed;
  }
}
