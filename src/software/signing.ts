/**
 * Signs with a private key in this process. A given digest is signed as it is: `crypto.sign(null, digest, key)` would hash
 * it once more for RSA and elliptic curve keys.
 */

import { constants, type KeyObject, privateEncrypt, type SignKeyObjectInput, sign } from 'node:crypto';
import { promisify } from 'node:util';
import type { AsymmetricKeyType, SigningAlgorithmEntry } from '../keys/algorithm-types.js';
import { signDigest } from '../keys/digest-signature.js';
import type { Operation } from '../provider/operation.js';
import { type SigningPayload, toSigningInput } from '../provider/signing-input.js';

/** What signs once the payload was found to be what the algorithm takes. */
type PreparedSignature = (privateKey: KeyObject) => Promise<Buffer>;

const signOffTheEventLoop = promisify<string, Uint8Array, SignKeyObjectInput, Buffer>(sign);

/**
 * Checks the payload; no key is needed for that.
 * @returns what makes the signature: DER for ECDSA, everything else the algorithm's own bytes.
 * @throws InvalidArgumentError, DataTooLargeError
 */
export function prepareSignature(
  operation: Operation,
  algorithm: SigningAlgorithmEntry,
  payload: SigningPayload,
): PreparedSignature {
  const { key, input } = algorithm;
  if (payload.kind === 'message' && input.kind === 'digest') {
    return (privateKey) => signMessage(key, { privateKey, hash: input.digest, message: payload.bytes });
  }
  const checked = toSigningInput(operation, algorithm, payload);
  if (checked.field === 'digest') {
    const { digest: hash, bytes: digest } = checked;
    return async (privateKey) => signDigest(key, privateKey, { digest, hash });
  }
  if (key.kind === 'rsa') {
    const padding = constants.RSA_PKCS1_PADDING;
    return async (privateKey) => privateEncrypt({ key: privateKey, padding }, checked.bytes);
  }
  return async (privateKey) => sign(null, checked.bytes, privateKey);
}

async function signMessage(
  key: AsymmetricKeyType,
  input: { readonly privateKey: KeyObject; readonly hash: string; readonly message: Uint8Array },
): Promise<Buffer> {
  const { privateKey, hash, message } = input;
  if (key.kind !== 'rsa') {
    const keyInput = { key: privateKey, dsaEncoding: 'der' } as const;
    // OpenSSL has fast code for P-256; the others take most of a millisecond.
    const isFast = key.kind === 'ec' && key.curve === 'P-256';
    return isFast ? sign(hash, message, keyInput) : signOffTheEventLoop(hash, message, keyInput);
  }
  const padding =
    key.padding === 'pss'
      ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
      : { padding: constants.RSA_PKCS1_PADDING };
  return signOffTheEventLoop(hash, message, { key: privateKey, ...padding });
}
