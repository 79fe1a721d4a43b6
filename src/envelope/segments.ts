/**
 * The segments of a stream as Tink's AesGcmHkdfStreaming has them. Each stream has a key of its own, derived from the data
 * key, a random salt and the associated data. The nonce of a segment says its index and whether it is the last, so that
 * nothing can be left out, put elsewhere or added.
 */

import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto';
import type { DataKey } from './data-key.js';
import {
  CIPHERTEXT_SEGMENT_BYTES,
  IV_BYTES,
  NONCE_PREFIX_BYTES,
  SALT_BYTES,
  SEGMENTS_MAX,
  STREAM_HEADER_BYTES,
  TAG_BYTES,
} from './format.js';

/** What comes out of a segment is given on in pieces of this size, which fit into a processor's cache. */
const PIECE_BYTES = 65_536;

const NOTHING = new Uint8Array(0);

/** A ciphertext segment, whole or cut in two; the last part holds the whole tag. */
export type SegmentParts = readonly [Uint8Array] | readonly [Uint8Array, Uint8Array];

/** Whether something follows a segment. */
export type SegmentPosition = 'inner' | 'last';

/** The header of a new stream: `28 ‖ salt ‖ noncePrefix`, the first byte being its own length. */
export function newStreamHeader(): Buffer {
  return Buffer.concat([Buffer.of(STREAM_HEADER_BYTES), randomBytes(STREAM_HEADER_BYTES - 1)]);
}

/** Encrypts or decrypts the segments of one stream, in order. */
export class SegmentCipher {
  readonly #key: Buffer;
  readonly #nonce = Buffer.alloc(IV_BYTES);
  #index: number;
  #isWiped = false;

  /** @param firstIndex index of the first segment; other than 0 in tests only. */
  constructor(
    stream: { readonly dataKey: DataKey; readonly header: Buffer; readonly associatedData: Uint8Array },
    firstIndex = 0,
  ) {
    const salt = stream.header.subarray(1, 1 + SALT_BYTES);
    this.#key = deriveStreamKey(stream.dataKey.bytes, salt, stream.associatedData);
    stream.header.copy(this.#nonce, 0, 1 + SALT_BYTES, STREAM_HEADER_BYTES);
    this.#index = firstIndex;
  }

  /** Index of the segment that comes next. */
  get index(): number {
    return this.#index;
  }

  /** Whether there can be no further segment. */
  get isExhausted(): boolean {
    return this.#index >= SEGMENTS_MAX;
  }

  /** Encrypts the next segment, which comes in any number of parts; the last piece is its tag. */
  encrypt(parts: readonly Uint8Array[], position: SegmentPosition): Buffer[] {
    const cipher = createCipheriv('aes-256-gcm', this.#key, this.#nextNonce(position));
    const pieces = parts.flatMap((part) => inPieces(part).map((piece) => cipher.update(piece)));
    cipher.final();
    pieces.push(cipher.getAuthTag());
    return pieces;
  }

  /**
   * Decrypts the next segment, whose last part holds the whole tag. Undefined when the tag does not fit: then nothing of it was
   * given away.
   */
  decrypt(parts: SegmentParts, position: SegmentPosition): Buffer[] | undefined {
    const [beginning, end] = parts.length === 1 ? [undefined, parts[0]] : parts;
    const tagAt = end.length - TAG_BYTES;
    if (tagAt < 0) return undefined;
    const decipher = createDecipheriv('aes-256-gcm', this.#key, this.#nextNonce(position), {
      authTagLength: TAG_BYTES,
    });
    decipher.setAuthTag(end.subarray(tagAt));
    const ciphertext = [beginning ?? NOTHING, end.subarray(0, tagAt)];
    const pieces = ciphertext.flatMap((part) => inPieces(part).map((piece) => decipher.update(piece)));
    try {
      decipher.final();
      return pieces;
    } catch {
      for (const piece of pieces) piece.fill(0);
      return undefined;
    }
  }

  /** Zeroes the stream's key; there is no segment after it. */
  wipe(): void {
    this.#key.fill(0);
    this.#isWiped = true;
  }

  #nextNonce(position: SegmentPosition): Buffer {
    if (this.#isWiped) throw new Error('the key of a stream was used after it was zeroed');
    this.#nonce.writeUInt32BE(this.#index, NONCE_PREFIX_BYTES);
    this.#nonce[IV_BYTES - 1] = position === 'last' ? 1 : 0;
    this.#index += 1;
    return this.#nonce;
  }
}

function inPieces(bytes: Uint8Array): readonly Uint8Array[] {
  return Array.from({ length: Math.ceil(bytes.length / PIECE_BYTES) }, (_, index) =>
    bytes.subarray(index * PIECE_BYTES, (index + 1) * PIECE_BYTES),
  );
}

/** Collects what does not fill a segment yet, copying it: a chunk is its owner's again afterwards. */
export class SegmentBuffer {
  readonly #segmentBytes: number;
  /** Memory is touched, and so used, only as far as a stream fills it. */
  readonly #bytes: Buffer;
  #limit: number;
  #length = 0;
  /** How far it was ever filled. */
  #used = 0;

  /** @param overheadBytes by how much a segment is smaller than a ciphertext segment: 0, or the tag. */
  constructor(overheadBytes: number) {
    this.#segmentBytes = CIPHERTEXT_SEGMENT_BYTES - overheadBytes;
    this.#bytes = Buffer.allocUnsafeSlow(this.#segmentBytes);
    this.#limit = this.#segmentBytes - STREAM_HEADER_BYTES;
  }

  /** How many bytes the segment still takes. */
  get missingBytes(): number {
    return this.#limit - this.#length;
  }

  /** Takes bytes, at most as many as are missing. */
  fill(bytes: Uint8Array): void {
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
    this.#used = Math.max(this.#used, this.#length);
  }

  /** Zeroes what is in it. */
  wipe(): void {
    this.#bytes.fill(0, 0, this.#used);
  }

  /** What there is of the segment, to be used before the next `fill`; the buffer is empty afterwards. */
  take(): Buffer {
    const segment = this.#bytes.subarray(0, this.#length);
    this.#length = 0;
    this.#limit = this.#segmentBytes;
    return segment;
  }
}

/**
 * HKDF-SHA-256 (RFC 5869) for one block of output. Not hkdfSync: that takes at most 1,024 bytes of `info`, and associated
 * data may be longer.
 */
function deriveStreamKey(dataKey: Buffer, salt: Buffer, associatedData: Uint8Array): Buffer {
  const pseudoRandomKey = createHmac('sha256', salt).update(dataKey).digest();
  const key = createHmac('sha256', pseudoRandomKey).update(associatedData).update(Buffer.of(1)).digest();
  pseudoRandomKey.fill(0);
  return key;
}
