/**
 * Ends the life of versions that were replaced, as for keys in Cloud KMS: disabled when their grace is over, scheduled for
 * destruction later. The version in use and a prepared one are never touched.
 */

import { UnsupportedAlgorithmError } from '../errors/input.js';
import type { RetirementResult } from '../keys/key-provider.js';
import type { CryptoKeyName } from '../keys/resource-name.js';
import {
  type ReplacedVersion,
  type RetirementWish,
  replacedVersions,
  surplusVersions,
  withRetirement,
} from '../keys/retirement-plan.js';
import type { VersionStanding } from '../keys/version-history.js';
import type { Operation } from '../provider/operation.js';
import { archivePublicKeys } from './archiving.js';
import { softwareAlgorithmsOf } from './key-material.js';
import {
  currentVersion,
  inState,
  type NamedKey,
  scheduled,
  toScheduledDestruction,
  versionName,
  withVersion,
} from './key-records.js';
import type { SoftwareCore } from './software-calls.js';
import type { StoredVersion } from './store/stored-key.js';
import { changeKey, readKey } from './stored-keys.js';

interface PlannedVersion extends VersionStanding {
  readonly record: StoredVersion;
}

type Replaced = ReplacedVersion<PlannedVersion>;

interface Plan {
  readonly versions: readonly PlannedVersion[];
  readonly replaced: readonly Replaced[];
  readonly disable: readonly Replaced[];
  readonly schedule: readonly Replaced[];
}

export async function retire(
  core: SoftwareCore,
  operation: Operation,
  name: CryptoKeyName,
  wish: RetirementWish,
): Promise<RetirementResult> {
  const seen = await readKey(core, operation, name);
  if (seen.purpose === 'ENCRYPT_DECRYPT') {
    throw new UnsupportedAlgorithmError(
      operation.context(),
      `old versions of a key of purpose ${seen.purpose} are needed to read what they encrypted, so they are not retired.`,
      [...softwareAlgorithmsOf('ASYMMETRIC_SIGN'), ...softwareAlgorithmsOf('ASYMMETRIC_DECRYPT')],
    );
  }
  const { disable, schedule } = planOf(seen, wish, core.clock.now());
  const planned = [...disable, ...schedule].map(({ version }) => version.record);
  await archivePublicKeys(core, seen, planned);
  return changeKey(core, operation, name, ({ transaction, key, nowMs }) => {
    const plan = planOf(key, wish, nowMs);
    const changed = carryOut(key, plan, nowMs);
    if (plan.replaced.length > 0) transaction.putKey(changed);
    return {
      name,
      disabled: plan.disable.map(({ version }) => versionName(changed, version.record)),
      scheduled: plan.schedule.flatMap(({ version }) =>
        changed.versions
          .filter(({ number }) => number === version.version)
          .flatMap((done) => toScheduledDestruction(changed, done)),
      ),
      // The store keeps public keys, so that none stands in the way of a retirement.
      kept: [],
    };
  });
}

function planOf(key: NamedKey, wish: RetirementWish, nowMs: number): Plan {
  const versions = key.versions.map((record) => ({ version: record.number, state: record.state, record }));
  const replaced = replacedVersions(key.labels, versions, { primary: currentVersion(key)?.number, nowMs });
  const disable = replaced.filter(
    ({ lifecycle, ageSeconds }) => lifecycle === 'retiring' && ageSeconds >= wish.graceSeconds,
  );
  const disabled = replaced.filter((entry) => entry.lifecycle === 'retired' || disable.includes(entry));
  return { versions, replaced, disable, schedule: surplusVersions(versions, disabled, wish) };
}

function carryOut(before: NamedKey, plan: Plan, nowMs: number): NamedKey {
  const { versions, replaced, disable, schedule } = plan;
  let key = before;
  for (const { version } of disable) key = withVersion(key, inState(version.record, 'DISABLED'));
  const destroyTimeMs = nowMs + key.destroyScheduledDurationSeconds * 1_000;
  for (const { version } of schedule) key = withVersion(key, scheduled(version.record, destroyTimeMs));
  const isDisabled = (entry: Replaced): boolean => entry.lifecycle === 'retired' || disable.includes(entry);
  const labels = withRetirement(key.labels, versions, {
    ...{ replaced, isDisabled, scheduled: schedule },
    now: new Date(nowMs),
  });
  return { ...key, labels };
}
