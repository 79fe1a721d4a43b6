/** A key with all its versions, read so that what was just created by another process is judged rightly. */

import type { CryptoKeyName } from '../keys/resource-name.js';
import { PRIMARY_LABEL, rotationCandidates } from '../keys/version-history.js';
import type { Operation } from '../provider/operation.js';
import type { KmsCore } from './core.js';
import type { KeyRecord, VersionRecord } from './resources.js';
import { currentVersion } from './version-resolver.js';

export interface RotationState {
  readonly key: KeyRecord;
  /** In ascending order of their numbers. */
  readonly versions: readonly VersionRecord[];
  /** The version in use. */
  readonly primary: VersionRecord | undefined;
  /** New versions that were never in use, lowest first. */
  readonly candidates: readonly VersionRecord[];
}

const MAX_READS = 5;

/**
 * The versions are read before the key: a version above the one that the key names then was made while that one was
 * in use, so it is a new version of this rotation and not of the next.
 */
export async function readRotationState(
  core: KmsCore,
  operation: Operation,
  name: CryptoKeyName,
): Promise<RotationState> {
  let before: number | undefined;
  for (let reads = 1; ; reads++) {
    const versions = await core.reader.listVersions(operation, name);
    const key = await core.reader.getKey(operation, name);
    const named = namedNumber(key);
    // A version that was made or became usable, and was put to use, between the two reads: without another look the
    // highest of the others would be taken for the one in use. What the key named before the list already, is as listed.
    if (named === 0 || isEnabled(versions, named) || named === before || reads === MAX_READS)
      return toState(key, versions);
    before = named;
  }
}

/** The new versions above a version that is, or was, in use. */
export function candidatesAbove(
  { key, versions }: Pick<RotationState, 'key' | 'versions'>,
  base: number | undefined,
): readonly VersionRecord[] {
  const metadata = versions.map((version) => version.metadata);
  const numbers = rotationCandidates(key.labels, metadata, base).map(({ version }) => version);
  return versions.filter(({ number }) => numbers.includes(number));
}

/** Whether the key itself names the version in use, so that it is not only the newest of those that are ENABLED. */
export function isNamed({ key, primary }: RotationState): boolean {
  return primary !== undefined && namedNumber(key) === primary.number;
}

/** The number of the version that the key names; 0 for none. */
export function namedNumber(key: KeyRecord): number {
  const named = key.purpose === 'ENCRYPT_DECRYPT' ? key.primary?.number : Number(key.labels[PRIMARY_LABEL]);
  return named !== undefined && Number.isSafeInteger(named) ? named : 0;
}

function toState(key: KeyRecord, versions: readonly VersionRecord[]): RotationState {
  const primary = currentVersion(key, versions);
  return { key, versions, primary, candidates: candidatesAbove({ key, versions }, primary?.number) };
}

const isEnabled = (versions: readonly VersionRecord[], number: number): boolean =>
  versions.some((version) => version.number === number && version.metadata.state === 'ENABLED');
