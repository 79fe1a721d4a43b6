/**
 * Ends the life of versions that were replaced: disabled when their grace is over, scheduled for destruction later. The
 * times are in the key's labels, so any process comes to the same answer. The version in use and a prepared one are
 * never touched, and nothing is while there is no version in use.
 */

import { ConcurrentChangeError, UnsupportedAlgorithmError } from '../errors.js';
import { algorithmsOf } from '../keys/algorithms.js';
import type { RetirementResult, ScheduledDestruction } from '../keys/key-provider.js';
import type { CryptoKeyName } from '../keys/resource-name.js';
import {
  type ReplacedVersion,
  type RetirementWish,
  replacedVersions,
  surplusVersions,
  withRetirementTimes,
} from '../keys/retirement-plan.js';
import type { VersionStanding } from '../keys/version-history.js';
import type { Operation } from '../provider/operation.js';
import { archivePublicKey } from './archiving.js';
import type { KmsCore } from './core.js';
import { changeLabels } from './labels.js';
import type { VersionRecord } from './resources.js';
import { namedNumber, readRotationState } from './rotation-state.js';
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

  const scheduled: ScheduledDestruction[] = [];
  const isDisabled = ({ version, lifecycle }: Replaced): boolean =>
    lifecycle === 'retired' || disabled.includes(version.record);
  for (const entry of surplusVersions(versions, replaced.filter(isDisabled), wish)) {
    if (!(await archived(entry))) continue;
    const { record: version } = entry.version;
    const destroyTime = await scheduleDestruction(core, operation, { key: name, version });
    if (destroyTime !== undefined) scheduled.push({ name: version.name, destroyTime });
  }
  await writeTimes(core, operation, name, { replaced, isDisabled });
  core.resolver.invalidate(name);
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
  await changeLabels(core, operation, name, ({ labels }) =>
    withRetirementTimes(labels, replaced, { isDisabled, now }),
  );
}
