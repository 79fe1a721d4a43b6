/**
 * `AgentLifecycle`: what happens to agents' keys between their creation and their end, by agent id and on any provider.
 * It holds a cache of what was written down today, and nothing else.
 */

import type { Clock } from '../clock.js';
import type { ErrorContext } from '../errors/base.js';
import { AgentKeyNotFoundError, NoUsableVersionError } from '../errors/keys.js';
import { ReplicationIncompleteError } from '../errors/replication.js';
import { ClientClosedError } from '../errors/service.js';
import type { EncryptionAlgorithmAlias } from '../hierarchy/agent-key-spec.js';
import { AgentKeys, requireAgentId, requireRole } from '../hierarchy/agent-keys.js';
import type { HierarchyKeys } from '../hierarchy/key-hierarchy.js';
import { roleOptions } from '../hierarchy/role-options.js';
import { type AgentKeyRole, agentContext, agentKeyId } from '../keys/agent-key-name.js';
import type { AgentAlgorithmAlias } from '../keys/algorithm-alias.js';
import type { KeyAlgorithm } from '../keys/algorithm-types.js';
import type { CallOptions, RestoreOptions, RotationOptions } from '../keys/call-options.js';
import type { KeyMetadata, KeyProvider, KeyRingProvider, RotationResult } from '../keys/key-provider.js';
import { isRestorable } from '../keys/restore-plan.js';
import { formatPolicy, POLICY_LABEL, type RotationPolicy } from '../keys/rotation-policy.js';
import type { Logger } from '../logger.js';
import { callOptionsOf, parseOptions, restoreOptions } from '../provider/call-input.js';
import { attestAgentKey, type LocatedAttestation } from './attest-agent.js';
import { type AgentDescription, describeAgentKey, describeRings } from './describe-agent.js';
import {
  type AgentDestruction,
  type DestroyAgentOptions,
  destroyAgentKeys,
  type RoleKey,
} from './destroy-agent.js';
import { Heartbeat } from './heartbeat.js';
import {
  parseDestroyOptions,
  parsePruneOptions,
  parseRotateDueOptions,
  parseRotationOptions,
  parseSchedulerOptions,
  requirePolicy,
} from './lifecycle-input.js';
import { type LocatedPublicKey, publishedKeysOf } from './published-keys.js';
import { readRings } from './read-rings.js';
import { type RotateDueKeysOptions, type RotationReport, rotateDueKeys } from './rotate-due-keys.js';
import { RotationScheduler, type RotationSchedulerOptions } from './rotation-scheduler.js';
import { type PruneStaleAgentsOptions, pruneStale, type StaleAgentReport } from './stale-agents.js';

/** Which of an agent's keys. */
export interface RoleOptions extends CallOptions {
  /** Default `signing`. */
  readonly role?: AgentKeyRole | undefined;
}

/** Options of a rotation of an agent's key; `role` says which key, default `signing`. */
export interface AgentRotationOptions extends Omit<RotationOptions, 'algorithm'>, RoleOptions {
  /** Of the new version, by its Cloud KMS name or a short one, as `generateAgentKey` takes them. Default: as before. */
  readonly algorithm?: KeyAlgorithm | AgentAlgorithmAlias | EncryptionAlgorithmAlias | undefined;
}

interface AgentLifecycleOptions {
  /** The key ring of the agents, and those of its replicas. */
  readonly rings: readonly [KeyRingProvider, ...KeyRingProvider[]];
  readonly clock: Clock;
  readonly logger: Logger;
  /** Agents whose heartbeat is remembered. */
  readonly maxCachedAgents: number;
}

export class AgentLifecycle {
  readonly #provider: KeyProvider;
  readonly #hierarchy: HierarchyKeys;
  readonly #keyRing: string;
  readonly #rings: readonly AgentRing[];
  readonly #clock: Clock;
  readonly #logger: Logger;
  /** To be told of each use of a private key. */
  readonly heartbeat: Heartbeat;
  readonly #schedulers = new Set<RotationScheduler>();
  #closed = false;

  constructor(provider: KeyProvider, hierarchy: HierarchyKeys, options: AgentLifecycleOptions) {
    const { clock, logger, maxCachedAgents, rings } = options;
    this.#provider = provider;
    this.#hierarchy = hierarchy;
    this.#clock = clock;
    this.#logger = logger;
    this.#keyRing = rings[0].keyRing;
    this.#rings = rings.map(({ keyRing, provider: own }) => ({
      keyRing,
      provider: own,
      agentKeys:
        own === provider
          ? hierarchy.agentKeys
          : new AgentKeys(own, { clock, maxCachedAgents, pinnedVersions: [] }),
    }));
    // Two keys for each agent.
    this.heartbeat = new Heartbeat({
      ...{ rings: this.#providers, clock, logger, maxKeys: 2 * maxCachedAgents },
      agentKeys: hierarchy.agentKeys,
    });
  }

  /** The agent's signing key with all its versions in all key rings: state, times, algorithm and thumbprint of each. */
  async describe(agentId: string, options?: CallOptions): Promise<AgentDescription> {
    const context = agentContext('describeAgent', agentId);
    const agent = requireAgentId(context, agentId);
    const { versionKeys } = this.#hierarchy;
    const read = await readRings(this.#rings, async ({ provider, agentKeys }) => {
      const key = await agentKeys.lookUp(context, agent, 'signing', options);
      return describeAgentKey({ provider, versionKeys }, { agentId, key }, options);
    });
    return describeRings(`${this.#keyRing}/cryptoKeys/${agentKeyId(agent, 'signing')}`, read);
  }

  /**
   * The public keys of the agent's signing key that are to be published, in all key rings.
   * @throws ReplicationIncompleteError when a key ring could not give its own.
   */
  async publicKeys(agentId: string, options?: CallOptions): Promise<readonly LocatedPublicKey[]> {
    const context = agentContext('getPublicKeys', agentId);
    const agent = requireAgentId(context, agentId);
    const { found, failures } = await readRings(this.#rings, async ({ provider, agentKeys }) => {
      const key = await agentKeys.lookUp(context, agent, 'signing', options);
      return publishedKeysOf(provider, key, options);
    });
    if (failures.length > 0) {
      const completed = found.map(({ keyRing }) => keyRing);
      throw new ReplicationIncompleteError(context, completed, failures);
    }
    const keys = found.flatMap(({ value }) => value);
    if (keys.length === 0) {
      throw new NoUsableVersionError(
        context,
        'no version of its key is ENABLED, so none is to be published.',
      );
    }
    return keys;
  }

  /** What the HSMs stated of the version in use of one of the agent's keys, in all key rings. */
  attest(
    agentId: string,
    options?: RoleOptions,
  ): Promise<readonly [LocatedAttestation, ...LocatedAttestation[]]> {
    return attestAgentKey(this.#rings, agentId, options);
  }

  /** One step of a rotation, or all of it, of one of the agent's keys. */
  async rotate(
    operation: 'rotateAgentKey' | 'prepareAgentRotation' | 'activateAgentRotation',
    agentId: string,
    options: AgentRotationOptions = {},
  ): Promise<RotationResult> {
    const context = agentContext(operation, agentId);
    const { role, ...rest } = parseRotationOptions(context, options);
    const name = await this.#keyName(context, agentId, { role, ...rest });
    if (operation === 'prepareAgentRotation') return this.#provider.prepareRotation(name, rest);
    if (operation === 'activateAgentRotation') return this.#provider.activateRotation(name, rest);
    return this.#provider.rotateKey(name, rest);
  }

  /** Uses an ENABLED version of one of the agent's keys from now on. */
  async setPrimaryVersion(
    agentId: string,
    version: number | string,
    options: RoleOptions = {},
  ): Promise<KeyMetadata> {
    const context = agentContext('setAgentPrimaryVersion', agentId);
    const { role, ...rest } = parseOptions(context, roleOptions, options);
    const name = await this.#keyName(context, agentId, { role, ...rest });
    return this.#provider.setPrimaryVersion(name, version, rest);
  }

  /** Writes the policy into one of the agent's keys; null takes it out. */
  async setRotationPolicy(
    agentId: string,
    policy: RotationPolicy | null,
    options: RoleOptions = {},
  ): Promise<KeyMetadata> {
    const context = agentContext('setRotationPolicy', agentId);
    const { role, ...rest } = parseOptions(context, roleOptions, options);
    const label = policy === null ? null : formatPolicy(requirePolicy(context, policy));
    const name = await this.#keyName(context, agentId, { role, ...rest });
    return this.#provider.updateLabels(name, { [POLICY_LABEL]: label }, rest);
  }

  /** One run over all keys with a policy. */
  rotateDueKeys(options?: RotateDueKeysOptions): Promise<RotationReport> {
    const parsed = parseRotateDueOptions(options);
    return rotateDueKeys({ rings: this.#rings, clock: this.#clock }, parsed);
  }

  /** Runs `rotateDueKeys` again and again until it, or this, is closed. */
  startScheduler(options?: RotationSchedulerOptions): RotationScheduler {
    const parsed = parseSchedulerOptions(options);
    if (this.#closed)
      throw new ClientClosedError({ operation: 'startRotationScheduler', resource: this.#keyRing });
    const run = (rest: RotateDueKeysOptions): Promise<RotationReport> => this.rotateDueKeys(rest);
    const scheduler = new RotationScheduler({ clock: this.#clock, logger: this.#logger, run }, parsed);
    this.#schedulers.add(scheduler);
    return scheduler;
  }

  /** Schedules all versions of all keys of the agent for destruction, and reports each. */
  async destroyAgent(agentId: string, options?: DestroyAgentOptions): Promise<AgentDestruction> {
    const context = agentContext('destroyAgent', agentId);
    const { destroyAfter, force, ...callOptions } = parseDestroyOptions(context, options);
    const keys = await this.#keysOf(context, agentId, callOptions);
    return destroyAgentKeys({ agentId, keys }, { destroyAfter, force, ...callOptions });
  }

  /** Takes back a destruction that was scheduled, for all keys of the agent that have one. */
  async restoreAgent(agentId: string, options: RestoreOptions = {}): Promise<readonly KeyMetadata[]> {
    const context = agentContext('restoreAgent', agentId);
    const { state: _, ...callOptions } = parseOptions(context, restoreOptions, options);
    const keys = await this.#keysOf(context, agentId, callOptions);
    const restored: KeyMetadata[] = [];
    for (const { provider, key } of keys) {
      const versions = await provider.listKeyVersions(key.name, callOptions);
      // Also one that a restore died over: it is not scheduled any more, and not ENABLED yet.
      if (versions.some((version) => isRestorable(key.labels, version)))
        restored.push(await provider.restoreKey(key.name, options));
    }
    return restored;
  }

  /** Finds agents that nobody uses any more and, unless it is a dry run, ends them in two passes. */
  async pruneStaleAgents(options: PruneStaleAgentsOptions): Promise<readonly StaleAgentReport[]> {
    // Agents that this process used a moment ago have been used.
    await this.heartbeat.idle();
    return pruneStale({ rings: this.#providers, clock: this.#clock }, parsePruneOptions(options));
  }

  /** Settles when nothing runs in the background: no heartbeat and no scheduled rotation. */
  async idle(): Promise<void> {
    await Promise.all([this.heartbeat.idle(), ...[...this.#schedulers].map((scheduler) => scheduler.idle())]);
  }

  /** Stops the schedulers and waits for what runs in the background. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#schedulers].map((scheduler) => scheduler.close()));
    await this.heartbeat.close();
  }

  get #providers(): readonly KeyProvider[] {
    return this.#rings.map(({ provider }) => provider);
  }

  #keyName(context: ErrorContext, agentId: string, options: RoleOptions): Promise<string> {
    const role = requireRole(context, options.role);
    const agent = requireAgentId(context, agentId);
    return this.#hierarchy.agentKeys.nameOf(context, agent, role, callOptionsOf(options));
  }

  /** The agent's keys in all key rings. One that cannot be read ends it: nothing is done to a part of an agent. */
  async #keysOf(context: ErrorContext, agentId: string, options: CallOptions): Promise<readonly RoleKey[]> {
    const agent = requireAgentId(context, agentId);
    const keys: RoleKey[] = [];
    let missing: unknown;
    for (const { provider, agentKeys } of this.#rings) {
      for (const role of ['signing', 'encryption'] as const) {
        try {
          keys.push({ provider, role, key: await agentKeys.lookUp(context, agent, role, options) });
        } catch (error) {
          if (!(error instanceof AgentKeyNotFoundError)) throw error;
          missing ??= error;
        }
      }
    }
    if (keys.length === 0) throw missing;
    return keys;
  }
}

/** A key ring, and the agents' keys in it. */
export interface AgentRing extends KeyRingProvider {
  readonly agentKeys: AgentKeys;
}
