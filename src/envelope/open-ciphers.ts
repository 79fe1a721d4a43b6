/** The ciphers that something gave out and has to close with itself. A cipher that is closed before is forgotten. */

import { ClientClosedError } from '../errors/service.js';
import type { CacheStats } from '../provider/stats.js';
import { EnvelopeCipher, type EnvelopeStats } from './envelope-cipher.js';
import type { KeyWrappingProvider } from './key-wrapper.js';
import type { EnvelopeCipherOptions } from './options.js';

class OwnedCipher extends EnvelopeCipher {
  /** Set once the cipher exists, since a constructor cannot hand itself on. */
  onClose: (() => void) | undefined;

  override async close(): Promise<void> {
    await super.close();
    this.onClose?.();
  }
}

const NONE: CacheStats = { hits: 0, misses: 0, size: 0 };

export class OpenCiphers {
  readonly #provider: KeyWrappingProvider;
  readonly #open = new Set<EnvelopeCipher>();
  /** Of the ciphers that were closed. */
  #before: EnvelopeStats = { dataKeys: NONE, unwrappedKeys: NONE };
  #closed = false;

  constructor(provider: KeyWrappingProvider) {
    this.#provider = provider;
  }

  /** @throws ClientClosedError after `close`; InvalidConfigError. */
  create(keyId: string, options: EnvelopeCipherOptions): EnvelopeCipher {
    if (this.#closed) throw new ClientClosedError({ operation: 'envelope', resource: keyId });
    const cipher = new OwnedCipher(this.#provider, keyId, options);
    this.#open.add(cipher);
    cipher.onClose = () => {
      if (this.#open.delete(cipher)) this.#before = sumOf([this.#before, cipher.stats()]);
    };
    return cipher;
  }

  /** Of all ciphers that were given out, closed ones too. */
  get stats(): EnvelopeStats {
    return sumOf([this.#before, ...[...this.#open].map((cipher) => cipher.stats())]);
  }

  /** How many are open. */
  get size(): number {
    return this.#open.size;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#open].map((cipher) => cipher.close()));
  }
}

function sumOf(all: readonly EnvelopeStats[]): EnvelopeStats {
  const add = (a: CacheStats, b: CacheStats): CacheStats => ({
    hits: a.hits + b.hits,
    misses: a.misses + b.misses,
    size: a.size + b.size,
  });
  return {
    dataKeys: all.map(({ dataKeys }) => dataKeys).reduce(add, NONE),
    unwrappedKeys: all.map(({ unwrappedKeys }) => unwrappedKeys).reduce(add, NONE),
  };
}
