/**
 * Everything there is to know about a Cloud KMS algorithm, from one table. Nothing else in this package
 * switches on an algorithm's name: it asks here and acts on the entry's fields.
 */

import { ENTRIES } from './algorithm-table.js';
import type { AlgorithmEntry, KeyAlgorithm, KeyPurpose, ProtectionLevel } from './algorithm-types.js';

const TABLE: ReadonlyMap<string, AlgorithmEntry> = new Map(ENTRIES.map((entry) => [entry.name, entry]));

/** The entry of an algorithm, or undefined for a name that Cloud KMS (as far as this table knows) does not have. */
export function findAlgorithm(name: string): AlgorithmEntry | undefined {
  return TABLE.get(name);
}

/** Whether it is the name of an algorithm in the table. */
export function isKeyAlgorithm(name: unknown): name is KeyAlgorithm {
  return typeof name === 'string' && TABLE.has(name);
}

/** Names of the algorithms of a purpose, optionally only those that exist in a protection level; in table order. */
export function algorithmsOf(
  purpose: KeyPurpose,
  protectionLevel?: ProtectionLevel,
): readonly KeyAlgorithm[] {
  return ENTRIES.filter(
    (entry) =>
      entry.purpose === purpose &&
      (protectionLevel === undefined || entry.protectionLevels.includes(protectionLevel)),
  ).map((entry) => entry.name);
}

/** All entries, in table order. */
export function allAlgorithms(): readonly AlgorithmEntry[] {
  return ENTRIES;
}
