/**
 * One message under a data key: AES-256-GCM with a random IV, laid out as Tink's AesGcm does (`iv ‖ ciphertext ‖ tag`).
 * Nothing leaves here before its tag was verified.
 */

import { createCipheriv, createDecipheriv, randomFillSync } from 'node:crypto';
import { IV_BYTES, TAG_BYTES } from './format.js';

/**
 * Large buffers go through the cipher in pieces of this size: a piece fits into a processor's cache with its output, and
 * its memory is reused, so that the copy into one buffer costs less than the page faults of one large output would.
 */
const PIECE_BYTES = 65_536;

interface MessageKey {
  /** Data key, 32 bytes. */
  readonly key: Buffer;
  readonly associatedData: Uint8Array;
}

/** Encrypts, and puts the header in front. */
export function sealMessage(
  { key, associatedData }: MessageKey,
  header: Uint8Array,
  plaintext: Uint8Array,
): Buffer {
  const ivAt = header.length;
  const ciphertextAt = ivAt + IV_BYTES;
  const sealed = Buffer.allocUnsafe(ciphertextAt + plaintext.length + TAG_BYTES);
  sealed.set(header);
  randomFillSync(sealed, ivAt, IV_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, sealed.subarray(ivAt, ciphertextAt));
  cipher.setAAD(associatedData);
  for (let offset = 0; offset < plaintext.length; offset += PIECE_BYTES) {
    sealed.set(cipher.update(plaintext.subarray(offset, offset + PIECE_BYTES)), ciphertextAt + offset);
  }
  cipher.final();
  sealed.set(cipher.getAuthTag(), ciphertextAt + plaintext.length);
  return sealed;
}

/** Decrypts `iv ‖ ciphertext ‖ tag`. Undefined when it is not what was encrypted with this key and associated data. */
export function openMessage({ key, associatedData }: MessageKey, payload: Uint8Array): Buffer | undefined {
  const tagAt = payload.length - TAG_BYTES;
  const decipher = createDecipheriv('aes-256-gcm', key, payload.subarray(0, IV_BYTES), {
    authTagLength: TAG_BYTES,
  });
  decipher.setAuthTag(payload.subarray(tagAt));
  decipher.setAAD(associatedData);
  const plaintext = decryptPieces(decipher, payload.subarray(IV_BYTES, tagAt));
  try {
    decipher.final();
    return plaintext;
  } catch {
    plaintext.fill(0);
    return undefined;
  }
}

/**
 * One call of the cipher takes less than 2 GiB. Below this size its output is what the caller gets, without a copy of the
 * plaintext.
 */
const DECRYPTED_PIECE_BYTES = 16_777_216;

function decryptPieces(decipher: { update(piece: Uint8Array): Buffer }, ciphertext: Uint8Array): Buffer {
  if (ciphertext.length <= DECRYPTED_PIECE_BYTES) return decipher.update(ciphertext);
  const plaintext = Buffer.allocUnsafeSlow(ciphertext.length);
  for (let offset = 0; offset < ciphertext.length; offset += DECRYPTED_PIECE_BYTES) {
    const piece = decipher.update(ciphertext.subarray(offset, offset + DECRYPTED_PIECE_BYTES));
    plaintext.set(piece, offset);
    piece.fill(0);
  }
  return plaintext;
}
