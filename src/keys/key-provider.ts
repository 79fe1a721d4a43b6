/**
 * What a provider of keys can do. `KMSClient` and every other provider implement this interface and pass one contract
 * suite. A key id is a short id, a full CryptoKey name, or a full CryptoKeyVersion name, which pins the version.
 */

import type { KeyAlgorithm, ProtectionLevel, SignatureEncoding, SigningAlgorithm } from './algorithms.js';

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
}

/** Options that every call takes. */
export interface CallOptions {
  /** Aborts the call: it rejects with `OperationAbortedError`. */
  readonly signal?: AbortSignal | undefined;
  /** Total deadline of the call in milliseconds, in place of the configured one. */
  readonly timeoutMs?: number | undefined;
}

export interface EncryptionOptions extends CallOptions {
  /** Authenticated with the ciphertext but not part of it; decryption needs the same bytes. Symmetric keys only. */
  readonly additionalAuthenticatedData?: Uint8Array | undefined;
}

export interface ListKeysOptions extends CallOptions {
  /** Only keys that have all these labels. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
}

export interface RestoreOptions extends CallOptions {
  /** State after the restore; default `ENABLED`. Cloud KMS itself leaves a restored version DISABLED. */
  readonly state?: 'ENABLED' | 'DISABLED' | undefined;
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

/** What a destruction did. */
export interface DestructionResult {
  /** Full CryptoKey name. */
  readonly name: string;
  /** The versions that are scheduled for destruction now, with the time of it. */
  readonly versions: readonly { readonly name: string; readonly destroyTime: Date }[];
}

export interface KeyProvider {
  /** Makes the provider ready; may be called again and from several processes at once. */
  initialize(options?: CallOptions): Promise<void>;
  /** Creates the key, or adopts the existing one if it is what was asked for. */
  generateKey(spec: KeySpec, options?: CallOptions): Promise<KeyMetadata>;
  /** Signs a message; hashing, where the algorithm wants it, is done here. ECDSA signatures are DER. */
  sign(keyId: string, data: Uint8Array, options?: CallOptions): Promise<Buffer>;
  signDetailed(keyId: string, data: Uint8Array, options?: CallOptions): Promise<SignatureDetails>;
  /** Signs a digest that the caller computed with the hash of the key's algorithm. */
  signDigest(keyId: string, digest: Uint8Array, options?: CallOptions): Promise<SignatureDetails>;
  /** True if the signature over the message is by the key. False for any other bytes. */
  verify(keyId: string, data: Uint8Array, signature: Uint8Array, options?: CallOptions): Promise<boolean>;
  encrypt(keyId: string, plaintext: Uint8Array, options?: EncryptionOptions): Promise<Buffer>;
  decrypt(keyId: string, ciphertext: Uint8Array, options?: EncryptionOptions): Promise<Buffer>;
  /**
   * Which version a key id means now. As fresh as what `sign` goes by: from the cache where it is known, so that it costs
   * no call in general.
   */
  resolveKeyVersion(keyId: string, options?: CallOptions): Promise<KeyVersionInUse>;
  /** The public key as PEM (SubjectPublicKeyInfo, RFC 7468 section 13). */
  getPublicKey(keyId: string, options?: CallOptions): Promise<Buffer>;
  /** Makes a new version and uses it from now on. */
  rotateKey(keyId: string, options?: CallOptions): Promise<KeyMetadata>;
  /**
   * Schedules the destruction of a version (given a version name) or of all versions of a key (given a key).
   * `destroyAfter` is the least delay the caller wants, in seconds; a key whose own delay is shorter is left untouched.
   */
  destroyKey(keyId: string, destroyAfter?: number, options?: CallOptions): Promise<DestructionResult>;
  /** Takes back a scheduled destruction. */
  restoreKey(keyId: string, options?: RestoreOptions): Promise<KeyMetadata>;
  getKey(keyId: string, options?: CallOptions): Promise<KeyMetadata>;
  listKeys(options?: ListKeysOptions): Promise<readonly KeyMetadata[]>;
  /** All versions of a key, in ascending order of their numbers. */
  listKeyVersions(keyId: string, options?: CallOptions): Promise<readonly KeyVersionMetadata[]>;
  close(): Promise<void>;
}
