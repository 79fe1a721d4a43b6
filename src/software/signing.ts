/**
 * Signs with a private key in this process. A given digest is signed as it is: `crypto.sign(null, digest, key)` would hash
 * it once more for RSA and elliptic curve keys.
 */

import { constants, type KeyObject, privateEncrypt, type SignKeyObjectInput, sign } from 'node:crypto';
import { promisify } from 'node:util';
import type { AsymmetricKeyType, SigningAlgorithmEntry } from '../keys/algorithm-types.js';
import { encodeDigestInfo } from '../keys/digest-info.js';
import { signEcdsaDigest } from '../keys/ecdsa-digest.js';
import { encodeEmsaPss } from '../keys/emsa-pss.js';
import type { Operation } from '../provider/operation.js';
import { type SigningInputBytes, type SigningPayload, toSigningInput } from '../provider/signing-input.js';

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
  if (checked.field === 'digest') return async (privateKey) => signDigest(key, privateKey, checked);
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

function signDigest(
  key: AsymmetricKeyType,
  privateKey: KeyObject,
  { digest: hash, bytes: digest }: Extract<SigningInputBytes, { field: 'digest' }>,
): Buffer {
  if (key.kind === 'ec') return signEcdsaDigest(key, privateKey, digest);
  if (key.kind === 'rsa' && key.padding === 'pss') {
    const encoded = encodeEmsaPss(digest, hash, key.modulusBits);
    return privateEncrypt({ key: privateKey, padding: constants.RSA_NO_PADDING }, encoded);
  }
  const digestInfo = encodeDigestInfo(digest, hash);
  return privateEncrypt({ key: privateKey, padding: constants.RSA_PKCS1_PADDING }, digestInfo);
}
