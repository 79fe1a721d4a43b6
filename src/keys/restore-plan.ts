/**
 * What is written down of versions before their destruction is scheduled, and what a restore makes of it: each comes back
 * in the state that it was in. Pure.
 */

import {
  type Labels,
  PRIMARY_LABEL,
  type VersionStanding,
  versionTimes,
  withoutRetiredTime,
  withTimes,
} from './version-history.js';
import { DISABLED_LABEL, isInSet, RESTORING_LABEL, withSet } from './version-set.js';

export type RestoredState = 'ENABLED' | 'DISABLED';

/** A version that a restore brings back. */
export interface RestoredVersion {
  readonly version: number;
  readonly state: RestoredState;
}

/**
 * The labels before versions are scheduled for destruction. `versions` are those that the key has, as they are until then.
 * A restore that was under way for the scheduled ones is over.
 */
export function withScheduled(
  labels: Labels,
  versions: readonly VersionStanding[],
  scheduled: readonly number[],
): Labels {
  const isScheduled = (number: number): boolean => scheduled.includes(number);
  const members = (isMember: (version: VersionStanding) => boolean): readonly number[] =>
    versions.filter(isMember).map(({ version }) => version);
  const disabled = members(({ version, state }) =>
    isScheduled(version) && (state === 'ENABLED' || state === 'DISABLED')
      ? state === 'DISABLED'
      : state !== 'DESTROYED' && isInSet(labels, DISABLED_LABEL, version),
  );
  const restoring = members(
    ({ version }) => !isScheduled(version) && isInSet(labels, RESTORING_LABEL, version),
  );
  const enabled = members(({ version, state }) => isScheduled(version) && state === 'ENABLED');
  const sets = withSet(withSet(labels, DISABLED_LABEL, disabled), RESTORING_LABEL, restoring);
  // Enabled again since it was retired: that time would have it come back DISABLED.
  return enabled.reduce(withoutRetiredTime, sets);
}

/** Whether a version is scheduled for destruction, or a restore of it has begun and may not be at its end. */
export function isRestorable(labels: Labels, { version, state }: VersionStanding): boolean {
  if (state === 'DESTROY_SCHEDULED') return true;
  return (state === 'DISABLED' || state === 'ENABLED') && isInSet(labels, RESTORING_LABEL, version);
}

/**
 * The versions to bring back, the one that is named as the version in use first, so that no other is used meanwhile. One
 * that was DISABLED comes back DISABLED, unless it is asked for by its name or all are wanted ENABLED.
 */
export function restorePlan(
  labels: Labels,
  versions: readonly VersionStanding[],
  wish: { readonly asked: 'key' | 'version'; readonly wanted: RestoredState | undefined },
): readonly RestoredVersion[] {
  const { asked, wanted } = wish;
  const wasDisabled = (number: number): boolean =>
    isInSet(labels, DISABLED_LABEL, number) || versionTimes(labels, number).retiredTime !== undefined;
  const isNamed = ({ version }: VersionStanding): boolean => labels[PRIMARY_LABEL] === String(version);
  const restorable = versions.filter((version) => isRestorable(labels, version));
  return [...restorable.filter(isNamed), ...restorable.filter((version) => !isNamed(version))].map(
    ({ version }) => ({
      version,
      state: wanted ?? (asked === 'key' && wasDisabled(version) ? 'DISABLED' : 'ENABLED'),
    }),
  );
}

/**
 * The labels before the versions are brought back: which of them are going to be ENABLED, so that after a crash the next
 * restore finishes it, and that their time as replaced versions begins anew, so that they are not ended at once again.
 */
export function withRestoring(
  labels: Labels,
  versions: readonly VersionStanding[],
  restore: { readonly plan: readonly RestoredVersion[]; readonly at: Date },
): Labels {
  const { plan, at } = restore;
  const planned = new Map(plan.map(({ version, state }) => [version, state]));
  const restoring = versions
    .map(({ version }) => version)
    .filter((number) => (planned.get(number) ?? memberState(labels, number)) === 'ENABLED');
  return plan.reduce(
    (changed, { version, state }) => {
      const own = state === 'ENABLED' ? withoutRetiredTime(changed, version) : changed;
      const isReplaced = versionTimes(own, version).replacedTime !== undefined;
      return isReplaced && labels[PRIMARY_LABEL] !== String(version)
        ? withTimes(own, version, { replacedTime: at })
        : own;
    },
    withSet(labels, RESTORING_LABEL, restoring),
  );
}

const memberState = (labels: Labels, number: number): RestoredState | undefined =>
  isInSet(labels, RESTORING_LABEL, number) ? 'ENABLED' : undefined;

/** The labels when the versions are back. */
export function withRestored(
  labels: Labels,
  versions: readonly VersionStanding[],
  plan: readonly RestoredVersion[],
): Labels {
  const restored = new Set(plan.map(({ version }) => version));
  const left = (set: typeof DISABLED_LABEL | typeof RESTORING_LABEL): readonly number[] =>
    versions
      .map(({ version }) => version)
      .filter((number) => !restored.has(number) && isInSet(labels, set, number));
  return withSet(
    withSet(labels, DISABLED_LABEL, left(DISABLED_LABEL)),
    RESTORING_LABEL,
    left(RESTORING_LABEL),
  );
}
