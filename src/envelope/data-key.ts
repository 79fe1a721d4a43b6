/**
 * A data key in memory. It is zeroed as soon as its last holder lets go of it, so that a cache can drop a key which
 * somebody still works with. Copies inside OpenSSL live as long as one cipher operation.
 */

import { randomFillSync } from 'node:crypto';
import { DATA_KEY_BYTES } from './format.js';
import type { DataKeyKind } from './tink-key.js';

export class DataKey {
  readonly kind: DataKeyKind;
  /** Not from Buffer's pool: nothing else shares this memory. */
  readonly #bytes = Buffer.alloc(DATA_KEY_BYTES);
  #holders = 1;

  private constructor(kind: DataKeyKind) {
    this.kind = kind;
  }

  /** A new random key, held by the caller. */
  static generate(kind: DataKeyKind): DataKey {
    const key = new DataKey(kind);
    randomFillSync(key.#bytes);
    return key;
  }

  /** A copy of key bytes, held by the caller. */
  static copyOf(kind: DataKeyKind, bytes: Uint8Array): DataKey {
    const key = new DataKey(kind);
    key.#bytes.set(bytes);
    return key;
  }

  /** The key itself; to be used before the holder releases it, and never kept. */
  get bytes(): Buffer {
    if (this.#holders === 0) throw new Error('a data key was used after its release');
    return this.#bytes;
  }

  /** One holder more. */
  hold(): void {
    if (this.#holders === 0) throw new Error('a data key was held after its release');
    this.#holders += 1;
  }

  /** One holder less; the last one zeroes the key. */
  release(): void {
    if (this.#holders === 0) throw new Error('a data key was released twice');
    this.#holders -= 1;
    if (this.#holders === 0) this.#bytes.fill(0);
  }
}
