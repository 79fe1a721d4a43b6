/**
 * `A2AKeyExchange`: what agents use. Agent ids in, results out. The key ring is the registry: whatever is remembered
 * here is a cache, and any process with the same configuration finds the same agents.
 */

import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import { type A2AKeyExchangeConfig, parseAgentConfig, type ResolvedAgentConfig } from './config.js';
import {
  AgentKeyNotFoundError,
  type ErrorContext,
  InvalidArgumentError,
  KeySpecMismatchError,
  NotFoundError,
  UnsupportedAlgorithmError,
} from './errors.js';
import {
  type AgentId,
  agentKeyId,
  agentKeyLabels,
  agentKeyRoleLabel,
  agentOfLabels,
  parseAgentId,
} from './keys/agent-key-name.js';
import { type AgentAlgorithmAlias, resolveAlgorithmAlias } from './keys/algorithm-alias.js';
import {
  algorithmsOf,
  findAlgorithm,
  type ProtectionLevel,
  type SigningAlgorithm,
  type SigningAlgorithmEntry,
} from './keys/algorithms.js';
import type {
  CallOptions,
  KeyMetadata,
  KeyProvider,
  KeyVersionMetadata,
  SignatureDetails,
} from './keys/key-provider.js';
import { KMSClient } from './kms/kms-client.js';

/** What a new agent's key should be, where it differs from the configuration. */
export interface AgentKeyOptions extends CallOptions {
  /** `ecdsa-p384`, `ecdsa-p256`, `ed25519`, or the Cloud KMS name of a signing algorithm. */
  readonly algorithm?: AgentAlgorithmAlias | SigningAlgorithm | undefined;
  readonly protectionLevel?: ProtectionLevel | undefined;
  /** Your own labels; names that begin with `a2a-` are this library's. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** Seconds, 86,400 to 10,368,000; default 2,592,000 (30 days). Cannot be changed later. */
  readonly destroyScheduledDurationSeconds?: number | undefined;
}

/** An agent as it stands in the key ring. */
export interface AgentSummary {
  readonly agentId: string;
  /** Full CryptoKey name. */
  readonly keyName: string;
  readonly algorithm: string;
  readonly protectionLevel: string;
  readonly createTime: Date;
  readonly labels: Readonly<Record<string, string>>;
}

/** An agent with the versions of its key. */
export interface AgentDescription extends AgentSummary {
  /** Full name of the version in use; undefined when none is usable. */
  readonly keyVersion: string | undefined;
  /** All versions, in ascending order of their numbers. */
  readonly versions: readonly KeyVersionMetadata[];
}

const OWN_LABEL_PREFIX = 'a2a-';
const SEEN_LABEL = 'a2a-seen';

const agentKeyOptions = z.strictObject({
  algorithm: z.string().optional(),
  protectionLevel: z.enum(['HSM', 'SOFTWARE']).optional(),
  labels: z
    .record(z.string(), z.string())
    .refine(
      (labels) => !Object.keys(labels).some((label) => label.startsWith(OWN_LABEL_PREFIX)),
      `must not begin with ${OWN_LABEL_PREFIX}`,
    )
    .optional(),
  destroyScheduledDurationSeconds: z.number().optional(),
});

/**
 * Keys for agents: made in an HSM, used by agent id.
 *
 * @example
 * ```ts
 * await using exchange = new A2AKeyExchange({ projectId: 'my-project', locationId: 'europe-west3', keyRingId: 'agents' });
 * await exchange.initialize();
 * await exchange.generateAgentKey('invoice-bot');
 * const message = Buffer.from('pay 10 EUR to alice');
 * const signature = await exchange.signMessage('invoice-bot', message);
 * await exchange.verifyMessage('invoice-bot', message, signature); // true
 * ```
 */
export class A2AKeyExchange {
  /** The keys behind the agents, for everything that is not about an agent: other keys, encryption, versions. */
  readonly keys: KeyProvider;
  readonly #config: ResolvedAgentConfig;
  /** Agents whose key was looked up and is theirs by its labels. */
  readonly #keyNames: LRUCache<string, string>;
  readonly #generating = new Map<string, Promise<string>>();

  /** @throws InvalidConfigError naming every field that is wrong. */
  constructor(config: A2AKeyExchangeConfig) {
    const { kms, agents } = parseAgentConfig(config);
    this.#config = agents;
    this.#keyNames = new LRUCache({ max: agents.maxCachedAgents });
    this.keys = new KMSClient(kms);
  }

  /** Makes sure that the key ring exists. */
  async initialize(options?: CallOptions): Promise<void> {
    await this.keys.initialize(options);
  }

  /**
   * Gives the agent a signing key, or finds the one it has, and returns its resource name, which every method that takes
   * a key id accepts.
   * @throws UnsupportedAlgorithmError before any call, when the protection level has no such algorithm.
   * @throws KeySpecMismatchError when the agent has a key of another algorithm or protection level.
   */
  async generateAgentKey(agentId: string, options: AgentKeyOptions = {}): Promise<string> {
    const context = { operation: 'generateAgentKey', resource: `agent ${JSON.stringify(agentId)}` };
    const agent = requireAgentId(context, agentId);
    const { signal, timeoutMs, ...rest } = options;
    const spec = this.#keySpec(context, agent, rest);
    const generate = async (): Promise<string> => {
      const { name } = await this.keys.generateKey(spec, { signal, timeoutMs });
      this.#keyNames.set(agent, name);
      return name;
    };
    // A caller with a deadline or signal of its own must not decide over the others.
    if (signal !== undefined || timeoutMs !== undefined) return generate();
    const flight = JSON.stringify([agent, rest]);
    const running = this.#generating.get(flight);
    if (running !== undefined) return running;
    const started = generate().finally(() => this.#generating.delete(flight));
    this.#generating.set(flight, started);
    return started;
  }

  /** Signs a message as the agent. ECDSA signatures are DER. */
  async signMessage(agentId: string, message: Uint8Array, options?: CallOptions): Promise<Buffer> {
    return (await this.signMessageDetailed(agentId, message, options)).signature;
  }

  /** As `signMessage`, and says which key version signed, with which algorithm and protection level. */
  signMessageDetailed(
    agentId: string,
    message: Uint8Array,
    options?: CallOptions,
  ): Promise<SignatureDetails> {
    return this.#withKey('signMessage', agentId, options, (keyName) =>
      this.keys.signDetailed(keyName, message, options),
    );
  }

  /** Whether the signature over the message is by the agent: by the version in use or one before that was not destroyed. */
  verifyMessage(
    agentId: string,
    message: Uint8Array,
    signature: Uint8Array,
    options?: CallOptions,
  ): Promise<boolean> {
    return this.#withKey('verifyMessage', agentId, options, (keyName) =>
      this.keys.verify(keyName, message, signature, options),
    );
  }

  /** The agent's public key, PEM (RFC 7468 section 13). */
  getPublicKey(agentId: string, options?: CallOptions): Promise<Buffer> {
    return this.#withKey('getPublicKey', agentId, options, (keyName) =>
      this.keys.getPublicKey(keyName, options),
    );
  }

  /** Makes a new version of the agent's key and uses it from now on. Signatures made before keep verifying. */
  rotateAgentKey(agentId: string, options?: CallOptions): Promise<KeyMetadata> {
    return this.#withKey('rotateAgentKey', agentId, options, (keyName) =>
      this.keys.rotateKey(keyName, options),
    );
  }

  /** All agents with a signing key in this key ring, by their original ids. */
  async listAgents(options?: CallOptions): Promise<readonly AgentSummary[]> {
    const keys = await this.keys.listKeys({ ...options, labels: agentKeyRoleLabel('signing') });
    return keys.flatMap((key) => {
      const agentId = agentOf(key);
      return agentId === undefined ? [] : [toSummary(agentId, key)];
    });
  }

  /** What the key ring holds of an agent now. */
  async describeAgent(agentId: string, options?: CallOptions): Promise<AgentDescription> {
    const context = { operation: 'describeAgent', resource: `agent ${JSON.stringify(agentId)}` };
    const agent = requireAgentId(context, agentId);
    const key = await this.#lookUp(context, agent, options);
    const versions = await this.keys.listKeyVersions(key.name, options);
    return { ...toSummary(agent, key), keyVersion: key.primary, versions };
  }

  /** Closes the connections. */
  async close(): Promise<void> {
    await this.keys.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #keySpec(context: ErrorContext, agent: AgentId, options: Omit<AgentKeyOptions, keyof CallOptions>) {
    const parsed = agentKeyOptions.safeParse(options);
    if (!parsed.success) {
      const problems = parsed.error.issues.map((issue) =>
        issue.code === 'unrecognized_keys'
          ? `${issue.keys.join(', ')} is not an option`
          : `${issue.path.map(String).join('.')}: ${issue.message}`,
      );
      throw new InvalidArgumentError(context, `${problems.join('; ')}.`);
    }
    const {
      algorithm,
      protectionLevel = this.#config.protectionLevel,
      labels = {},
      destroyScheduledDurationSeconds,
    } = parsed.data;
    const entry =
      algorithm === undefined ? this.#config.defaultAlgorithm : signingAlgorithm(context, algorithm);
    if (!entry.protectionLevels.includes(protectionLevel)) {
      throw new UnsupportedAlgorithmError(
        context,
        `Cloud KMS has no ${protectionLevel} form of ${entry.name} today${protectionLevel === 'HSM' ? `; it works with protectionLevel "SOFTWARE", which has to be asked for by name and puts the private key outside of any HSM` : ''}.`,
        algorithmsOf('ASYMMETRIC_SIGN', protectionLevel),
      );
    }
    return {
      name: agentKeyId(agent, 'signing'),
      purpose: entry.purpose,
      algorithm: entry.name,
      protectionLevel,
      labels: { ...labels, ...agentKeyLabels(agent, 'signing'), [SEEN_LABEL]: this.#today() },
      destroyScheduledDurationSeconds,
    };
  }

  /** The date in UTC as yyyymmdd. */
  #today(): string {
    return new Date(this.#config.clock.now()).toISOString().slice(0, 10).replaceAll('-', '');
  }

  async #withKey<T>(
    operation: string,
    agentId: string,
    options: CallOptions | undefined,
    use: (keyName: string) => Promise<T>,
  ): Promise<T> {
    const context = { operation, resource: `agent ${JSON.stringify(agentId)}` };
    const agent = requireAgentId(context, agentId);
    const known = this.#keyNames.get(agent);
    return use(known ?? (await this.#lookUp(context, agent, options)).name);
  }

  /** Reads the agent's key and makes sure by its labels that it is this agent's. */
  async #lookUp(
    context: ErrorContext,
    agent: AgentId,
    options: CallOptions | undefined,
  ): Promise<KeyMetadata> {
    let key: KeyMetadata;
    try {
      key = await this.keys.getKey(agentKeyId(agent, 'signing'), options);
    } catch (cause) {
      if (cause instanceof NotFoundError)
        throw new AgentKeyNotFoundError({ ...context, attempts: cause.attempts, cause }, agent);
      throw cause;
    }
    const owner = agentOf(key);
    if (owner !== agent) {
      throw new KeySpecMismatchError(context, [
        { field: 'agent', expected: agent, actual: owner ?? 'not named in its labels' },
      ]);
    }
    this.#keyNames.set(agent, key.name);
    return key;
  }
}

function requireAgentId(context: ErrorContext, agentId: string): AgentId {
  const parsed = parseAgentId(agentId);
  if (!parsed.ok) throw new InvalidArgumentError(context, parsed.problem);
  return parsed.value;
}

function signingAlgorithm(context: ErrorContext, name: string): SigningAlgorithmEntry {
  const entry = findAlgorithm(resolveAlgorithmAlias(name));
  if (entry?.purpose === 'ASYMMETRIC_SIGN') return entry;
  throw new UnsupportedAlgorithmError(
    context,
    `${JSON.stringify(name)} is not a signing algorithm.`,
    algorithmsOf('ASYMMETRIC_SIGN'),
  );
}

/** Whose signing key it is, if its labels and its name agree. */
function agentOf(key: KeyMetadata): AgentId | undefined {
  const owner = agentOfLabels(key.labels);
  if (owner?.role !== 'signing') return undefined;
  return key.name.endsWith(`/${agentKeyId(owner.agentId, 'signing')}`) ? owner.agentId : undefined;
}

function toSummary(agentId: AgentId, key: KeyMetadata): AgentSummary {
  const { name: keyName, algorithm, protectionLevel, createTime, labels } = key;
  return { agentId, keyName, algorithm, protectionLevel, createTime, labels };
}
