/**
 * `KMSClient`: the `KeyProvider` on Cloud KMS. Thin: what callers pass is parsed, an operation with its deadline is opened,
 * and the work is handed over to the modules beside it.
 */

import type { KeyAttestation } from '../attestation/key-attestation.js';
import type { AuditRecorder } from '../audit/audit-recorder.js';
import type { AuditTrail } from '../audit/audit-trail.js';
import { createAuditTrail, initializeAudited, withTrail } from '../audit/create-audit-trail.js';
import { shownIdentity } from '../config/access-config.js';
import { attestationInForce } from '../config/attestation-config.js';
import { serverOf, shownEndpoint } from '../config/endpoint.js';
import { type KMSConfig, parseKMSConfig } from '../config/kms-config.js';
import type {
  AccessBinding,
  AccessChange,
  AccessManager,
  GrantOptions,
  TestedPermissions,
} from '../keys/access.js';
import type {
  CallOptions,
  DestroyOptions,
  EncryptionOptions,
  ListKeysOptions,
  RestoreOptions,
  RetireOptions,
  RotationOptions,
  VerifyOptions,
} from '../keys/call-options.js';
import type {
  DestructionResult,
  KeyMetadata,
  KeyProvider,
  KeySpec,
  KeyVersionInUse,
  KeyVersionMetadata,
  RetirementResult,
  RotationResult,
  RotationSchedule,
  SignatureDetails,
} from '../keys/key-provider.js';
import { keyRingName } from '../keys/resource-name.js';
import type { KeyAttester } from '../provider/key-attester.js';
import { nameInSpec } from '../provider/observed-method.js';
import { productIs, verdictIs } from '../provider/observer.js';
import { CallCounts, type ConnectionStats, frozen, type KmsStats } from '../provider/stats.js';
import { type ProviderTelemetry, providerTelemetry } from '../telemetry/provider-telemetry.js';
import * as access from './access.js';
import { Attestations } from './attestation.js';
import { ClientCalls } from './client-calls.js';
import { KmsConnection } from './connection.js';
import { IamCredentials } from './iam-credentials.js';
import { withCopy } from './import.js';
import * as administration from './key-administration.js';
import { ensureKeyRing } from './key-creation.js';
import { KeyReader } from './key-reader.js';
import { KeyReferences } from './key-references.js';
import * as keyUse from './key-use.js';
import { LateChecks } from './late-checks.js';
import { NewerVersions } from './newer-versions.js';
import { openOwnTokens } from './own-tokens.js';
import { PublicKeys } from './public-keys.js';
import { QuotaGuard } from './quota-guard.js';
import { RpcCaller } from './rpc-caller.js';
import { VersionResolver } from './version-resolver.js';

/**
 * Keys in Cloud KMS. Private keys are made in Google's HSMs and are never in this process, but for one that the caller has and
 * imports. Keys of protection level `SOFTWARE`, which have to be asked for by name, are kept by Cloud KMS outside an HSM.
 *
 * @example
 * ```ts
 * await using kms = new KMSClient({ projectId: 'my-project', locationId: 'europe-west3', keyRingId: 'agents' });
 * await kms.initialize();
 * const key = await kms.generateKey({
 *   name: 'invoices',
 *   purpose: 'ASYMMETRIC_SIGN',
 *   algorithm: 'EC_SIGN_P384_SHA384',
 *   protectionLevel: 'HSM',
 * });
 * const signature = await kms.sign(key.name, Buffer.from('pay 10 EUR'));
 * await kms.verify(key.name, Buffer.from('pay 10 EUR'), signature); // true
 * ```
 */
export class KMSClient implements KeyProvider, AccessManager, KeyAttester {
  /** The audit trail, where the configuration has one. */
  readonly audit: AuditTrail | undefined;
  readonly #trail: AuditRecorder | undefined;
  readonly #quota: QuotaGuard;
  readonly #connections: readonly KmsConnection[];
  readonly #iamCredentials: IamCredentials;
  readonly #calls: ClientCalls;
  readonly #telemetry: ProviderTelemetry;

  /** @throws InvalidConfigError naming every field that is wrong. */
  constructor(config: KMSConfig) {
    const resolved = parseKMSConfig(config);
    const { endpoint, channels, clock, deadlines, logger, audit } = resolved;
    const transport = { endpoint, channels, clock, attemptMs: deadlines.attemptMs };
    const connection = new KmsConnection(transport);
    this.#iamCredentials = new IamCredentials(resolved);
    const ownTokens = openOwnTokens(resolved, this.#iamCredentials, transport);
    this.#connections = [connection, ...(ownTokens === undefined ? [] : [ownTokens.connection])];
    const keyRing = keyRingName(resolved);
    this.#quota = new QuotaGuard(resolved);
    const caller = new RpcCaller({ connection, settings: resolved, quota: this.#quota, ownTokens });
    const reader = new KeyReader(caller, resolved);
    const resolver = new VersionResolver(reader, resolved, keyRing);
    const publicKeys = new PublicKeys(caller, reader, resolved);
    // A write that was sent before has been applied, or has failed, when its attempt is over.
    const lateChecks = new LateChecks({ clock, logger, delayMs: deadlines.attemptMs });
    const attestations = new Attestations({ caller, reader, publicKeys, config: resolved });
    const core = {
      attestations,
      config: resolved,
      keyRing,
      caller,
      reader,
      references: new KeyReferences(keyRing, { maxEntries: resolved.cache.maxKeys }),
      resolver,
      newerVersions: new NewerVersions(resolver, resolved),
      publicKeys,
      lateChecks,
      counts: new CallCounts(),
    };
    const flags = { hsmKeys: true, softwareKeys: false, ...attestationInForce(resolved) };
    const configuration = { ...flags, ...shownIdentity(resolved), ...shownEndpoint(endpoint) };
    this.#trail = audit && createAuditTrail(audit, { clock, logger, configuration });
    this.#trail?.signWith(this);
    this.audit = this.#trail;
    this.#telemetry = providerTelemetry(resolved.telemetry, {
      ...{ provider: 'kms', keyRing, server: serverOf(endpoint) },
      stats: () => this.stats(),
    });
    const observers = [...this.#telemetry.observers, ...resolved.observers];
    this.#calls = new ClientCalls(core, withTrail(observers, this.#trail));
    if (endpoint.kind === 'emulator') {
      logger.warn(
        { emulator: `${endpoint.host}:${endpoint.port}` },
        'calls go to a Cloud KMS emulator, which protects nothing',
      );
    }
  }

  /** Full name of the key ring. */
  get keyRing(): string {
    return this.#calls.core.keyRing;
  }

  /**
   * Gets or creates the key ring, and with `audit` the key of the audit trail; safe when several processes do it at once.
   * @throws AuditWriteError with `audit.failClosed`, when the trail cannot be written.
   */
  async initialize(options?: CallOptions): Promise<void> {
    const { logger } = this.#calls.core.config;
    await initializeAudited(this.#trail, { provider: this, protectionLevel: 'HSM', options, logger }, () =>
      this.#calls.observed({ method: 'initialize', options }, async (calls) => {
        const operation = calls.open('initialize', this.keyRing, options);
        await operation.run(() => ensureKeyRing(calls.core, operation));
      }),
    );
  }

  /**
   * Creates a key and waits until it can be used. A key of that name is adopted if purpose, protection level and the
   * algorithm of the version in use are the ones asked for.
   * @throws UnsupportedAlgorithmError before any call, when the protection level has no such algorithm.
   * @throws KeySpecMismatchError when the existing key is another one.
   * @throws KeyGenerationFailedError with the reason that Cloud KMS gives.
   */
  generateKey(spec: KeySpec, options?: CallOptions): Promise<KeyMetadata> {
    return this.#calls.observed({ method: 'generateKey', keyId: nameInSpec(spec), options }, (calls) =>
      administration.generateKey(calls, spec, options),
    );
  }

  /**
   * Brings a private key into the HSM, wrapped for it by an import job, and waits until it can be used. An imported key is
   * only as trustworthy as every place that held it before: the version is marked as imported forever. Repeating it after a
   * failure adopts what is there, if it is the same key.
   * @param pkcs8 the private key, PKCS#8 DER. It is copied before this returns, so it may be wiped at once; the copy is wiped
   *   when the promise settles.
   * @throws KeySpecMismatchError when the existing key is another one, in its attributes or in its material.
   * @throws KeyImportFailedError with the reason that Cloud KMS gives.
   */
  importKey(spec: KeySpec, pkcs8: Uint8Array, options?: CallOptions): Promise<KeyMetadata> {
    return withCopy(pkcs8, (copy) =>
      this.#calls.observed({ method: 'importKey', keyId: nameInSpec(spec), options }, (calls) =>
        administration.importKey(calls, { spec, pkcs8: copy }, options),
      ),
    );
  }

  /**
   * As `importKey`, into one more version of a key, whose other versions may have other sizes. A version that holds the
   * same key already is adopted. The new version is not put to use; `setPrimaryVersion` does that.
   */
  importKeyVersion(spec: KeySpec, pkcs8: Uint8Array, options?: CallOptions): Promise<KeyVersionMetadata> {
    return withCopy(pkcs8, (copy) =>
      this.#calls.observed({ method: 'importKeyVersion', keyId: nameInSpec(spec), options }, (calls) =>
        administration.importKeyVersion(calls, { spec, pkcs8: copy }, options),
      ),
    );
  }

  /** Signs a message of any size with an algorithm that takes a digest, up to 64 KiB with one that takes the message. */
  sign(keyId: string, data: Uint8Array, options?: CallOptions): Promise<Buffer> {
    const signed = this.#calls.observed(
      { method: 'sign', keyId, subject: data, options },
      (calls) => keyUse.sign(calls, 'sign', { keyId, kind: 'message', bytes: data }, options),
      ({ signature }) => productIs(signature),
    );
    return signed.then(({ signature }) => signature);
  }

  /** As `sign`, and says which version signed, with which algorithm, and how the signature is encoded. */
  signDetailed(keyId: string, data: Uint8Array, options?: CallOptions): Promise<SignatureDetails> {
    return this.#calls.observed(
      { method: 'signDetailed', keyId, subject: data, options },
      (calls) => keyUse.sign(calls, 'signDetailed', { keyId, kind: 'message', bytes: data }, options),
      ({ signature }) => productIs(signature),
    );
  }

  /** Signs a digest that the caller computed with the hash that the key's algorithm demands; its length is checked. */
  signDigest(keyId: string, digest: Uint8Array, options?: CallOptions): Promise<SignatureDetails> {
    return this.#calls.observed(
      { method: 'signDigest', keyId, subject: digest, options },
      (calls) => keyUse.sign(calls, 'signDigest', { keyId, kind: 'digest', bytes: digest }, options),
      ({ signature }) => productIs(signature),
    );
  }

  /**
   * Verifies in this process. Without a pinned version the version in use is tried first, then older ones, 64 in all:
   * those that are ENABLED, and those whose public keys are in the archive. A wrong signature is `false` and leaves the caches as
   * they are. Before that the versions are read again, in case another process made one a moment ago: 5 times at once for a key and
   * then once in 10 seconds, for at most 2 seconds. Where that cannot be done, `false` is by the versions that are known.
   */
  verify(keyId: string, data: Uint8Array, signature: Uint8Array, options?: VerifyOptions): Promise<boolean> {
    return this.#calls.observed(
      { method: 'verify', keyId, subject: data, options },
      (calls) => keyUse.verify(calls, { keyId, data, signature }, options),
      verdictIs,
    );
  }

  /**
   * Encrypts. ENCRYPT_DECRYPT keys: in Cloud KMS, up to 8 KiB with the additional authenticated data (HSM) or 64 KiB
   * each (SOFTWARE). ASYMMETRIC_DECRYPT keys: here, with the public key, up to what OAEP leaves of the modulus.
   * @throws DataTooLargeError before any call.
   */
  encrypt(keyId: string, plaintext: Uint8Array, options?: EncryptionOptions): Promise<Buffer> {
    return this.#calls.observed(
      { method: 'encrypt', keyId, options },
      (calls) => keyUse.encryption(calls, 'encrypt', { keyId, bytes: plaintext }, options),
      productIs,
    );
  }

  /**
   * Decrypts. The ciphertext of an ENCRYPT_DECRYPT key names its version itself, so the version in a full version name
   * is not used; with an ASYMMETRIC_DECRYPT key the version that encrypted has to be named when it is no longer in use.
   * @throws DecryptionFailedError when the ciphertext, the key or the additional authenticated data is not right.
   */
  decrypt(keyId: string, ciphertext: Uint8Array, options?: EncryptionOptions): Promise<Buffer> {
    return this.#calls.observed({ method: 'decrypt', keyId, subject: ciphertext, options }, (calls) =>
      keyUse.encryption(calls, 'decrypt', { keyId, bytes: ciphertext }, options),
    );
  }

  /** Which version a key id means now, from the cache where it is known. A version name means itself. */
  resolveKeyVersion(keyId: string, options?: CallOptions): Promise<KeyVersionInUse> {
    return this.#calls.observed({ method: 'resolveKeyVersion', keyId, options }, (calls) =>
      keyUse.resolveKeyVersion(calls, keyId, options),
    );
  }

  /**
   * The public key of the version in use (or the pinned one), PEM. That of a version that is not ENABLED is archived.
   * @throws AttestationFailedError with `requireAttestation`, for an ASYMMETRIC_DECRYPT key: who has it encrypts with it.
   */
  getPublicKey(keyId: string, options?: CallOptions): Promise<Buffer> {
    return this.#calls.observed({ method: 'getPublicKey', keyId, options }, (calls) =>
      keyUse.getPublicKey(calls, keyId, options),
    );
  }

  /**
   * Makes a new version, waits until it can be used, and uses it from now on. Older versions keep verifying and
   * decrypting. Processes that share the key go over to it within the time that they believe a version to be in use (60 s
   * by default), and verify what it signs at once. Where others verify with published keys, prepare first and activate later.
   * @throws UnsupportedAlgorithmError when the key cannot go over to the algorithm asked for.
   */
  rotateKey(keyId: string, options?: RotationOptions): Promise<RotationResult> {
    return this.#calls.observed({ method: 'rotateKey', keyId, options }, (calls) =>
      administration.rotationStep(calls, 'rotateKey', keyId, options),
    );
  }

  /** Makes a new version and publishes it without using it, or finds the one that waits. */
  prepareRotation(keyId: string, options?: RotationOptions): Promise<RotationResult> {
    return this.#calls.observed({ method: 'prepareRotation', keyId, options }, (calls) =>
      administration.rotationStep(calls, 'prepareRotation', keyId, options),
    );
  }

  /** Uses the version that was prepared. Without one it changes nothing, so it may be called again. */
  activateRotation(keyId: string, options?: RotationOptions): Promise<RotationResult> {
    return this.#calls.observed({ method: 'activateRotation', keyId, options }, (calls) =>
      administration.rotationStep(calls, 'activateRotation', keyId, options),
    );
  }

  /**
   * Disables versions that were replaced longer ago than the grace, and schedules disabled ones for destruction. Public
   * keys of signing versions go to the archive before; without one they are left as they are, and `kept` says so.
   * @throws UnsupportedAlgorithmError for symmetric keys, whose old versions are needed to decrypt.
   */
  retire(keyId: string, options?: RetireOptions): Promise<RetirementResult> {
    return this.#calls.observed({ method: 'retire', keyId, options }, (calls) =>
      administration.retireVersions(calls, keyId, options),
    );
  }

  /**
   * Uses an ENABLED version from now on: the way back to an earlier one in one call.
   * @param version its number, or its full name.
   * @throws FailedPreconditionError for one that is not ENABLED, and for a key with so many labels that the way back cannot be
   *   written down.
   * @throws ConcurrentChangeError when another process disabled the version, or used another one, in the same moment.
   */
  setPrimaryVersion(keyId: string, version: number | string, options?: CallOptions): Promise<KeyMetadata> {
    return this.#calls.observed({ method: 'setPrimaryVersion', keyId, options }, (calls) =>
      administration.setPrimaryVersion(calls, keyId, version, options),
    );
  }

  /**
   * Sets the schedule by which Cloud KMS itself rotates a symmetric key; null removes it. The bounds are checked before
   * the call.
   */
  setRotationSchedule(
    keyId: string,
    schedule: RotationSchedule | null,
    options?: CallOptions,
  ): Promise<KeyMetadata> {
    return this.#calls.observed({ method: 'setRotationSchedule', keyId, options }, (calls) =>
      administration.setRotationSchedule(calls, keyId, schedule, options),
    );
  }

  /** Sets labels, and removes those given as null; all others stay as they are. */
  updateLabels(
    keyId: string,
    changes: Readonly<Record<string, string | null>>,
    options?: CallOptions,
  ): Promise<KeyMetadata> {
    return this.#calls.observed({ method: 'updateLabels', keyId, options }, (calls) =>
      administration.updateLabels(calls, keyId, changes, options),
    );
  }

  /**
   * Schedules the destruction of one version, or of all versions of a key. Until the time that is returned, `restoreKey`
   * takes it back. Public keys of signing versions are archived first, where the configuration names an archive.
   * @param destroyAfter the least delay in seconds that you want; a key with a shorter delay is refused, untouched.
   * @throws VersionInUseError for the name of the version in use, without `force`.
   * @throws PublicKeyNotArchivedError when a public key cannot be archived any more, without `force`.
   */
  destroyKey(keyId: string, destroyAfter?: number, options?: DestroyOptions): Promise<DestructionResult> {
    return this.#calls.observed({ method: 'destroyKey', keyId, options }, (calls) =>
      administration.destroyKey(calls, keyId, destroyAfter, options),
    );
  }

  /**
   * Takes back a scheduled destruction. Restored versions are ENABLED, but for those of a whole key that were DISABLED
   * before; a replaced version starts its grace period again. After a failure it may be called again.
   * @throws FailedPreconditionError when nothing is scheduled, and no restore was under way.
   */
  restoreKey(keyId: string, options?: RestoreOptions): Promise<KeyMetadata> {
    return this.#calls.observed({ method: 'restoreKey', keyId, options }, (calls) =>
      administration.restoreKey(calls, keyId, options),
    );
  }

  /** What Cloud KMS says of a key now. */
  getKey(keyId: string, options?: CallOptions): Promise<KeyMetadata> {
    return this.#calls.observed({ method: 'getKey', keyId, options }, (calls) =>
      administration.getKey(calls, keyId, options),
    );
  }

  /** The keys of the key ring; with `labels`, those that have all of them. */
  listKeys(options?: ListKeysOptions): Promise<readonly KeyMetadata[]> {
    return this.#calls.observed({ method: 'listKeys', options }, (calls) =>
      administration.listKeys(calls, options),
    );
  }

  /** All versions of a key, destroyed ones too. */
  listKeyVersions(keyId: string, options?: CallOptions): Promise<readonly KeyVersionMetadata[]> {
    return this.#calls.observed({ method: 'listKeyVersions', keyId, options }, (calls) =>
      administration.listKeyVersions(calls, keyId, options),
    );
  }

  /**
   * What the HSM stated of a version when it made it, checked against the pinned roots and the version's own public key.
   * @param keyId a key, for its version in use, or a version by its full name.
   * @returns the verdict with each check, and the evidence to file. A key without a statement is `invalid`; nothing is thrown.
   */
  attestKey(keyId: string, options?: CallOptions): Promise<KeyAttestation> {
    return this.#calls.observed({ method: 'attestKey', keyId, options }, (calls) =>
      keyUse.attestKey(calls, keyId, options),
    );
  }

  /** What was counted since this was made: calls by outcome, caches, connections. Plain frozen data; makes no call. */
  stats(): KmsStats {
    const { keyRing, counts, resolver, publicKeys, config } = this.#calls.core;
    return frozen({
      provider: 'kms',
      keyRing,
      ...counts.stats(),
      caches: { keyVersions: resolver.stats, publicKeys: publicKeys.stats },
      connection: totalOf(this.#connections),
      endpoint: { kind: config.endpoint.kind, ...serverOf(config.endpoint) },
      quota: this.#quota.stats,
    });
  }

  /**
   * Gives a member a role on one key: in the policy of the key itself, whatever else is in it. May be repeated.
   * @param member as in a policy, e.g. `serviceAccount:bot@my-project.iam.gserviceaccount.com`.
   * @param role full name of a role.
   * @throws InvalidArgumentError for members that mean everybody, unless `publicMembers` is `allow`.
   */
  grantAccess(keyId: string, member: string, role: string, options?: GrantOptions): Promise<AccessChange> {
    return this.#calls.observed({ method: 'grantAccess', keyId, options }, (calls) =>
      access.grantAccess(calls, keyId, { member, role }, options),
    );
  }

  /** Takes a role on one key from a member, also where it is bound under a condition. Inherited roles stay. */
  revokeAccess(keyId: string, member: string, role: string, options?: CallOptions): Promise<AccessChange> {
    return this.#calls.observed({ method: 'revokeAccess', keyId, options }, (calls) =>
      access.revokeAccess(calls, keyId, { member, role }, options),
    );
  }

  /** Who has which role by the policy of the key itself. What the key ring and the project give is not in it. */
  listAccess(keyId: string, options?: CallOptions): Promise<readonly AccessBinding[]> {
    return this.#calls.observed({ method: 'listAccess', keyId, options }, (calls) =>
      access.listAccess(calls, calls.wholeKey('listAccess', keyId), options),
    );
  }

  /** As `listAccess`, by the policy of the key ring, which applies to all of its keys. `keyName` is the key ring's name. */
  listKeyRingAccess(options?: CallOptions): Promise<readonly AccessBinding[]> {
    return this.#calls.observed({ method: 'listKeyRingAccess', options }, (calls) =>
      access.listAccess(calls, calls.core.keyRing, options),
    );
  }

  /** Which of the permissions the caller has on a key, or on the key ring when no key is named. */
  testPermissions(
    keyId: string | undefined,
    permissions: readonly string[],
    options?: CallOptions,
  ): Promise<readonly TestedPermissions[]> {
    return this.#calls.observed({ method: 'testPermissions', keyId, options }, (calls) =>
      access.testPermissions(calls, keyId, permissions, options),
    );
  }

  /**
   * Closes the connections. Calls that are under way are cancelled with `ClientClosedError`, and what they had started may
   * still take effect: await first those whose result you need. Calls that wait for a quota, or come later, are refused. A
   * client that moved keys to other versions a moment ago looks once more whether they are in use.
   */
  async close(): Promise<void> {
    const { caller, lateChecks } = this.#calls.core;
    await this.audit?.close();
    await lateChecks.flush();
    caller.close();
    lateChecks.cancel();
    await Promise.all([...this.#connections, this.#iamCredentials].map((part) => part.close()));
    this.#telemetry.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** Of the connection that proves an identity, and of the one for calls that bring a token of their own. */
function totalOf(connections: readonly KmsConnection[]): ConnectionStats {
  const sum = (count: (stats: ConnectionStats) => number): number =>
    connections.reduce((total, { stats }) => total + count(stats), 0);
  return {
    channelsOpen: sum(({ channelsOpen }) => channelsOpen),
    callsInFlight: sum(({ callsInFlight }) => callsInFlight),
    queueDepth: sum(({ queueDepth }) => queueDepth),
  };
}
