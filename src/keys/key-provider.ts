/**
 * What a provider of keys can do. `KMSClient` and every other provider implement this interface and pass one contract
 * suite. A key id is a short id, a full CryptoKey name, or a full CryptoKeyVersion name, which pins the version.
 */

import type {
  KeyAlgorithm,
  ProtectionLevel,
  SignatureEncoding,
  SigningAlgorithm,
} from './algorithm-types.js';
import type {
  CallOptions,
  DestroyOptions,
  EncryptionOptions,
  ListKeysOptions,
  RestoreOptions,
  RetireOptions,
  RotationOptions,
  VerifyOptions,
} from './call-options.js';

/** The longest and the shortest time between two rotations, in seconds (`CryptoKey.rotation_period` in resources.proto). */
export const ROTATION_PERIOD_MIN_SECONDS = 86_400;
export const ROTATION_PERIOD_MAX_SECONDS = 876_000 * 3_600;

/** The purposes a provider creates keys for. */
export type ProviderKeyPurpose = 'ENCRYPT_DECRYPT' | 'ASYMMETRIC_SIGN' | 'ASYMMETRIC_DECRYPT';

/** The key to generate. */
export interface KeySpec {
  /** Short key id: 1 to 63 letters, digits, `_` or `-`. A full CryptoKey name in the provider's key ring is accepted too. */
  readonly name: string;
  readonly purpose: ProviderKeyPurpose;
  readonly algorithm: KeyAlgorithm;
  /** Default `HSM`. `SOFTWARE` only when asked for by name. */
  readonly protectionLevel?: ProtectionLevel | undefined;
  /** Your own labels, kept on every update. Cloud KMS rules: lower case, at most 63 characters each. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /**
   * How long a version stays DESTROY_SCHEDULED before it is destroyed for good. Seconds, 86,400 to 10,368,000 (120 days);
   * default 2,592,000 (30 days). Cannot be changed later.
   */
  readonly destroyScheduledDurationSeconds?: number | undefined;
}

/** What is known of a key. */
export interface KeyMetadata {
  /** Full CryptoKey name; accepted wherever a key id is. */
  readonly name: string;
  readonly purpose: string;
  /** Algorithm of the version in use; of new versions where none is in use or the purpose has no version in use. */
  readonly algorithm: string;
  readonly protectionLevel: string;
  readonly createTime: Date;
  /**
   * Full name of the version in use, or undefined when there is none. Listings leave it out for asymmetric keys, where
   * finding it takes a call for each key.
   */
  readonly primary: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly destroyScheduledDurationSeconds: number;
  /** When Cloud KMS makes the next version by itself; only ENCRYPT_DECRYPT keys with a rotation schedule have it. */
  readonly nextRotationTime?: Date;
  /** The time between two rotations of that schedule, in seconds. */
  readonly rotationPeriodSeconds?: number;
}

/** `CryptoKeyVersion.CryptoKeyVersionState`. */
export type KeyVersionState =
  | 'PENDING_GENERATION'
  | 'ENABLED'
  | 'DISABLED'
  | 'DESTROYED'
  | 'DESTROY_SCHEDULED'
  | 'PENDING_IMPORT'
  | 'IMPORT_FAILED'
  | 'GENERATION_FAILED'
  | 'PENDING_EXTERNAL_DESTRUCTION'
  | 'EXTERNAL_DESTRUCTION_FAILED';

/** What is known of one version of a key. */
export interface KeyVersionMetadata {
  /** Full CryptoKeyVersion name. */
  readonly name: string;
  readonly version: number;
  readonly state: KeyVersionState;
  readonly algorithm: string;
  readonly protectionLevel: string;
  readonly createTime: Date;
  readonly generateTime?: Date;
  /** When the material will be destroyed; only while DESTROY_SCHEDULED. */
  readonly destroyTime?: Date;
  /** When the material was destroyed; only while DESTROYED. */
  readonly destroyEventTime?: Date;
  /** Why generation or import failed, in Cloud KMS's words. */
  readonly failureReason?: string;
  /**
   * Name of the import job that the material came in with: the key was made outside and once lived there. Absent for a key
   * that was born where it is.
   */
  readonly importJob?: string;
  /** When the material came in. */
  readonly importTime?: Date;
}

/** A signature and what made it. */
export interface SignatureDetails {
  readonly signature: Buffer;
  /** Full name of the version that signed. */
  readonly keyVersion: string;
  readonly algorithm: SigningAlgorithm;
  readonly protectionLevel: ProtectionLevel;
  readonly encoding: SignatureEncoding;
}

/** The version of a key that a call would use now. */
export interface KeyVersionInUse {
  /** Full name of the version. */
  readonly keyVersion: string;
  readonly algorithm: KeyAlgorithm;
  /** The level that was promised for the key; every answer is compared with it. */
  readonly protectionLevel: string;
}

/** What a step of a rotation led to: the key as it is now, and what came of racing rotations. */
export interface RotationResult extends KeyMetadata {
  /** Full name of the version that waits to be put to use by `activateRotation`; undefined when none does. */
  readonly prepared: string | undefined;
  /** Versions that rotations at the same time made for nothing, and that this call scheduled for destruction. */
  readonly disposed: readonly ScheduledDestruction[];
}

/** When a version will be destroyed. Until then it can be restored. */
export interface ScheduledDestruction {
  /** Full CryptoKeyVersion name. */
  readonly name: string;
  readonly destroyTime: Date;
}

/** What became of the versions that were replaced. */
export interface RetirementResult {
  /** Full CryptoKey name. */
  readonly name: string;
  /** Full names of the versions that were disabled. */
  readonly disabled: readonly string[];
  readonly scheduled: readonly ScheduledDestruction[];
  /** Versions whose turn had come and that were left as they are, with the reason. */
  readonly kept: readonly { readonly name: string; readonly reason: string }[];
}

/** When the provider itself rotates a symmetric key. */
export interface RotationSchedule {
  /** Seconds between two rotations, 86,400 (24 hours) to 3,153,600,000 (876,000 hours). */
  readonly rotationPeriodSeconds: number;
  /** The first rotation. Default: one period from now. */
  readonly nextRotationTime?: Date | undefined;
}

/** What a destruction did. */
export interface DestructionResult {
  /** Full CryptoKey name. */
  readonly name: string;
  /** The versions that are scheduled for destruction now, with the time of it. */
  readonly versions: readonly ScheduledDestruction[];
}

/**
 * A provider of keys. `KMSClient`, `SoftwareKeyProvider` and `ReplicatedKeyProvider` implement it.
 *
 * Every method rejects with `InvalidArgumentError` for input that is wrong, before any call is made; with
 * `DeadlineExceededError` at its deadline and `OperationAbortedError` when `signal` aborts; and with
 * `ClientClosedError` after `close`. A key that does not exist is a `NotFoundError`.
 */
export interface KeyProvider {
  /** Makes the provider ready; may be called again and from several processes at once. */
  initialize(options?: CallOptions): Promise<void>;
  /** Creates the key, or adopts the existing one if it is what was asked for. */
  generateKey(spec: KeySpec, options?: CallOptions): Promise<KeyMetadata>;
  /** Signs a message; hashing, where the algorithm wants it, is done here. ECDSA signatures are DER. */
  sign(keyId: string, data: Uint8Array, options?: CallOptions): Promise<Buffer>;
  /** As `sign`, and says which version signed, with which algorithm, and how the signature is encoded. */
  signDetailed(keyId: string, data: Uint8Array, options?: CallOptions): Promise<SignatureDetails>;
  /** Signs a digest that the caller computed with the hash of the key's algorithm; a digest of another length is refused. */
  signDigest(keyId: string, digest: Uint8Array, options?: CallOptions): Promise<SignatureDetails>;
  /**
   * True if the signature over the message is by the key. False for any other bytes, and for a signature by a version that was
   * made a moment ago by another process where the provider could not look for it (docs/key-lifecycle.md).
   */
  verify(keyId: string, data: Uint8Array, signature: Uint8Array, options?: VerifyOptions): Promise<boolean>;
  /**
   * Encrypts. ENCRYPT_DECRYPT keys: in Cloud KMS, with at most 64 KiB of plaintext (HSM keys: 8 KiB, additional authenticated
   * data included). ASYMMETRIC_DECRYPT keys: OAEP with the public key, in this process.
   * @throws DataTooLargeError
   */
  encrypt(keyId: string, plaintext: Uint8Array, options?: EncryptionOptions): Promise<Buffer>;
  /**
   * Decrypts. A symmetric ciphertext names its version itself; with an ASYMMETRIC_DECRYPT key `keyId` names the version
   * that encrypted when it is no longer in use.
   * @throws DecryptionFailedError when the ciphertext, the key or the additional authenticated data is not right.
   */
  decrypt(keyId: string, ciphertext: Uint8Array, options?: EncryptionOptions): Promise<Buffer>;
  /**
   * Which version a key id means now. As fresh as what `sign` goes by: from the cache where it is known, so that it costs
   * no call in general.
   */
  resolveKeyVersion(keyId: string, options?: CallOptions): Promise<KeyVersionInUse>;
  /** The public key as PEM (SubjectPublicKeyInfo, RFC 7468 section 13). */
  getPublicKey(keyId: string, options?: CallOptions): Promise<Buffer>;
  /** Makes a new version and uses it from now on: `prepareRotation` and `activateRotation` in one. */
  rotateKey(keyId: string, options?: RotationOptions): Promise<RotationResult>;
  /**
   * Makes a new version and does not use it yet; its public key can be read from now on. If one is waiting already,
   * that is the one. The version in use is recorded first, so that the new one is not mistaken for it.
   */
  prepareRotation(keyId: string, options?: RotationOptions): Promise<RotationResult>;
  /**
   * Puts the prepared version to use. If several are waiting, the lowest is used and the others are disposed of; if
   * none is, nothing changes.
   */
  activateRotation(keyId: string, options?: RotationOptions): Promise<RotationResult>;
  /**
   * Disables versions that were replaced long enough ago, and schedules disabled ones for destruction. Public keys are
   * archived first. The version in use, a prepared version and symmetric keys are never touched.
   */
  retire(keyId: string, options?: RetireOptions): Promise<RetirementResult>;
  /** Uses an ENABLED version, given by number or name, from now on: the way back after a rotation that went wrong. */
  setPrimaryVersion(keyId: string, version: number | string, options?: CallOptions): Promise<KeyMetadata>;
  /** Sets the schedule by which the provider itself rotates a symmetric key; null removes it. */
  setRotationSchedule(
    keyId: string,
    schedule: RotationSchedule | null,
    options?: CallOptions,
  ): Promise<KeyMetadata>;
  /** Sets labels, and removes those given as null; all others stay. Labels this library keeps for itself are refused. */
  updateLabels(
    keyId: string,
    changes: Readonly<Record<string, string | null>>,
    options?: CallOptions,
  ): Promise<KeyMetadata>;
  /**
   * Schedules the destruction of a version (given a version name) or of all versions of a key (given a key), the version
   * in use last. Public keys go to the archive before. A version name that is the version in use needs `force`.
   * `destroyAfter` is the least delay the caller wants, in seconds; a key whose own delay is shorter is left untouched.
   */
  destroyKey(keyId: string, destroyAfter?: number, options?: DestroyOptions): Promise<DestructionResult>;
  /** Takes back a scheduled destruction. */
  restoreKey(keyId: string, options?: RestoreOptions): Promise<KeyMetadata>;
  /** What is known of a key, as it is now. */
  getKey(keyId: string, options?: CallOptions): Promise<KeyMetadata>;
  /** The keys of the key ring; with `labels`, those that have all of them. */
  listKeys(options?: ListKeysOptions): Promise<readonly KeyMetadata[]>;
  /** All versions of a key, in ascending order of their numbers. */
  listKeyVersions(keyId: string, options?: CallOptions): Promise<readonly KeyVersionMetadata[]>;
  /** Cancels what is under way, which may still take effect, and gives up connections and stores. Later calls reject. */
  close(): Promise<void>;
}

/** The provider of one key ring, where there are several. */
export interface KeyRingProvider {
  /** Full name of the key ring. */
  readonly keyRing: string;
  readonly provider: KeyProvider;
}
