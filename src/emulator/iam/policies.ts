/** google.iam.v1.IAMPolicy: the policies of key rings, keys and import jobs, with etags. */

import { createHash } from 'node:crypto';
import { normalizedMember } from '../../keys/access.js';
import { bytes, invalidArgument, isMessage, maskPaths, message, text } from '../request-fields.js';
import { type CallContext, RpcError, type RpcMessage, type ServiceHandlers } from '../rpc.js';
import { isTestable } from './roles.js';

/** A role for members, as far as it decides who may do what (google.iam.v1.Binding). */
export interface PolicyBinding {
  readonly role: string;
  readonly members: readonly string[];
  readonly condition?: { readonly expression: string } | undefined;
}

/** Who decides, where IAM is enforced. */
interface PolicyDecisions {
  /** Whether a member has a permission on a resource. */
  mayDo(member: string, permission: string, resource: string): boolean;
  isRole(role: string): boolean;
}

/** The etag of a resource whose policy was never set ("ACAB" in base64, as the service gives it). */
const EMPTY_ETAG = Buffer.from('ACAB', 'base64');
/** The version of a policy with conditions. */
const CONDITIONAL = 3;
/** "If no mask is provided, the following default mask is used" (iam_policy.proto, SetIamPolicyRequest.update_mask). */
const DEFAULT_MASK: readonly string[] = ['bindings', 'etag'];
/** The fields of google.iam.v1.Policy. */
const POLICY_FIELDS: readonly string[] = ['version', 'bindings', 'audit_configs', 'etag'];
const RESOURCE =
  /^projects\/[^/]+\/locations\/[^/]+\/(?:keyRings\/[^/]+(?:\/(?:cryptoKeys|importJobs)\/[^/]+)?|ekmConfig|ekmConnections\/[^/]+)$/;
/** The forms of `Binding.members` (policy.proto), Workload Identity principals included. */
const MEMBER =
  /^(?:allUsers|allAuthenticatedUsers|(?:deleted:)?(?:user|serviceAccount|group):[^\s:@]+@[^\s:]+|serviceAccount:[a-z0-9.-]+\.svc\.id\.goog\[[^\]\s]+\]|domain:[^\s:@]+|(?:principal|principalSet):\/\/\S+|project(?:Owner|Editor|Viewer):\S+)$/;
const ROLE = /^(?:(?:projects|organizations)\/[^/]+\/)?roles\/[a-zA-Z0-9_.]+$/;

export class IamPolicies {
  readonly #policies = new Map<string, RpcMessage>();
  readonly #exists: (resource: string) => boolean;
  #decisions: PolicyDecisions | undefined;

  constructor(exists: (resource: string) => boolean) {
    this.#exists = exists;
  }

  /** From now on roles must exist, and TestIamPermissions answers what is so. */
  enforce(decisions: PolicyDecisions): void {
    this.#decisions = decisions;
  }

  readonly handlers: ServiceHandlers = {
    GetIamPolicy: (request) => {
      const policy = this.#policyOf(this.#existing(request));
      const { requestedPolicyVersion } = message(request, 'options') ?? {};
      return requestedPolicyVersion === CONDITIONAL ? policy : withoutConditions(policy);
    },
    SetIamPolicy: (request) =>
      this.#set(this.#existing(request), message(request, 'policy'), maskPaths(request, 'updateMask')),
    TestIamPermissions: (request, context) => this.#test(request, context),
  };

  /** What the policy of a resource itself says, without what it inherits. */
  bindingsOf(resource: string): readonly PolicyBinding[] {
    return bindingsOf(this.#policyOf(resource)).map((binding) => {
      const condition = message(binding, 'condition');
      return {
        role: text(binding, 'role'),
        members: membersOf(binding),
        ...(condition && { condition: { expression: text(condition, 'expression') } }),
      };
    });
  }

  /** JSON-safe copy of all policies. */
  snapshot(): RpcMessage {
    return Object.fromEntries(
      [...this.#policies].map(([name, policy]) => [
        name,
        { ...policy, etag: bytes(policy, 'etag').toString('base64') },
      ]),
    );
  }

  restore(state: RpcMessage): void {
    for (const [name, policy] of Object.entries(state)) {
      if (isMessage(policy))
        this.#policies.set(name, { ...policy, etag: Buffer.from(String(policy['etag']), 'base64') });
    }
  }

  #existing(request: RpcMessage): string {
    const resource = requireResource(request);
    if (!this.#exists(resource)) throw new RpcError('NOT_FOUND', `${resource} not found.`);
    return resource;
  }

  /** "If the resource does not exist, this will return an empty set of permissions" (iam_policy.proto). */
  #test(request: RpcMessage, { principal }: CallContext): RpcMessage {
    const resource = requireResource(request);
    const asked = Array.isArray(request['permissions']) ? request['permissions'].map(String) : [];
    if (!this.#exists(resource)) return { permissions: [] };
    if (this.#decisions === undefined || principal === undefined) return { permissions: asked };
    const decisions = this.#decisions;
    for (const permission of asked) {
      if (!isTestable(permission, resource))
        throw invalidArgument(`Permission ${permission} is not valid for this resource.`);
    }
    return { permissions: asked.filter((permission) => decisions.mayDo(principal, permission, resource)) };
  }

  #policyOf(resource: string): RpcMessage {
    return this.#policies.get(resource) ?? { version: 0, bindings: [], etag: EMPTY_ETAG };
  }

  #set(resource: string, policy: RpcMessage | undefined, mask: readonly string[]): RpcMessage {
    if (policy === undefined) throw invalidArgument('A policy is required.');
    const paths = mask.length > 0 ? mask : DEFAULT_MASK;
    const unknown = paths.find((path) => !POLICY_FIELDS.includes(path));
    if (unknown !== undefined) throw invalidArgument(`Invalid field in update_mask: ${unknown}.`);
    const before = this.#policyOf(resource);
    const given = bytes(policy, 'etag');
    // Without an etag the policy is overwritten, whatever it is (google.iam.v1.Policy.etag).
    if (given.length > 0 && !given.equals(bytes(before, 'etag'))) {
      throw new RpcError(
        'ABORTED',
        'There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff.',
      );
    }
    const source = paths.includes('bindings') ? policy : before;
    const bindings = bindingsOf(source).filter((binding) => membersOf(binding).length > 0);
    const version = Number(policy['version'] ?? 0);
    if (![0, 1, CONDITIONAL].includes(version)) throw invalidArgument(`Invalid policy version: ${version}.`);
    // "Any operation that affects conditional role bindings must specify version 3" (policy.proto, Policy.version).
    const concerned = given.length > 0 ? [...bindings, ...bindingsOf(before)] : bindings;
    if (source === policy && version !== CONDITIONAL && concerned.some(isConditional))
      throw invalidArgument('A policy with conditional role bindings needs version 3.');
    for (const binding of bindings) this.#check(binding);
    // Google keeps its own spelling of emails and domains, which is in lower case.
    const spelled = bindings.map((binding) => ({
      ...binding,
      members: membersOf(binding).map(normalizedMember),
    }));
    const { auditConfigs } = paths.includes('audit_configs') ? policy : before;
    const stored: RpcMessage = {
      ...(Array.isArray(auditConfigs) && { auditConfigs }),
      version: bindings.some(isConditional) ? CONDITIONAL : 1,
      bindings: spelled,
    };
    const etag = createHash('sha256')
      .update(bytes(before, 'etag'))
      .update(JSON.stringify(stored))
      .digest()
      .subarray(0, 8);
    const next = { ...stored, etag };
    this.#policies.set(resource, next);
    return next;
  }

  #check(binding: RpcMessage): void {
    const role = text(binding, 'role');
    if (!ROLE.test(role) || this.#decisions?.isRole(role) === false)
      throw invalidArgument(`Role ${role} is not supported for this resource.`);
    const wrong = membersOf(binding).find((member) => !MEMBER.test(member));
    if (wrong !== undefined) throw invalidArgument(`Invalid principal ${wrong} in a binding.`);
  }
}

function requireResource(request: RpcMessage): string {
  const resource = text(request, 'resource');
  if (!RESOURCE.test(resource)) throw invalidArgument(`Invalid resource name: ${resource}`);
  return resource;
}

/** How a reader that does not ask for version 3 sees it: conditional roles are there under a name that is no role. */
function withoutConditions(policy: RpcMessage): RpcMessage {
  const bindings = bindingsOf(policy);
  if (!bindings.some(isConditional)) return policy;
  const plain = bindings.map((binding) => {
    if (!isConditional(binding)) return binding;
    const hash = createHash('sha256').update(JSON.stringify(binding['condition'])).digest('hex').slice(0, 20);
    return { ...binding, role: `${text(binding, 'role')}_withcond_${hash}`, condition: null };
  });
  return { ...policy, version: 1, bindings: plain };
}

function bindingsOf(policy: RpcMessage): readonly RpcMessage[] {
  return Array.isArray(policy['bindings']) ? policy['bindings'].filter(isMessage) : [];
}

function membersOf(binding: RpcMessage): readonly string[] {
  return Array.isArray(binding['members']) ? binding['members'].map(String) : [];
}

const isConditional = (binding: RpcMessage): boolean => isMessage(binding['condition']);
