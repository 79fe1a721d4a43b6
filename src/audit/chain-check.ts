/**
 * Follows the chain of one writer as its lines come by, in memory for a few of them, and names what was changed, removed,
 * moved or put in. Which line is to blame often shows only one line later: the next one links to what was there.
 */

import { CHAIN_START } from './line.js';

export type ChainProblemKind = 'changed' | 'missing' | 'reordered' | 'inserted';

interface ChainProblem {
  readonly kind: ChainProblemKind;
  /** Number of the line in the stream, from 1; for missing lines, the one that comes in their place. */
  readonly line: number;
  /** Of the line; for missing ones, of the first. */
  readonly sequence: number;
  readonly message: string;
}

/** A line in its chain. */
export interface Link {
  readonly line: number;
  readonly sequence: number;
  readonly prev: string;
  readonly sha256: string;
}

interface Missing {
  from: number;
  readonly to: number;
  readonly line: number;
}

/** Ranges of missing lines that are remembered, in case they come later. */
const MAX_MISSING = 256;

export class ChainCheck {
  /** The last line that was followed. */
  last: Link = { line: 0, sequence: 0, prev: '', sha256: CHAIN_START };
  /** Whether the last line was reported, so that the next cannot link to it. */
  #lastIsBlamed = false;
  /** The last line does not link to the one before it, and one of the two was changed. */
  #suspects: { readonly before: Link } | undefined;
  /** A second line with the number of the last one. */
  #rival: Link | undefined;
  #missing: Missing[] = [];

  /** Takes the next line of the writer. */
  follow(link: Link): readonly ChainProblem[] {
    const expected = this.last.sequence + 1;
    if (link.sequence === expected) return this.#next(link);
    if (link.prev === this.last.sha256) {
      const found = this.#settle();
      this.#accept({ ...link, sequence: expected }, 'blamed');
      return [...found, changed(link, `it stands where sequence ${expected} belongs`)];
    }
    if (link.sequence > expected) return this.#jump(link, expected);
    return this.#late(link);
  }

  /** There is no further line. `signedHead`: whether a signature covers the line before the last one as it is. */
  end(isCovered: (link: Link) => boolean): readonly ChainProblem[] {
    const suspects = this.#suspects;
    const problems: ChainProblem[] = [];
    if (suspects !== undefined) {
      const culprit = isCovered(suspects.before) ? this.last : suspects.before;
      problems.push(changed(culprit, `line ${this.last.line} does not link to the line before it`));
    }
    if (this.#rival !== undefined) problems.push(inserted(this.#rival));
    return [...problems, ...this.#missing.map(toMissing)];
  }

  #next(link: Link): readonly ChainProblem[] {
    const problems: ChainProblem[] = [];
    const rival = this.#rival;
    const suspects = this.#suspects;
    const blamed = this.#lastIsBlamed;
    const { last } = this;
    const links = link.prev === last.sha256;
    this.#rival = undefined;
    if (rival !== undefined) {
      const isRivals = link.prev === rival.sha256;
      problems.push(inserted(isRivals ? last : rival));
      this.#suspects = undefined;
      this.#accept(link);
      return problems;
    }
    this.#suspects = undefined;
    if (suspects !== undefined) {
      // A line that neither links back nor is linked to is the one that was changed.
      problems.push(
        changed(links ? suspects.before : last, 'its hash is not the one that the chain has for it'),
      );
      this.#accept(link);
      return problems;
    }
    this.#accept(link);
    if (links || blamed) return problems;
    if (last.sequence === 0) return [changed(link, 'it is the first of its chain and links to another line')];
    this.#suspects = { before: last };
    return problems;
  }

  #jump(link: Link, expected: number): readonly ChainProblem[] {
    const found = this.#settle();
    const missing = { from: expected, to: link.sequence - 1, line: link.line };
    this.#accept(link);
    if (this.#missing.length < MAX_MISSING) this.#missing.push(missing);
    else return [...found, toMissing(missing)];
    return found;
  }

  #late(link: Link): readonly ChainProblem[] {
    const { sequence, line } = link;
    const range = this.#missing.find(({ from, to }) => sequence >= from && sequence <= to);
    if (range !== undefined) {
      this.#missing = this.#missing.flatMap((other) =>
        other === range ? without(range, sequence) : [other],
      );
      const message = `sequence ${sequence} comes after sequence ${this.last.sequence}`;
      return [{ kind: 'reordered', line, sequence, message }];
    }
    if (sequence === this.last.sequence && link.prev === this.last.prev && this.#rival === undefined) {
      this.#rival = link;
      return [];
    }
    return [inserted(link)];
  }

  /** What can no longer be told apart by the next line. */
  #settle(): readonly ChainProblem[] {
    const problems: ChainProblem[] = [];
    if (this.#suspects !== undefined) {
      problems.push(changed(this.#suspects.before, 'the line behind it does not link to it'));
    }
    if (this.#rival !== undefined) problems.push(inserted(this.#rival));
    this.#suspects = undefined;
    this.#rival = undefined;
    return problems;
  }

  #accept(link: Link, as: 'trusted' | 'blamed' = 'trusted'): void {
    this.last = link;
    this.#lastIsBlamed = as === 'blamed';
  }
}

const without = ({ from, to, line }: Missing, sequence: number): Missing[] =>
  [
    { from, to: sequence - 1, line },
    { from: sequence + 1, to, line },
  ].filter((range) => range.from <= range.to);

const changed = ({ line, sequence }: Link, why: string): ChainProblem => ({
  kind: 'changed',
  line,
  sequence,
  message: `sequence ${sequence} was changed: ${why}`,
});

const inserted = ({ line, sequence }: Link): ChainProblem => ({
  kind: 'inserted',
  line,
  sequence,
  message: `a line with sequence ${sequence} was put in: it is no part of the chain`,
});

const toMissing = ({ from, to, line }: Missing): ChainProblem => ({
  kind: 'missing',
  line,
  sequence: from,
  message: from === to ? `sequence ${from} is missing` : `sequences ${from} to ${to} are missing`,
});
