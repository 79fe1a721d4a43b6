/**
 * `KeyHierarchy`: two master keys in the HSM, the agents' keys that the root endorses, and the data keys that the
 * key-encryption key wraps. It works on any `KeyProvider` and holds nothing but caches.
 */

import { z } from 'zod';
import { type Clock, isClock, systemClock } from '../clock.js';
import { KEK_ROTATION_PERIOD_DEFAULT_SECONDS } from '../config/agent-config.js';
import type { ErrorContext } from '../errors/base.js';
import { InvalidConfigError, UnsupportedAlgorithmError } from '../errors/input.js';
import { issueEndorsement, requireValidity } from '../identity/endorsement.js';
import {
  ENDORSEMENT_VALIDITY_DEFAULT_SECONDS,
  ENDORSEMENT_VALIDITY_MAX_SECONDS,
} from '../identity/endorsement-validity.js';
import { findJoseAlgorithm } from '../identity/jose-algorithm.js';
import type { PublicJwk } from '../identity/jwk.js';
import { type AgentKeyRole, agentContext } from '../keys/agent-key-name.js';
import type { AgentAlgorithmAlias } from '../keys/algorithm-alias.js';
import type { ProtectionLevel, SigningAlgorithm } from '../keys/algorithm-types.js';
import { algorithmsOf } from '../keys/algorithms.js';
import type { CallOptions } from '../keys/call-options.js';
import {
  type KeyMetadata,
  type KeyProvider,
  type KeySpec,
  ROTATION_PERIOD_MAX_SECONDS,
  ROTATION_PERIOD_MIN_SECONDS,
} from '../keys/key-provider.js';
import { MASTER_KEY_IDS, masterKeyLabels } from '../keys/master-key-name.js';
import { createDefaultLogger, type Logger } from '../logger.js';
import { callOptionsOf } from '../provider/call-input.js';
import { type EnsuredKey, ensureKey } from '../provider/ensure-key.js';
import { schemaProblems } from '../schema-problems.js';
import {
  type AgentEncryptionContext,
  decryptAs,
  type EncryptForAgentOptions,
  encryptFor,
  type Recipient,
} from './agent-encryption.js';
import { type AgentKeyOptions, agentKeySpecs, type RoleKeySpec, signingAlgorithm } from './agent-key-spec.js';
import { AgentKeys, requireAgentId, requireRole } from './agent-keys.js';
import { type DescribeHierarchyOptions, describeKeys, type HierarchyDescription } from './describe.js';
import { VersionKeys } from './version-keys.js';

/** Options of a `KeyHierarchy`; all are optional. */
export interface KeyHierarchyOptions {
  /** Of the root key. Default `ecdsa-p384`. */
  readonly rootAlgorithm?: AgentAlgorithmAlias | SigningAlgorithm | undefined;
  /** Of the master keys. Default `HSM`; `SOFTWARE` only when asked for by name. */
  readonly masterProtectionLevel?: ProtectionLevel | undefined;
  /** How long an endorsement is valid, in seconds. Default 2,592,000 (30 days), at most 34,300,800 (397 days). */
  readonly endorsementValiditySeconds?: number | undefined;
  /** How often Cloud KMS rotates the key-encryption key. Seconds, default 7,776,000 (90 days); null for none. */
  readonly kekRotationPeriodSeconds?: number | null | undefined;
  /** What agents' signing keys are, unless asked for otherwise. Default `ecdsa-p384`. */
  readonly defaultAlgorithm?: AgentAlgorithmAlias | SigningAlgorithm | undefined;
  /** Of the agents' keys. Default `HSM`. */
  readonly protectionLevel?: ProtectionLevel | undefined;
  /** Agents whose key names are remembered, and versions whose public keys are. Default 10,000. */
  readonly maxCachedAgents?: number | undefined;
  /** Full names of versions that the provider has pinned: the agents' keys they are of are not looked at. */
  readonly pinnedVersions?: readonly string[] | undefined;
  /** Default: warnings go to standard error. */
  readonly logger?: Pick<Logger, 'warn'> | undefined;
  /** Default: the real one. For tests. */
  readonly clock?: Clock | undefined;
}

/** The keys at the top of the hierarchy. */
export interface MasterKeys {
  /** Signs endorsements. */
  readonly root: KeyMetadata;
  /** Wraps data keys. */
  readonly kek: KeyMetadata;
}

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

const level = z.enum(['HSM', 'SOFTWARE'], 'must be HSM or SOFTWARE');
const algorithm = z.string('must be an algorithm name').default('EC_SIGN_P384_SHA384');
const wholeNumber = (min: number, max: number) =>
  z
    .int('a whole number is required')
    .min(min, `at least ${min.toLocaleString('en')} is required`)
    .max(max, `at most ${max.toLocaleString('en')} is possible`);
const schema = z.strictObject(
  {
    rootAlgorithm: algorithm,
    masterProtectionLevel: level.default('HSM'),
    endorsementValiditySeconds: wholeNumber(1, ENDORSEMENT_VALIDITY_MAX_SECONDS).default(
      ENDORSEMENT_VALIDITY_DEFAULT_SECONDS,
    ),
    kekRotationPeriodSeconds: wholeNumber(ROTATION_PERIOD_MIN_SECONDS, ROTATION_PERIOD_MAX_SECONDS)
      .nullable()
      .default(KEK_ROTATION_PERIOD_DEFAULT_SECONDS),
    defaultAlgorithm: algorithm,
    protectionLevel: level.optional(),
    maxCachedAgents: wholeNumber(1, 10_000_000).default(10_000),
    pinnedVersions: z.array(z.string('must be the full name of a version'), 'must be a list').default([]),
    logger: z
      .custom<Pick<Logger, 'warn'>>(
        (value) => typeof Object(value).warn === 'function',
        'must have the method warn',
      )
      .default(createDefaultLogger),
    clock: z.custom<Clock>(isClock, 'must have the methods now, monotonic and setTimer').optional(),
  },
  'must be an object',
);

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
 * knows its rotation policy and its agents' identities.
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
  readonly #options: z.output<typeof schema>;
  readonly #clock: Clock;
  readonly #services: AgentEncryptionContext;

  /** @throws InvalidConfigError naming every option that is wrong; UnsupportedAlgorithmError. */
  constructor(provider: KeyProvider, options: KeyHierarchyOptions = {}) {
    const context = { operation: 'KeyHierarchy', resource: 'options' };
    const parsed = schema.safeParse(options);
    if (!parsed.success) throw new InvalidConfigError(schemaProblems(parsed.error, 'hierarchy'));
    this.#provider = provider;
    this.#options = parsed.data;
    requireJose(context, signingAlgorithm(context, this.#options.rootAlgorithm).name);
    signingAlgorithm(context, this.#options.defaultAlgorithm);
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
    const context = { operation: 'initialize', resource: MASTER_KEY_IDS.root };
    const protectionLevel = this.#options.masterProtectionLevel;
    const ensure = (spec: KeySpec): Promise<EnsuredKey> =>
      ensureKey(this.#provider, spec, { options, logger: this.#options.logger });
    const [{ key: root }, { key: foundKek, unreached }] = await Promise.all([
      ensure({
        name: MASTER_KEY_IDS.root,
        purpose: 'ASYMMETRIC_SIGN',
        algorithm: signingAlgorithm(context, this.#options.rootAlgorithm).name,
        protectionLevel,
        labels: masterKeyLabels('root'),
      }),
      ensure({
        name: MASTER_KEY_IDS.kek,
        purpose: 'ENCRYPT_DECRYPT',
        algorithm: 'GOOGLE_SYMMETRIC_ENCRYPTION',
        protectionLevel,
        labels: masterKeyLabels('kek'),
      }),
    ]);
    // Also after a crash between the two calls; a schedule that somebody chose stays, so all key rings have to be seen.
    const { kekRotationPeriodSeconds: rotationPeriodSeconds } = this.#options;
    const unscheduled =
      foundKek.rotationPeriodSeconds === undefined && foundKek.nextRotationTime === undefined;
    const kek =
      rotationPeriodSeconds !== null && unscheduled && unreached.length === 0
        ? await this.#provider.setRotationSchedule(foundKek.name, { rotationPeriodSeconds }, options)
        : foundKek;
    return { root, kek };
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

  /** The agent's public key in use, as JWK. */
  async getAgentJwk(
    agentId: string,
    options: CallOptions & { readonly role?: AgentKeyRole | undefined } = {},
  ): Promise<PublicJwk> {
    const { role: named, ...callOptions } = options;
    const context = agentContext('getAgentJwk', agentId);
    const role = requireRole(context, named);
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
    const {
      role: named,
      validitySeconds = this.#options.endorsementValiditySeconds,
      ...callOptions
    } = options;
    const context = agentContext('endorseAgentKey', agentId);
    const role = requireRole(context, named);
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

function requireJose(context: ErrorContext, algorithm: SigningAlgorithm): void {
  if (findJoseAlgorithm(algorithm) !== undefined) return;
  throw new UnsupportedAlgorithmError(
    context,
    `JOSE has no name for ${algorithm}, so it cannot sign endorsements.`,
    algorithmsOf('ASYMMETRIC_SIGN').filter((name) => findJoseAlgorithm(name) !== undefined),
  );
}
