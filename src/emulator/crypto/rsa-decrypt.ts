/** AsymmetricDecrypt: RSAES-OAEP (RFC 8017 section 7.1) with an empty label, MGF1 with the same hash. */

import { constants, privateDecrypt } from 'node:crypto';
import type { DecryptionAlgorithmEntry } from '../../keys/algorithm-types.js';
import { CiphertextError } from './crypto-errors.js';
import { type KeyMaterial, privateKeyFor } from './key-material.js';

/**
 * The plaintext of an OAEP ciphertext.
 *
 * @throws CiphertextError for any ciphertext that does not decrypt, without saying why.
 * @throws KeyMaterialError when the key is not one of the algorithm.
 */
export function decryptOaep(
  entry: DecryptionAlgorithmEntry,
  material: KeyMaterial,
  ciphertext: Buffer,
): Buffer {
  const key = privateKeyFor(entry, material);
  try {
    return privateDecrypt(
      { key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: entry.hash },
      ciphertext,
    );
  } catch (cause) {
    throw new CiphertextError('Decryption failed: the ciphertext is invalid.', { cause });
  }
}
