/** What the verification of an audit trail finds: problems, the chain of each writer, and the verdict. */

import type { AuditAnchor } from './audit-trail.js';
import type { ChainProblemKind } from './chain-check.js';
import type { CheckpointKey, CheckpointProblem } from './section-check.js';

/** One thing that is wrong with a trail, and where. */
export interface AuditProblem {
  /**
   * `format`: no line of a trail. `torn`: the last line has no end. `changed`, `missing`, `reordered`, `inserted`: against
   * the chain. `truncated`: an expected line is not reached. `checkpoint`, `signature`, `unknown-key`: a checkpoint does not
   * fit what is before it, or is not signed by one of the keys.
   */
  readonly kind: ChainProblemKind | CheckpointProblem['kind'] | 'format' | 'torn' | 'truncated';
  /** Number of the line in the stream, from 1. */
  readonly line: number;
  readonly writer: string | undefined;
  readonly sequence: number | undefined;
  readonly message: string;
}

/** The chain of one writer: a trail has one for each process that wrote to it. */
export interface VerifiedChain {
  readonly writer: string;
  readonly events: number;
  readonly checkpoints: number;
  /** The last line, as an anchor. */
  readonly last: AuditAnchor;
  /** Sequence of the last line that a checkpoint covers; 0 without one. */
  readonly signedThrough: number;
  /** Lines at the end that no checkpoint covers: they may have been changed by anybody who could write to the trail. */
  readonly unsigned: number;
  /** Lines, besides checkpoints, that a process found unsigned when it started, and had signed with its own. */
  readonly signedLater: number;
  /** Events that the writer itself says it could not write. */
  readonly lostEvents: number;
  /** Lines that crashes left unfinished, as the writer says. */
  readonly tornLines: number;
  /** The keys that signed. */
  readonly signers: readonly CheckpointKey[];
}

/**
 * The first of these that applies. `invalid`: something is wrong, and `problems` names it. `empty`: there is no line of a
 * trail, which shows nothing. `unsigned-tail`: nothing is wrong, and the end is not signed. `signed-later`: some lines were
 * signed only by a later process, which found them in the file: whoever could write to it in between may have made them.
 * `with-gaps`: the writer itself says that events are missing. `valid`: nothing is wrong, and everything is signed by the
 * process that wrote it.
 */
export type AuditVerdict = 'invalid' | 'empty' | 'unsigned-tail' | 'signed-later' | 'with-gaps' | 'valid';

/** What `verifyAuditTrail` found. */
export interface AuditVerification {
  readonly verdict: AuditVerdict;
  readonly lines: number;
  readonly problems: readonly AuditProblem[];
  /** Problems that are not listed. */
  readonly moreProblems: number;
  readonly chains: readonly VerifiedChain[];
}

export function verdictOf(chains: readonly VerifiedChain[]): AuditVerdict {
  if (chains.length === 0) return 'empty';
  if (chains.some(({ unsigned }) => unsigned > 0)) return 'unsigned-tail';
  if (chains.some(({ signedLater }) => signedLater > 0)) return 'signed-later';
  return chains.some(({ lostEvents, tornLines }) => lostEvents + tornLines > 0) ? 'with-gaps' : 'valid';
}
