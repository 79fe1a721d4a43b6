/**
 * Verifies signatures in this process, with node:crypto. Any bytes that are not a signature by the key are `false`,
 * never an error: what a peer sends must not be able to throw.
 */

import {
  constants,
  type KeyObject,
  publicDecrypt,
  timingSafeEqual,
  type VerifyKeyObjectInput,
  verify,
} from 'node:crypto';
import type { AlgorithmEntry, AsymmetricKeyType, SigningAlgorithmEntry } from '../keys/algorithm-types.js';
import { TurnBudget } from './turn-budget.js';

/**
 * A signature without a version is tried against this many versions of its key at most, so that a forgery costs little:
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

/**
 * What one turn of the event loop may verify on it: a few milliseconds. One unit is up to a tenth of a millisecond: P-256,
 * Ed25519 and RSA.
 */
const turn = new TurnBudget(64);
const FAST_UNITS = 1;
/** P-384 and secp256k1, for which OpenSSL has no fast code: most of a millisecond. */
const SLOW_CURVE_UNITS = 8;
/** Post-quantum signatures are verified in JavaScript, in milliseconds. */
const POST_QUANTUM_UNITS = 64;

/**
 * Whether the signature over the message is by the key. Verified at once as long as this turn of the event loop has time for
 * it; what is more waits for a turn, and while others wait too, the slow curves go to the thread pool.
 */
export function verifySignature(
  key: VerificationKey,
  data: Uint8Array,
  signature: Uint8Array,
): boolean | Promise<boolean> {
  const { algorithm, material } = key;
  if (algorithm.purpose !== 'ASYMMETRIC_SIGN') return false;
  if (!mayBeSignature(algorithm, signature)) return false;
  const check: Check = { algorithm, material, data, signature };
  const units = unitsOf(algorithm.key);
  return turn.take(units) ? verifyNow(check) : verifyLater(check, units);
}

interface Check {
  readonly algorithm: SigningAlgorithmEntry;
  readonly material: VerificationKey['material'];
  readonly data: Uint8Array;
  readonly signature: Uint8Array;
}

function unitsOf(key: AsymmetricKeyType): number {
  if (key.kind === 'pqc') return POST_QUANTUM_UNITS;
  return isSlowCurve(key) ? SLOW_CURVE_UNITS : FAST_UNITS;
}

const isSlowCurve = (key: AsymmetricKeyType): boolean => key.kind === 'ec' && key.curve !== 'P-256';

function verifyNow({ algorithm, material, data, signature }: Check): boolean | Promise<boolean> {
  if (material.kind === 'raw') return verifyPostQuantum(material, data, signature);
  if (algorithm.key.kind === 'rsa' && algorithm.key.padding === 'raw-pkcs1') {
    return verifyRawPkcs1(material.keyObject, data, signature);
  }
  return verify(digestOf(algorithm), data, nodeKey(algorithm.key, material.keyObject), signature);
}

async function verifyLater(check: Check, units: number): Promise<boolean> {
  // Of now: the caller may use its buffers for something else in the meantime.
  const copied = { ...check, data: Buffer.from(check.data), signature: Buffer.from(check.signature) };
  await turn.wait(units);
  const { algorithm, material } = copied;
  if (material.kind === 'raw' || !isSlowCurve(algorithm.key) || !turn.isBusy) return verifyNow(copied);
  const key = nodeKey(algorithm.key, material.keyObject);
  return new Promise((resolve) => {
    verify(digestOf(algorithm), copied.data, key, copied.signature, (error, valid) =>
      resolve(error === null && valid),
    );
  });
}

const digestOf = (algorithm: SigningAlgorithmEntry): string | null =>
  algorithm.input.kind === 'digest' ? algorithm.input.digest : null;

/** A size that no signature of the algorithm has is wrong without any arithmetic. */
function mayBeSignature(algorithm: SigningAlgorithmEntry, signature: Uint8Array): boolean {
  if (algorithm.signatureEncoding === 'der')
    return signature.length > 0 && signature.length <= algorithm.signatureBytes;
  return signature.length === algorithm.signatureBytes;
}

/** With what node:crypto does not take by itself: it takes DER for ECDSA and PKCS #1 v1.5 for RSA. */
function nodeKey(key: AsymmetricKeyType, keyObject: KeyObject): KeyObject | VerifyKeyObjectInput {
  if (key.kind !== 'rsa' || key.padding !== 'pss') return keyObject;
  return {
    key: keyObject,
    padding: constants.RSA_PKCS1_PSS_PADDING,
    saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
  };
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
