/** Decrypts a stream, one segment in memory at a time. A segment is given on when its tag was verified, never before. */

import { type ErrorContext, InvalidEnvelopeError, StreamDecryptionError } from '../errors.js';
import type { DataKey } from './data-key.js';
import { SegmentBuffer, SegmentCipher, type SegmentPosition } from './segments.js';
import { type StreamHeader, StreamHeaderReader } from './stream-header.js';
import type { Batches, StreamWork } from './stream-work.js';

export interface StreamDecryptionOptions {
  readonly context: ErrorContext;
  /** Not changed by anyone while the stream lives. */
  readonly associatedData: Uint8Array;
  /** The data key, held for the caller. */
  readonly unwrapKey: (wrappedKey: Buffer) => Promise<DataKey> | DataKey;
}

export class StreamDecryption implements StreamWork {
  readonly #options: StreamDecryptionOptions;
  readonly #header: StreamHeaderReader;
  #segment: SegmentBuffer | undefined;
  #cipher: SegmentCipher | undefined;
  #releasedBytes = 0;
  #wiped = false;

  constructor(options: StreamDecryptionOptions) {
    this.#options = options;
    this.#header = new StreamHeaderReader(options.context);
  }

  update(chunk: Uint8Array): Batches | Promise<Batches> {
    if (this.#cipher !== undefined) return this.#decrypt(this.#cipher, chunk);
    const rest = chunk.subarray(this.#header.fill(chunk));
    const header = this.#header.header;
    return header === undefined ? [] : this.#begin(header, rest);
  }

  finish(): Batches {
    if (this.#cipher === undefined) throw this.#header.truncated();
    return this.#decryptLast(this.#cipher);
  }

  wipe(): void {
    this.#wiped = true;
    this.#cipher?.wipe();
  }

  async #begin(header: StreamHeader, rest: Uint8Array): Promise<Batches> {
    const { context, associatedData, unwrapKey } = this.#options;
    const key = await unwrapKey(header.wrappedKey);
    try {
      if (this.#wiped) return [];
      if (key.kind !== 'stream') {
        throw new InvalidEnvelopeError(context, 'data-key', 'its data key is for messages, not for streams.');
      }
      const cipher = new SegmentCipher({ dataKey: key, header: header.own, associatedData });
      this.#cipher = cipher;
      return this.#decrypt(cipher, rest);
    } finally {
      key.release();
    }
  }

  *#decrypt(cipher: SegmentCipher, chunk: Uint8Array): Batches {
    this.#segment ??= new SegmentBuffer(0);
    for (let offset = 0; offset < chunk.length; ) {
      if (this.#segment.isFull) yield this.#decryptSegment(cipher, this.#segment, 'inner');
      offset += this.#segment.fill(chunk, offset);
    }
  }

  *#decryptLast(cipher: SegmentCipher): Batches {
    yield this.#decryptSegment(cipher, this.#segment ?? new SegmentBuffer(0), 'last');
    cipher.wipe();
  }

  #decryptSegment(cipher: SegmentCipher, segment: SegmentBuffer, position: SegmentPosition): Buffer[] {
    const index = cipher.index;
    const pieces = cipher.isExhausted ? undefined : cipher.decrypt(segment.take(), position);
    if (pieces === undefined) {
      cipher.wipe();
      throw new StreamDecryptionError(this.#options.context, {
        segment: index,
        releasedBytes: this.#releasedBytes,
      });
    }
    for (const piece of pieces) this.#releasedBytes += piece.length;
    return pieces;
  }
}
