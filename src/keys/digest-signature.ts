/** Signs a digest as it is. `crypto.sign(null, digest, key)` would hash it once more for RSA and elliptic curve keys. */

import { constants, type KeyObject, privateEncrypt } from 'node:crypto';
import type { AsymmetricKeyType, DigestName } from './algorithm-types.js';
import { encodeDigestInfo } from './digest-info.js';
import { signEcdsaDigest } from './ecdsa-digest.js';
import { encodeEmsaPss } from './emsa-pss.js';

/** The signature with an RSA or elliptic curve key: ECDSA as DER, RSA PKCS#1 v1.5 and PSS as the modulus' bytes. */
export function signDigest(
  key: AsymmetricKeyType,
  privateKey: KeyObject,
  { digest, hash }: { readonly digest: Uint8Array; readonly hash: DigestName },
): Buffer {
  if (key.kind === 'ec') return signEcdsaDigest(key, privateKey, digest);
  if (key.kind === 'rsa' && key.padding === 'pss') {
    const encoded = encodeEmsaPss(digest, hash, key.modulusBits);
    return privateEncrypt({ key: privateKey, padding: constants.RSA_NO_PADDING }, encoded);
  }
  const digestInfo = encodeDigestInfo(digest, hash);
  return privateEncrypt({ key: privateKey, padding: constants.RSA_PKCS1_PADDING }, digestInfo);
}
