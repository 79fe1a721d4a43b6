/** What the IAM policies of a key ring and its keys show: members and roles that are wide, and duties that are not apart. */

import type { Observed } from './checks.js';
import { byText } from './report.js';

/** One member with one role. */
export interface AccessEvidence {
  readonly member: string;
  /** Full name of the role. */
  readonly role: string;
  readonly condition?: { readonly expression: string };
}

/** Everybody, with or without an account. */
const PUBLIC: readonly string[] = ['allUsers', 'allAuthenticatedUsers'];
/** Whoever is in them is decided elsewhere. */
const SETS = /^(?:domain|group|projectOwner|projectEditor|projectViewer):|^principalSet:/;
const DELETED = /^deleted:/;
/** Basic roles: rights on nearly everything (cloud.google.com/iam/docs/roles-overview#basic). */
const BASIC: readonly string[] = ['roles/owner', 'roles/editor'];
/** Of the predefined roles of Cloud KMS, those that change keys or who may use them. */
const ADMINISTERS: readonly string[] = [...BASIC, 'roles/cloudkms.admin', 'roles/cloudkms.importer'];
/** Of the predefined roles of Cloud KMS, those that use private or symmetric keys. */
const USES: readonly string[] = [
  ...BASIC,
  'roles/cloudkms.cryptoKeyDecrypter',
  'roles/cloudkms.cryptoKeyDecrypterViaDelegation',
  'roles/cloudkms.cryptoKeyEncrypter',
  'roles/cloudkms.cryptoKeyEncrypterDecrypter',
  'roles/cloudkms.cryptoKeyEncrypterDecrypterViaDelegation',
  'roles/cloudkms.cryptoKeyEncrypterViaDelegation',
  'roles/cloudkms.cryptoOperator',
  'roles/cloudkms.signer',
  'roles/cloudkms.signerVerifier',
];
/** The custom roles of this library, by their names alone: what they permit may have been changed. */
const OWN_ADMINISTERS = /\/roles\/a2a(?:Administrator|Rotator)$/;
const OWN_USES = /\/roles\/a2aSigner$/;
/** Neither changes keys nor uses what is secret of them. */
const HARMLESS: readonly string[] = [
  'roles/viewer',
  'roles/cloudkms.viewer',
  'roles/cloudkms.publicKeyViewer',
  'roles/cloudkms.verifier',
];
/** More than one purpose of a key. */
const WIDE: readonly string[] = [...BASIC, 'roles/cloudkms.admin', 'roles/cloudkms.cryptoOperator'];

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
    ...dutiesOf(subject, own, inherited),
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
    if (PUBLIC.includes(member)) {
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

function dutiesOf(
  subject: string,
  own: readonly AccessEvidence[],
  inherited: readonly AccessEvidence[] | 'unknown',
): Observed[] {
  const check = 'separation-of-duties';
  const all = inherited === 'unknown' ? own : [...own, ...inherited];
  const having = (member: string, is: (role: string) => boolean): string[] => [
    ...new Set(all.filter((entry) => entry.member === member && is(entry.role)).map(({ role }) => role)),
  ];
  const findings = [...new Set(all.map((entry) => entry.member))].flatMap((member): Observed[] => {
    const administers = having(member, (role) => ADMINISTERS.includes(role) || OWN_ADMINISTERS.test(role));
    const uses = having(member, (role) => USES.includes(role) || OWN_USES.test(role));
    if (administers.length === 0 || uses.length === 0) return [];
    const detail = `${member} can both administer and use it.`;
    return [{ check, subject, result: 'failed', detail, evidence: { member, administers, uses } }];
  });
  if (findings.length > 0) return findings;
  if (inherited === 'unknown') {
    const detail =
      'not checked: the policy of the key ring, which applies to the key too, could not be read.';
    return [
      {
        check,
        subject,
        result: 'not-checked',
        detail,
        evidence: { entries: all.map(toText).toSorted(byText) },
      },
    ];
  }
  const unknown = all
    .filter(({ role }) => !isKnown(role))
    .map(toText)
    .toSorted(byText);
  if (unknown.length > 0) {
    const detail = 'not checked: there are roles whose permissions are not known here, such as custom roles.';
    return [{ check, subject, result: 'not-checked', detail, evidence: { unknown } }];
  }
  const detail = 'no identity has a role of Cloud KMS to administer and one to use it.';
  return [
    { check, subject, result: 'passed', detail, evidence: { entries: all.map(toText).toSorted(byText) } },
  ];
}

const isKnown = (role: string): boolean =>
  [ADMINISTERS, USES, HARMLESS].some((roles) => roles.includes(role));

const toText = ({ member, role, condition }: AccessEvidence): string =>
  `${member} ${role}${condition === undefined ? '' : ` if ${condition.expression}`}`;
