/**
 * `SoftwareKeyProvider`: the `KeyProvider` whose keys are in this process and in an encrypted store, for development, and
 * on the way from software keys to an HSM and back. Thin, like `KMSClient`: the work is in the modules beside it.
 */

import type { AuditRecorder } from '../audit/audit-recorder.js';
import type { AuditTrail } from '../audit/audit-trail.js';
import { createAuditTrail, initializeAudited, withTrail } from '../audit/create-audit-trail.js';
import type { StoreSecret } from '../config/software-config.js';
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
import { nameInSpec } from '../provider/observed-method.js';
import { productIs, verdictIs } from '../provider/observer.js';
import { CallCounts, frozen, type SoftwareStats } from '../provider/stats.js';
import { type ProviderTelemetry, providerTelemetry } from '../telemetry/provider-telemetry.js';
import * as administration from './key-administration.js';
import { KeyObjects } from './key-objects.js';
import * as keyUse from './key-use.js';
import { parseProviderConfig, type SoftwareKeyProviderConfig } from './provider-config.js';
import { SoftwareCalls } from './software-calls.js';
import { createKeyStore } from './store/create-key-store.js';

/**
 * Keys that this process holds. They have the names, versions and states that they would have in Cloud KMS; what they do
 * not have is an HSM: whoever reads the memory of the process has them. Their protection level is `SOFTWARE`, and a key
 * of another level is refused.
 *
 * A file store may be shared by processes, and by `SoftwareKeyProvider`s of several key rings. Its secret is given in the
 * configuration or in `A2A_SOFTWARE_KEY_STORE_PASSPHRASE` or `A2A_SOFTWARE_KEY_STORE_KEY` (32 bytes, base64). It
 * needs the package `lmdb`, an optional dependency of this one.
 *
 * Each construction logs a warning with `event: 'software-keys-in-production'` when NODE_ENV is `production`.
 *
 * @example
 * ```ts
 * await using keys = new SoftwareKeyProvider({
 *   projectId: 'my-project',
 *   locationId: 'europe-west3',
 *   keyRingId: 'agents',
 *   softwareKeyStore: { type: 'file', path: '/var/lib/agents/keys', passphrase },
 * });
 * const key = await keys.generateKey({
 *   name: 'invoices',
 *   purpose: 'ASYMMETRIC_SIGN',
 *   algorithm: 'EC_SIGN_P384_SHA384',
 *   protectionLevel: 'SOFTWARE',
 * });
 * const signature = await keys.sign(key.name, Buffer.from('pay 10 EUR'));
 * ```
 */
export class SoftwareKeyProvider implements KeyProvider {
  /** The audit trail, where the configuration has one. */
  readonly audit: AuditTrail | undefined;
  readonly #trail: AuditRecorder | undefined;
  readonly #calls: SoftwareCalls;
  readonly #telemetry: ProviderTelemetry;

  /** @throws InvalidConfigError naming every field that is wrong, and when `softwareKeys` is `forbidden`. */
  constructor(config: SoftwareKeyProviderConfig) {
    const resolved = parseProviderConfig(config);
    const { publicKeyArchive, clock, logger, audit } = resolved;
    const keyRing = keyRingName(resolved);
    const store = createKeyStore(resolved.store);
    const keyObjects = new KeyObjects(store);
    const { type } = resolved.store;
    const configuration = { hsmKeys: false, softwareKeys: true, store: type };
    this.#trail = audit && createAuditTrail(audit, { clock, logger, configuration });
    this.#trail?.signWith(this);
    this.audit = this.#trail;
    this.#telemetry = providerTelemetry(resolved.telemetry, {
      ...{ provider: 'software', keyRing, server: undefined },
      stats: () => this.stats(),
    });
    const observers = withTrail([...this.#telemetry.observers, ...resolved.observers], this.#trail);
    this.#calls = new SoftwareCalls(
      { keyRing, store, keyObjects, publicKeyArchive, clock, logger, counts: new CallCounts() },
      observers,
    );
    if (process.env['NODE_ENV'] === 'production') {
      logger.warn(
        { event: 'software-keys-in-production', keyRing, store: type },
        'the store of software keys is in use with NODE_ENV=production: a key of it that is used is in the memory of this process',
      );
      const details = { keyRing, store: type };
      for (const observer of observers) observer.warn?.({ warning: 'software-keys-in-production', details });
    }
    if (type === 'memory') {
      logger.warn(
        { event: 'software-keys-in-memory', keyRing },
        'software keys are kept in memory only and are gone when this process ends; this store is for tests',
      );
    }
  }

  /** Full name of the key ring that the keys' names begin with. */
  get keyRing(): string {
    return this.#calls.core.keyRing;
  }

  /**
   * Opens the store, or makes it, and removes key material whose time has come. Other methods open it too where need be.
   * With `audit` it makes sure that the key of the audit trail exists, a software key too.
   * @throws KeyStoreLockedError when passphrase or key are not the right ones.
   * @throws KeyStoreError when the store cannot be opened; AuditWriteError with `audit.failClosed`.
   */
  initialize(options?: CallOptions): Promise<void> {
    const { logger } = this.#calls.core;
    return initializeAudited(
      this.#trail,
      { provider: this, protectionLevel: 'SOFTWARE', options, logger },
      () =>
        this.#calls.observed({ method: 'initialize', options }, (calls) =>
          administration.initialize(calls, options),
        ),
    );
  }

  /**
   * Creates a key. A key of that name is adopted if purpose and the algorithm of the version in use are the ones asked for.
   * @throws UnsupportedAlgorithmError when the protection level is not `SOFTWARE` (the default is `HSM`), or Node has no
   *   such algorithm.
   * @throws KeySpecMismatchError when the existing key is another one.
   */
  generateKey(spec: KeySpec, options?: CallOptions): Promise<KeyMetadata> {
    return this.#calls.observed({ method: 'generateKey', keyId: nameInSpec(spec), options }, (calls) =>
      administration.generateKey(calls, spec, options),
    );
  }

  /** Signs a message of any size with an algorithm that takes a digest, up to 64 KiB with one that takes the message. */
  async sign(keyId: string, data: Uint8Array, options?: CallOptions): Promise<Buffer> {
    const signed = await this.#calls.observed(
      { method: 'sign', keyId, subject: data, options },
      (calls) => keyUse.sign(calls, 'sign', { keyId, kind: 'message', bytes: data }, options),
      ({ signature }) => productIs(signature),
    );
    return signed.signature;
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
   * Verifies. Without a pinned version the version in use is tried first, then older ones, whatever their state: the store
   * keeps the public keys of destroyed versions too.
   */
  verify(keyId: string, data: Uint8Array, signature: Uint8Array, options?: VerifyOptions): Promise<boolean> {
    return this.#calls.observed(
      { method: 'verify', keyId, subject: data, options },
      (calls) => keyUse.verify(calls, { keyId, data, signature }, options),
      verdictIs,
    );
  }

  /**
   * Encrypts. ENCRYPT_DECRYPT keys: AES-256-GCM, up to 64 KiB of plaintext and of additional authenticated data.
   * ASYMMETRIC_DECRYPT keys: OAEP with the public key. Cloud KMS cannot decrypt the ciphertexts of symmetric software
   * keys: move data by decrypting here and encrypting there.
   * @throws DataTooLargeError
   */
  encrypt(keyId: string, plaintext: Uint8Array, options?: EncryptionOptions): Promise<Buffer> {
    return this.#calls.observed(
      { method: 'encrypt', keyId, options },
      (calls) => keyUse.encryption(calls, 'encrypt', { keyId, bytes: plaintext }, options),
      productIs,
    );
  }

  /**
   * Decrypts. The ciphertext of an ENCRYPT_DECRYPT key names its version itself; with an ASYMMETRIC_DECRYPT key the version
   * that encrypted has to be named when it is no longer in use.
   * @throws DecryptionFailedError when the ciphertext, the key or the additional authenticated data is not right.
   */
  decrypt(keyId: string, ciphertext: Uint8Array, options?: EncryptionOptions): Promise<Buffer> {
    return this.#calls.observed({ method: 'decrypt', keyId, subject: ciphertext, options }, (calls) =>
      keyUse.encryption(calls, 'decrypt', { keyId, bytes: ciphertext }, options),
    );
  }

  /** Which version a key id means now. A version name means itself. */
  resolveKeyVersion(keyId: string, options?: CallOptions): Promise<KeyVersionInUse> {
    return this.#calls.observed({ method: 'resolveKeyVersion', keyId, options }, (calls) =>
      keyUse.resolveKeyVersion(calls, keyId, options),
    );
  }

  /** The public key of the version in use (or the pinned one), PEM; also of versions that are not ENABLED any more. */
  getPublicKey(keyId: string, options?: CallOptions): Promise<Buffer> {
    return this.#calls.observed({ method: 'getPublicKey', keyId, options }, (calls) =>
      keyUse.getPublicKey(calls, keyId, options),
    );
  }

  /**
   * Makes a new version and uses it from now on. Older versions keep verifying and decrypting.
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
   * Disables versions that were replaced longer ago than the grace, and schedules disabled ones for destruction.
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
   */
  setPrimaryVersion(keyId: string, version: number | string, options?: CallOptions): Promise<KeyMetadata> {
    return this.#calls.observed({ method: 'setPrimaryVersion', keyId, options }, (calls) =>
      administration.setPrimaryVersion(calls, keyId, version, options),
    );
  }

  /**
   * Sets a rotation schedule: a symmetric key is rotated when it is next used after its time has come. null removes it.
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
   * takes it back; then the private key is removed from the store as soon as a process looks at the key.
   * @param destroyAfter the least delay in seconds that you want; a key with a shorter delay is refused, untouched.
   * @throws VersionInUseError for the name of the version in use, without `force`.
   */
  destroyKey(keyId: string, destroyAfter?: number, options?: DestroyOptions): Promise<DestructionResult> {
    return this.#calls.observed({ method: 'destroyKey', keyId, options }, (calls) =>
      administration.destroyKey(calls, keyId, destroyAfter, options),
    );
  }

  /** Takes back a scheduled destruction: of a whole key, versions that were DISABLED before come back DISABLED. */
  restoreKey(keyId: string, options?: RestoreOptions): Promise<KeyMetadata> {
    return this.#calls.observed({ method: 'restoreKey', keyId, options }, (calls) =>
      administration.restoreKey(calls, keyId, options),
    );
  }

  /** What the store has of a key. */
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
   * Lends the secret material of a version, to move it into an HSM: PKCS#8 DER of a key pair, 32 bytes of a symmetric key.
   * The buffer is wiped when the promise that `work` gives settles; keep no copy.
   * @param keyVersion full name of an ENABLED or DISABLED version.
   * @throws FailedPreconditionError when it is in another state.
   */
  withPrivateKey<T>(
    keyVersion: string,
    work: (pkcs8: Buffer) => Promise<T>,
    options?: CallOptions,
  ): Promise<T> {
    return this.#calls.observed({ method: 'withPrivateKey', keyId: keyVersion, options }, (calls) =>
      keyUse.withPrivateKey(calls, { keyVersion, work }, options),
    );
  }

  /**
   * Removes the secret material of a version now, whatever its state and also when it is in use: there is no delay, and
   * nothing here brings it back. In the file of the store it is still there, encrypted, until its space is used again, and in
   * copies of it: `rotateStoreKey` and forgetting the old secret puts it out of reach. The version stays in the history, DESTROYED, and its public key keeps verifying. A version
   * that is DESTROYED already is left as it is.
   * @param keyVersion full name of a version.
   */
  purgeKeyVersion(keyVersion: string, options?: CallOptions): Promise<KeyVersionMetadata> {
    return this.#calls.observed({ method: 'purgeKeyVersion', keyId: keyVersion, options }, (calls) =>
      administration.purgeKeyVersion(calls, keyVersion, options),
    );
  }

  /**
   * Encrypts everything in the store under a new key that only the new secret opens, in one transaction: after a crash the
   * old or the new secret opens all of it. Other processes that have the store open get `KeyStoreLockedError` from now on
   * and are started again with the new secret. Copies of the store made before still open with the old one.
   * @param newSecret a passphrase of at least 8 characters, or a key of 32 bytes.
   */
  rotateStoreKey(newSecret: StoreSecret, options?: CallOptions): Promise<void> {
    return this.#calls.observed({ method: 'rotateStoreKey', options }, (calls) =>
      administration.rotateStoreKey(calls, newSecret, options),
    );
  }

  /** What was counted since this was made: calls by outcome, caches. Plain frozen data; reads nothing from the store. */
  stats(): SoftwareStats {
    const { keyRing, counts, keyObjects } = this.#calls.core;
    return frozen({ provider: 'software', keyRing, ...counts.stats(), caches: keyObjects.stats });
  }

  /** Closes the store. Calls after it are refused with `ClientClosedError`. */
  async close(): Promise<void> {
    await this.audit?.close();
    this.#telemetry.close();
    await this.#calls.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
