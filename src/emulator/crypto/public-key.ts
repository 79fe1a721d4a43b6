/** Public keys in the formats that Cloud KMS gives them in (`PublicKey.PublicKeyFormat` in resources.proto). */

import type { AlgorithmEntry } from '../../keys/algorithm-types.js';
import { postQuantumSpki, toPem } from '../../keys/spki.js';
import { KeyMaterialError } from './crypto-errors.js';
import type { KeyMaterial, PostQuantumMaterial } from './key-material.js';

type PublicKeyFormat = 'PEM' | 'DER' | 'NIST_PQC' | 'XWING_RAW_BYTES';

/**
 * The formats of each post-quantum parameter set. ML-DSA has PEM beside its raw form; the others only the raw one. That
 * ML-DSA has no DER is unverified: the service documents PEM and NIST_PQC.
 */
const POST_QUANTUM_FORMATS: Readonly<
  Record<PostQuantumMaterial['parameterSet'], readonly PublicKeyFormat[]>
> = {
  'ml-dsa-44': ['PEM', 'NIST_PQC'],
  'ml-dsa-65': ['PEM', 'NIST_PQC'],
  'ml-dsa-87': ['PEM', 'NIST_PQC'],
  'slh-dsa-sha2-128s': ['NIST_PQC'],
  'ml-kem-768': ['NIST_PQC'],
  'ml-kem-1024': ['NIST_PQC'],
  'x-wing': ['XWING_RAW_BYTES'],
};

/**
 * The public key as PEM of its SubjectPublicKeyInfo, with a newline at the end.
 *
 * @throws KeyMaterialError for keys that have no such form: symmetric ones, SLH-DSA and KEM keys.
 */
export function publicKeyPem(material: KeyMaterial): string {
  if (material.kind === 'keypair')
    return material.publicKey.export({ type: 'spki', format: 'pem' }).toString();
  if (material.kind === 'pqc') {
    switch (material.parameterSet) {
      case 'ml-dsa-44':
      case 'ml-dsa-65':
      case 'ml-dsa-87':
        return toPem('PUBLIC KEY', postQuantumSpki(material.parameterSet, material.publicKey));
    }
  }
  throw new KeyMaterialError('The key has no public key in PEM.');
}

/** The public key in a format, or undefined where keys of the algorithm do not have that format. */
export function encodePublicKey(
  entry: AlgorithmEntry,
  material: KeyMaterial,
  format: PublicKeyFormat,
): Buffer | undefined {
  if (!publicKeyFormats(entry).includes(format)) return undefined;
  if (format === 'PEM') return Buffer.from(publicKeyPem(material));
  if (material.kind === 'keypair') return material.publicKey.export({ type: 'spki', format: 'der' });
  return material.kind === 'pqc' ? Buffer.from(material.publicKey) : undefined;
}

/** The formats in which public keys of the algorithm can be asked for; none for symmetric algorithms. */
export function publicKeyFormats(entry: AlgorithmEntry): readonly PublicKeyFormat[] {
  if (!('key' in entry)) return [];
  return entry.key.kind === 'pqc' ? POST_QUANTUM_FORMATS[entry.key.parameterSet] : ['PEM', 'DER'];
}
