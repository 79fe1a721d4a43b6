/**
 * From JOSE names to entries of the algorithm table. An entry stands for one key type and size and one way to use it, so
 * whoever holds one never has to ask a message what to do.
 */

import { z } from 'zod';
import type {
  AsymmetricKeyType,
  DecryptionAlgorithmEntry,
  SigningAlgorithmEntry,
} from '../keys/algorithm-types.js';
import { allAlgorithms, findAlgorithm } from '../keys/algorithms.js';

/** An algorithm that has a name in JOSE. */
export type JoseAlgorithm = (SigningAlgorithmEntry | DecryptionAlgorithmEntry) & {
  readonly joseName: string;
};

/** How Ed25519 is called: `EdDSA` (RFC 8037), or fully specified `Ed25519` (RFC 9864). Both mean the same here. */
export type Ed25519Name = 'EdDSA' | 'Ed25519';

export const ed25519Name = z.enum(['EdDSA', 'Ed25519'], 'must be EdDSA or Ed25519').optional();

const hasJoseName = (entry: { readonly purpose: string }): entry is JoseAlgorithm => 'joseName' in entry;

/** The entry of a Cloud KMS algorithm, if JOSE has a name for it. */
export function findJoseAlgorithm(name: string): JoseAlgorithm | undefined {
  const entry = findAlgorithm(name);
  return entry !== undefined && hasJoseName(entry) ? entry : undefined;
}

/** Whether JOSE calls the algorithm by that name. */
export function isCalled(algorithm: JoseAlgorithm, joseName: unknown): boolean {
  return algorithm.joseName === joseName || (algorithm.key.kind === 'okp' && joseName === 'Ed25519');
}

/** What tells apart the entries that a public key could be used with. */
export type KeyShape =
  | { readonly kind: 'ec'; readonly curve: string }
  | { readonly kind: 'okp' }
  | { readonly kind: 'rsa'; readonly modulusBits: number }
  | { readonly kind: 'pqc'; readonly parameterSet: string };

/** The algorithms that a key of that shape can be used with, in table order. */
export function algorithmsForKey(shape: KeyShape): readonly JoseAlgorithm[] {
  return allAlgorithms()
    .filter(hasJoseName)
    .filter(({ key }) => isOfShape(key, shape));
}

function isOfShape(key: AsymmetricKeyType, shape: KeyShape): boolean {
  switch (shape.kind) {
    case 'ec':
      return key.kind === 'ec' && key.curve === shape.curve;
    case 'okp':
      return key.kind === 'okp';
    case 'rsa':
      return key.kind === 'rsa' && key.modulusBits === shape.modulusBits;
    case 'pqc':
      return key.kind === 'pqc' && key.parameterSet === shape.parameterSet;
  }
}
