/**
 * Keys that were read from the store, parsed and ready to use, for the versions used last. Whether a version may be used is
 * not known here: its state is read from the store each time.
 */

import type { KeyObject } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { StoredKeyDamagedError } from '../errors/storage.js';
import type { Operation } from '../provider/operation.js';
import type { CacheStats } from '../provider/stats.js';
import { toKeyObject, toPublicKeyObject } from './key-material.js';
import { entryOf } from './key-records.js';
import type { KeyStore, MaterialAddress } from './store/key-store.js';

/** An EC key takes about a kilobyte of memory, an RSA key a few. */
const MAX_KEYS = 1_000;

class CountedCache {
  readonly #keys = new LRUCache<string, KeyObject>({ max: MAX_KEYS });
  #hits = 0;
  #misses = 0;

  get stats(): CacheStats {
    return { hits: this.#hits, misses: this.#misses, size: this.#keys.size };
  }

  get(versionName: string): KeyObject | undefined {
    const known = this.#keys.get(versionName);
    if (known === undefined) this.#misses += 1;
    else this.#hits += 1;
    return known;
  }

  set(versionName: string, key: KeyObject): void {
    this.#keys.set(versionName, key);
  }

  delete(versionName: string): void {
    this.#keys.delete(versionName);
  }

  clear(): void {
    this.#keys.clear();
  }
}

export class KeyObjects {
  readonly #store: KeyStore;
  readonly #secrets = new CountedCache();
  readonly #publicKeys = new CountedCache();

  constructor(store: KeyStore) {
    this.#store = store;
  }

  get stats(): { readonly secretKeys: CacheStats; readonly publicKeys: CacheStats } {
    return { secretKeys: this.#secrets.stats, publicKeys: this.#publicKeys.stats };
  }

  /**
   * The private or symmetric key of a version.
   * @throws StoredKeyDamagedError when the store does not hold it as it was written.
   */
  secret(operation: Operation, address: MaterialAddress): KeyObject {
    const known = this.#secrets.get(address.version);
    if (known !== undefined) return known;
    const bytes = readMaterial(this.#store, operation, address);
    try {
      const key = toKeyObject(entryOf(address.algorithm), bytes);
      this.#secrets.set(address.version, key);
      return key;
    } finally {
      bytes.fill(0);
    }
  }

  /** A version is immutable, so its public key is parsed once. */
  publicKey(versionName: string, pem: string): KeyObject {
    const known = this.#publicKeys.get(versionName);
    if (known !== undefined) return known;
    const key = toPublicKeyObject(pem);
    this.#publicKeys.set(versionName, key);
    return key;
  }

  /** Lets go of the secret of a version. */
  forgetSecret(versionName: string): void {
    this.#secrets.delete(versionName);
  }

  clear(): void {
    this.#secrets.clear();
    this.#publicKeys.clear();
  }
}

/**
 * The secret bytes of a version that must have them; the caller wipes them.
 * @throws StoredKeyDamagedError
 */
export function readMaterial(store: KeyStore, operation: Operation, address: MaterialAddress): Buffer {
  const secret = store.read(operation.context(), (view) => view.getMaterial(address));
  if (secret === undefined) throw new StoredKeyDamagedError(operation.context(), address.version);
  return secret;
}
