/**
 * Where public keys outlive their key versions. Cloud KMS gives out the public keys of ENABLED versions only, so a key is
 * put here before its version is disabled or destroyed, and what it signed can be verified ever after. A migration puts
 * the keys here that agents are encrypted to as well: they tell that the HSM has, or had, such a key.
 */

import type { KeyAlgorithm } from './algorithm-types.js';

/** A public key and the version it is of. */
export interface ArchivedPublicKey {
  /** Full CryptoKeyVersion name. */
  readonly keyVersion: string;
  readonly algorithm: KeyAlgorithm;
  readonly protectionLevel: string;
  /** SubjectPublicKeyInfo (RFC 7468 section 13). */
  readonly pem: string;
  /** When the key was generated. */
  readonly notBefore: Date;
  /** When the version was disabled, or its destruction scheduled: it signed nothing after that. */
  readonly notAfter?: Date | undefined;
}

/**
 * Keeps public keys. Whoever can write to it decides what verifies, so it belongs where only the owners of the keys can
 * write. One archive may serve several processes and key rings.
 */
export interface PublicKeyArchive {
  /**
   * Keeps a key; it is durable when the promise resolves. Putting the same key again updates its times.
   * @throws ArchiveError when another key is there for that version, or when it could not be written.
   */
  put(key: ArchivedPublicKey): Promise<void>;
  /** The key of a version, by its full name. */
  get(keyVersion: string): Promise<ArchivedPublicKey | undefined>;
  /** All keys, or those of one key (by its full CryptoKey name), in no particular order. */
  list(keyName?: string): Promise<readonly ArchivedPublicKey[]>;
}
