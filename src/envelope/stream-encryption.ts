/** Encrypts a stream, one segment in memory at a time. */

import type { ErrorContext } from '../errors/base.js';
import { DataTooLargeError } from '../errors/input.js';
import { CIPHERTEXT_SEGMENT_BYTES, SEGMENTS_MAX, TAG_BYTES } from './format.js';
import type { WrappedDataKey } from './key-wrapper.js';
import { newStreamHeader, SegmentBuffer, SegmentCipher, type SegmentPosition } from './segments.js';
import type { Batches, StreamWork } from './stream-work.js';

interface StreamEncryptionOptions {
  readonly context: ErrorContext;
  /** Not changed by anyone while the stream lives. */
  readonly associatedData: Uint8Array;
  /** A new data key, held for the caller. */
  readonly newKey: () => Promise<WrappedDataKey>;
}

export class StreamEncryption implements StreamWork {
  readonly #options: StreamEncryptionOptions;
  #segment: SegmentBuffer | undefined;
  #cipher: SegmentCipher | undefined;
  #wiped = false;

  constructor(options: StreamEncryptionOptions) {
    this.#options = options;
  }

  update(chunk: Uint8Array): Batches | Promise<Batches> {
    if (chunk.length === 0) return [];
    return this.#cipher === undefined
      ? this.#begin((cipher, header) => this.#encrypt(cipher, chunk, header))
      : this.#encrypt(this.#cipher, chunk);
  }

  finish(): Batches | Promise<Batches> {
    return this.#cipher === undefined
      ? this.#begin((cipher, header) => this.#encryptLast(cipher, header))
      : this.#encryptLast(this.#cipher);
  }

  wipe(): void {
    this.#wiped = true;
    this.#cipher?.wipe();
    this.#segment?.wipe();
  }

  async #begin(next: (cipher: SegmentCipher, header: Uint8Array) => Batches): Promise<Batches> {
    const { newKey, associatedData } = this.#options;
    const wrapped = await newKey();
    try {
      if (this.#wiped) return [];
      const header = newStreamHeader();
      const cipher = new SegmentCipher({ dataKey: wrapped.key, header, associatedData });
      this.#cipher = cipher;
      return next(cipher, Buffer.concat([wrapped.header, header]));
    } finally {
      wrapped.release();
    }
  }

  *#encrypt(cipher: SegmentCipher, chunk: Uint8Array, header?: Uint8Array): Batches {
    if (header !== undefined) yield [header];
    this.#segment ??= new SegmentBuffer(TAG_BYTES);
    let rest = chunk;
    // Whether a full segment is the last one is known when a further byte comes; then the rest of it need not be copied.
    for (
      let missing = this.#segment.missingBytes;
      rest.length > missing;
      missing = this.#segment.missingBytes
    ) {
      yield this.#encryptSegment(cipher, [this.#segment.take(), rest.subarray(0, missing)], 'inner');
      rest = rest.subarray(missing);
    }
    this.#segment.fill(rest);
  }

  *#encryptLast(cipher: SegmentCipher, header?: Uint8Array): Batches {
    if (header !== undefined) yield [header];
    yield this.#encryptSegment(cipher, this.#segment === undefined ? [] : [this.#segment.take()], 'last');
    cipher.wipe();
  }

  #encryptSegment(cipher: SegmentCipher, parts: readonly Uint8Array[], position: SegmentPosition): Buffer[] {
    if (cipher.isExhausted) {
      const limitBytes = SEGMENTS_MAX * CIPHERTEXT_SEGMENT_BYTES;
      throw new DataTooLargeError(
        this.#options.context,
        { what: 'an encrypted stream', sizeBytes: limitBytes + 1, limitBytes },
        'Encrypt it as several streams.',
      );
    }
    return cipher.encrypt(parts, position);
  }
}
