/** Reads the header of an encrypted stream from chunks of any size: `uint32_be n ‖ wrappedKey[n] ‖ 28 ‖ salt ‖ noncePrefix`. */

import type { ErrorContext } from '../errors/base.js';
import { InvalidEnvelopeError } from '../errors/envelope.js';
import {
  checkedWrappedKeyBytes,
  LENGTH_BYTES,
  STREAM_HEADER_BYTES,
  WRAPPED_KEY_MAX_BYTES,
} from './format.js';

export interface StreamHeader {
  readonly wrappedKey: Buffer;
  /** `28 ‖ salt ‖ noncePrefix`. */
  readonly own: Buffer;
}

export class StreamHeaderReader {
  readonly #context: ErrorContext;
  readonly #bytes = Buffer.alloc(LENGTH_BYTES + WRAPPED_KEY_MAX_BYTES + STREAM_HEADER_BYTES);
  #length = 0;
  /** Where it ends, as far as is known. */
  #end = LENGTH_BYTES;

  constructor(context: ErrorContext) {
    this.#context = context;
  }

  /**
   * Takes what belongs to the header. @returns how many bytes it took.
   * @throws InvalidEnvelopeError as soon as it can be seen that this is not the header of a stream.
   */
  fill(chunk: Uint8Array): number {
    let taken = this.#take(chunk, 0);
    if (this.#end === LENGTH_BYTES && this.#length === LENGTH_BYTES) {
      this.#end += checkedWrappedKeyBytes(this.#context, this.#bytes) + STREAM_HEADER_BYTES;
      taken += this.#take(chunk, taken);
    }
    return taken;
  }

  /** The header, once it is complete. @throws InvalidEnvelopeError when it is not that of a stream. */
  get header(): StreamHeader | undefined {
    if (this.#end === LENGTH_BYTES || this.#length < this.#end) return undefined;
    const ownAt = this.#end - STREAM_HEADER_BYTES;
    const own = this.#bytes.subarray(ownAt, this.#end);
    if (own[0] !== STREAM_HEADER_BYTES) {
      throw new InvalidEnvelopeError(
        this.#context,
        'stream-header',
        `the header after its wrapped key would have ${own[0]} bytes; ${STREAM_HEADER_BYTES} are expected.`,
      );
    }
    return { wrappedKey: this.#bytes.subarray(LENGTH_BYTES, ownAt), own };
  }

  /** The error of a stream that ended within its header. */
  truncated(): InvalidEnvelopeError {
    return new InvalidEnvelopeError(
      this.#context,
      'size',
      `the stream ended after ${this.#length} bytes, within its header.`,
    );
  }

  #take(chunk: Uint8Array, offset: number): number {
    const taken = chunk.subarray(offset, offset + this.#end - this.#length);
    this.#bytes.set(taken, this.#length);
    this.#length += taken.length;
    return taken.length;
  }
}
