/**
 * The numbers of the two wire formats, and the header that both begin with: `uint32_be n ‖ wrappedKey[n]`, as Tink's
 * KmsEnvelopeAead writes it. What is read here comes from anyone: every length is checked before anything else happens.
 */

import type { ErrorContext } from '../errors/base.js';
import { InvalidEnvelopeError } from '../errors/envelope.js';

/** AES-256. */
export const DATA_KEY_BYTES = 32;
/** AES-GCM with the nonce and the tag that Tink uses (NIST SP 800-38D sections 5.2.1.1 and 5.2.1.2). */
export const IV_BYTES = 12;
export const TAG_BYTES = 16;
/** Size of `n`. */
export const LENGTH_BYTES = 4;
/** Tink refuses wrapped keys above this size. */
export const WRAPPED_KEY_MAX_BYTES = 4_096;

/** Tink's AES256_GCM_HKDF_1MB: ciphertext segments of 1 MiB; the first one is shorter by the stream header. */
export const CIPHERTEXT_SEGMENT_BYTES = 1_048_576;
export const SALT_BYTES = 32;
export const NONCE_PREFIX_BYTES = 7;
/** Its own length in one byte, salt, nonce prefix. */
export const STREAM_HEADER_BYTES = 1 + SALT_BYTES + NONCE_PREFIX_BYTES;
/** The index of a segment is a uint32; Tink for Go does not go to the last one. */
export const SEGMENTS_MAX = 0xffff_ffff;

/** An envelope, taken apart. The parts are views of the input. */
interface Envelope {
  readonly wrappedKey: Buffer;
  /** What follows the header: `iv ‖ ciphertext ‖ tag`, or a stream from its own header on. */
  readonly payload: Buffer;
}

/** The header in front of a payload. */
export function encodeHeader(wrappedKey: Uint8Array): Buffer {
  const header = Buffer.alloc(LENGTH_BYTES + wrappedKey.length);
  header.writeUInt32BE(wrappedKey.length);
  header.set(wrappedKey, LENGTH_BYTES);
  return header;
}

/**
 * Takes an envelope apart.
 * @throws InvalidEnvelopeError for a wrapped key of no possible size, and for bytes too short to hold a payload.
 */
export function parseEnvelope(context: ErrorContext, ciphertext: Uint8Array): Envelope {
  const bytes = Buffer.from(ciphertext.buffer, ciphertext.byteOffset, ciphertext.length);
  const wrappedKeyBytes = bytes.length < LENGTH_BYTES ? 1 : checkedWrappedKeyBytes(context, bytes);
  const payloadAt = LENGTH_BYTES + wrappedKeyBytes;
  if (bytes.length < payloadAt + IV_BYTES + TAG_BYTES) {
    throw new InvalidEnvelopeError(context, 'size', `${bytes.length} bytes are too few.`);
  }
  return { wrappedKey: bytes.subarray(LENGTH_BYTES, payloadAt), payload: bytes.subarray(payloadAt) };
}

/**
 * The size of the wrapped key, from bytes that hold `n`.
 * @throws InvalidEnvelopeError for a size that no wrapped key has.
 */
export function checkedWrappedKeyBytes(context: ErrorContext, bytes: Buffer): number {
  const wrappedKeyBytes = bytes.readUInt32BE();
  if (wrappedKeyBytes > 0 && wrappedKeyBytes <= WRAPPED_KEY_MAX_BYTES) return wrappedKeyBytes;
  throw new InvalidEnvelopeError(
    context,
    'wrapped-key-size',
    `its wrapped key would have ${wrappedKeyBytes} bytes; 1 to ${WRAPPED_KEY_MAX_BYTES} are possible.`,
  );
}
