/** The DigestInfo that RSASSA-PKCS1-v1_5 signs (RFC 8017 section 9.2), for a digest that is given. */

import type { DigestName } from './algorithm-types.js';

/** DER up to the digest (RFC 8017 section 9.2, note 1). */
const PREFIXES: Readonly<Record<DigestName, Buffer>> = {
  sha256: Buffer.from('3031300d060960864801650304020105000420', 'hex'),
  sha384: Buffer.from('3041300d060960864801650304020205000430', 'hex'),
  sha512: Buffer.from('3051300d060960864801650304020305000440', 'hex'),
};

export function encodeDigestInfo(digest: Uint8Array, hash: DigestName): Buffer {
  return Buffer.concat([PREFIXES[hash], digest]);
}
