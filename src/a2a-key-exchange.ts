/**
 * `A2AKeyExchange`: what agents use. Agent ids in, results out. The key ring is the registry: whatever is remembered
 * here is a cache, and any process with the same configuration finds the same agents.
 */

import { type A2AKeyExchangeConfig, parseAgentConfig } from './config.js';
import type { EncryptForAgentOptions, Recipient } from './hierarchy/agent-encryption.js';
import type { AgentKeyOptions } from './hierarchy/agent-key-spec.js';
import { ownerOf, requireAgentId } from './hierarchy/agent-keys.js';
import type { DescribeHierarchyOptions, HierarchyDescription } from './hierarchy/describe.js';
import { KeyHierarchy } from './hierarchy/key-hierarchy.js';
import { type AgentId, agentKeyRoleLabel } from './keys/agent-key-name.js';
import type {
  CallOptions,
  KeyMetadata,
  KeyProvider,
  KeyVersionMetadata,
  SignatureDetails,
} from './keys/key-provider.js';
import { KMSClient } from './kms/kms-client.js';

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
  /** Master keys, endorsements of agents' keys, and encryption to agents. */
  readonly hierarchy: KeyHierarchy;
  readonly #ensureMasters: boolean;

  /** @throws InvalidConfigError naming every field that is wrong. */
  constructor(config: A2AKeyExchangeConfig) {
    const { kms, agents } = parseAgentConfig(config);
    const { defaultAlgorithm, hierarchy, ...rest } = agents;
    this.keys = new KMSClient(kms);
    this.hierarchy = new KeyHierarchy(this.keys, {
      ...rest,
      defaultAlgorithm: defaultAlgorithm.name,
      ...(hierarchy && {
        rootAlgorithm: hierarchy.rootAlgorithm,
        masterProtectionLevel: hierarchy.protectionLevel,
        endorsementValiditySeconds: hierarchy.endorsementValiditySeconds,
      }),
    });
    this.#ensureMasters = hierarchy !== undefined;
  }

  /** Makes sure that the key ring exists and, with `hierarchy` in the configuration, the master keys. */
  async initialize(options?: CallOptions): Promise<void> {
    if (this.#ensureMasters) await this.hierarchy.initialize(options);
    else await this.keys.initialize(options);
  }

  /**
   * Gives the agent a signing key, or finds the one it has, and returns its resource name, which every method that takes
   * a key id accepts. With purpose `both` the agent gets an encryption key too; with `encryption` only that one, and its
   * name is what is returned.
   * @throws UnsupportedAlgorithmError before any call, when the protection level has no such algorithm.
   * @throws KeySpecMismatchError when the agent has a key of another algorithm or protection level.
   */
  async generateAgentKey(agentId: string, options?: AgentKeyOptions): Promise<string> {
    return (await this.hierarchy.generateAgentKeys(agentId, options)).name;
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

  /** Encrypts to an agent, given by its id or its public JWK, as compact JWE. Made in this process. */
  encryptForAgent(
    recipient: Recipient,
    plaintext: Uint8Array,
    options?: EncryptForAgentOptions,
  ): Promise<string> {
    return this.hierarchy.encryptForAgent(recipient, plaintext, options);
  }

  /** Opens a JWE that was encrypted to the agent; its content key is unwrapped in the HSM. */
  decryptAsAgent(agentId: string, jwe: string, options?: CallOptions): Promise<Buffer> {
    return this.hierarchy.decryptAsAgent(agentId, jwe, options);
  }

  /** The tree of keys with their versions, states and what is due when. */
  describeHierarchy(options?: DescribeHierarchyOptions): Promise<HierarchyDescription> {
    return this.hierarchy.describeHierarchy(options);
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
      const agentId = ownerOf(key, 'signing');
      return agentId === undefined ? [] : [toSummary(agentId, key)];
    });
  }

  /** What the key ring holds of an agent now. */
  async describeAgent(agentId: string, options?: CallOptions): Promise<AgentDescription> {
    const context = { operation: 'describeAgent', resource: `agent ${JSON.stringify(agentId)}` };
    const agent = requireAgentId(context, agentId);
    const key = await this.hierarchy.agentKeys.lookUp(context, agent, 'signing', options);
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

  async #withKey<T>(
    operation: string,
    agentId: string,
    options: CallOptions | undefined,
    use: (keyName: string) => Promise<T>,
  ): Promise<T> {
    const context = { operation, resource: `agent ${JSON.stringify(agentId)}` };
    const agent = requireAgentId(context, agentId);
    return use(await this.hierarchy.agentKeys.nameOf(context, agent, 'signing', options));
  }
}

function toSummary(agentId: AgentId, key: KeyMetadata): AgentSummary {
  const { name: keyName, algorithm, protectionLevel, createTime, labels } = key;
  return { agentId, keyName, algorithm, protectionLevel, createTime, labels };
}
