/**
 * The keys of agents by agent id and role. The key ring is the registry: a key is an agent's if its name and its labels
 * say so, and what is remembered here is a cache of names that were checked.
 */

import { LRUCache } from 'lru-cache';
import type { Clock } from '../clock.js';
import type { ErrorContext } from '../errors/base.js';
import { InvalidArgumentError, KeySpecMismatchError } from '../errors/input.js';
import { AgentKeyNotFoundError, NotFoundError } from '../errors/keys.js';
import {
  type AgentId,
  type AgentKeyRole,
  agentKeyId,
  agentKeyLabels,
  agentOfLabels,
  parseAgentId,
} from '../keys/agent-key-name.js';
import type { CallOptions } from '../keys/call-options.js';
import type { KeyMetadata, KeyProvider } from '../keys/key-provider.js';
import { dayOf, SEEN_LABEL } from '../keys/usage-labels.js';
import type { CacheStats } from '../provider/stats.js';
import type { RoleKeySpec } from './agent-key-spec.js';

interface AgentKeysOptions {
  readonly clock: Clock;
  readonly maxCachedAgents: number;
  /** Full names of versions that the configuration names: the keys they are of are used without being looked at. */
  readonly pinnedVersions: readonly string[];
}

/** What is remembered of an agent's key. */
interface KnownKey {
  /** Full CryptoKey name. */
  readonly name: string;
  /** The day on which it was used last, as yyyymmdd, as of when it was read. */
  readonly seen: string | undefined;
}

export class AgentKeys {
  readonly #provider: KeyProvider;
  readonly #clock: Clock;
  /** Keys that are their agent's by name and labels, by key id. */
  readonly #known: LRUCache<string, KnownKey>;
  /** Full names by key id, of keys with a version that the configuration names. */
  readonly #pinned: ReadonlyMap<string, string>;
  /** Agents by key id, as far as their keys were asked for: a key id that is a hash does not tell. */
  readonly #agents: LRUCache<string, AgentId>;
  readonly #generations = new Map<string, Promise<KeyMetadata>>();
  readonly #lookUps = new Map<string, Promise<KeyMetadata>>();
  #hits = 0;
  #misses = 0;

  constructor(provider: KeyProvider, options: AgentKeysOptions) {
    this.#provider = provider;
    this.#clock = options.clock;
    this.#known = new LRUCache({ max: options.maxCachedAgents });
    this.#pinned = new Map(
      options.pinnedVersions.flatMap((version) => {
        const [name, keyId] = /^.*\/cryptoKeys\/([^/]+)/.exec(version) ?? [];
        return name === undefined || keyId === undefined ? [] : [[keyId, name]];
      }),
    );
    this.#agents = new LRUCache({ max: options.maxCachedAgents });
  }

  /** Of the cache of key names. */
  get stats(): CacheStats {
    return { hits: this.#hits, misses: this.#misses, size: this.#known.size };
  }

  /** Makes the key, or adopts the one that is there if it is what was asked for; one creation for any number of callers. */
  async generate(agent: AgentId, spec: RoleKeySpec, options: CallOptions | undefined): Promise<KeyMetadata> {
    const generate = async (): Promise<KeyMetadata> => {
      const { role, labels, ...rest } = spec;
      const name = this.#keyId(agent, role);
      const own = { ...agentKeyLabels(agent, role), [SEEN_LABEL]: dayOf(this.#clock.now()) };
      const key = await this.#provider.generateKey({ ...rest, name, labels: { ...labels, ...own } }, options);
      this.#remember(name, key);
      return key;
    };
    // A caller with a deadline or signal of its own must not decide over the others, and one with a reason is recorded with it.
    const isOwn =
      isImpatient(options) || options?.reason !== undefined || options?.correlationId !== undefined;
    return isOwn ? generate() : singleFlight(this.#generations, JSON.stringify([agent, spec]), generate);
  }

  /** The day on which a key was used last, as of when it was read; by its short id. */
  seenDay(keyId: string): string | undefined {
    return this.#known.peek(keyId)?.seen;
  }

  /** Whether the configuration names a version of the key, by its short id. */
  isPinned(keyId: string): boolean {
    return this.#pinned.has(keyId);
  }

  /**
   * Full name of the agent's key; one read when it is not known yet, and none for a key with a pinned version, which an
   * identity may use that is not allowed to look at it.
   */
  async nameOf(
    context: ErrorContext,
    agent: AgentId,
    role: AgentKeyRole,
    options?: CallOptions,
  ): Promise<string> {
    const keyId = this.#keyId(agent, role);
    const pinned = this.#pinned.get(keyId);
    if (pinned !== undefined) return pinned;
    const known = this.#known.get(keyId);
    if (known !== undefined) {
      this.#hits += 1;
      return known.name;
    }
    this.#misses += 1;
    const lookUp = (): Promise<KeyMetadata> => this.lookUp(context, agent, role, options);
    // Also for callers with different reasons: a read for each of many at once would burn the quota. The first gives its own.
    return (await (isImpatient(options) ? lookUp() : singleFlight(this.#lookUps, keyId, lookUp))).name;
  }

  /** Reads the agent's key and makes sure by its labels that it is this agent's. */
  async lookUp(
    context: ErrorContext,
    agent: AgentId,
    role: AgentKeyRole,
    options?: CallOptions,
  ): Promise<KeyMetadata> {
    const keyId = this.#keyId(agent, role);
    let key: KeyMetadata;
    try {
      key = await this.#provider.getKey(keyId, options);
    } catch (cause) {
      if (cause instanceof NotFoundError)
        throw new AgentKeyNotFoundError({ ...context, attempts: cause.attempts, cause }, agent, role);
      throw cause;
    }
    const owner = ownerOf(key, role);
    if (owner !== agent) {
      throw new KeySpecMismatchError(context, [
        { field: 'agent', expected: agent, actual: owner ?? 'not named in its labels' },
      ]);
    }
    this.#remember(keyId, key);
    return key;
  }

  /** Whose key it is, if it was asked for lately. */
  agentOf(keyId: string): AgentId | undefined {
    return this.#agents.get(keyId);
  }

  #keyId(agent: AgentId, role: AgentKeyRole): string {
    const keyId = agentKeyId(agent, role);
    this.#agents.set(keyId, agent);
    return keyId;
  }

  #remember(keyId: string, { name, labels }: KeyMetadata): void {
    this.#known.set(keyId, { name, seen: labels[SEEN_LABEL] });
  }
}

/** Whether a call may end before others that want the same. */
const isImpatient = (options: CallOptions | undefined): boolean =>
  options?.signal !== undefined || options?.timeoutMs !== undefined || options?.onQuota === 'fail';

/** One run of the work for any number of callers at once. */
function singleFlight<T>(flights: Map<string, Promise<T>>, key: string, work: () => Promise<T>): Promise<T> {
  const running = flights.get(key);
  if (running !== undefined) return running;
  const started = work().finally(() => flights.delete(key));
  flights.set(key, started);
  return started;
}

/** @throws InvalidArgumentError for what cannot be an agent's id. */
export function requireAgentId(context: ErrorContext, agentId: unknown): AgentId {
  const parsed = parseAgentId(agentId);
  if (!parsed.ok) throw new InvalidArgumentError(context, parsed.problem);
  return parsed.value;
}

/**
 * Which of an agent's keys is meant; the signing key where nothing is said.
 * @throws InvalidArgumentError for what is no role. A key id is made of it.
 */
export function requireRole(context: ErrorContext, role: unknown, name = 'role'): AgentKeyRole {
  if (role === undefined || role === 'signing') return 'signing';
  if (role === 'encryption') return 'encryption';
  throw new InvalidArgumentError(context, `${name} must be signing or encryption.`);
}

/** Whose key of that role it is, if its labels and its name agree. */
export function ownerOf(key: KeyMetadata, role: AgentKeyRole): AgentId | undefined {
  const owner = agentOfLabels(key.labels);
  if (owner?.role !== role) return undefined;
  return key.name.endsWith(`/${agentKeyId(owner.agentId, role)}`) ? owner.agentId : undefined;
}
