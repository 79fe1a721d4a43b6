/**
 * Where a software key stands in the migration. It is written into the software key's own labels and nowhere else, so that
 * every process that opens the store sees the same, and a crash leaves either the one or the other.
 */

import type { KeyMetadata } from '../keys/key-provider.js';

/** How an agent got its HSM key. */
export type MigrationStrategy = 'regenerate' | 'import';

/** When the HSM key took over, in seconds since the epoch, and how. Its presence is what makes a key migrated. */
export const MIGRATED_LABEL = 'a2a-migrated';
/** On a software key that stands in for an HSM key: it never is the one to sign while HSM keys are switched on. */
export const STANDBY_LABEL = 'a2a-standby';

const MIGRATED = /^([0-9]{1,12})-(regenerate|import)$/;

type Standing =
  /** It signs, as far as the phase lets it, until it is migrated. */
  | { readonly kind: 'unmigrated' }
  | { readonly kind: 'migrated'; readonly migratedTime: Date; readonly strategy: MigrationStrategy }
  /** Made while HSM keys were switched off, for a key that there is in the HSM. */
  | { readonly kind: 'standby' };

export function standingOf({ labels }: Pick<KeyMetadata, 'labels'>): Standing {
  const [, seconds, strategy] = MIGRATED.exec(labels[MIGRATED_LABEL] ?? '') ?? [];
  if (seconds !== undefined && (strategy === 'regenerate' || strategy === 'import')) {
    return { kind: 'migrated', migratedTime: new Date(Number(seconds) * 1_000), strategy };
  }
  return labels[STANDBY_LABEL] === undefined ? { kind: 'unmigrated' } : { kind: 'standby' };
}

/** The labels of a key that was migrated at that time. */
export function migratedLabels(timeMs: number, strategy: MigrationStrategy): Record<string, string | null> {
  return { [MIGRATED_LABEL]: `${Math.floor(timeMs / 1_000)}-${strategy}`, [STANDBY_LABEL]: null };
}
