/**
 * `verifyAuditTrail`: reads a trail, of one writer or of many, and names every line that is not as it was written. It needs
 * the public keys of the audit key and nothing else: no call, and no more memory for a long trail than for a short one.
 */

import type { JosePublicKey } from '../identity/jwk.js';
import type { AuditAnchor } from './audit-trail.js';
import {
  type AuditProblem,
  type AuditVerification,
  type VerifiedChain,
  verdictOf,
} from './audit-verification.js';
import { type Canonicalize, loadCanonicalize } from './canonical-json.js';
import { ChainCheck, type Link } from './chain-check.js';
import { type AuditLine, decodeLine, parseLine, sha256Hex } from './line.js';
import { readLines } from './line-reader.js';
import { SectionCheck } from './section-check.js';
import {
  parseVerification,
  type ResolvedVerification,
  type VerifyAuditTrailOptions,
} from './verification-input.js';

/** Chains in one stream: far more than a service has processes; each costs memory. */
const MAX_CHAINS = 10_000;
/** Unreadable lines that a later line may still explain. */
const MAX_UNEXPLAINED = 1_000;

/**
 * Verifies an audit trail.
 * @throws InvalidJwkError when a key is not usable; InvalidArgumentError for what else is wrong with the stream or an option,
 *   such as an anchor that is none. What the stream fails with.
 *
 * @example
 * ```ts
 * const { verdict, problems } = await verifyAuditTrail(createReadStream('/var/log/agents/audit.jsonl'), {
 *   auditKeys: jwks,
 *   expectedLast: anchor,
 * });
 * ```
 */
export async function verifyAuditTrail(
  stream: AsyncIterable<Uint8Array | string>,
  options: VerifyAuditTrailOptions,
): Promise<AuditVerification> {
  const { chunks, ...input } = parseVerification(stream, options);
  const verification = new Verification(input, await loadCanonicalize());
  for await (const raw of readLines(chunks)) await verification.take(raw);
  return verification.result();
}

interface ChainState {
  readonly chain: ChainCheck;
  readonly sections: SectionCheck;
  events: number;
  lostEvents: number;
  tornLines: number;
  /** Sequence → the hashes that were expected there: more than one if anchors contradict each other. */
  readonly anchors: ReadonlyMap<number, readonly string[]>;
}

class Verification {
  readonly #keys: ReadonlyMap<string, JosePublicKey>;
  readonly #canonicalize: Canonicalize;
  readonly #format: 'lines' | 'pino';
  readonly #maxProblems: number;
  readonly #anchors: readonly AuditAnchor[];
  readonly #chains = new Map<string, ChainState>();
  readonly #problems: AuditProblem[] = [];
  /** SHA-256 of unreadable lines → where they are. */
  readonly #unexplained = new Map<string, number>();
  #moreProblems = 0;
  #line = 0;

  constructor(input: ResolvedVerification, canonicalize: Canonicalize) {
    this.#keys = input.keys;
    this.#anchors = input.anchors;
    this.#format = input.format;
    this.#maxProblems = input.maxProblems;
    this.#canonicalize = canonicalize;
  }

  async take(raw: { readonly kind: 'line' | 'too-long' | 'rest'; readonly bytes?: Buffer }): Promise<void> {
    this.#line += 1;
    const { bytes } = raw;
    if (bytes === undefined) return this.#report('format', 'it is longer than any line of a trail');
    if (raw.kind === 'rest') return this.#report('torn', 'the last line has no end');
    const text = this.#textOf(bytes);
    if (text === 'skip') return;
    const line = text === undefined ? undefined : parseLine(text, this.#canonicalize);
    if (text === undefined || line === undefined) return this.#unreadable(bytes);
    await this.#follow(line, text);
  }

  result(): AuditVerification {
    for (const line of this.#unexplained.values())
      this.#report('format', 'it is no line of an audit trail', { line });
    for (const [writer, { chain, sections }] of this.#chains) {
      const isCovered = ({ sha256 }: Link): boolean => sha256 === sections.signedHead;
      for (const problem of chain.end(isCovered))
        this.#report(problem.kind, problem.message, { ...problem, writer });
    }
    for (const { writer, sequence } of this.#anchors) {
      const reached = this.#chains.get(writer)?.chain.last.sequence ?? 0;
      if (reached < sequence) {
        this.#report(
          'truncated',
          `the chain ends at sequence ${reached}, sequence ${sequence} was there once`,
          {
            writer,
            sequence: reached + 1,
          },
        );
      }
    }
    const chains = [...this.#chains].map(([writer, state]) => toVerifiedChain(writer, state));
    const isInvalid = this.#problems.length + this.#moreProblems > 0;
    return {
      verdict: isInvalid ? 'invalid' : verdictOf(chains),
      lines: this.#line,
      problems: this.#problems.toSorted((a, b) => a.line - b.line),
      moreProblems: this.#moreProblems,
      chains,
    };
  }

  /** The text of a line; `skip` for what a log has besides the trail. */
  #textOf(bytes: Buffer): string | 'skip' | undefined {
    const text = decodeLine(bytes);
    if (text === undefined || this.#format === 'lines') return text;
    try {
      const entry: unknown = JSON.parse(text);
      const audit: unknown =
        typeof entry === 'object' && entry !== null && Object.hasOwn(entry, 'audit')
          ? Reflect.get(entry, 'audit')
          : undefined;
      if (audit === undefined) return 'skip';
      return typeof audit === 'object' && audit !== null ? this.#canonicalize(audit) : undefined;
    } catch {
      return undefined;
    }
  }

  async #follow(line: AuditLine, text: string): Promise<void> {
    const { writer, sequence, prev } = line;
    const state = this.#stateOf(writer);
    if (state === undefined) return this.#report('format', `it is of a further chain, after ${MAX_CHAINS}`);
    const sha256 = sha256Hex(text);
    const at = { line: this.#line, writer, sequence };
    for (const problem of state.chain.follow({ line: this.#line, sequence, prev, sha256 })) {
      this.#report(problem.kind, problem.message, { ...problem, writer });
    }
    if (line.type === 'notice' && line.notice === 'start') state.sections.restart();
    if (state.anchors.get(sequence)?.some((expected) => expected !== sha256)) {
      this.#report('changed', `sequence ${sequence} is not the line that was there once`, at);
    }
    const found =
      line.type === 'checkpoint'
        ? await state.sections.check(line)
        : state.sections.cover(line, text, sha256);
    for (const { kind, message } of found) this.#report(kind, message, at);
    if (line.type === 'event') state.events += 1;
    if (line.type !== 'notice') return;
    const { lost, tornSha256 } = line.details;
    if (line.notice === 'gap' && typeof lost === 'number') state.lostEvents += lost;
    if (line.notice === 'recovery' && typeof tornSha256 === 'string') {
      state.tornLines += 1;
      this.#unexplained.delete(tornSha256);
    }
  }

  #stateOf(writer: string): ChainState | undefined {
    const known = this.#chains.get(writer);
    if (known !== undefined || this.#chains.size >= MAX_CHAINS) return known;
    const state: ChainState = {
      chain: new ChainCheck(),
      sections: new SectionCheck(this.#keys, this.#canonicalize),
      events: 0,
      lostEvents: 0,
      tornLines: 0,
      anchors: bySequence(this.#anchors.filter((anchor) => anchor.writer === writer)),
    };
    this.#chains.set(writer, state);
    return state;
  }

  /** A crash leaves such a line, and the next line of the same writer tells of it. */
  #unreadable(bytes: Buffer): void {
    if (this.#unexplained.size < MAX_UNEXPLAINED) this.#unexplained.set(sha256Hex(bytes), this.#line);
    else this.#report('format', 'it is no line of an audit trail');
  }

  #report(
    kind: AuditProblem['kind'],
    message: string,
    at: { readonly line?: number; readonly writer?: string; readonly sequence?: number } = {},
  ): void {
    if (this.#problems.length >= this.#maxProblems) {
      this.#moreProblems += 1;
      return;
    }
    const { line = this.#line, writer, sequence } = at;
    this.#problems.push({ kind, line, writer, sequence, message: `line ${line}: ${message}` });
  }
}

function toVerifiedChain(writer: string, state: ChainState): VerifiedChain {
  const { chain, sections, events, lostEvents, tornLines } = state;
  const { sequence, sha256 } = chain.last;
  return {
    writer,
    events,
    checkpoints: sections.checkpoints,
    last: { writer, sequence, sha256 },
    signedThrough: sections.signedThrough,
    unsigned: sections.unsigned,
    signedLater: sections.signedLater,
    lostEvents,
    tornLines,
    signers: [...sections.signers.values()],
  };
}

function bySequence(anchors: readonly AuditAnchor[]): ReadonlyMap<number, readonly string[]> {
  const expected = new Map<number, string[]>();
  for (const { sequence, sha256 } of anchors) {
    const hashes = expected.get(sequence);
    if (hashes === undefined) expected.set(sequence, [sha256]);
    else hashes.push(sha256);
  }
  return expected;
}
