/**
 * The software provider as it takes part in a migration: every version name that goes out carries the mark of a software
 * version, and one that comes in may.
 */

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
import {
  toSoftwareVersionName as marked,
  fromSoftwareVersionName as plain,
} from '../keys/software-version-name.js';

/** What a migration needs of the software provider besides what every provider can do. */
interface SoftwareProvider extends KeyProvider {
  /** Lends the private key, PKCS#8 DER, for as long as `use` runs; it is wiped afterwards. */
  withPrivateKey<T>(
    keyVersion: string,
    use: (pkcs8: Buffer) => Promise<T>,
    options?: CallOptions,
  ): Promise<T>;
  /** Deletes the private key of a version for good. */
  purgeKeyVersion(keyVersion: string, options?: CallOptions): Promise<unknown>;
}

export class SoftwareKeys implements KeyProvider {
  readonly #provider: SoftwareProvider;

  constructor(provider: SoftwareProvider) {
    this.#provider = provider;
  }

  initialize(options?: CallOptions): Promise<void> {
    return this.#provider.initialize(options);
  }

  /** Where no level is asked for it is the one that there is; an HSM key that is asked for by name is refused. */
  async generateKey(spec: KeySpec, options?: CallOptions): Promise<KeyMetadata> {
    const { protectionLevel = 'SOFTWARE' } = spec;
    return markedKey(await this.#provider.generateKey({ ...spec, protectionLevel }, options));
  }

  sign(keyId: string, data: Uint8Array, options?: CallOptions): Promise<Buffer> {
    return this.#provider.sign(plain(keyId), data, options);
  }

  async signDetailed(keyId: string, data: Uint8Array, options?: CallOptions): Promise<SignatureDetails> {
    return markedUse(await this.#provider.signDetailed(plain(keyId), data, options));
  }

  async signDigest(keyId: string, digest: Uint8Array, options?: CallOptions): Promise<SignatureDetails> {
    return markedUse(await this.#provider.signDigest(plain(keyId), digest, options));
  }

  verify(keyId: string, data: Uint8Array, signature: Uint8Array, options?: VerifyOptions): Promise<boolean> {
    return this.#provider.verify(plain(keyId), data, signature, options);
  }

  encrypt(keyId: string, plaintext: Uint8Array, options?: EncryptionOptions): Promise<Buffer> {
    return this.#provider.encrypt(plain(keyId), plaintext, options);
  }

  decrypt(keyId: string, ciphertext: Uint8Array, options?: EncryptionOptions): Promise<Buffer> {
    return this.#provider.decrypt(plain(keyId), ciphertext, options);
  }

  async resolveKeyVersion(keyId: string, options?: CallOptions): Promise<KeyVersionInUse> {
    return markedUse(await this.#provider.resolveKeyVersion(plain(keyId), options));
  }

  getPublicKey(keyId: string, options?: CallOptions): Promise<Buffer> {
    return this.#provider.getPublicKey(plain(keyId), options);
  }

  async rotateKey(keyId: string, options?: RotationOptions): Promise<RotationResult> {
    return markedRotation(await this.#provider.rotateKey(keyId, plainRotation(options)));
  }

  async prepareRotation(keyId: string, options?: RotationOptions): Promise<RotationResult> {
    return markedRotation(await this.#provider.prepareRotation(keyId, plainRotation(options)));
  }

  async activateRotation(keyId: string, options?: RotationOptions): Promise<RotationResult> {
    return markedRotation(await this.#provider.activateRotation(keyId, plainRotation(options)));
  }

  async retire(keyId: string, options?: RetireOptions): Promise<RetirementResult> {
    const { name, disabled, scheduled, kept } = await this.#provider.retire(keyId, options);
    return {
      name,
      disabled: disabled.map(marked),
      scheduled: scheduled.map(markedName),
      kept: kept.map(markedName),
    };
  }

  async setPrimaryVersion(
    keyId: string,
    version: number | string,
    options?: CallOptions,
  ): Promise<KeyMetadata> {
    const own = typeof version === 'string' ? plain(version) : version;
    return markedKey(await this.#provider.setPrimaryVersion(keyId, own, options));
  }

  async setRotationSchedule(
    keyId: string,
    schedule: RotationSchedule | null,
    options?: CallOptions,
  ): Promise<KeyMetadata> {
    return markedKey(await this.#provider.setRotationSchedule(keyId, schedule, options));
  }

  async updateLabels(
    keyId: string,
    changes: Readonly<Record<string, string | null>>,
    options?: CallOptions,
  ): Promise<KeyMetadata> {
    return markedKey(await this.#provider.updateLabels(keyId, changes, options));
  }

  async destroyKey(
    keyId: string,
    destroyAfter?: number,
    options?: DestroyOptions,
  ): Promise<DestructionResult> {
    const { name, versions } = await this.#provider.destroyKey(plain(keyId), destroyAfter, options);
    return { name, versions: versions.map(markedName) };
  }

  async restoreKey(keyId: string, options?: RestoreOptions): Promise<KeyMetadata> {
    return markedKey(await this.#provider.restoreKey(plain(keyId), options));
  }

  async getKey(keyId: string, options?: CallOptions): Promise<KeyMetadata> {
    return markedKey(await this.#provider.getKey(plain(keyId), options));
  }

  async listKeys(options?: ListKeysOptions): Promise<readonly KeyMetadata[]> {
    return (await this.#provider.listKeys(options)).map(markedKey);
  }

  async listKeyVersions(keyId: string, options?: CallOptions): Promise<readonly KeyVersionMetadata[]> {
    return (await this.#provider.listKeyVersions(plain(keyId), options)).map(markedName);
  }

  /** @see SoftwareProvider.withPrivateKey */
  withPrivateKey<T>(
    keyVersion: string,
    use: (pkcs8: Buffer) => Promise<T>,
    options?: CallOptions,
  ): Promise<T> {
    return this.#provider.withPrivateKey(plain(keyVersion), use, options);
  }

  /** @see SoftwareProvider.purgeKeyVersion */
  async purgeKeyVersion(keyVersion: string, options?: CallOptions): Promise<void> {
    await this.#provider.purgeKeyVersion(plain(keyVersion), options);
  }

  close(): Promise<void> {
    return this.#provider.close();
  }
}

const markedName = <T extends { readonly name: string }>(named: T): T => ({
  ...named,
  name: marked(named.name),
});

const markedUse = <T extends { readonly keyVersion: string }>(used: T): T => ({
  ...used,
  keyVersion: marked(used.keyVersion),
});

const markedKey = <T extends KeyMetadata>(key: T): T => ({
  ...key,
  primary: key.primary === undefined ? undefined : marked(key.primary),
});

const markedRotation = (result: RotationResult): RotationResult => ({
  ...markedKey(result),
  prepared: result.prepared === undefined ? undefined : marked(result.prepared),
  disposed: result.disposed.map(markedName),
});

const plainRotation = (options: RotationOptions | undefined): RotationOptions | undefined =>
  options?.replacing === undefined ? options : { ...options, replacing: plain(options.replacing) };
