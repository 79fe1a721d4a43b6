/** The ciphers that something gave out and has to close with itself. A cipher that is closed before is forgotten. */

import { ClientClosedError } from '../errors.js';
import { EnvelopeCipher } from './envelope-cipher.js';
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

export class OpenCiphers {
  readonly #provider: KeyWrappingProvider;
  readonly #open = new Set<EnvelopeCipher>();
  #closed = false;

  constructor(provider: KeyWrappingProvider) {
    this.#provider = provider;
  }

  /** @throws ClientClosedError after `close`; InvalidConfigError. */
  create(keyId: string, options: EnvelopeCipherOptions): EnvelopeCipher {
    if (this.#closed) throw new ClientClosedError({ operation: 'envelope', resource: keyId });
    const cipher = new OwnedCipher(this.#provider, keyId, options);
    this.#open.add(cipher);
    cipher.onClose = () => this.#open.delete(cipher);
    return cipher;
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
