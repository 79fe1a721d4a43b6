/**
 * Takes back scheduled destructions. Cloud KMS leaves a restored version DISABLED and enabling it is a call of its own,
 * so what is going to be enabled is written down first: after a crash in between, the next restore finishes it.
 */

import { FailedPreconditionError } from '../errors/keys.js';
import type { KeyReference } from '../keys/resource-name.js';
import {
  type RestoredState,
  type RestoredVersion,
  restorePlan,
  withRestored,
  withRestoring,
} from '../keys/restore-plan.js';
import type { Operation } from '../provider/operation.js';
import type { KmsCore } from './core.js';
import { changeLabels } from './labels.js';
import type { VersionRecord } from './resources.js';
import { restoreVersion } from './version-state.js';

/**
 * Brings back scheduled versions, and those that a restore began with. Of a whole key, those that were DISABLED before their
 * destruction come back DISABLED, as they were, unless all are wanted ENABLED by name.
 */
export async function restore(
  core: KmsCore,
  operation: Operation,
  reference: KeyReference,
  wanted: RestoredState | undefined,
): Promise<void> {
  const { key: name } = reference;
  const versions = await core.reader.listVersions(operation, name);
  const key = await core.reader.getKey(operation, name);
  const standings = versions.map(({ metadata }) => metadata);
  const asked = await askedFor(core, operation, reference, versions);
  const plan = restorePlan(
    key.labels,
    asked.map(({ metadata }) => metadata),
    { asked: reference.kind, wanted },
  );
  if (plan.length === 0) {
    throw new FailedPreconditionError(
      operation.context(),
      'no version is scheduled for destruction, so there is nothing to restore.',
    );
  }
  const at = new Date(core.config.clock.now());
  await changeLabels(core, operation, name, ({ labels }) => withRestoring(labels, standings, { plan, at }));
  for (const { version, state } of plan.flatMap((planned) => recordsOf(asked, planned)))
    await restoreVersion(core, operation, { key: name, version, state });
  await changeLabels(core, operation, name, ({ labels }) => withRestored(labels, standings, plan));
  core.resolver.invalidate(name);
}

async function askedFor(
  core: KmsCore,
  operation: Operation,
  reference: KeyReference,
  versions: readonly VersionRecord[],
): Promise<readonly VersionRecord[]> {
  if (reference.kind === 'key') return versions;
  const { number } = reference.version;
  const known = versions.filter((version) => version.number === number);
  // Read by itself, one that is not there is NOT_FOUND.
  return known.length > 0
    ? known
    : [await core.reader.getVersion(operation, reference.key, reference.version)];
}

const recordsOf = (versions: readonly VersionRecord[], { version, state }: RestoredVersion) =>
  versions.filter(({ number }) => number === version).map((record) => ({ version: record, state }));
