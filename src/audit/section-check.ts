/** Checks what the checkpoints of one writer say against the lines that they cover. */

import type { JosePublicKey } from '../identity/jwk.js';
import type { Canonicalize } from './canonical-json.js';
import { leafOf, OpenSection, type Section } from './chain.js';
import { isSigned, keyIdOfCheckpoint } from './checkpoint.js';
import type { AuditCheckpoint, AuditEvent, AuditNotice } from './line.js';

export interface CheckpointProblem {
  readonly kind: 'checkpoint' | 'signature' | 'unknown-key';
  readonly message: string;
}

/** A key that signed. */
export interface CheckpointKey {
  /** RFC 7638 thumbprint. */
  readonly kid: string;
  readonly keyVersion: string;
  /** As the checkpoint states it; what the HSM says is in its attestation. */
  readonly protectionLevel: string;
}

export class SectionCheck {
  readonly #keys: ReadonlyMap<string, JosePublicKey>;
  readonly #canonicalize: Canonicalize;
  #open = new OpenSection(1);
  #closed: Section | undefined;
  /** Lines of the section that grows, and of the closed one, that were there when a process started. */
  #found = { open: 0, closed: 0 };
  /** Lines that were there, unsigned, when a process started, and that a good checkpoint of it covers. */
  signedLater = 0;
  /** Sequence of the last line that a good checkpoint covers; 0 without one. */
  signedThrough = 0;
  checkpoints = 0;
  readonly signers = new Map<string, CheckpointKey>();

  constructor(keys: ReadonlyMap<string, JosePublicKey>, canonicalize: Canonicalize) {
    this.#keys = keys;
    this.#canonicalize = canonicalize;
  }

  /** Lines that no good checkpoint covers. */
  get unsigned(): number {
    return this.#open.count + (this.#closed?.count ?? 0);
  }

  /** The hash of the last line that a good checkpoint covers. */
  signedHead: string | undefined;

  /** A process starts: it has found what is unsigned now, and did not write it. */
  restart(): void {
    this.#found = { open: this.#open.count, closed: this.#closed?.count ?? 0 };
  }

  cover(line: AuditEvent | AuditNotice, text: string, sha256: string): readonly CheckpointProblem[] {
    const problems: CheckpointProblem[] = [];
    if (line.checkpoint !== this.#open.number) {
      const isNext = line.checkpoint === this.#open.number + 1 && this.#open.count > 0;
      if (!isNext || this.#closed !== undefined) {
        problems.push(broken(`it names checkpoint ${line.checkpoint}, expected ${this.#open.number}`));
      } else this.#close();
    }
    this.#open.add({ sequence: line.sequence, sha256, leaf: leafOf(text) });
    return problems;
  }

  async check({ statement, jws, writer }: AuditCheckpoint): Promise<readonly CheckpointProblem[]> {
    if (this.#closed === undefined && this.#open.count > 0) this.#close();
    const covered = this.#closed;
    const { closed: found } = this.#found;
    this.#closed = undefined;
    this.#found.closed = 0;
    const problems: CheckpointProblem[] = [];
    if (covered === undefined || statement.number !== covered.number || statement.writer !== writer) {
      problems.push(broken(`checkpoint ${statement.number} covers nothing that comes before it`));
    } else {
      const wrong = (['first', 'last', 'count', 'root', 'head'] as const).filter(
        (field) => statement[field] !== covered[field],
      );
      if (wrong.length > 0) {
        problems.push(
          broken(`checkpoint ${statement.number} is about other lines: ${wrong.join(', ')} differ`),
        );
      }
    }
    const kid = keyIdOfCheckpoint(jws);
    const key = kid === undefined ? undefined : this.#keys.get(kid);
    if (kid === undefined) problems.push({ kind: 'signature', message: 'its signature cannot be read' });
    else if (key === undefined) {
      problems.push({
        kind: 'unknown-key',
        message: `it is signed by ${kid}, which is none of the given keys`,
      });
    } else if (!(await isSigned({ statement, jws }, key, this.#canonicalize))) {
      problems.push({ kind: 'signature', message: `its signature is not by ${kid}` });
    }
    if (problems.length > 0 || kid === undefined) return problems;
    const { keyVersion, protectionLevel } = statement;
    this.signers.set(kid, { kid, keyVersion, protectionLevel });
    this.signedThrough = statement.last;
    this.signedHead = statement.head;
    this.checkpoints += 1;
    this.signedLater += found;
    return problems;
  }

  #close(): void {
    this.#closed = this.#open.close();
    this.#open = new OpenSection(this.#open.number + 1);
    this.#found = { open: 0, closed: this.#found.open };
  }
}

const broken = (message: string): CheckpointProblem => ({ kind: 'checkpoint', message });
