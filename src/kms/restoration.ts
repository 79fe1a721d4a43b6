/**
 * Takes back scheduled destructions. Cloud KMS leaves a restored version DISABLED and enabling it is a call of its own,
 * so what is going to be enabled is written down first: after a crash in between, the next restore finishes it.
 */

import { FailedPreconditionError } from '../errors.js';
import type { CryptoKeyName, KeyReference } from '../keys/resource-name.js';
import { RESTORING_LABEL, versionTimes } from '../keys/version-history.js';
import type { Operation } from '../provider/operation.js';
import type { KmsCore } from './core.js';
import { changeLabels } from './labels.js';
import type { KeyRecord, VersionRecord } from './resources.js';
import { type RestoredState, restoreVersion } from './version-state.js';

/** Versions that are restored at once: their numbers, of up to six digits, fit into a label of 63 characters. */
const BATCH_SIZE = 9;

/**
 * Brings back scheduled versions and enables them. Of a whole key, those that were retired before their destruction come
 * back DISABLED, as they were, unless all are wanted ENABLED by name.
 */
export async function restore(
  core: KmsCore,
  operation: Operation,
  reference: KeyReference,
  wanted: RestoredState | undefined,
): Promise<void> {
  const { key: name } = reference;
  const versions =
    reference.kind === 'key'
      ? await core.reader.listVersions(operation, name)
      : [await core.reader.getVersion(operation, name, reference.version)];
  const key = await core.reader.getKey(operation, name);
  const begun = begunNumbers(key);
  const targets = versions.filter(
    ({ number, metadata: { state } }) =>
      state === 'DESTROY_SCHEDULED' ||
      (begun.includes(number) && (state === 'DISABLED' || state === 'ENABLED')),
  );
  if (targets.length === 0) {
    throw new FailedPreconditionError(
      operation.context(),
      'no version is scheduled for destruction, so there is nothing to restore.',
    );
  }
  const stateOf = ({ number }: VersionRecord): RestoredState => {
    const wasRetired = reference.kind === 'key' && versionTimes(key.labels, number).retiredTime !== undefined;
    return wanted ?? (wasRetired ? 'DISABLED' : 'ENABLED');
  };
  for (const version of targets.filter((target) => stateOf(target) === 'DISABLED'))
    await restoreVersion(core, operation, { key: name, version, state: 'DISABLED' });
  const enabled = targets.filter((target) => stateOf(target) === 'ENABLED');
  for (let start = 0; start < enabled.length; start += BATCH_SIZE) {
    const batch = enabled.slice(start, start + BATCH_SIZE);
    await writeDown(core, operation, name, batch);
    for (const version of batch)
      await restoreVersion(core, operation, { key: name, version, state: 'ENABLED' });
  }
  await writeDown(core, operation, name, []);
  core.resolver.invalidate(name);
}

/** The versions that a restore was going to enable. */
const begunNumbers = ({ labels }: KeyRecord): readonly number[] =>
  (labels[RESTORING_LABEL] ?? '')
    .split('-')
    .filter((number) => number !== '')
    .map(Number);

async function writeDown(
  core: KmsCore,
  operation: Operation,
  name: CryptoKeyName,
  batch: readonly VersionRecord[],
): Promise<void> {
  await changeLabels(core, operation, name, ({ labels }) => {
    const { [RESTORING_LABEL]: _, ...others } = labels;
    if (batch.length === 0) return others;
    return { ...others, [RESTORING_LABEL]: batch.map(({ number }) => number).join('-') };
  });
}
