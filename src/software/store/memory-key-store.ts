/** Software keys in this process and nowhere else, for tests: they are not encrypted, and gone with the process. */

import type { ErrorContext } from '../../errors/base.js';
import { KeyStoreError } from '../../errors/storage.js';
import type { CryptoKeyName } from '../../keys/resource-name.js';
import { BufferedTransaction } from './buffered-transaction.js';
import type { KeyStore, MaterialAddress, StoreTransaction, StoreView } from './key-store.js';
import type { StoredKey } from './stored-key.js';

/** What the work gives; when it throws, nothing that it was to write stays. */
function outcomeOf<T>(transaction: BufferedTransaction, work: (transaction: StoreTransaction) => T): T {
  try {
    return work(transaction);
  } catch (error) {
    transaction.wipe();
    throw error;
  }
}

export class MemoryKeyStore implements KeyStore {
  readonly #keys = new Map<string, StoredKey>();
  readonly #materials = new Map<string, Buffer>();
  readonly #view: StoreView = {
    getKey: (name: CryptoKeyName) => this.#keys.get(name),
    keyNames: (prefix: string) => [...this.#keys.keys()].filter((name) => name.startsWith(prefix)).sort(),
    getMaterial: ({ version }: MaterialAddress) => {
      const material = this.#materials.get(version);
      return material && Buffer.from(material);
    },
  };

  async open(): Promise<void> {}

  read<T>(_context: ErrorContext, work: (view: StoreView) => T): T {
    return work(this.#view);
  }

  async transact<T>(_context: ErrorContext, work: (transaction: StoreTransaction) => T): Promise<T> {
    const transaction = new BufferedTransaction(this.#view);
    const result = outcomeOf(transaction, work);
    const { keys, materials } = transaction.changes;
    for (const key of keys) this.#keys.set(key.name, key);
    for (const { address, bytes } of materials) {
      this.#materials.get(address.version)?.fill(0);
      if (bytes === undefined) this.#materials.delete(address.version);
      else this.#materials.set(address.version, bytes);
    }
    return result;
  }

  async rotateStoreKey(context: ErrorContext): Promise<never> {
    throw new KeyStoreError(
      context,
      'a store in memory is not encrypted and has no passphrase.',
      "Use a store of type 'file'.",
    );
  }

  async close(): Promise<void> {
    for (const material of this.#materials.values()) material.fill(0);
    this.#materials.clear();
    this.#keys.clear();
  }
}
