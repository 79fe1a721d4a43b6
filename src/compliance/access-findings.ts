/** What the IAM policies of a key ring and its keys show: members and roles that are wide, and duties that are not apart. */

import { isPublicMember } from '../keys/access.js';
import type { Observed } from './checks.js';
import { dutyFindings } from './duty-findings.js';
import { type AccessEvidence, BASIC, DELETED, isKnown, SETS, toText, WIDE } from './known-access.js';
import { byText } from './report.js';

/**
 * @param subject full name of the key ring or the key.
 * @param own the entries of its own policy.
 * @param inherited those of the key ring, for a key; `unknown` when they could not be read.
 */
export function accessFindings(
  subject: string,
  own: readonly AccessEvidence[],
  inherited: readonly AccessEvidence[] | 'unknown' = [],
): readonly Observed[] {
  const entries = own.map(toText).toSorted(byText);
  return [
    ...membersOf(subject, own, entries),
    ...rolesOf(subject, own, entries),
    ...dutyFindings(subject, own, inherited),
  ];
}

/** The policy could not be read. */
export function accessNotChecked(subject: string, errorCode: string): readonly Observed[] {
  return (['access-members', 'access-roles', 'separation-of-duties'] as const).map((check) => ({
    check,
    subject,
    result: 'not-checked',
    detail: `not checked: the IAM policy could not be read (${errorCode}).`,
    evidence: { errorCode },
  }));
}

function membersOf(subject: string, own: readonly AccessEvidence[], entries: readonly string[]): Observed[] {
  const check = 'access-members';
  const findings = own.flatMap((entry): Observed[] => {
    const evidence = { ...entry };
    const { member, role } = entry;
    if (isPublicMember(member)) {
      return [{ check, subject, result: 'failed', detail: `everybody (${member}) has ${role}.`, evidence }];
    }
    if (SETS.test(member)) {
      const detail = `${role} is held by ${member}: who that is, is decided elsewhere.`;
      return [{ check, subject, result: 'warning', detail, evidence }];
    }
    if (!DELETED.test(member)) return [];
    const detail = `${role} is still held by ${member}, which was deleted.`;
    return [{ check, subject, result: 'warning', detail, evidence }];
  });
  if (findings.length > 0) return findings;
  const detail = `its own policy names ${own.length} entries, each for one identity.`;
  return [{ check, subject, result: 'passed', detail, evidence: { entries } }];
}

function rolesOf(subject: string, own: readonly AccessEvidence[], entries: readonly string[]): Observed[] {
  const check = 'access-roles';
  const findings = own.flatMap((entry): Observed[] => {
    const { member, role } = entry;
    const evidence = { ...entry };
    if (BASIC.includes(role)) {
      const detail = `${member} has the basic role ${role}, which reaches far beyond keys.`;
      return [{ check, subject, result: 'failed', detail, evidence }];
    }
    if (WIDE.includes(role)) {
      const detail = `${member} has ${role}, which is wider than one use of one key.`;
      return [{ check, subject, result: 'warning', detail, evidence }];
    }
    if (isKnown(role)) return [];
    // What a custom role permits stands in the role, which this report does not read.
    const detail = `not checked: the permissions of ${role}, which ${member} has.`;
    return [{ check, subject, result: 'not-checked', detail, evidence }];
  });
  if (findings.length > 0) return findings;
  const detail = 'its own policy has no basic role and no wide role of Cloud KMS.';
  return [{ check, subject, result: 'passed', detail, evidence: { entries } }];
}
