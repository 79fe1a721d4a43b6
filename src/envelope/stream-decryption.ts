/** Decrypts a stream, one segment in memory at a time. A segment is given on when its tag was verified, never before. */

import type { ErrorContext } from '../errors/base.js';
import { InvalidEnvelopeError, StreamDecryptionError } from '../errors/envelope.js';
import type { DataKey } from './data-key.js';
import { TAG_BYTES } from './format.js';
import { SegmentBuffer, SegmentCipher, type SegmentParts, type SegmentPosition } from './segments.js';
import { type StreamHeader, StreamHeaderReader } from './stream-header.js';
import type { Batches, StreamWork } from './stream-work.js';

interface StreamDecryptionOptions {
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
    let rest = chunk;
    // Whether a full segment is the last one is known when a further byte comes; then the rest of it need not be copied.
    for (
      let missing = this.#segment.missingBytes;
      rest.length > missing;
      missing = this.#segment.missingBytes
    ) {
      const end = rest.subarray(0, missing);
      rest = rest.subarray(missing);
      yield this.#decryptSegment(cipher, withTagWhole(this.#segment, end), 'inner');
    }
    this.#segment.fill(rest);
  }

  *#decryptLast(cipher: SegmentCipher): Batches {
    yield this.#decryptSegment(cipher, [this.#segment?.take() ?? Buffer.alloc(0)], 'last');
    cipher.wipe();
  }

  #decryptSegment(cipher: SegmentCipher, segment: SegmentParts, position: SegmentPosition): Buffer[] {
    const index = cipher.index;
    const pieces = cipher.isExhausted ? undefined : cipher.decrypt(segment, position);
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

/** A segment of which the buffer has the beginning; where the end is shorter than the tag, it is copied behind it. */
function withTagWhole(beginning: SegmentBuffer, end: Uint8Array): SegmentParts {
  if (end.length >= TAG_BYTES) return [beginning.take(), end];
  beginning.fill(end);
  return [beginning.take()];
}
