/**
 * Wraps a private key for an import job with method RSA_OAEP_3072_SHA256_AES_256: RSAES-OAEP of an ephemeral AES-256 key,
 * then AES key wrap with padding (RFC 5649) of the PKCS#8 DER (`ImportCryptoKeyVersionRequest.wrapped_key` in service.proto).
 * The ephemeral key lives in this function and is wiped before it returns.
 */

import { constants, createCipheriv, type KeyObject, publicEncrypt, randomBytes } from 'node:crypto';

export const IMPORT_METHOD = 'RSA_OAEP_3072_SHA256_AES_256';
export const IMPORT_MODULUS_BITS = 3_072;

const AES_KEY_BYTES = 32;
/** The alternative initial value that tells key wrap with padding from key wrap without (RFC 5649 section 3). */
const KWP_INITIAL_VALUE = Buffer.from('a65959a6', 'hex');

export function wrapForImport(wrappingKey: KeyObject, pkcs8: Uint8Array): Buffer {
  const ephemeralKey = randomBytes(AES_KEY_BYTES);
  try {
    const cipher = createCipheriv('id-aes256-wrap-pad', ephemeralKey, KWP_INITIAL_VALUE);
    return Buffer.concat([
      publicEncrypt(
        { key: wrappingKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' },
        ephemeralKey,
      ),
      cipher.update(pkcs8),
      cipher.final(),
    ]);
  } finally {
    ephemeralKey.fill(0);
  }
}
