/** Who may use a key: the vocabulary of IAM, and what a provider does that has it. */

import type { CallOptions } from './call-options.js';
import type { ParseResult } from './parse-result.js';

/** A role that a member has on a key (google.iam.v1.Binding, one for each member). */
export interface AccessBinding {
  /** Full name of the key whose policy says so; of the key ring, where that one was asked for. */
  readonly keyName: string;
  readonly member: string;
  /** Full name of the role. */
  readonly role: string;
  /** Absent: at any time. */
  readonly condition?: {
    readonly title: string;
    readonly description: string;
    /** Common Expression Language. */
    readonly expression: string;
  };
}

/** The result of a change of a policy. */
export interface AccessChange {
  /** Full name of the key. */
  readonly keyName: string;
  /** True if this call wrote the policy, or sent a write whose answer was lost. False if the policy said so already. */
  readonly changed: boolean;
}

/** Options of `grantAccess`. */
export interface GrantOptions extends CallOptions {
  /** `allow` takes `allUsers` and `allAuthenticatedUsers`, which mean everybody. Default `refuse`. */
  readonly publicMembers?: 'refuse' | 'allow' | undefined;
}

/** Of the permissions that were asked about, those that the caller has. */
export interface TestedPermissions {
  /** Full name of the key or the key ring. */
  readonly resource: string;
  readonly granted: readonly string[];
}

/** A provider whose keys have policies. */
export interface AccessManager {
  /**
   * Grants a role on one key, in the policy of that key. A grant that is there already changes nothing.
   * @param member as in a policy: `user:`, `serviceAccount:` or `group:` with an email, `principal://…`, ….
   * @param role full name of the role, e.g. `roles/cloudkms.signer`.
   */
  grantAccess(keyId: string, member: string, role: string, options?: GrantOptions): Promise<AccessChange>;
  /** Takes a role on one key from a member. Roles inherited from the key ring or the project stay. */
  revokeAccess(keyId: string, member: string, role: string, options?: CallOptions): Promise<AccessChange>;
  /** Who has which role by the policy of the key itself; inherited roles are not in it. */
  listAccess(keyId: string, options?: CallOptions): Promise<readonly AccessBinding[]>;
  /**
   * Which of the permissions the caller has on a key, or on the key ring when no key is named; one result for each key
   * ring.
   */
  testPermissions(
    keyId: string | undefined,
    permissions: readonly string[],
    options?: CallOptions,
  ): Promise<readonly TestedPermissions[]>;
}

/** A member that means everybody, with or without a Google account. */
export const isPublicMember = (member: string): boolean =>
  member === 'allUsers' || member === 'allAuthenticatedUsers';

/**
 * The same text for members that are the same. Google compares emails and domains without regard to case, and keeps the
 * spelling of its own account; what is behind `principal://` and `principalSet://` is compared as it is.
 */
export const normalizedMember = (member: string): string =>
  /^(?:deleted:)?principal/.test(member)
    ? member
    : member.replace(
        /^((?:deleted:)?[a-zA-Z]+:)(.*)$/,
        (_, kind: string, name: string) => kind + name.toLowerCase(),
      );

const EMAIL = '[^\\s:@/?]{1,128}@[a-zA-Z0-9.-]{1,253}';
/** google.iam.v1.Binding.members (policy.proto), and Workload Identity for GKE. */
const MEMBER = new RegExp(
  [
    `(?:user|serviceAccount|group):${EMAIL}`,
    'serviceAccount:[a-z0-9.:-]{1,253}\\.svc\\.id\\.goog\\[[^\\]\\s]{1,256}\\]',
    `deleted:(?:user|serviceAccount|group):${EMAIL}\\?uid=[0-9]{1,32}`,
    'domain:[a-zA-Z0-9.-]{1,253}',
    '(?:principal|principalSet)://[a-z]+\\.googleapis\\.com/[^\\s]{1,1024}',
  ]
    .map((form) => `^${form}$`)
    .join('|'),
);
const ROLE = /^(?:(?:projects|organizations)\/[a-z0-9:.-]{1,128}\/)?roles\/[a-zA-Z0-9_.]{1,128}$/;

export function parseMember(member: unknown): ParseResult<string> {
  if (typeof member === 'string' && (isPublicMember(member) || MEMBER.test(member)))
    return { ok: true, value: member };
  return {
    ok: false,
    problem: `the member ${JSON.stringify(member)?.slice(0, 100)} is not written as user:, serviceAccount: or group: with an email, domain:, principal:// or principalSet://.`,
  };
}

export function parseRole(role: unknown): ParseResult<string> {
  if (typeof role === 'string' && ROLE.test(role)) return { ok: true, value: role };
  return {
    ok: false,
    problem: `the role ${JSON.stringify(role)?.slice(0, 100)} is not the full name of a role, such as roles/cloudkms.signer or projects/PROJECT/roles/ROLE.`,
  };
}
