/**
 * Ends the life of versions that were replaced: disabled when their grace is over, scheduled for destruction later. The
 * times are in the key's labels, so any process comes to the same answer. The version in use and a prepared one are
 * never touched, and nothing is while there is no version in use.
 */

import { UnsupportedAlgorithmError } from '../errors.js';
import { algorithmsOf } from '../keys/algorithms.js';
import type { RetirementResult, ScheduledDestruction } from '../keys/key-provider.js';
import type { CryptoKeyName } from '../keys/resource-name.js';
import { lifecycleOf, versionTimes, withTimes } from '../keys/version-history.js';
import type { Operation } from '../provider/operation.js';
import { archivePublicKey } from './archiving.js';
import type { KmsCore } from './core.js';
import { scheduleDestruction, setState } from './destruction.js';
import { changeLabels } from './labels.js';
import type { VersionRecord } from './resources.js';
import { type RotationState, readRotationState } from './rotation-state.js';

export interface RetirementWish {
  readonly graceSeconds: number;
  readonly retireAfterSeconds: number | undefined;
  readonly keepVersions: number | undefined;
}

/** A version that was replaced. */
interface Replaced {
  readonly version: VersionRecord;
  /** Seconds since it was replaced; 0 when that is not known, and counted from now on. */
  readonly ageSeconds: number;
  readonly lifecycle: 'retiring' | 'retired';
}

export async function retire(
  core: KmsCore,
  operation: Operation,
  name: CryptoKeyName,
  wish: RetirementWish,
): Promise<RetirementResult> {
  const state = await readRotationState(core, operation, name);
  const { key } = state;
  if (key.purpose !== 'ASYMMETRIC_SIGN' && key.purpose !== 'ASYMMETRIC_DECRYPT') {
    throw new UnsupportedAlgorithmError(
      operation.context(),
      `old versions of a key of purpose ${key.purpose} are needed to read what they encrypted, so they are not retired.`,
      [...algorithmsOf('ASYMMETRIC_SIGN'), ...algorithmsOf('ASYMMETRIC_DECRYPT')],
    );
  }
  const kept: { name: string; reason: string }[] = [];
  const archived = async ({ version }: Replaced): Promise<boolean> => {
    const outcome = await archivePublicKey(core, operation, { key, version });
    if (!outcome.ok) kept.push({ name: version.name, reason: outcome.reason });
    return outcome.ok;
  };

  const replaced = state.primary === undefined ? [] : replacedVersions(core, state);
  const disabled: VersionRecord[] = [];
  for (const entry of replaced) {
    if (entry.lifecycle === 'retired' || entry.ageSeconds < wish.graceSeconds || !(await archived(entry)))
      continue;
    await setState(core, operation, entry.version, 'DISABLED');
    disabled.push(entry.version);
  }

  const scheduled: ScheduledDestruction[] = [];
  const isDisabled = ({ version, lifecycle }: Replaced): boolean =>
    lifecycle === 'retired' || disabled.includes(version);
  for (const entry of surplus(state, replaced.filter(isDisabled), wish)) {
    if (!(await archived(entry))) continue;
    const { version } = entry;
    const destroyTime = await scheduleDestruction(core, operation, { key: name, version });
    if (destroyTime !== undefined) scheduled.push({ name: version.name, destroyTime });
  }
  await writeTimes(core, operation, name, { replaced, isDisabled });
  core.resolver.invalidate(name);
  return { name, disabled: disabled.map((version) => version.name), scheduled, kept };
}

function replacedVersions(core: KmsCore, { key, versions, primary }: RotationState): readonly Replaced[] {
  const nowMs = core.config.clock.now();
  return versions.flatMap((version) => {
    const lifecycle = lifecycleOf(key.labels, version.metadata, primary?.number);
    if (lifecycle !== 'retiring' && lifecycle !== 'retired') return [];
    const { replacedTime } = versionTimes(key.labels, version.number);
    const ageSeconds = replacedTime === undefined ? 0 : (nowMs - replacedTime.getTime()) / 1_000;
    return [{ version, ageSeconds, lifecycle }];
  });
}

/** The disabled versions that are old enough, or of which there are too many; oldest first. */
function surplus(
  { versions }: RotationState,
  disabled: readonly Replaced[],
  wish: RetirementWish,
): readonly Replaced[] {
  const { retireAfterSeconds = Number.POSITIVE_INFINITY, keepVersions = Number.POSITIVE_INFINITY } = wish;
  const withMaterial = versions.filter(
    ({ metadata: { state } }) => state === 'ENABLED' || state === 'DISABLED',
  );
  const tooMany = withMaterial.length - keepVersions;
  return disabled.filter(({ ageSeconds }, index) => ageSeconds >= retireAfterSeconds || index < tooMany);
}

/** Writes down what was not known: that versions were replaced (by now), and disabled. */
async function writeTimes(
  core: KmsCore,
  operation: Operation,
  name: CryptoKeyName,
  found: { readonly replaced: readonly Replaced[]; readonly isDisabled: (entry: Replaced) => boolean },
): Promise<void> {
  const now = new Date(core.config.clock.now());
  const { replaced, isDisabled } = found;
  if (replaced.length === 0) return;
  await changeLabels(core, operation, name, (key) =>
    replaced.reduce((labels, entry) => {
      const { number } = entry.version;
      const { replacedTime, retiredTime } = versionTimes(labels, number);
      const missing = {
        ...(replacedTime === undefined && { replacedTime: now }),
        ...(retiredTime === undefined && isDisabled(entry) && { retiredTime: now }),
      };
      return Object.keys(missing).length === 0 ? labels : withTimes(labels, number, missing);
    }, key.labels),
  );
}
