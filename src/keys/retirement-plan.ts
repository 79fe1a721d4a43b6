/** Which replaced versions of a key are to be disabled and destroyed, told from its labels and the time. Pure. */

import {
  type Labels,
  lifecycleOf,
  type VersionStanding,
  versionTimes,
  withTimes,
} from './version-history.js';

/** How long a replaced version stays ENABLED unless told otherwise: 7 days, so that no cache of public keys is older. */
export const DEFAULT_GRACE_SECONDS = 604_800;

export interface RetirementWish {
  readonly graceSeconds: number;
  readonly retireAfterSeconds: number | undefined;
  readonly keepVersions: number | undefined;
}

/** A version that was replaced. */
export interface ReplacedVersion<V extends VersionStanding> {
  readonly version: V;
  /** Seconds since it was replaced; 0 when that is not known, and counted from now on. */
  readonly ageSeconds: number;
  readonly lifecycle: 'retiring' | 'retired';
}

/** The versions that were replaced and have key material; none while there is no version in use. */
export function replacedVersions<V extends VersionStanding>(
  labels: Labels,
  versions: readonly V[],
  at: { readonly primary: number | undefined; readonly nowMs: number },
): readonly ReplacedVersion<V>[] {
  if (at.primary === undefined) return [];
  return versions.flatMap((version) => {
    const lifecycle = lifecycleOf(labels, version, at.primary);
    if (lifecycle !== 'retiring' && lifecycle !== 'retired') return [];
    const { replacedTime } = versionTimes(labels, version.version);
    const ageSeconds = replacedTime === undefined ? 0 : (at.nowMs - replacedTime.getTime()) / 1_000;
    return [{ version, ageSeconds, lifecycle }];
  });
}

/** The disabled versions that are old enough, or of which there are too many; oldest first. */
export function surplusVersions<V extends VersionStanding>(
  versions: readonly V[],
  disabled: readonly ReplacedVersion<V>[],
  wish: RetirementWish,
): readonly ReplacedVersion<V>[] {
  const { retireAfterSeconds = Number.POSITIVE_INFINITY, keepVersions = Number.POSITIVE_INFINITY } = wish;
  const withMaterial = versions.filter(({ state }) => state === 'ENABLED' || state === 'DISABLED');
  const tooMany = withMaterial.length - keepVersions;
  return disabled.filter(({ ageSeconds }, index) => ageSeconds >= retireAfterSeconds || index < tooMany);
}

/** The labels with what was not known before: that versions were replaced (by now), and disabled. */
export function withRetirementTimes<V extends VersionStanding>(
  labels: Labels,
  replaced: readonly ReplacedVersion<V>[],
  change: { readonly isDisabled: (entry: ReplacedVersion<V>) => boolean; readonly now: Date },
): Labels {
  const { isDisabled, now } = change;
  return replaced.reduce((changed, entry) => {
    const { version } = entry.version;
    const { replacedTime, retiredTime } = versionTimes(changed, version);
    const missing = {
      ...(replacedTime === undefined && { replacedTime: now }),
      ...(retiredTime === undefined && isDisabled(entry) && { retiredTime: now }),
    };
    return Object.keys(missing).length === 0 ? changed : withTimes(changed, version, missing);
  }, labels);
}
