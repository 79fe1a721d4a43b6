/** Which replaced versions of a key are to be disabled and destroyed, told from its labels and the time. Pure. */

import { withScheduled } from './restore-plan.js';
import {
  type Labels,
  lifecycleOf,
  type VersionStanding,
  versionTimes,
  withTimes,
} from './version-history.js';
import { isInSet, RESTORING_LABEL, withSet } from './version-set.js';

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
  /** A version that a restore is going to enable is not retired, whatever its state is now. */
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
    const isRestored = isInSet(labels, RESTORING_LABEL, version.version);
    const ageSeconds = replacedTime === undefined ? 0 : (at.nowMs - replacedTime.getTime()) / 1_000;
    return [{ version, ageSeconds, lifecycle: isRestored ? 'retiring' : lifecycle }];
  });
}

/**
 * The disabled versions that are old enough, or of which there are too many; oldest first. One that was restored has its
 * grace before it is one too many.
 */
export function surplusVersions<V extends VersionStanding>(
  versions: readonly V[],
  disabled: readonly ReplacedVersion<V>[],
  wish: RetirementWish,
): readonly ReplacedVersion<V>[] {
  const {
    graceSeconds,
    retireAfterSeconds = Number.POSITIVE_INFINITY,
    keepVersions = Number.POSITIVE_INFINITY,
  } = wish;
  const withMaterial = versions.filter(({ state }) => state === 'ENABLED' || state === 'DISABLED');
  const tooMany = withMaterial.length - keepVersions;
  return disabled.filter(
    ({ ageSeconds }, index) =>
      ageSeconds >= retireAfterSeconds || (index < tooMany && ageSeconds >= graceSeconds),
  );
}

/** What a retirement does. */
export interface Retirement<V extends VersionStanding> {
  readonly replaced: readonly ReplacedVersion<V>[];
  readonly isDisabled: (entry: ReplacedVersion<V>) => boolean;
  readonly scheduled: readonly ReplacedVersion<V>[];
  readonly now: Date;
}

/**
 * The labels with what was not known before: that versions were replaced (by now), disabled, and disabled when they were
 * scheduled for destruction. `versions` are all that the key has.
 */
export function withRetirement<V extends VersionStanding>(
  labels: Labels,
  versions: readonly V[],
  { replaced, isDisabled, scheduled, now }: Retirement<V>,
): Labels {
  const times = replaced.reduce((changed, entry) => {
    const { version } = entry.version;
    const { replacedTime, retiredTime } = versionTimes(changed, version);
    const missing = {
      ...(replacedTime === undefined && { replacedTime: now }),
      ...(retiredTime === undefined && isDisabled(entry) && { retiredTime: now }),
    };
    return Object.keys(missing).length === 0 ? changed : withTimes(changed, version, missing);
  }, labels);
  const disabled = new Set(replaced.filter(isDisabled).map(({ version }) => version.version));
  const standings = versions.map(({ version, state }) => ({
    version,
    state: disabled.has(version) ? ('DISABLED' as const) : state,
  }));
  const restoring = standings
    .map(({ version }) => version)
    .filter((number) => !disabled.has(number) && isInSet(times, RESTORING_LABEL, number));
  return withScheduled(
    withSet(times, RESTORING_LABEL, restoring),
    standings,
    scheduled.map(({ version }) => version.version),
  );
}
