/**
 * Providers that tell when a private key was used, whoever called them: the facade, a JWS, a batch or the user's own code.
 * They are told of nothing else, and telling costs a look-up, since an observer of all calls would cost each signature more.
 */

import type { KMSConfig } from './config/kms-config.js';
import type { CallOptions, EncryptionOptions } from './keys/call-options.js';
import type { SignatureDetails } from './keys/key-provider.js';
import { KMSClient } from './kms/kms-client.js';
import type { SoftwareKeyProviderConfig } from './software/provider-config.js';
import { SoftwareKeyProvider } from './software/software-key-provider.js';

/** Who wants to know when keys were used. */
export interface KeyUseWatch {
  /** Whether it wants to know of a use of the key now. It is asked at each, so it only looks up. */
  isDue(keyId: string): boolean;
  /** The key was used. It returns at once and throws nothing. */
  used(keyId: string): void;
}

/** The use itself, with the watch told when it has succeeded. */
function watched<T>(watch: KeyUseWatch, keyId: string, use: Promise<T>): Promise<T> {
  if (watch.isDue(keyId)) {
    const tell = (): void => watch.used(keyId);
    // A failure is for the caller, who has the same promise.
    use.then(tell, () => {});
  }
  return use;
}

export class WatchedKMSClient extends KMSClient {
  readonly #watch: KeyUseWatch;

  constructor(config: KMSConfig, watch: KeyUseWatch) {
    super(config);
    this.#watch = watch;
  }

  override sign(keyId: string, data: Uint8Array, options?: CallOptions): Promise<Buffer> {
    return watched(this.#watch, keyId, super.sign(keyId, data, options));
  }

  override signDetailed(keyId: string, data: Uint8Array, options?: CallOptions): Promise<SignatureDetails> {
    return watched(this.#watch, keyId, super.signDetailed(keyId, data, options));
  }

  override signDigest(keyId: string, digest: Uint8Array, options?: CallOptions): Promise<SignatureDetails> {
    return watched(this.#watch, keyId, super.signDigest(keyId, digest, options));
  }

  override decrypt(keyId: string, ciphertext: Uint8Array, options?: EncryptionOptions): Promise<Buffer> {
    return watched(this.#watch, keyId, super.decrypt(keyId, ciphertext, options));
  }
}

export class WatchedSoftwareKeyProvider extends SoftwareKeyProvider {
  readonly #watch: KeyUseWatch;

  constructor(config: SoftwareKeyProviderConfig, watch: KeyUseWatch) {
    super(config);
    this.#watch = watch;
  }

  override sign(keyId: string, data: Uint8Array, options?: CallOptions): Promise<Buffer> {
    return watched(this.#watch, keyId, super.sign(keyId, data, options));
  }

  override signDetailed(keyId: string, data: Uint8Array, options?: CallOptions): Promise<SignatureDetails> {
    return watched(this.#watch, keyId, super.signDetailed(keyId, data, options));
  }

  override signDigest(keyId: string, digest: Uint8Array, options?: CallOptions): Promise<SignatureDetails> {
    return watched(this.#watch, keyId, super.signDigest(keyId, digest, options));
  }

  override decrypt(keyId: string, ciphertext: Uint8Array, options?: EncryptionOptions): Promise<Buffer> {
    return watched(this.#watch, keyId, super.decrypt(keyId, ciphertext, options));
  }
}
