/** Schedules versions for destruction, takes that back, and removes key material for good. */

import { InvalidArgumentError } from '../errors/input.js';
import { FailedPreconditionError, VersionInUseError } from '../errors/keys.js';
import type { DestructionResult, KeyMetadata, KeyVersionMetadata } from '../keys/key-provider.js';
import type { CryptoKeyName, KeyReference, KeyVersion } from '../keys/resource-name.js';
import {
  type RestoredState,
  restorePlan,
  withRestored,
  withRestoring,
  withScheduled,
} from '../keys/restore-plan.js';
import type { Operation } from '../provider/operation.js';
import { archivePublicKeys } from './archiving.js';
import {
  currentVersion,
  destroyed,
  hasMaterial,
  inState,
  type NamedKey,
  scheduled,
  standings,
  toKeyMetadata,
  toScheduledDestruction,
  toVersionMetadata,
  withVersion,
} from './key-records.js';
import type { SoftwareCore } from './software-calls.js';
import type { StoredVersion } from './store/stored-key.js';
import { changeKey, findVersion, readKey, removeMaterial } from './stored-keys.js';

interface DestructionWish {
  readonly destroyAfterSeconds: number | undefined;
  /** `force`: also the version in use by its name. */
  readonly mode: 'careful' | 'force';
}

/** Schedules a version, or all versions of a key, that still have key material. */
export async function destroy(
  core: SoftwareCore,
  operation: Operation,
  reference: KeyReference,
  wish: DestructionWish,
): Promise<DestructionResult> {
  const seen = await readKey(core, operation, reference.key);
  const targets = targetsOf(operation, { reference, key: seen, wish });
  await archivePublicKeys(core, seen, targets.filter(hasMaterial));
  return changeKey(core, operation, reference.key, ({ transaction, key: before, nowMs }) => {
    const destroyTimeMs = nowMs + before.destroyScheduledDurationSeconds * 1_000;
    const scheduling = targetsOf(operation, { reference, key: before, wish });
    const numbers = scheduling.map(({ number }) => number);
    let key = { ...before, labels: withScheduled(before.labels, standings(before), numbers) };
    const done: StoredVersion[] = [];
    for (const target of scheduling) {
      const version = hasMaterial(target) ? scheduled(target, destroyTimeMs) : target;
      key = withVersion(key, version);
      done.push(version);
    }
    transaction.putKey(key);
    return { name: key.name, versions: done.flatMap((version) => toScheduledDestruction(key, version)) };
  });
}

/** The versions that are not destroyed yet, the one in use last, as they are named in the answer. */
function targetsOf(
  operation: Operation,
  asked: { readonly reference: KeyReference; readonly key: NamedKey; readonly wish: DestructionWish },
): readonly StoredVersion[] {
  const { reference, key, wish } = asked;
  const delaySeconds = key.destroyScheduledDurationSeconds;
  if (wish.destroyAfterSeconds !== undefined && delaySeconds < wish.destroyAfterSeconds) {
    throw new InvalidArgumentError(
      operation.context(),
      `destruction was asked for after ${wish.destroyAfterSeconds} s at the earliest, but this key destroys its versions after ${delaySeconds} s, which was fixed when it was created. Nothing was touched.`,
    );
  }
  const current = currentVersion(key);
  const isInUse = ({ number, state }: StoredVersion): boolean =>
    number === current?.number && state === 'ENABLED';
  if (reference.kind === 'version') {
    const version = findVersion(operation, key, reference.version);
    if (isInUse(version) && wish.mode === 'careful') throw new VersionInUseError(operation.context());
    return version.state === 'DESTROYED' ? [] : [version];
  }
  const remaining = key.versions.filter(({ state }) => state !== 'DESTROYED');
  return [...remaining.filter((version) => !isInUse(version)), ...remaining.filter(isInUse)];
}

/**
 * Brings back scheduled versions and enables them. Of a whole key, those that were DISABLED before their destruction come
 * back DISABLED, as they were, unless all are wanted ENABLED by name.
 */
export function restore(
  core: SoftwareCore,
  operation: Operation,
  reference: KeyReference,
  wanted: RestoredState | undefined,
): Promise<KeyMetadata> {
  return changeKey(core, operation, reference.key, ({ transaction, key: before, nowMs }) => {
    const versions =
      reference.kind === 'key' ? before.versions : [findVersion(operation, before, reference.version)];
    const plan = restorePlan(before.labels, standings({ versions }), { asked: reference.kind, wanted });
    if (plan.length === 0) {
      throw new FailedPreconditionError(
        operation.context(),
        'no version is scheduled for destruction, so there is nothing to restore.',
      );
    }
    const restoring = withRestoring(before.labels, standings(before), { plan, at: new Date(nowMs) });
    let key = { ...before, labels: withRestored(restoring, standings(before), plan) };
    for (const { version, state } of plan) {
      for (const target of versions.filter(({ number }) => number === version))
        key = withVersion(key, inState(target, state));
    }
    transaction.putKey(key);
    return toKeyMetadata(key);
  });
}

/** Removes the material of a version at once, whatever its state. */
export async function purge(
  core: SoftwareCore,
  operation: Operation,
  target: { readonly key: CryptoKeyName; readonly version: KeyVersion },
): Promise<KeyVersionMetadata> {
  const seen = await readKey(core, operation, target.key);
  await archivePublicKeys(core, seen, [findVersion(operation, seen, target.version)]);
  return changeKey(core, operation, target.key, ({ transaction, key: before, nowMs }) => {
    const version = findVersion(operation, before, target.version);
    if (version.state === 'DESTROYED') return toVersionMetadata(before, version);
    const gone = destroyed(version, nowMs);
    const key = withVersion(before, gone);
    transaction.putKey(key);
    removeMaterial(core, transaction, key, version);
    return toVersionMetadata(key, gone);
  });
}
