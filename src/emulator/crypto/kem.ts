/** Decapsulate: ML-KEM (FIPS 203) and X-Wing (draft-connolly-cfrg-xwing-kem). */

import type { KemAlgorithmEntry } from '../../keys/algorithm-types.js';
import { CiphertextError, KeyMaterialError } from './crypto-errors.js';
import { type KeyMaterial, postQuantumKeyFor } from './key-material.js';
import { loadScheme } from './post-quantum.js';

/**
 * The shared secret, 32 bytes. An altered ciphertext of the right length is no error: it gives another secret (implicit
 * rejection, FIPS 203 section 6.3).
 *
 * @throws CiphertextError when the ciphertext has the wrong length.
 * @throws KeyMaterialError when the key is not one of the algorithm.
 */
export async function decapsulate(
  entry: KemAlgorithmEntry,
  material: KeyMaterial,
  ciphertext: Buffer,
): Promise<Buffer> {
  const { parameterSet, secretKey } = postQuantumKeyFor(entry, material);
  if (ciphertext.length !== entry.ciphertextBytes) {
    throw new CiphertextError(
      `The ciphertext for ${entry.name} must have ${entry.ciphertextBytes} bytes, not ${ciphertext.length}.`,
    );
  }
  const scheme = await loadScheme(parameterSet);
  if (scheme.kind !== 'kem') throw new KeyMaterialError(`${entry.name} has no way to decapsulate.`);
  return Buffer.from(scheme.decapsulate(ciphertext, secretKey));
}
