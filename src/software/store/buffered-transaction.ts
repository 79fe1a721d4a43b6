/** Holds the changes of a transaction back until its work is done, so that work that throws has changed nothing. */

import type { CryptoKeyName } from '../../keys/resource-name.js';
import type { MaterialAddress, StoreTransaction, StoreView } from './key-store.js';
import type { StoredKey } from './stored-key.js';

/** A change to the secret material of a version. */
interface MaterialChange {
  readonly address: MaterialAddress;
  /** Undefined: it is removed. */
  readonly bytes: Buffer | undefined;
}

/** What is to be written. */
interface StoreChanges {
  readonly keys: readonly StoredKey[];
  readonly materials: readonly MaterialChange[];
}

export class BufferedTransaction implements StoreTransaction {
  readonly #view: Pick<StoreView, 'getKey'>;
  readonly #keys = new Map<string, StoredKey>();
  readonly #materials = new Map<string, MaterialChange>();

  constructor(view: Pick<StoreView, 'getKey'>) {
    this.#view = view;
  }

  get changes(): StoreChanges {
    return { keys: [...this.#keys.values()], materials: [...this.#materials.values()] };
  }

  getKey(name: CryptoKeyName): StoredKey | undefined {
    return this.#keys.get(name) ?? this.#view.getKey(name);
  }

  putKey(key: StoredKey): void {
    this.#keys.set(key.name, key);
  }

  putMaterial(address: MaterialAddress, material: Uint8Array): void {
    this.#materials.set(address.version, { address, bytes: Buffer.from(material) });
  }

  removeMaterial(address: MaterialAddress): void {
    this.#materials.set(address.version, { address, bytes: undefined });
  }

  /** Wipes the material that was to be written. */
  wipe(): void {
    for (const { bytes } of this.#materials.values()) bytes?.fill(0);
  }
}
