/** MacSign and MacVerify: HMAC (RFC 2104) with the whole tag. */

import { createHmac, timingSafeEqual } from 'node:crypto';
import type { MacAlgorithmEntry } from '../../keys/algorithm-types.js';
import { CryptoInputError } from './crypto-errors.js';
import { type KeyMaterial, symmetricKey } from './key-material.js';

/** The tag of the data; as long as the digest. */
export function macSign(entry: MacAlgorithmEntry, material: KeyMaterial, data: Buffer): Buffer {
  return createHmac(entry.hash, symmetricKey(material)).update(data).digest();
}

/**
 * Whether `mac` is the tag of the data; compared in constant time.
 *
 * @throws CryptoInputError when `mac` is not as long as the algorithm's tag.
 */
export function macVerify(
  entry: MacAlgorithmEntry,
  material: KeyMaterial,
  { data, mac }: { readonly data: Buffer; readonly mac: Buffer },
): boolean {
  if (mac.length !== entry.sizeBytes) {
    throw new CryptoInputError(
      `The MAC for ${entry.name} must have ${entry.sizeBytes} bytes, not ${mac.length}.`,
    );
  }
  return timingSafeEqual(macSign(entry, material, data), mac);
}
