/** AsymmetricSign: a digest as it is, or data. */

import { constants, createHash, privateEncrypt, sign } from 'node:crypto';
import type { SigningAlgorithmEntry } from '../../keys/algorithm-types.js';
import { signDigest as signWithKey } from '../../keys/digest-signature.js';
import { CryptoInputError, KeyMaterialError } from './crypto-errors.js';
import { type KeyMaterial, postQuantumKeyFor, privateKeyFor } from './key-material.js';
import { loadScheme } from './post-quantum.js';

/**
 * Signs a digest as it is: ECDSA as DER, RSA PKCS#1 v1.5 and PSS as the modulus' bytes.
 *
 * @throws CryptoInputError when the algorithm takes no digest or the digest has the wrong length.
 * @throws KeyMaterialError when the key is not one of the algorithm.
 */
export async function signDigest(
  entry: SigningAlgorithmEntry,
  material: KeyMaterial,
  digest: Buffer,
): Promise<Buffer> {
  const { input, key } = entry;
  if (input.kind !== 'digest') throw new CryptoInputError(`${entry.name} signs data, not a digest.`);
  if (digest.length !== input.sizeBytes) {
    throw new CryptoInputError(`The digest must have ${input.sizeBytes} bytes, not ${digest.length}.`);
  }
  const privateKey = privateKeyFor(entry, material);
  switch (key.kind) {
    case 'ec':
    case 'rsa':
      return signWithKey(key, privateKey, { digest, hash: input.digest });
    default:
      throw new KeyMaterialError(`${entry.name} has no way to sign a digest.`);
  }
}

/**
 * Signs data: hashed first for the algorithms that take a digest, as it is for the others.
 *
 * @throws CryptoInputError when the data is larger than the algorithm takes.
 * @throws KeyMaterialError when the key is not one of the algorithm.
 */
export async function signData(
  entry: SigningAlgorithmEntry,
  material: KeyMaterial,
  data: Buffer,
): Promise<Buffer> {
  const { input, key } = entry;
  if (input.kind === 'digest') {
    return signDigest(entry, material, createHash(input.digest).update(data).digest());
  }
  if (data.length > input.maxBytes) {
    throw new CryptoInputError(`The data must have at most ${input.maxBytes} bytes, not ${data.length}.`);
  }
  switch (key.kind) {
    case 'okp':
      return sign(null, data, privateKeyFor(entry, material));
    case 'rsa':
      return privateEncrypt(
        { key: privateKeyFor(entry, material), padding: constants.RSA_PKCS1_PADDING },
        data,
      );
    case 'pqc':
      return signPostQuantum(entry, material, data);
    default:
      throw new KeyMaterialError(`${entry.name} has no way to sign data.`);
  }
}

async function signPostQuantum(
  entry: SigningAlgorithmEntry,
  material: KeyMaterial,
  data: Buffer,
): Promise<Buffer> {
  const { parameterSet, secretKey } = postQuantumKeyFor(entry, material);
  const scheme = await loadScheme(parameterSet);
  if (scheme.kind !== 'signature') throw new KeyMaterialError(`${entry.name} has no way to sign data.`);
  return Buffer.from(scheme.sign(data, secretKey));
}
