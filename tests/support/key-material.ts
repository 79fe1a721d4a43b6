/** Keys for tests. Generating RSA keys takes seconds, so algorithms that share a key type share a key within a test file. */

import { generateKeyMaterial, type KeyMaterial } from '../../src/emulator/crypto/key-material.js';
import type { AlgorithmEntry } from '../../src/keys/algorithm-types.js';
import { findAlgorithm } from '../../src/keys/algorithms.js';

const materials = new Map<string, Promise<KeyMaterial>>();

/** A key of the algorithm, the same one for every algorithm with that key type. */
export function materialFor(entry: AlgorithmEntry): Promise<KeyMaterial> {
  const id = keyTypeId(entry);
  const known = materials.get(id);
  if (known !== undefined) return known;
  const material = generateKeyMaterial(entry);
  materials.set(id, material);
  return material;
}

/** The entry of an algorithm, narrowed to its purpose. */
export function entryOf<Purpose extends AlgorithmEntry['purpose']>(
  purpose: Purpose,
  name: string,
): Extract<AlgorithmEntry, { purpose: Purpose }> {
  const entry = findAlgorithm(name);
  if (entry === undefined || !hasPurpose(entry, purpose)) throw new Error(`no ${purpose} algorithm ${name}`);
  return entry;
}

function hasPurpose<Purpose extends AlgorithmEntry['purpose']>(
  entry: AlgorithmEntry,
  purpose: Purpose,
): entry is Extract<AlgorithmEntry, { purpose: Purpose }> {
  return entry.purpose === purpose;
}

function keyTypeId(entry: AlgorithmEntry): string {
  return 'key' in entry && entry.key.kind === 'rsa' ? `rsa-${entry.key.modulusBits}` : entry.name;
}
