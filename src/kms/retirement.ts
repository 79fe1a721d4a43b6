/**
 * Ends the life of versions that were replaced: disabled when their grace is over, scheduled for destruction later. The
 * times are in the key's labels, so any process comes to the same answer. The version in use and a prepared one are
 * never touched, and nothing is while there is no version in use.
 */

import { UnsupportedAlgorithmError } from '../errors/input.js';
import { ConcurrentChangeError } from '../errors/keys.js';
import { algorithmsOf } from '../keys/algorithms.js';
import type { RetirementResult, ScheduledDestruction } from '../keys/key-provider.js';
import type { CryptoKeyName } from '../keys/resource-name.js';
import {
  type ReplacedVersion,
  type Retirement,
  type RetirementWish,
  replacedVersions,
  surplusVersions,
  withRetirement,
} from '../keys/retirement-plan.js';
import { type Labels, type VersionStanding, versionTimes } from '../keys/version-history.js';
import type { Operation } from '../provider/operation.js';
import { archivePublicKey } from './archiving.js';
import type { KmsCore } from './core.js';
import { changeLabels } from './labels.js';
import type { VersionRecord } from './resources.js';
import { namedNumber, type RotationState, readRotationState } from './rotation-state.js';
import { scheduleDestruction, setState } from './version-state.js';

/** A version as the plan takes it. */
interface PlannedVersion extends VersionStanding {
  readonly record: VersionRecord;
}

type Replaced = ReplacedVersion<PlannedVersion>;

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
  const archived = async ({ version: { record } }: Replaced): Promise<boolean> => {
    const outcome = await archivePublicKey(core, operation, { key, version: record });
    if (!outcome.ok) kept.push({ name: record.name, reason: outcome.reason });
    return outcome.ok;
  };

  const nowMs = core.config.clock.now();
  const versions = state.versions.map((record) => ({
    version: record.number,
    state: record.metadata.state,
    record,
  }));
  const replaced = replacedVersions(key.labels, versions, { primary: state.primary?.number, nowMs });
  const disabled: VersionRecord[] = [];
  for (const entry of replaced) {
    if (entry.lifecycle === 'retired' || entry.ageSeconds < wish.graceSeconds || !(await archived(entry)))
      continue;
    await setState(core, operation, entry.version.record, 'DISABLED');
    disabled.push(entry.version.record);
  }

  if (await isTakenBack(core, operation, name, disabled))
    throw new ConcurrentChangeError(operation.context());

  const isDisabled = ({ version, lifecycle }: Replaced): boolean =>
    lifecycle === 'retired' || disabled.includes(version.record);
  const surplus: Replaced[] = [];
  for (const entry of surplusVersions(versions, replaced.filter(isDisabled), wish))
    if (await archived(entry)) surplus.push(entry);
  // Before they are scheduled: what a restore makes of them is told from what is written down.
  const labels = await writeDown(core, operation, state, {
    versions,
    retirement: { replaced, isDisabled, scheduled: surplus, now: new Date(nowMs) },
  });
  const scheduled: ScheduledDestruction[] = [];
  for (const { version: planned } of surplus) {
    const { record: version } = planned;
    const destroyTime = await scheduleDestruction(core, operation, { key: name, version });
    if (destroyTime !== undefined) scheduled.push({ name: version.name, destroyTime });
  }
  core.resolver.invalidate(name);
  const left = replaced.filter((entry) => !surplus.includes(entry));
  kept.push(...withoutTimes(labels, left));
  return { name, disabled: disabled.map((version) => version.name), scheduled, kept };
}

/** Another process may have gone back to one of the versions in the moment before: then it is enabled again. */
async function isTakenBack(
  core: KmsCore,
  operation: Operation,
  name: CryptoKeyName,
  disabled: readonly VersionRecord[],
): Promise<boolean> {
  if (disabled.length === 0) return false;
  const named = namedNumber(await core.reader.getKey(operation, name));
  const inUse = disabled.find(({ number }) => number === named);
  if (inUse !== undefined) await setState(core, operation, inUse, 'ENABLED');
  return inUse !== undefined;
}

/** Writes down what was not known: that versions were replaced (by now), disabled, and are going to be destroyed. */
async function writeDown(
  core: KmsCore,
  operation: Operation,
  { key }: RotationState,
  change: {
    readonly versions: readonly PlannedVersion[];
    readonly retirement: Retirement<PlannedVersion>;
  },
): Promise<Labels> {
  const { versions, retirement } = change;
  if (retirement.replaced.length === 0) return key.labels;
  const changed = await changeLabels(core, operation, key.name, ({ labels }) =>
    withRetirement(labels, versions, retirement),
  );
  return changed.labels;
}

/** Versions whose replacement could not be written down, so that their grace never begins. */
const withoutTimes = (labels: Labels, replaced: readonly Replaced[]): RetirementResult['kept'] =>
  replaced
    .filter(({ version }) => versionTimes(labels, version.version).replacedTime === undefined)
    .map(({ version }) => ({
      name: version.record.name,
      reason: 'the key has so many labels that none can say when it was replaced; remove some of them',
    }));
