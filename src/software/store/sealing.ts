/** AES-256-GCM for the records of a store and for data: each is bound to what it is, so that it is not taken for another one. */

import { createCipheriv, createDecipheriv, type KeyObject, randomBytes } from 'node:crypto';

/** NIST SP 800-38D section 8.2.2: random, of 96 bits; safe for 2^32 records under one key. */
const IV_BYTES = 12;
const TAG_BYTES = 16;

/** `iv[12] ‖ ciphertext ‖ tag[16]`. */
export function seal(
  key: Uint8Array | KeyObject,
  plaintext: Uint8Array,
  boundTo: string | Uint8Array,
): Buffer {
  const iv = randomBytes(IV_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, iv, { authTagLength: TAG_BYTES });
  cipher.setAAD(toBytes(boundTo));
  const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  return Buffer.concat([iv, ciphertext, cipher.getAuthTag()]);
}

/** The plaintext, or undefined when the record is damaged, from another place, or sealed with another key. */
export function unseal(
  key: Uint8Array | KeyObject,
  sealed: Uint8Array,
  boundTo: string | Uint8Array,
): Buffer | undefined {
  if (sealed.length < IV_BYTES + TAG_BYTES) return undefined;
  const tagStart = sealed.length - TAG_BYTES;
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, IV_BYTES), {
    authTagLength: TAG_BYTES,
  });
  decipher.setAAD(toBytes(boundTo));
  decipher.setAuthTag(sealed.subarray(tagStart));
  const plaintext = decipher.update(sealed.subarray(IV_BYTES, tagStart));
  try {
    decipher.final();
    return plaintext;
  } catch {
    plaintext.fill(0);
    return undefined;
  }
}

const toBytes = (bound: string | Uint8Array): Uint8Array =>
  typeof bound === 'string' ? Buffer.from(bound, 'utf8') : bound;
