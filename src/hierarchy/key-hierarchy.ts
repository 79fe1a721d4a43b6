/**
 * `KeyHierarchy`: two master keys in the HSM, the agents' keys that the root endorses, and the data keys that the
 * key-encryption key wraps. It works on any `KeyProvider` and holds nothing but caches.
 */

import { z } from 'zod';
import { type Clock, systemClock } from '../clock.js';
import { issueEndorsement, requireValidity } from '../identity/endorsement.js';
import type { PublicJwk } from '../identity/jwk.js';
import { type AgentKeyRole, agentContext } from '../keys/agent-key-name.js';
import type { CallOptions } from '../keys/call-options.js';
import type { KeyMetadata, KeyProvider } from '../keys/key-provider.js';
import { MASTER_KEY_IDS } from '../keys/master-key-name.js';
import { callOptionsOf, parseOptions } from '../provider/call-input.js';
import {
  type AgentEncryptionContext,
  decryptAs,
  type EncryptForAgentOptions,
  encryptFor,
  type Recipient,
} from './agent-encryption.js';
import { type AgentKeyOptions, agentKeySpecs, type RoleKeySpec, signingAlgorithm } from './agent-key-spec.js';
import { AgentKeys, requireAgentId } from './agent-keys.js';
import { type DescribeHierarchyOptions, describeKeys, type HierarchyDescription } from './describe.js';
import {
  type KeyHierarchyOptions,
  type ParsedHierarchyOptions,
  parseHierarchyOptions,
} from './hierarchy-options.js';
import { ensureMasterKeys, type MasterKeys } from './master-keys.js';
import { roleOptions } from './role-options.js';
import { VersionKeys } from './version-keys.js';

/** The keys that were made for an agent, or found. */
export interface AgentKeySet {
  /** Full name of the signing key; of the encryption key where only that one was asked for. */
  readonly name: string;
  readonly signing?: KeyMetadata;
  readonly encryption?: KeyMetadata;
}

/** Options of `endorseAgentKey`. */
export interface EndorseOptions extends CallOptions {
  /** Which of the agent's keys. Default `signing`. */
  readonly role?: AgentKeyRole | undefined;
  /** In place of the configured one, in seconds. */
  readonly validitySeconds?: number | undefined;
}

const endorseOptions = z.strictObject({
  ...roleOptions.shape,
  validitySeconds: z.number('must be a number of seconds').optional(),
});

/** What a hierarchy knows of keys, for the parts of this library that work with the same ones. */
export interface HierarchyKeys {
  /** The agents' keys by agent id and role. */
  readonly agentKeys: AgentKeys;
  /** Public keys of key versions, with their thumbprints. */
  readonly versionKeys: VersionKeys;
}

/** The keys behind a hierarchy. */
export let keysOf: (hierarchy: KeyHierarchy) => HierarchyKeys;

/**
 * What an `A2AKeyExchange` shows of its hierarchy: public keys and endorsements. All else is a method of the exchange, which
 * knows its rotation policy and its agents' identities, and all key rings: `getAgentJwks` too.
 */
export interface ExchangeHierarchy
  extends Pick<
    KeyHierarchy,
    'rootKeyId' | 'kekKeyId' | 'getAgentJwk' | 'getRootJwks' | 'getAuditJwks' | 'endorseAgentKey'
  > {}

/**
 * Master keys, agents' keys, endorsements and encryption to agents.
 *
 * @example
 * ```ts
 * const hierarchy = new KeyHierarchy(kmsClient);
 * const { kek } = await hierarchy.initialize();
 * await hierarchy.generateAgentKeys('invoice-bot', { purpose: 'both' });
 * const endorsement = await hierarchy.endorseAgentKey('invoice-bot');
 * const jwe = await hierarchy.encryptForAgent('invoice-bot', Buffer.from('10 EUR'));
 * await hierarchy.decryptAsAgent('invoice-bot', jwe); // 10 EUR
 * ```
 */
export class KeyHierarchy {
  readonly #agentKeys: AgentKeys;
  readonly #versionKeys: VersionKeys;
  readonly #provider: KeyProvider;
  readonly #options: ParsedHierarchyOptions;
  readonly #clock: Clock;
  readonly #services: AgentEncryptionContext;

  /** @throws InvalidConfigError naming every option that is wrong; UnsupportedAlgorithmError. */
  constructor(provider: KeyProvider, options: KeyHierarchyOptions = {}) {
    this.#provider = provider;
    this.#options = parseHierarchyOptions(options);
    const { clock = systemClock, maxCachedAgents, pinnedVersions } = this.#options;
    this.#clock = clock;
    this.#agentKeys = new AgentKeys(provider, {
      clock,
      maxCachedAgents: 2 * maxCachedAgents,
      pinnedVersions,
    });
    this.#versionKeys = new VersionKeys(provider, { clock, maxCachedKeys: 2 * maxCachedAgents });
    const [agentKeys, versionKeys] = [this.#agentKeys, this.#versionKeys];
    this.#services = { provider, agentKeys, versionKeys, clock };
  }

  static {
    keysOf = (hierarchy) => hierarchy.#services;
  }

  /** Key id of the root signing key. */
  get rootKeyId(): string {
    return MASTER_KEY_IDS.root;
  }

  /** Key id of the key-encryption key, for an `EnvelopeCipher`. */
  get kekKeyId(): string {
    return MASTER_KEY_IDS.kek;
  }

  /**
   * Makes sure that the key ring and the master keys exist; safe when several processes do it at once. With replicas, a key
   * ring that cannot be reached is left out and logged.
   */
  async initialize(options: CallOptions = {}): Promise<MasterKeys> {
    await this.#provider.initialize(options);
    return ensureMasterKeys(this.#provider, this.#options, options);
  }

  /**
   * Gives the agent its keys, or finds the ones it has.
   * @throws UnsupportedAlgorithmError before any call, when the protection level has no such algorithm.
   * @throws KeySpecMismatchError when the agent has a key of another algorithm or protection level.
   */
  async generateAgentKeys(agentId: string, options: AgentKeyOptions = {}): Promise<AgentKeySet> {
    const context = agentContext('generateAgentKey', agentId);
    const agent = requireAgentId(context, agentId);
    const { protectionLevel } = this.#options;
    const defaultAlgorithm = signingAlgorithm(context, this.#options.defaultAlgorithm);
    const [first, ...others] = agentKeySpecs(context, options, { defaultAlgorithm, protectionLevel });
    const generate = (spec: RoleKeySpec): Promise<KeyMetadata> =>
      this.#agentKeys.generate(agent, spec, callOptionsOf(options));
    const keys = await Promise.all([generate(first), ...others.map(generate)]);
    const byRole = new Map([first, ...others].map(({ role }, index) => [role, keys[index]]));
    const [signing, encryption] = [byRole.get('signing'), byRole.get('encryption')];
    return { name: keys[0].name, ...(signing && { signing }), ...(encryption && { encryption }) };
  }

  /**
   * The agent's public key in use, as JWK: to encrypt to the agent, or to endorse it. Whoever verifies signatures needs more
   * than that one after a rotation or with `replicas`: `getAgentJwks` of the exchange.
   */
  async getAgentJwk(
    agentId: string,
    options: CallOptions & { readonly role?: AgentKeyRole | undefined } = {},
  ): Promise<PublicJwk> {
    const context = agentContext('getAgentJwk', agentId);
    const { role, ...callOptions } = parseOptions(context, roleOptions, options);
    const name = await this.#agentKeys.nameOf(context, requireAgentId(context, agentId), role, callOptions);
    return (await this.#versionKeys.current(context, name, callOptions)).key.jwk;
  }

  /**
   * The root's public keys: of the version in use and of older ENABLED ones, newest first. Publish them once, over a separate
   * trusted channel, to whoever verifies endorsements.
   */
  async getRootJwks(options?: CallOptions): Promise<readonly PublicJwk[]> {
    const context = { operation: 'getRootJwks', resource: MASTER_KEY_IDS.root };
    const enabled = await this.#versionKeys.enabled(context, MASTER_KEY_IDS.root, options);
    return enabled.map(({ key }) => key.jwk);
  }

  /** The public keys that checkpoints of the audit trail are verified with: of ENABLED versions, newest first. */
  async getAuditJwks(options?: CallOptions): Promise<readonly PublicJwk[]> {
    const context = { operation: 'getAuditJwks', resource: MASTER_KEY_IDS.audit };
    const enabled = await this.#versionKeys.enabled(context, MASTER_KEY_IDS.audit, options);
    return enabled.map(({ key }) => key.jwk);
  }

  /**
   * Signs, with the root key, that the agent's key in use is the agent's: one signature in the HSM. Publish the
   * endorsement with the key, and make a new one before it expires and after each rotation.
   */
  async endorseAgentKey(agentId: string, options: EndorseOptions = {}): Promise<string> {
    const context = agentContext('endorseAgentKey', agentId);
    const {
      role,
      validitySeconds = this.#options.endorsementValiditySeconds,
      ...callOptions
    } = parseOptions(context, endorseOptions, options);
    requireValidity(context, validitySeconds);
    const agent = requireAgentId(context, agentId);
    const name = await this.#agentKeys.nameOf(context, agent, role, callOptions);
    const { keyVersion, key } = await this.#versionKeys.current(context, name, callOptions);
    const clock = this.#clock;
    return issueEndorsement(this.#provider, MASTER_KEY_IDS.root, {
      ...{ agentId: agent, key, keyVersion, validitySeconds, clock },
      ...callOptions,
    });
  }

  /**
   * Encrypts to an agent as compact JWE (RSA-OAEP-256, A256GCM), in this process. Without any call for a JWK, and for an
   * agent of this key ring as soon as its key in use is known.
   * @param recipient an agent id, or a public RSA key as JWK.
   * @throws DataTooLargeError above 16 MiB; InvalidJwkError when the JWK is not such a key.
   */
  encryptForAgent(
    recipient: Recipient,
    plaintext: Uint8Array,
    options?: EncryptForAgentOptions,
  ): Promise<string> {
    return encryptFor(this.#services, recipient, plaintext, options);
  }

  /**
   * Opens a JWE that was encrypted to the agent: the content key is unwrapped in the HSM by the version that `kid` names.
   * @throws InvalidJweError before any call; UnknownKeyIdError; DecryptionFailedError.
   */
  decryptAsAgent(agentId: string, jwe: string, options?: CallOptions): Promise<Buffer> {
    return decryptAs(this.#services, agentId, jwe, options);
  }

  /** The tree of keys with their versions, states and what is due when. Keys that are not this library's are left out. */
  describeHierarchy(options?: DescribeHierarchyOptions): Promise<HierarchyDescription> {
    return describeKeys(this.#provider, options);
  }
}
