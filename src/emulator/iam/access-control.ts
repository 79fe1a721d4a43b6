/**
 * Who calls, and whether they may: the principal is whose access token the call carries, and what they may do is what
 * the policies of the resource, of its key ring and of the project give them.
 */

import type { Clock } from '../../clock.js';
import { isPublicMember, normalizedMember } from '../../keys/access.js';
import type { ResolvedEmulatorOptions } from '../options.js';
import { RpcError, type StatusDetail } from '../rpc.js';
import { conditionHolds } from './conditions.js';
import { requirementsOf } from './permissions.js';
import type { IamPolicies, PolicyBinding } from './policies.js';
import { Roles } from './roles.js';
import { type AccessTokens, CLOUD_PLATFORM_SCOPE } from './tokens.js';

const EXPECTED =
  'Expected OAuth 2 access token, login cookie or other valid authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.';
const SCOPES = [CLOUD_PLATFORM_SCOPE, 'https://www.googleapis.com/auth/cloudkms'];

interface AccessControlOptions {
  readonly clock: Clock;
  readonly roles: Roles;
  readonly tokens: AccessTokens;
  readonly policies: IamPolicies;
  /** The policy that everything inherits, as from a project. */
  readonly projectBindings: readonly PolicyBinding[];
  /** Policies of service accounts, by their email. */
  readonly serviceAccounts: Readonly<Record<string, readonly PolicyBinding[]>>;
}

/** From now on, policies decide. */
export function enforceIam(
  options: NonNullable<ResolvedEmulatorOptions['iam']>,
  parts: Pick<AccessControlOptions, 'clock' | 'policies' | 'tokens'>,
): AccessControl {
  const { bindings: projectBindings, serviceAccounts } = options;
  const roles = new Roles(options.roles);
  const access = new AccessControl({ ...parts, roles, projectBindings, serviceAccounts });
  parts.policies.enforce({
    mayDo: (member, permission, resource) => access.mayDo(member, permission, resource),
    isRole: (role) => roles.has(role),
  });
  return access;
}

export class AccessControl {
  readonly #options: AccessControlOptions;

  constructor(options: AccessControlOptions) {
    this.#options = options;
  }

  /**
   * Lets a call through, or not. GenerateAccessToken has rules of its own, and is let through to them.
   * @returns the member who calls.
   * @throws RpcError UNAUTHENTICATED or PERMISSION_DENIED; INVALID_ARGUMENT for a malformed resource name.
   */
  admit(rpc: string, request: Readonly<Record<string, unknown>>, authorization: string | undefined): string {
    const member = this.#authenticate(authorization);
    for (const { permission, resource } of requirementsOf(rpc, request)) {
      if (!this.mayDo(member, permission, resource)) throw denied(permission, resource);
    }
    return member;
  }

  /** Whether a member has a permission on a resource of Cloud KMS. */
  mayDo(member: string, permission: string, resource: string): boolean {
    const { policies, projectBindings } = this.#options;
    const bindings = [
      ...policiesAbove(resource).flatMap((name) => policies.bindingsOf(name)),
      ...projectBindings,
    ];
    return this.#isGranted(bindings, { member, permission, resource });
  }

  /** Whether a member has a permission on a service account. */
  mayUseServiceAccount(member: string, permission: string, email: string): boolean {
    const { serviceAccounts, projectBindings } = this.#options;
    const resource = `projects/-/serviceAccounts/${email}`;
    return this.#isGranted([...(serviceAccounts[email] ?? []), ...projectBindings], {
      member,
      permission,
      resource,
    });
  }

  #isGranted(
    bindings: readonly PolicyBinding[],
    wanted: { readonly member: string; readonly permission: string; readonly resource: string },
  ): boolean {
    const { roles, clock } = this.#options;
    const { member, permission, resource } = wanted;
    return bindings.some(
      ({ role, members, condition }) =>
        roles.holds(role, permission) &&
        members.some((entry) => includes(entry, member)) &&
        (condition === undefined || conditionHolds(condition.expression, { timeMs: clock.now(), resource })),
    );
  }

  #authenticate(authorization: string | undefined): string {
    if (authorization === undefined)
      throw unauthenticated('CREDENTIALS_MISSING', 'Request is missing required authentication credential.');
    const { tokens } = this.#options;
    const [, value = ''] = /^Bearer (.+)$/i.exec(authorization) ?? [];
    const token = tokens.find(value);
    if (token === undefined || tokens.isExpired(token))
      throw unauthenticated(
        token === undefined ? 'ACCESS_TOKEN_TYPE_UNSUPPORTED' : 'ACCESS_TOKEN_EXPIRED',
        'Request had invalid authentication credentials.',
      );
    if (!token.scopes.some((scope) => SCOPES.includes(scope)))
      throw new RpcError('PERMISSION_DENIED', 'Request had insufficient authentication scopes.', [
        errorInfo('ACCESS_TOKEN_SCOPE_INSUFFICIENT', {}),
      ]);
    return token.member;
  }
}

/** The resources whose policies apply to one, from itself up to its key ring. */
function policiesAbove(resource: string): readonly string[] {
  const ring = /^projects\/[^/]+\/locations\/[^/]+\/keyRings\/[^/]+/.exec(resource)?.[0];
  if (ring === undefined) return [];
  const child = /^\/(?:cryptoKeys|importJobs)\/[^/]+/.exec(resource.slice(ring.length))?.[0];
  return child === undefined ? [ring] : [`${ring}${child}`, ring];
}

/** Whether an entry of a binding means the member. Nobody is known to be in a group. */
function includes(entry: string, member: string): boolean {
  if (isPublicMember(entry)) return true;
  const [known, caller] = [normalizedMember(entry), normalizedMember(member)];
  if (known.startsWith('domain:')) return caller.endsWith(`@${known.slice('domain:'.length)}`);
  return known === caller;
}

function denied(permission: string, resource: string): RpcError {
  return new RpcError(
    'PERMISSION_DENIED',
    `Permission '${permission}' denied on resource '${resource}' (or it may not exist).`,
    [errorInfo('IAM_PERMISSION_DENIED', { permission, resource })],
  );
}

const unauthenticated = (reason: string, problem: string): RpcError =>
  new RpcError('UNAUTHENTICATED', `${problem} ${EXPECTED}`, [
    errorInfo(reason, { service: 'cloudkms.googleapis.com' }),
  ]);

function errorInfo(reason: string, metadata: Readonly<Record<string, string>>): StatusDetail {
  return {
    type: 'google.rpc.ErrorInfo',
    value: { reason, domain: 'cloudkms.googleapis.com', metadata },
  };
}
