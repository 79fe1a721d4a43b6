/** What the configuration of this process shows, and what a report cannot see at all. */

import type { Observed } from './checks.js';
import { type EvidenceEndpoint, endpointFinding } from './endpoint-findings.js';

/** What the audit trail says of itself. */
export interface AuditTrailState {
  readonly events: number;
  /** Events that could not be written. */
  readonly lostEvents: number;
  readonly checkpoints: number;
  readonly failedCheckpoints: number;
  /** Lines that no checkpoint covers yet. */
  readonly unsigned: number;
  /** Whether a call fails whose event cannot be written. */
  readonly failClosed: boolean;
  /** Protection level of the version that signed the last checkpoint; undefined before the first. */
  readonly signedBy: string | undefined;
  /** Whether the last attempt at a checkpoint failed. */
  readonly isFailing: boolean;
}

export function processFindings(sources: {
  readonly software: readonly unknown[];
  readonly auditTrail: AuditTrailState | undefined;
}): readonly Observed[] {
  const subject = 'configuration';
  const store: readonly Observed[] =
    sources.software.length > 0
      ? []
      : [
          {
            check: 'software-store',
            subject,
            result: 'passed',
            detail:
              'this process has opened no software store. Stores that it has not opened are not known here.',
            evidence: { stores: 0 },
          },
        ];
  return [...store, auditTrail(subject, sources.auditTrail)];
}

function auditTrail(subject: string, state: AuditTrailState | undefined): Observed {
  const check = 'audit-trail';
  if (state === undefined) {
    const detail = 'this process writes no audit trail.';
    return { check, subject, result: 'failed', detail, evidence: { configured: false } };
  }
  const broken = brokenOf(state);
  const weak = weakOf(state);
  const result = broken.length > 0 ? 'failed' : weak.length > 0 ? 'warning' : 'passed';
  const told = [...broken, ...weak, `${state.unsigned} lines wait for the next checkpoint`];
  const detail = `this process writes an audit trail: ${told.join('; ')}. Whether it is unchanged, only its verification says.`;
  return { check, subject, result, detail, evidence: { ...state } };
}

function brokenOf({ lostEvents, isFailing }: AuditTrailState): readonly string[] {
  return [
    ...(lostEvents > 0 ? [`${lostEvents} events could not be written`] : []),
    ...(isFailing ? ['the last checkpoint could not be signed or written'] : []),
  ];
}

function weakOf({ failClosed, signedBy }: AuditTrailState): readonly string[] {
  const key =
    signedBy === undefined
      ? ['no checkpoint is signed yet']
      : signedBy === 'HSM'
        ? []
        : [`it is signed by a ${signedBy} key, and whoever has that can sign another trail`];
  return failClosed ? key : [...key, 'failClosed is off, and a call goes on whose event cannot be written'];
}

/** What holds for a key ring as a whole. */
export function keyRingFindings(source: {
  readonly keyRing: string;
  readonly endpoint: EvidenceEndpoint;
}): readonly Observed[] {
  const subject = source.keyRing;
  return [
    endpointFinding(subject, source.endpoint),
    {
      check: 'inherited-access',
      subject,
      result: 'not-checked',
      detail:
        'not checked: the IAM policies of the project, its folders and the organisation apply to the keys too.',
      evidence: {},
    },
    {
      check: 'cloud-audit-logs',
      subject,
      result: 'not-checked',
      detail:
        'not checked: whether Data Access audit logs of Cloud KMS are switched on, and how long logs are retained.',
      evidence: {},
    },
  ];
}
