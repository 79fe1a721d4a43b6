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
  const { lostEvents, failedCheckpoints } = state;
  const isWhole = lostEvents === 0 && failedCheckpoints === 0;
  return {
    check,
    subject,
    result: isWhole ? 'passed' : 'failed',
    detail: isWhole
      ? 'this process writes an audit trail and has lost no event. Whether the trail is unchanged, only its verification says.'
      : `this process has lost ${lostEvents} events and ${failedCheckpoints} checkpoints of its audit trail.`,
    evidence: { ...state },
  };
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
