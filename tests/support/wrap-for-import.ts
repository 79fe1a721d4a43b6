/** What a client of an import job does: wraps key material with the job's public key. */

import { constants, createCipheriv, type KeyObject, publicEncrypt, randomBytes } from 'node:crypto';

/** OAEP of an AES key, then AES-KWP of the material: the `RSA_OAEP_*_AES_256` methods. */
export function wrapWithEphemeralKey(
  publicKey: KeyObject,
  oaepHash: 'sha1' | 'sha256',
  options: { readonly material: Uint8Array; readonly ephemeralKey?: Buffer },
): Buffer {
  const ephemeralKey = options.ephemeralKey ?? randomBytes(32);
  return Buffer.concat([
    wrapDirectly(publicKey, oaepHash, ephemeralKey),
    wrapAesKwp(ephemeralKey, options.material),
  ]);
}

/** OAEP of the material itself: the `RSA_OAEP_*_SHA256` methods. */
export function wrapDirectly(
  publicKey: KeyObject,
  oaepHash: 'sha1' | 'sha256',
  material: Uint8Array,
): Buffer {
  return publicEncrypt({ key: publicKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash }, material);
}

/** AES Key Wrap with Padding (RFC 5649). */
export function wrapAesKwp(wrappingKey: Buffer, material: Uint8Array): Buffer {
  const cipher = createCipheriv(
    `id-aes${wrappingKey.length * 8}-wrap-pad`,
    wrappingKey,
    Buffer.from('a65959a6', 'hex'),
  );
  return Buffer.concat([cipher.update(material), cipher.final()]);
}
