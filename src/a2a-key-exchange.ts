/**
 * `A2AKeyExchange`: what agents use. Agent ids in, results out. The key ring is the registry: whatever is remembered
 * here is a cache, and any process with the same configuration finds the same agents.
 */

import type {
  AgentAccessBinding,
  AgentAccessOptions,
  GrantAgentAccessOptions,
} from './access/agent-access.js';
import type { AgentRoleName } from './access/agent-roles.js';
import { type PreflightOptions, type PreflightReport, preflight } from './access/preflight.js';
import { assembleExchange, type ExchangeParts } from './assemble-exchange.js';
import type { AuditTrail } from './audit/audit-trail.js';
import { initializeAudited } from './audit/create-audit-trail.js';
import type { BlindedMessage } from './batch/blinded-message.js';
import type { SignBatchOptions } from './batch/sign-batch-options.js';
import type { SignManyOptions, SignManyOutcome } from './batch/sign-many.js';
import { type ComplianceReportOptions, createComplianceReport } from './compliance/compliance-report.js';
import type { ComplianceReport } from './compliance/report.js';
import { complianceSources } from './compliance/sources.js';
import type { A2AKeyExchangeConfig } from './config/agent-config.js';
import type { EnvelopeCipher } from './envelope/envelope-cipher.js';
import type { EnvelopeCipherOptions } from './envelope/options.js';
import { InvalidArgumentError } from './errors/input.js';
import { AgentKeyNotFoundError } from './errors/keys.js';
import { OperationAbortedError } from './errors/service.js';
import type { ExchangeStats } from './exchange-stats.js';
import type { EncryptForAgentOptions, Recipient } from './hierarchy/agent-encryption.js';
import type { AgentKeyOptions } from './hierarchy/agent-key-spec.js';
import { ownerOf, requireAgentId } from './hierarchy/agent-keys.js';
import type { DescribeHierarchyOptions, HierarchyDescription } from './hierarchy/describe.js';
import type { ExchangeHierarchy } from './hierarchy/key-hierarchy.js';
import { publicJwks } from './hierarchy/public-jwks.js';
import type { PublicJwk } from './identity/jwk.js';
import type { AccessChange } from './keys/access.js';
import { agentContext, agentKeyRoleLabel } from './keys/agent-key-name.js';
import type { CallOptions, RestoreOptions } from './keys/call-options.js';
import type { KeyMetadata, KeyProvider, RotationResult, SignatureDetails } from './keys/key-provider.js';
import type { RotationPolicy } from './keys/rotation-policy.js';
import type { AgentRotationOptions, RoleOptions } from './lifecycle/agent-lifecycle.js';
import type { LocatedAttestation } from './lifecycle/attest-agent.js';
import { type AgentDescription, type AgentSummary, toSummary } from './lifecycle/describe-agent.js';
import type { AgentDestruction, DestroyAgentOptions } from './lifecycle/destroy-agent.js';
import type { LocatedPublicKey } from './lifecycle/published-keys.js';
import type { RotateDueKeysOptions, RotationReport } from './lifecycle/rotate-due-keys.js';
import type { RotationScheduler, RotationSchedulerOptions } from './lifecycle/rotation-scheduler.js';
import type { PruneStaleAgentsOptions, StaleAgentReport } from './lifecycle/stale-agents.js';
import { describeBothKinds, publishBothKinds } from './migration/describe.js';
import type {
  AgentMigration,
  MigrateAgentOptions,
  MigrateAllAgentsOptions,
  MigrationReport,
  PurgeMigratedKeysOptions,
  PurgeReport,
} from './migration/migration-report.js';
import { parseOptions, verifyMessageOptions } from './provider/call-input.js';
import type { LocationStatus } from './replication/location.js';

/** Which version a signature is expected to be by. */
export interface VerifyMessageOptions extends CallOptions {
  /** Full name of a version of the agent's key, as `signMessageDetailed` gave it: only that one counts. */
  readonly keyVersion?: string | undefined;
}

/** Which key wraps, and the limits of the cipher. */
export interface EnvelopeOptions extends EnvelopeCipherOptions {
  /** Any ENCRYPT_DECRYPT key of the provider. Default `a2a-kek`, the key-encryption key of the hierarchy. */
  readonly keyId?: string | undefined;
}

/**
 * Keys for agents: made in an HSM, used by agent id.
 *
 * Any method that takes arguments or makes calls may throw these; each method names what it throws besides:
 * - before any call, `InvalidArgumentError` for what is wrong with an agent id, an argument or an option; when the caller's
 *   `signal` aborts, `OperationAbortedError`; after `close`, `ClientClosedError`.
 * - from Cloud KMS, `PermissionDeniedError`, `UnauthenticatedError`, `ImpersonationError` where a service account is acted as,
 *   `ResourceExhaustedError` for a quota, `UnavailableError`, `DeadlineExceededError`, `IntegrityError` for an answer that is
 *   not the one to the request, and `ServiceError` for any other status.
 * - with `replicas`, for what any location can do alone (to sign, to look up a key), `AllLocationsFailedError` when none
 *   answers.
 * - with an agent id, `KeySpecMismatchError` when the key of that name does not say in its labels that it is the agent's.
 * - with software keys, `KeyStoreError`, `KeyStoreLockedError` and `StoredKeyDamagedError`; with an archive of public keys,
 *   `ArchiveError`; with an audit trail that is `failClosed`, `AuditWriteError`.
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
  /**
   * The keys behind the agents, for everything that is not about an agent: other keys, encryption, versions
   * (docs/providers.md).
   */
  readonly keys: KeyProvider;
  /** Public keys of agents and of the root, and endorsements of agents' keys. */
  readonly hierarchy: ExchangeHierarchy;
  /** The audit trail, where the configuration has one: its anchor, checkpoints and counts. */
  readonly audit: AuditTrail | undefined;
  readonly #parts: ExchangeParts;

  /** @throws InvalidConfigError naming every field that is wrong. */
  constructor(config: A2AKeyExchangeConfig) {
    this.#parts = assembleExchange(config);
    this.keys = this.#parts.keys;
    this.hierarchy = this.#parts.hierarchy;
    this.audit = this.#parts.trail;
  }

  /**
   * Makes sure that the key ring exists, and, where configured, the master keys (`hierarchy`) and the key of the audit
   * trail (`audit`). With `replicas` it starts without a key ring that cannot be reached, as long as another one has the
   * keys, and logs that; a key ring that refuses keeps it from starting.
   * @throws KeySpecMismatchError when a key of that name is another one; NoUsableVersionError when it has no ENABLED version;
   *   KeyGenerationFailedError with the reason that Cloud KMS gives.
   * @throws ReplicationIncompleteError when a key ring could be reached and does not have the keys.
   * @throws UnmigratedAgentsError in phase 4 of a migration, when software keys were left behind.
   */
  async initialize(options?: CallOptions): Promise<void> {
    this.#parts.telemetry?.start();
    const auditKey = { provider: this.keys, protectionLevel: this.#parts.auditKeyLevel };
    await initializeAudited(
      this.#parts.trail,
      { ...auditKey, options, logger: this.#parts.logger },
      async () => {
        if (this.#parts.ensuresMasters) await this.#parts.hierarchy.initialize(options);
        else await this.keys.initialize(options);
      },
    );
  }

  /**
   * Gives the agent a signing key, or finds the one it has, and returns its resource name, which every method that takes
   * a key id accepts. With purpose `both` the agent gets an encryption key too; with `encryption` only that one, and its
   * name is what is returned.
   * @throws UnsupportedAlgorithmError before any call, when the protection level has no such algorithm.
   * @throws KeySpecMismatchError when the agent has a key of another algorithm or protection level.
   * @throws NoUsableVersionError when it has a key without an ENABLED version; KeyGenerationFailedError with the reason that
   *   Cloud KMS gives; SoftwareSigningRefusedError in phase 3 of a migration, for an agent that was not migrated.
   * @throws ReplicationIncompleteError when the key is not in all key rings: call again to complete it.
   */
  async generateAgentKey(agentId: string, options?: AgentKeyOptions): Promise<string> {
    const rotationPolicy = options?.purpose === 'encryption' ? undefined : this.#parts.rotationPolicy;
    const keys = await this.#parts.hierarchy.generateAgentKeys(agentId, { rotationPolicy, ...options });
    return keys.name;
  }

  /**
   * Signs a message as the agent: of any size with an algorithm that signs a digest, up to 64 KiB with one that takes the
   * message itself. ECDSA signatures are ASN.1 DER, not P1363; all others are the bytes that their standard gives.
   * @throws AgentKeyNotFoundError; NoUsableVersionError when no version is ENABLED; DataTooLargeError before the signing call.
   * @throws AttestationFailedError with `requireAttestation`, when the statement about the version is not valid.
   * @throws SoftwareSigningRefusedError in phase 3 of a migration, for an agent that was not migrated.
   */
  async signMessage(agentId: string, message: Uint8Array, options?: CallOptions): Promise<Buffer> {
    return (await this.signMessageDetailed(agentId, message, options)).signature;
  }

  /**
   * As `signMessage`, and says which key version signed, with which algorithm and protection level.
   * @throws what `signMessage` throws.
   */
  signMessageDetailed(
    agentId: string,
    message: Uint8Array,
    options?: CallOptions,
  ): Promise<SignatureDetails> {
    return this.#withKey('signMessage', agentId, options, (keyName) =>
      this.keys.signDetailed(keyName, message, options),
    );
  }

  /**
   * Signs up to 65,536 messages with one operation of the HSM. Each gets a receipt (a COSE Receipt, CBOR) that
   * `verifyReceipt` checks alone and that tells nothing of the others. The messages may be changed after the call.
   * @throws InvalidArgumentError for what is no batch; UnsupportedAlgorithmError when COSE has no number for the key's
   *   algorithm; IntegrityError when the signature is not what was asked for; what `signMessage` throws.
   */
  async signBatch(
    agentId: string,
    messages: readonly (Uint8Array | BlindedMessage)[],
    options: SignBatchOptions = {},
  ): Promise<readonly Buffer[]> {
    const batch = this.#parts.batches.prepareBatch(agentId, messages, options);
    return this.#withKey('signBatch', agentId, batch.forLookUp, (keyName) =>
      this.#parts.batches.signBatch(keyName, batch),
    );
  }

  /**
   * Signs many messages with one ordinary signature each, in their order, at most `concurrency` at a time. A message that
   * fails does not end the others; a quota that is used up slows all of them down. The messages must stay unchanged
   * until it is done.
   * @throws AgentKeyNotFoundError, and whatever else looking the key up throws, an abort excepted: what signing throws, and
   *   an abort, is in the outcomes. What `onProgress` throws.
   */
  async signMany(
    agentId: string,
    messages: readonly Uint8Array[],
    options: SignManyOptions = {},
  ): Promise<readonly SignManyOutcome[]> {
    const many = this.#parts.batches.prepareMany(agentId, messages, options);
    const { signal, timeoutMs, reason, correlationId } = many.options;
    const forLookUp = { signal, timeoutMs, reason, correlationId };
    const signing = this.#withKey('signMany', agentId, forLookUp, (keyName) =>
      this.#parts.batches.signMany(keyName, many),
    );
    return signing.catch((error: unknown) => {
      // Whether the key was known already when the caller aborted makes no difference; nothing is signed any more.
      if (!(error instanceof OperationAbortedError) || !signal?.aborted) throw error;
      return this.#parts.batches.signMany(agentId, many);
    });
  }

  /**
   * Whether the signature over the message is by the agent: by the version in use, one before that is ENABLED, or one
   * whose public key is archived. Up to 64 versions are tried; name the one for signatures older than that. A version that
   * another process made a moment ago is looked for before the answer is false, within a bound (docs/key-lifecycle.md).
   * @param signature ECDSA: ASN.1 DER. A signature that is malformed is false.
   * @throws InvalidArgumentError when `keyVersion` is not a version of the agent's key; AgentKeyNotFoundError;
   *   NoUsableVersionError when no version has a public key that can be read.
   * @throws UnavailableError or DeadlineExceededError, with `replicas`, when a location could not say and no other one knows
   *   the signature.
   */
  async verifyMessage(
    agentId: string,
    message: Uint8Array,
    signature: Uint8Array,
    options: VerifyMessageOptions = {},
  ): Promise<boolean> {
    const context = agentContext('verifyMessage', agentId);
    const { keyVersion, ...callOptions } = parseOptions(context, verifyMessageOptions, options);
    const verify = (keyName: string): Promise<boolean> => {
      const keyPath = keyName.slice(keyName.indexOf('/cryptoKeys/'));
      // In any of the key rings: a replica's signature is the agent's too.
      if (keyVersion !== undefined && !keyVersion.includes(`${keyPath}/cryptoKeyVersions/`)) {
        const context = { operation: 'verifyMessage', resource: keyVersion };
        throw new InvalidArgumentError(context, `it is not a version of ${keyName}.`);
      }
      return this.keys.verify(keyVersion ?? keyName, message, signature, callOptions);
    };
    return this.#withKey('verifyMessage', agentId, callOptions, verify).catch(async (error: unknown) => {
      // With HSM keys switched off, an agent that has no software key is known by its archived public keys alone.
      const archivedKey =
        error instanceof AgentKeyNotFoundError
          ? await this.#parts.migration.archivedKeyName(requireAgentId(context, agentId))
          : undefined;
      if (archivedKey === undefined) throw error;
      return verify(archivedKey);
    });
  }

  /**
   * The public key of the version in use of the agent's signing key: the text of a PEM file (RFC 7468 section 13).
   * @throws AgentKeyNotFoundError; NoUsableVersionError when no version is ENABLED.
   */
  getPublicKey(agentId: string, options?: CallOptions): Promise<Buffer> {
    return this.#withKey('getPublicKey', agentId, options, (keyName) =>
      this.keys.getPublicKey(keyName, options),
    );
  }

  /**
   * The agent's public keys that are to be published together, each with its `lifecycle`: of the version in use, of one
   * that was prepared and will be used next, and of those that were replaced and are still ENABLED. With `replicas` of
   * all key rings, in their order, since any of them may sign; in each in ascending order of the versions. They are
   * read from Cloud KMS, not from a cache, and versions named in `pinnedVersions` make no difference.
   * @throws AgentKeyNotFoundError; NoUsableVersionError when no version is ENABLED; UnsupportedAlgorithmError when one is of an
   *   algorithm that this library does not know.
   * @throws ReplicationIncompleteError when a key ring could not give its own.
   */
  getPublicKeys(agentId: string, options?: CallOptions): Promise<readonly LocatedPublicKey[]> {
    return this.#withKey('getPublicKeys', agentId, options, async (keyName) => {
      const published = await this.#parts.lifecycle.publicKeys(agentId, options);
      return publishBothKinds(this.#parts.migration, { keyName, published }, options);
    });
  }

  /**
   * The keys of `getPublicKeys` as JWKs, in the same order: what to serve as JWK Set (`{ keys }`, RFC 7517 section 5) and to give
   * to a `ReceiptTrust`. `kid` is the RFC 7638 thumbprint, `use` is `sig`.
   * @throws what `getPublicKeys` throws; UnsupportedAlgorithmError when JOSE has no name for the algorithm of one of them (RSA
   *   without a digest, SLH-DSA): a set that lacks a key is not given out.
   *
   * @example
   * ```ts
   * const jwkSet = { keys: await exchange.getAgentJwks('invoice-bot') };
   * const trust = new ReceiptTrust(jwkSet);
   * ```
   */
  async getAgentJwks(agentId: string, options?: CallOptions): Promise<readonly PublicJwk[]> {
    return publicJwks('getAgentJwks', await this.getPublicKeys(agentId, options));
  }

  /**
   * What the HSM stated when it made the version in use of the agent's signing key (`role: 'encryption'`: of its encryption
   * key), checked as `KMSClient.attestKey` does, with the evidence to file. With `replicas` one for each key ring, in their
   * order, since each has key material of its own. A statement that is missing or not valid is a verdict, not an error.
   * @throws AgentKeyNotFoundError; NoUsableVersionError when no version is ENABLED.
   * @throws AttestationUnsupportedError for an agent with software keys.
   * @throws ReplicationIncompleteError when a key ring could not give its own.
   */
  attestAgentKey(
    agentId: string,
    options?: RoleOptions,
  ): Promise<readonly [LocatedAttestation, ...LocatedAttestation[]]> {
    this.#parts.identities?.note(agentId);
    return this.#parts.lifecycle.attest(agentId, options);
  }

  /**
   * With `replicas`: the circuit-breaker state of each location, in the order in which they are used. Without: an empty list.
   * Makes no call and throws nothing.
   */
  replication(): readonly LocationStatus[] {
    return this.#parts.locations();
  }

  /**
   * What was counted since this was made: calls by outcome, caches, connections. Plain frozen data. Makes no call and throws
   * nothing.
   */
  stats(): ExchangeStats {
    return this.#parts.stats();
  }

  /**
   * Evidence for an auditor: every key, its versions, the HSM's statements, who has access, what could not be looked at.
   * @throws InvalidArgumentError, OperationAbortedError and ClientClosedError alone: whatever else fails is a finding.
   */
  complianceReport(options?: ComplianceReportOptions): Promise<ComplianceReport> {
    return createComplianceReport(
      complianceSources(this.#parts.sources, this.#parts.trail, this.#parts.clock),
      options,
    );
  }

  /**
   * Encrypts to an agent, given by its id or its public JWK, as compact JWE (RFC 7516 section 7.1). Made in this process.
   * @throws DataTooLargeError above 16 MiB; AgentKeyNotFoundError when the agent has no encryption key;
   *   NoUsableVersionError when no version of it is ENABLED; InvalidJwkError when the JWK is not a public RSA key.
   * @throws AttestationFailedError with `requireAttestation`, for an agent whose key has no valid statement.
   */
  encryptForAgent(
    recipient: Recipient,
    plaintext: Uint8Array,
    options?: EncryptForAgentOptions,
  ): Promise<string> {
    return this.#parts.hierarchy.encryptForAgent(recipient, plaintext, options);
  }

  /**
   * Opens a compact JWE that was encrypted to the agent; its content key is unwrapped in the HSM.
   * @throws InvalidJweError before any call; AgentKeyNotFoundError when the agent has no encryption key; UnknownKeyIdError when
   *   no ENABLED version has the `kid`; NoUsableVersionError when it has none and no version is ENABLED.
   * @throws DecryptionFailedError when it was not encrypted to that key, or was changed since.
   * @throws AttestationFailedError with `requireAttestation`, when the statement about the version is not valid.
   */
  async decryptAsAgent(agentId: string, jwe: string, options?: CallOptions): Promise<Buffer> {
    this.#parts.identities?.note(agentId);
    return this.#parts.hierarchy.decryptAsAgent(agentId, jwe, options);
  }

  /**
   * A cipher for data of any size, whose data keys the key-encryption key wraps. It shares nothing with others, so make one
   * and keep it; closing this closes it too.
   * @throws InvalidConfigError naming every option that is wrong; ClientClosedError after `close`.
   */
  envelope(options: EnvelopeOptions = {}): EnvelopeCipher {
    const { keyId = this.hierarchy.kekKeyId, ...cipher } = options ?? {};
    return this.#parts.ciphers.create(keyId, { ...cipher, clock: cipher.clock ?? this.#parts.clock });
  }

  /**
   * The tree of keys with their versions, states and what is due when.
   * @throws only what every method may throw.
   */
  describeHierarchy(options?: DescribeHierarchyOptions): Promise<HierarchyDescription> {
    return this.#parts.hierarchy.describeHierarchy(options);
  }

  /**
   * Makes a new version of the agent's key and uses it from now on. Signatures made before keep verifying. Where others verify
   * with published keys, use `prepareAgentRotation` and `activateAgentRotation` instead.
   * @throws AgentKeyNotFoundError; UnsupportedAlgorithmError when the key cannot go over to the algorithm asked for;
   *   FailedPreconditionError when a version of another algorithm was prepared, or the key has too many labels.
   * @throws KeyGenerationFailedError with the reason that Cloud KMS gives; ConcurrentChangeError when other processes keep
   *   changing the key; SoftwareSigningRefusedError in phase 3 of a migration, for an agent that was not migrated.
   * @throws ReplicationIncompleteError when it is done in some key rings only.
   */
  rotateAgentKey(agentId: string, options?: AgentRotationOptions): Promise<RotationResult> {
    return this.#parts.lifecycle.rotate('rotateAgentKey', agentId, options);
  }

  /**
   * Makes a new version and publishes it without using it: the first step of a rotation in a fleet. May be repeated.
   * @throws what `rotateAgentKey` throws.
   */
  prepareAgentRotation(agentId: string, options?: AgentRotationOptions): Promise<RotationResult> {
    return this.#parts.lifecycle.rotate('prepareAgentRotation', agentId, options);
  }

  /**
   * Uses the version that was prepared. Without one it changes nothing, so it may be repeated.
   * @throws what `rotateAgentKey` throws.
   */
  activateAgentRotation(agentId: string, options?: AgentRotationOptions): Promise<RotationResult> {
    return this.#parts.lifecycle.rotate('activateAgentRotation', agentId, options);
  }

  /**
   * Uses an ENABLED version, given by number or full name, from now on: the way back from a rotation that went wrong. With
   * `replicas` in the key ring that the name is in, for a number in the first one.
   * @throws AgentKeyNotFoundError; FailedPreconditionError for a version that is not ENABLED, and for a key with so many labels
   *   that the way back cannot be written down; ConcurrentChangeError when another process used another one meanwhile.
   * @throws SoftwareSigningRefusedError in phase 3 of a migration, for an agent that was not migrated.
   */
  setAgentPrimaryVersion(
    agentId: string,
    version: number | string,
    options?: RoleOptions,
  ): Promise<KeyMetadata> {
    return this.#parts.lifecycle.setPrimaryVersion(agentId, version, options);
  }

  /**
   * Sets the policy by which `rotateDueKeys` rotates the agent's key; it is kept in the key. null removes it.
   * @throws AgentKeyNotFoundError; ConcurrentChangeError when other processes keep changing the key's labels.
   * @throws ReplicationIncompleteError when it is done in some key rings only.
   */
  setRotationPolicy(
    agentId: string,
    policy: RotationPolicy | null,
    options?: RoleOptions,
  ): Promise<KeyMetadata> {
    return this.#parts.lifecycle.setRotationPolicy(agentId, policy, options);
  }

  /**
   * Rotates every key whose policy says that it is due, retires versions whose time is over, and reports each key, at most
   * `concurrency` at a time.
   * @throws what listing the keys throws, where no key ring could be read, and what `onProgress` throws. What fails for a key
   *   is in its report, and a key ring that could not be listed is in `unlisted`.
   */
  async rotateDueKeys(options?: RotateDueKeysOptions): Promise<RotationReport> {
    return this.#parts.lifecycle.rotateDueKeys(options);
  }

  /**
   * Calls `rotateDueKeys` from time to time, until the scheduler or this is closed. For a service of one process.
   * @throws InvalidArgumentError naming every option that is wrong; ClientClosedError after `close`. What a run throws is
   *   logged, and the next one is made.
   */
  startRotationScheduler(options?: RotationSchedulerOptions): RotationScheduler {
    return this.#parts.lifecycle.startScheduler(options);
  }

  /**
   * Schedules all versions of all keys of the agent for destruction and reports each; public keys are archived first.
   * `destroyAfter` is in seconds. Look at `failed` of the result: what fails for a version is in its report, and does not reject.
   * @throws InvalidArgumentError, with nothing touched, when a key destroys its versions sooner than `destroyAfter`.
   * @throws AgentKeyNotFoundError when the agent has no key in any key ring.
   */
  destroyAgent(agentId: string, options?: DestroyAgentOptions): Promise<AgentDestruction> {
    return this.#parts.lifecycle.destroyAgent(agentId, options);
  }

  /**
   * Takes back `destroyAgent` as long as the versions are only scheduled for destruction.
   * @returns the keys that were restored; none when nothing was scheduled.
   * @throws AgentKeyNotFoundError when the agent has no key in any key ring; ConcurrentChangeError when other processes keep
   *   changing a key. What was restored until then stays so, and a further call goes on.
   */
  restoreAgent(agentId: string, options?: RestoreOptions): Promise<readonly KeyMetadata[]> {
    return this.#parts.lifecycle.restoreAgent(agentId, options);
  }

  /**
   * Finds agents that were not used for long and, with `dryRun: false`, ends them in two calls a week apart. Times are in
   * seconds.
   * @throws what listing the keys throws, for any key ring. What fails for an agent is in its report.
   */
  pruneStaleAgents(options: PruneStaleAgentsOptions): Promise<readonly StaleAgentReport[]> {
    return this.#parts.lifecycle.pruneStaleAgents(options);
  }

  /**
   * All agents with a signing key in this key ring, by their original ids. Those with an encryption key only are in
   * `describeHierarchy`.
   * @throws only what every method may throw.
   */
  async listAgents(options?: CallOptions): Promise<readonly AgentSummary[]> {
    const keys = await this.keys.listKeys({ ...options, labels: agentKeyRoleLabel('signing') });
    return keys.flatMap((key) => {
      const agentId = ownerOf(key, 'signing');
      return agentId === undefined ? [] : [toSummary(agentId, key)];
    });
  }

  /**
   * What the key ring holds of an agent now, with the history of every version of its signing key. With `replicas` the
   * versions in all key rings; one that cannot be read is named in `unread`, as long as another one answers.
   * @throws AgentKeyNotFoundError when the agent has no signing key in any key ring: one with an encryption key only is in
   * `describeHierarchy`.
   */
  async describeAgent(agentId: string, options?: CallOptions): Promise<AgentDescription> {
    const described = await this.#parts.lifecycle.describe(agentId, options);
    return describeBothKinds(this.#parts, described, options);
  }

  /**
   * Moves an agent from its software keys to HSM keys, with the strategy `regenerate` or `import`. May be repeated, and
   * takes up what an earlier call left half done; up to its last step the software keys serve the agent.
   * @throws AgentKeyNotFoundError when the agent has no software key.
   * @throws MigrationPhaseError outside of phases 2 and 3 (a dry run is done in phase 1 too), and where the configuration
   *   rules the strategy out: `softwareKeys: 'forbidden'` rules out `regenerate`, `requireAttestation` rules out imported keys.
   * @throws UnsupportedAlgorithmError when the HSM has no such key; NoUsableVersionError when no version could be migrated;
   *   AttestationFailedError with `requireAttestation`; KeyImportFailedError or KeyGenerationFailedError with the reason that
   *   Cloud KMS gives; KeySpecMismatchError when the HSM has another key of that name.
   */
  migrateAgent(agentId: string, options: MigrateAgentOptions): Promise<AgentMigration> {
    return this.#parts.migration.migrateAgent(agentId, options);
  }

  /**
   * As `migrateAgent` for all agents with software keys, at most `concurrency` at a time, with a report for each.
   * @throws MigrationPhaseError as `migrateAgent` does for the configuration; what `onProgress` throws. What fails for an agent
   *   is in its report.
   */
  migrateAllAgents(options: MigrateAllAgentsOptions): Promise<MigrationReport> {
    return this.#parts.migration.migrateAllAgents(options);
  }

  /**
   * Lists the software keys of migrated agents; with `dryRun: false`, deletes those whose retention (`retentionDays`, in days)
   * is over.
   * @throws MigrationPhaseError outside of phases 2 and 3. What fails for a key is in its report.
   */
  purgeMigratedKeys(options?: PurgeMigratedKeysOptions): Promise<readonly PurgeReport[]> {
    return this.#parts.migration.purgeMigratedKeys(options);
  }

  /**
   * Gives a member a role on the agent's key, and on nothing else; with `replicas`, in all key rings. May be repeated.
   * @param member as in an IAM policy, e.g. `serviceAccount:bot@my-project.iam.gserviceaccount.com`.
   * @param role `signer`, `verifier`, `rotator`, `administrator` (docs/access.md), or the full name of a role.
   * @throws AgentKeyNotFoundError; AccessControlUnsupportedError for software keys; InvalidArgumentError for `allUsers` and
   *   `allAuthenticatedUsers`, unless `publicMembers` is `allow`; ReplicationIncompleteError when it is done in some key
   *   rings only.
   */
  grantAgentAccess(
    agentId: string,
    member: string,
    role: AgentRoleName | (string & {}),
    options?: GrantAgentAccessOptions,
  ): Promise<AccessChange> {
    return this.#parts.access.grant(agentId, member, role, options);
  }

  /**
   * Takes a role on the agent's key from a member, also where it is bound under a condition. Inherited roles stay.
   * @throws AgentKeyNotFoundError; AccessControlUnsupportedError for software keys; ReplicationIncompleteError when it is done
   *   in some key rings only.
   */
  revokeAgentAccess(
    agentId: string,
    member: string,
    role: AgentRoleName | (string & {}),
    options?: AgentAccessOptions,
  ): Promise<AccessChange> {
    return this.#parts.access.revoke(agentId, member, role, options);
  }

  /**
   * Who has which role by the policy of the agent's key itself; what the key ring and the project give is not in it.
   * @throws AgentKeyNotFoundError; AccessControlUnsupportedError for software keys.
   */
  listAgentAccess(agentId: string, options?: AgentAccessOptions): Promise<readonly AgentAccessBinding[]> {
    return this.#parts.access.list(agentId, options);
  }

  /**
   * Which permissions the identity of this process lacks for what its configuration means it to do: each permission
   * with the key ring or key it is missing on, what it is for and which roles hold it. Changes nothing, and does not
   * fail because a permission is missing.
   * @throws AccessControlUnsupportedError for software keys.
   */
  preflight(options?: PreflightOptions): Promise<PreflightReport> {
    return preflight(this.#parts.preflight, options);
  }

  /** Settles when nothing runs in the background: no scheduled rotation, and no write of when an agent was last used. */
  idle(): Promise<void> {
    return this.#parts.lifecycle.idle();
  }

  /**
   * Stops what runs in the background, closes the ciphers it gave out and closes the connections. Calls that are under way
   * are cancelled with `ClientClosedError`, and what they had started may still take effect: await first those whose result
   * you need.
   */
  async close(): Promise<void> {
    await this.#parts.ciphers.close();
    await this.#parts.lifecycle.close();
    await this.audit?.close();
    await this.keys.close();
    this.#parts.telemetry?.close();
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
    this.#parts.telemetry?.start();
    const context = agentContext(operation, agentId);
    const agent = requireAgentId(context, agentId);
    this.#parts.identities?.note(agent);
    return use(await this.#parts.agentKeys.nameOf(context, agent, 'signing', options));
  }
}
