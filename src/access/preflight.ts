/**
 * What the identity of this process lacks for the work that the configuration means it to do. It asks Cloud KMS
 * (testIamPermissions), makes nothing and changes nothing.
 */

import { z } from 'zod';
import type { ErrorContext } from '../errors/base.js';
import { requireAgentId } from '../hierarchy/agent-keys.js';
import type { AccessManager, TestedPermissions } from '../keys/access.js';
import { agentKeyId } from '../keys/agent-key-name.js';
import type { CallOptions } from '../keys/call-options.js';
import type { KeyProvider } from '../keys/key-provider.js';
import { requireAccessManager } from '../provider/access-manager.js';
import { callShape, parseOptions } from '../provider/call-input.js';
import { AGENT_ROLE_NAMES, AGENT_ROLES, type AgentRoleName } from './agent-roles.js';
import { type Need, needsOf, type PreflightTask, predefinedRoleOf, TASKS } from './preflight-needs.js';

/** Options of `preflight`. */
export interface PreflightOptions extends CallOptions {
  /**
   * What the process is to do, in place of what the configuration says: `initialize`, `sign`, `batch`, `verify`, `create`, `rotate`,
   * `destroy`, `import`, `masters`, `audit`, `attest`, `access`.
   */
  readonly tasks?: readonly PreflightTask[] | undefined;
  /** Agents whose signing keys are looked at one by one. Default: none; what is missing on the key ring is reported. */
  readonly agentIds?: readonly string[] | undefined;
}

/** A permission that is not there. */
export interface MissingPermission {
  readonly permission: string;
  /** Full name of the key ring or the key that it is missing on. */
  readonly resource: string;
  readonly task: PreflightTask;
  /** What it is needed for. */
  readonly reason: string;
  /** The roles of docs/deploy that hold it. */
  readonly agentRoles: readonly AgentRoleName[];
  /** A predefined role that holds it. */
  readonly predefinedRole: string;
}

/** Which permissions the identity of the process lacks for its tasks. Nothing was changed to find out. */
export interface PreflightReport {
  /** True if nothing is missing, as far as could be found out. */
  readonly ok: boolean;
  readonly tasks: readonly PreflightTask[];
  readonly missing: readonly MissingPermission[];
  /** What could not be found out, and why. */
  readonly unknown: readonly { readonly resource: string; readonly reason: string }[];
}

export interface PreflightServices {
  readonly provider: KeyProvider;
  /** What the configuration means the process to do. */
  readonly configured: readonly PreflightTask[];
  /** Whether versions are pinned, so that a signer need not look for them. */
  readonly hasPinnedVersions: boolean;
  /** Whether agents' keys are used as their own service accounts, which nobody else can ask for. */
  readonly impersonatesAgents: boolean;
}

/** Tasks that need not find the version where versions are pinned, and are done as somebody else where that is configured. */
const USES_AGENTS_KEYS: readonly PreflightTask[] = ['sign', 'batch'];
const FINDS_VERSION: readonly string[] = ['cloudkms.cryptoKeys.get', 'cloudkms.cryptoKeyVersions.list'];

const preflightOptions = z.strictObject({
  ...callShape,
  tasks: z.array(z.enum(TASKS, `must be one of ${TASKS.join(', ')}`), 'must be a list of tasks').optional(),
  agentIds: z.array(z.string('must be an agent id'), 'must be a list of agent ids').optional(),
});

const CONTEXT: ErrorContext = { operation: 'preflight', resource: 'key ring' };

/** @throws InvalidArgumentError; AccessControlUnsupportedError for software keys; never for a permission that is missing. */
export async function preflight(
  services: PreflightServices,
  options?: PreflightOptions,
): Promise<PreflightReport> {
  const { provider, configured, hasPinnedVersions, impersonatesAgents } = services;
  const parsed = parseOptions(CONTEXT, preflightOptions, options);
  const { tasks: wanted = configured, agentIds = [], ...callOptions } = parsed;
  const agentKeyIds = agentIds.map((agentId) => agentKeyId(requireAgentId(CONTEXT, agentId), 'signing'));
  const tasks = TASKS.filter((task) => wanted.includes(task));
  const needs = needsOf(tasks).filter(
    ({ task, permission }) =>
      !USES_AGENTS_KEYS.includes(task) ||
      (!(impersonatesAgents && permission.endsWith('.useToSign')) &&
        !(hasPinnedVersions && FINDS_VERSION.includes(permission))),
  );
  const tests = new Tests(requireAccessManager(CONTEXT, provider), callOptions);
  const rings = await tests.of(undefined, needs);
  const missing: MissingPermission[] = [];
  for (const need of needs) {
    const absent = rings.filter(({ granted }) => !granted.includes(need.permission));
    if (absent.length === 0) continue;
    const keyIds = keyIdsOf(need, agentKeyIds);
    if (keyIds === undefined) missing.push(...absent.map(({ resource }) => toMissing(need, resource)));
    for (const keyId of keyIds ?? []) {
      // What is missing on the key ring may be granted on the key itself.
      const keys = await tests.of(
        keyId,
        needs.filter((other) => keyIdsOf(other, agentKeyIds)?.includes(keyId)),
      );
      for (const { resource, granted } of keys) {
        const isInherited = !absent.some((ring) => resource.startsWith(`${ring.resource}/`));
        if (!isInherited && !granted.includes(need.permission)) missing.push(toMissing(need, resource));
      }
    }
  }
  const unknown = rings
    .filter(({ granted }) => tasks.includes('initialize') && !granted.includes('cloudkms.keyRings.get'))
    .map(({ resource }) => ({
      resource,
      reason:
        'the key ring may not exist, or may not be visible. Cloud KMS does not tell whether it could be created (cloudkms.keyRings.create, on the project).',
    }));
  if (impersonatesAgents && tasks.some((task) => USES_AGENTS_KEYS.includes(task)))
    unknown.push({
      resource: rings[0]?.resource ?? '',
      reason:
        "agents' keys are used as the service accounts of impersonateAgents: run preflight with impersonate set to each of them.",
    });
  return { ok: missing.length === 0, tasks, missing, unknown };
}

/** The keys that a need can also be met on; undefined when it is the key ring alone. */
function keyIdsOf({ scope }: Need, agentKeyIds: readonly string[]): readonly string[] | undefined {
  if (scope === 'key-ring') return undefined;
  if (scope === 'agents') return agentKeyIds.length === 0 ? undefined : agentKeyIds;
  return [scope.keyId];
}

function toMissing({ permission, task, reason }: Need, resource: string): MissingPermission {
  return {
    permission,
    resource,
    task,
    reason,
    agentRoles: AGENT_ROLE_NAMES.filter((name) => AGENT_ROLES[name].permissions.includes(permission)),
    predefinedRole: predefinedRoleOf(permission),
  };
}

/** Asks once about each resource. */
class Tests {
  readonly #manager: AccessManager;
  readonly #options: CallOptions;
  readonly #asked = new Map<string | undefined, Promise<readonly TestedPermissions[]>>();

  constructor(manager: AccessManager, options: CallOptions) {
    this.#manager = manager;
    this.#options = options;
  }

  of(keyId: string | undefined, needs: readonly Need[]): Promise<readonly TestedPermissions[]> {
    const known = this.#asked.get(keyId);
    if (known !== undefined) return known;
    const permissions = [...new Set(needs.map(({ permission }) => permission))];
    const test = this.#manager.testPermissions(keyId, permissions, this.#options);
    this.#asked.set(keyId, test);
    return test;
  }
}
