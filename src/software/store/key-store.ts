/**
 * What a store of software keys does. All changes are made in transactions that read, check and write in one go, so that
 * any number of processes may share a store; a change that was acknowledged is durable.
 */

import type { StoreSecret } from '../../config/software-config.js';
import type { ErrorContext } from '../../errors/base.js';
import type { KeyAlgorithm } from '../../keys/algorithm-types.js';
import type { CryptoKeyName, CryptoKeyVersionName } from '../../keys/resource-name.js';
import type { StoredKey } from './stored-key.js';

/** Where secret material is kept: PKCS#8 DER of a key pair, 32 bytes of a symmetric key. */
export interface MaterialAddress {
  readonly version: CryptoKeyVersionName;
  /** Bound to the material: it cannot be read as a key of another algorithm. */
  readonly algorithm: KeyAlgorithm;
}

/** A consistent view of the store. What it gives out is the caller's. */
export interface StoreView {
  /** @throws StoredKeyDamagedError when the record is not what was written. */
  getKey(name: CryptoKeyName): StoredKey | undefined;
  /** Names of the keys whose names begin with the prefix, in ascending order. */
  keyNames(prefix: string): readonly string[];
  /**
   * Secret material; the caller wipes it. Undefined when it was never there or was removed.
   * @throws StoredKeyDamagedError when the record is not what was written.
   */
  getMaterial(address: MaterialAddress): Buffer | undefined;
}

export interface StoreTransaction extends Pick<StoreView, 'getKey'> {
  putKey(key: StoredKey): void;
  /** Takes a copy. */
  putMaterial(address: MaterialAddress, material: Uint8Array): void;
  removeMaterial(address: MaterialAddress): void;
}

/** The context of each call is that of the operation it is made for. */
export interface KeyStore {
  /**
   * Opens the store, or makes it; may be called again.
   * @throws KeyStoreLockedError when the secret is not the right one. Nothing was changed.
   * @throws KeyStoreError when it cannot be opened.
   */
  open(context: ErrorContext): Promise<void>;
  read<T>(context: ErrorContext, work: (view: StoreView) => T): T;
  /**
   * Runs the work, which must be synchronous, while no other process writes. Its changes are durable when the promise
   * resolves; when the work throws, nothing was changed.
   */
  transact<T>(context: ErrorContext, work: (transaction: StoreTransaction) => T): Promise<T>;
  /**
   * Encrypts everything under a new key that another secret opens, in one transaction. Gives the names of what is damaged
   * and therefore stayed as it is.
   */
  rotateStoreKey(context: ErrorContext, newSecret: StoreSecret): Promise<readonly string[]>;
  close(): Promise<void>;
}
