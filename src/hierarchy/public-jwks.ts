/**
 * Public keys of several versions as JWKs that are published together. A set that lacks one is never given out: what that
 * version signs would look forged to whoever reads the set.
 */

import type { ErrorContext } from '../errors/base.js';
import { UnsupportedAlgorithmError } from '../errors/input.js';
import { findJoseAlgorithm, type JoseAlgorithm } from '../identity/jose-algorithm.js';
import { type PublicJwk, parsePublicKey } from '../identity/jwk.js';
import { algorithmsOf } from '../keys/algorithms.js';

/** The public key of a version. */
interface VersionPem {
  /** Full name of the version. */
  readonly keyVersion: string;
  /** Cloud KMS name. */
  readonly algorithm: string;
  /** SubjectPublicKeyInfo. */
  readonly pem: string;
}

/**
 * The keys as JWKs, in their order. One that is there twice, as a key is that was imported from elsewhere, is given once:
 * keys of a set have different `kid`s (RFC 7517 section 4.5).
 * @throws UnsupportedAlgorithmError when JOSE has no name for the algorithm of one of them.
 */
export function publicJwks(operation: string, keys: readonly VersionPem[]): readonly PublicJwk[] {
  const jwks = keys.map(({ keyVersion, algorithm, pem }) => {
    const context = { operation, resource: keyVersion };
    return parsePublicKey(context, pem, { keyAlgorithm: joseAlgorithm(context, algorithm).name }).jwk;
  });
  // The thumbprint of an RSA key does not say how it signs.
  return [...new Map(jwks.map((jwk) => [`${jwk.kid} ${jwk.alg}`, jwk])).values()];
}

/**
 * The entry of an algorithm that has a name in JOSE.
 * @throws UnsupportedAlgorithmError for any other one, with those that have.
 */
export function joseAlgorithm(context: ErrorContext, algorithm: string): JoseAlgorithm {
  const entry = findJoseAlgorithm(algorithm);
  if (entry !== undefined) return entry;
  throw new UnsupportedAlgorithmError(
    context,
    `JOSE has no name for ${algorithm}.`,
    algorithmsOf('ASYMMETRIC_SIGN').filter((name) => findJoseAlgorithm(name) !== undefined),
  );
}
