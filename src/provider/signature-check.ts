/**
 * Verifies signatures in this process, with node:crypto. Any bytes that are not a signature by the key are `false`,
 * never an error: what a peer sends must not be able to throw.
 */

import { constants, type KeyObject, publicDecrypt, timingSafeEqual, verify } from 'node:crypto';
import type { AlgorithmEntry, AsymmetricKeyType, SigningAlgorithmEntry } from '../keys/algorithms.js';

/**
 * A signature without a version is tried against this many versions of its key at the most, so that a forgery costs little:
 * enough for a year of weekly rotations. What is older is verified by the name of the version that signed.
 */
export const MAX_VERIFICATION_CANDIDATES = 64;

/** A public key in the form that signatures are verified with. */
export interface VerificationKey {
  readonly algorithm: AlgorithmEntry;
  readonly material:
    | { readonly kind: 'key-object'; readonly keyObject: KeyObject }
    /** Post-quantum keys, as the bytes of their standard: Node cannot hold them before version 24. */
    | { readonly kind: 'raw'; readonly parameterSet: string; readonly bytes: Uint8Array };
}

/** Whether the signature over the message is by the key. Curves that are slow in OpenSSL are verified off the event loop. */
export function verifySignature(
  key: VerificationKey,
  data: Uint8Array,
  signature: Uint8Array,
): boolean | Promise<boolean> {
  const { algorithm, material } = key;
  if (algorithm.purpose !== 'ASYMMETRIC_SIGN') return false;
  if (!mayBeSignature(algorithm, signature)) return false;
  if (material.kind === 'raw') return verifyPostQuantum(material, data, signature);
  if (algorithm.key.kind === 'rsa' && algorithm.key.padding === 'raw-pkcs1') {
    return verifyRawPkcs1(material.keyObject, data, signature);
  }
  const digest = algorithm.input.kind === 'digest' ? algorithm.input.digest : null;
  const verifyKey = { key: material.keyObject, ...verifyOptions(algorithm.key) };
  if (!isSlow(algorithm.key)) return verify(digest, data, verifyKey, signature);
  return new Promise((resolve) => {
    verify(digest, data, verifyKey, signature, (error, valid) => resolve(error === null && valid));
  });
}

/** A size that no signature of the algorithm has is wrong without any arithmetic. */
function mayBeSignature(algorithm: SigningAlgorithmEntry, signature: Uint8Array): boolean {
  if (algorithm.signatureEncoding === 'der')
    return signature.length > 0 && signature.length <= algorithm.signatureBytes;
  return signature.length === algorithm.signatureBytes;
}

/** OpenSSL has fast code for P-256 and Ed25519; P-384 and secp256k1 take most of a millisecond. */
function isSlow(key: AsymmetricKeyType): boolean {
  return key.kind === 'ec' && key.curve !== 'P-256';
}

function verifyOptions(key: AsymmetricKeyType): {
  readonly dsaEncoding?: 'der';
  readonly padding?: number;
  readonly saltLength?: number;
} {
  if (key.kind === 'ec') return { dsaEncoding: 'der' };
  if (key.kind !== 'rsa') return {};
  if (key.padding === 'pss') {
    return { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST };
  }
  return { padding: constants.RSA_PKCS1_PADDING };
}

/** RSASSA-PKCS1-v1_5 over the bare message, without a DigestInfo (RFC 8017 section 8.2.2 with the message as T). */
function verifyRawPkcs1(key: KeyObject, data: Uint8Array, signature: Uint8Array): boolean {
  try {
    const recovered = publicDecrypt({ key, padding: constants.RSA_PKCS1_PADDING }, signature);
    return recovered.length === data.length && timingSafeEqual(recovered, data);
  } catch {
    return false;
  }
}

async function verifyPostQuantum(
  material: { readonly parameterSet: string; readonly bytes: Uint8Array },
  data: Uint8Array,
  signature: Uint8Array,
): Promise<boolean> {
  const scheme = await postQuantumScheme(material.parameterSet);
  try {
    return scheme?.verify(signature, data, material.bytes) ?? false;
  } catch {
    return false;
  }
}

interface PostQuantumScheme {
  verify(signature: Uint8Array, message: Uint8Array, publicKey: Uint8Array): boolean;
}

async function postQuantumScheme(parameterSet: string): Promise<PostQuantumScheme | undefined> {
  if (parameterSet.startsWith('slh-dsa')) {
    const { slh_dsa_sha2_128s } = await import('@noble/post-quantum/slh-dsa.js');
    return slh_dsa_sha2_128s;
  }
  const { ml_dsa44, ml_dsa65, ml_dsa87 } = await import('@noble/post-quantum/ml-dsa.js');
  const schemes = new Map<string, PostQuantumScheme>([
    ['ml-dsa-44', ml_dsa44],
    ['ml-dsa-65', ml_dsa65],
    ['ml-dsa-87', ml_dsa87],
  ]);
  return schemes.get(parameterSet);
}
