/**
 * Whether who administers a key and who uses it are different identities, as far as the policies of the key and of its key
 * ring say it. Members that mean more than one identity are never taken for apart from anybody.
 */

import { isPublicMember, normalizedMember } from '../keys/access.js';
import type { Observed } from './checks.js';
import { type AccessEvidence, administers, grants, isKnown, SETS, toText, uses } from './known-access.js';
import { byText } from './report.js';

/** @param inherited entries of the key ring, for a key; `unknown` when they could not be read. */
export function dutyFindings(
  subject: string,
  own: readonly AccessEvidence[],
  inherited: readonly AccessEvidence[] | 'unknown',
): readonly Observed[] {
  const all = inherited === 'unknown' ? own : [...own, ...inherited];
  const members = membersOf(all);
  const doubts = [
    ...members.flatMap((member) => together(member, members)),
    ...setsOf(members, all),
    ...(inherited === 'unknown' ? [ringNotRead(all)] : []),
    ...unknownRoles(all),
  ];
  const found = doubts.length > 0 ? doubts : [apart(subject, all)];
  return found.map((finding) => ({ check: 'separation-of-duties', subject, ...finding }));
}

type Duties = Omit<Observed, 'check' | 'subject'>;

/** A member and what its roles let it do. */
interface Member {
  readonly member: string;
  readonly administers: readonly string[];
  readonly grants: readonly string[];
  readonly uses: readonly string[];
}

function membersOf(entries: readonly AccessEvidence[]): readonly Member[] {
  const roles = new Map<string, { readonly member: string; readonly roles: Set<string> }>();
  for (const { member, role } of entries) {
    const known = roles.get(normalizedMember(member)) ?? { member, roles: new Set<string>() };
    known.roles.add(role);
    roles.set(normalizedMember(member), known);
  }
  return [...roles.values()].map(({ member, roles: held }) => ({
    member,
    administers: [...held].filter(administers),
    grants: [...held].filter(grants),
    uses: [...held].filter(uses),
  }));
}

/** One member with both duties, or with the one that leads to the other. */
function together(member: Member, members: readonly Member[]): readonly Duties[] {
  const evidence = { member: member.member, administers: member.administers, uses: member.uses };
  if (member.administers.length > 0 && member.uses.length > 0) {
    const detail = `${member.member} can both administer and use it.`;
    return [{ result: 'failed', detail, evidence }];
  }
  if (isPublicMember(member.member)) {
    const duty = member.administers.length > 0 ? 'administer' : 'use';
    const others = members.filter((other) => other[duty === 'use' ? 'administers' : 'uses'].length > 0);
    if (member.administers.length + member.uses.length > 0 && others.length > 0) {
      const detail = `everybody (${member.member}) can ${duty} it, those who ${duty === 'use' ? 'administer' : 'use'} it too.`;
      const named = others.map((other) => other.member).toSorted(byText);
      return [{ result: 'failed', detail, evidence: { ...evidence, others: named } }];
    }
  }
  if (member.grants.length === 0) return [];
  const detail = `${member.member} can say who may use it, and so give itself a role that uses it.`;
  return [{ result: 'warning', detail, evidence: { member: member.member, grants: member.grants } }];
}

/** Whoever is in a set may have the other duty by a name of its own, or by another set. */
function setsOf(members: readonly Member[], all: readonly AccessEvidence[]): readonly Duties[] {
  const sets = members.filter(
    (set) =>
      SETS.test(set.member) &&
      members.some(
        (other) =>
          other !== set &&
          ((set.administers.length > 0 && other.uses.length > 0) ||
            (set.uses.length > 0 && other.administers.length > 0)),
      ),
  );
  if (sets.length === 0) return [];
  const named = sets.map(({ member }) => member).toSorted(byText);
  const detail = `not checked: who is in ${named.join(', ')}, and whether that has the other duty too.`;
  return [{ result: 'not-checked', detail, evidence: { sets: named, entries: textsOf(all) } }];
}

function ringNotRead(all: readonly AccessEvidence[]): Duties {
  const detail = 'not checked: the policy of the key ring, which applies to the key too, could not be read.';
  return { result: 'not-checked', detail, evidence: { entries: textsOf(all) } };
}

function unknownRoles(all: readonly AccessEvidence[]): readonly Duties[] {
  const unknown = textsOf(all.filter(({ role }) => !isKnown(role)));
  if (unknown.length === 0) return [];
  const detail = 'not checked: there are roles whose permissions are not known here, such as custom roles.';
  return [{ result: 'not-checked', detail, evidence: { unknown } }];
}

function apart(subject: string, all: readonly AccessEvidence[]): Duties {
  const where = subject.includes('/cryptoKeys/') ? 'in its policy and that of its key ring' : 'in its policy';
  const detail = `${where} no identity has a role of Cloud KMS to administer it and one to use it.`;
  return { result: 'passed', detail, evidence: { entries: textsOf(all) } };
}

const textsOf = (entries: readonly AccessEvidence[]): readonly string[] =>
  entries.map(toText).toSorted(byText);
