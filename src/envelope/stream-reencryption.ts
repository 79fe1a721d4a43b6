/** Puts a new header in front of an encrypted stream. The segments do not depend on how the key is wrapped, and stay. */

import type { ErrorContext } from '../errors/base.js';
import { encodeHeader } from './format.js';
import { type StreamHeader, StreamHeaderReader } from './stream-header.js';
import type { Batches, StreamWork } from './stream-work.js';

interface StreamReencryptionOptions {
  readonly context: ErrorContext;
  /** The same data key, wrapped anew. */
  readonly rewrapKey: (wrappedKey: Buffer) => Promise<Buffer>;
}

export class StreamReencryption implements StreamWork {
  readonly #header: StreamHeaderReader;
  readonly #rewrapKey: StreamReencryptionOptions['rewrapKey'];
  #isPastHeader = false;

  constructor(options: StreamReencryptionOptions) {
    this.#header = new StreamHeaderReader(options.context);
    this.#rewrapKey = options.rewrapKey;
  }

  update(chunk: Uint8Array): Batches | Promise<Batches> {
    if (this.#isPastHeader) return [[Buffer.from(chunk)]];
    const rest = chunk.subarray(this.#header.fill(chunk));
    const header = this.#header.header;
    return header === undefined ? [] : this.#replace(header, rest);
  }

  finish(): Batches {
    if (!this.#isPastHeader) throw this.#header.truncated();
    return [];
  }

  /** It has no key of its own. */
  wipe(): void {}

  async #replace(header: StreamHeader, rest: Uint8Array): Promise<Batches> {
    const wrappedKey = await this.#rewrapKey(header.wrappedKey);
    this.#isPastHeader = true;
    return [[Buffer.concat([encodeHeader(wrappedKey), header.own, rest])]];
  }
}
