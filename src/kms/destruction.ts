/**
 * Schedules versions for destruction, one or all of a key. Public keys are archived before anything is touched.
 */

import { InvalidArgumentError } from '../errors/input.js';
import { VersionInUseError } from '../errors/keys.js';
import { PublicKeyNotArchivedError } from '../errors/storage.js';
import type { DestructionResult } from '../keys/key-provider.js';
import type { KeyReference } from '../keys/resource-name.js';
import { withScheduled } from '../keys/restore-plan.js';
import type { Labels } from '../keys/version-history.js';
import type { Operation } from '../provider/operation.js';
import { archivePublicKey } from './archiving.js';
import type { KmsCore } from './core.js';
import { awaitOutcome } from './key-creation.js';
import { changeLabels, isSame } from './labels.js';
import type { KeyRecord, VersionRecord } from './resources.js';
import { namedNumber, type RotationState, readRotationState } from './rotation-state.js';
import { scheduleDestruction, takeBackInUse } from './version-state.js';

interface DestructionWish {
  readonly destroyAfterSeconds: number | undefined;
  /** `force`: also the version in use by its name, and versions whose public key cannot be archived. */
  readonly mode: 'careful' | 'force';
}

/** Schedules a version, or all versions of a key, that still have key material. */
export async function destroy(
  core: KmsCore,
  operation: Operation,
  reference: KeyReference,
  wish: DestructionWish,
): Promise<DestructionResult> {
  const state = await readRotationState(core, operation, reference.key);
  const { key } = state;
  const { destroyAfterSeconds } = wish;
  const delaySeconds = key.destroyScheduledDurationSeconds;
  if (destroyAfterSeconds !== undefined && delaySeconds < destroyAfterSeconds) {
    throw new InvalidArgumentError(
      operation.context(),
      `destruction was asked for after ${destroyAfterSeconds} s at the earliest, but this key destroys its versions after ${delaySeconds} s, which was fixed when it was created. Nothing was touched.`,
    );
  }
  const targets = await targetsOf(core, operation, { reference, state, wish });
  await archive(core, operation, { key, targets, wish });
  await writeDown(core, operation, state, targets);
  const scheduled: { name: string; destroyTime: Date }[] = [];
  for (const version of targets) {
    const destroyTime = await scheduleDestruction(core, operation, { key: key.name, version });
    if (destroyTime !== undefined) scheduled.push({ name: version.name, destroyTime });
    const target = { key: key.name, version };
    const isSpared = isSparing(reference, wish) && namedNumber(key) !== version.number;
    if (isSpared && (await takeBackInUse(core, operation, target)))
      throw new VersionInUseError(operation.context());
  }
  core.resolver.invalidate(key.name);
  return { name: key.name, versions: scheduled };
}

/** Whether the version in use is not meant. */
const isSparing = (reference: KeyReference, wish: DestructionWish): boolean =>
  reference.kind === 'version' && wish.mode === 'careful';

/** The versions that are not destroyed yet, the one in use last: a crash on the way leaves it in use. */
async function targetsOf(
  core: KmsCore,
  operation: Operation,
  asked: { readonly reference: KeyReference; readonly state: RotationState; readonly wish: DestructionWish },
): Promise<readonly VersionRecord[]> {
  const { reference, state, wish } = asked;
  const { primary, versions } = state;
  const isInUse = ({ number }: VersionRecord): boolean =>
    number === primary?.number && primary.metadata.state === 'ENABLED';
  if (reference.kind === 'key') {
    const settled: VersionRecord[] = [];
    for (const version of versions) {
      // One that is being made would be usable after all others are gone.
      settled.push(await awaitOutcome(core, operation, state.key.name, version));
    }
    const others = settled.filter((version) => !isInUse(version));
    return [...others, ...settled.filter(isInUse)].filter(isDestroyable);
  }
  // Read by itself, so that a version that is not there is NOT_FOUND.
  const version = await core.reader.getVersion(operation, reference.key, reference.version);
  if (isInUse(version) && isSparing(reference, wish)) throw new VersionInUseError(operation.context());
  return version.metadata.state === 'DESTROYED' ? [] : [version];
}

/** Writes down which versions are DISABLED: a restore brings them back as they were. */
async function writeDown(
  core: KmsCore,
  operation: Operation,
  { key, versions }: RotationState,
  targets: readonly VersionRecord[],
): Promise<void> {
  const read = new Map([...versions, ...targets].map((version) => [version.number, version.metadata]));
  const numbers = targets.map(({ number }) => number);
  const change = (labels: Labels): Labels => withScheduled(labels, [...read.values()], numbers);
  if (isSame(change(key.labels), key.labels)) return;
  await changeLabels(core, operation, key.name, ({ labels }) => change(labels));
}

async function archive(
  core: KmsCore,
  operation: Operation,
  asked: {
    readonly key: KeyRecord;
    readonly targets: readonly VersionRecord[];
    readonly wish: DestructionWish;
  },
): Promise<void> {
  const { key, targets, wish } = asked;
  const lost: VersionRecord[] = [];
  for (const version of targets.filter(hasMaterial)) {
    const outcome = await archivePublicKey(core, operation, { key, version });
    if (!outcome.ok) lost.push(version);
  }
  if (lost.length === 0) return;
  const keyVersions = lost.map(({ name }) => name);
  // Without an archive in the configuration, keeping public keys is the caller's business.
  if (core.config.publicKeyArchive !== undefined && wish.mode === 'careful') {
    throw new PublicKeyNotArchivedError(operation.context(), keyVersions);
  }
  core.config.logger.warn(
    { keyVersions },
    'versions are scheduled for destruction and their public keys are in no archive',
  );
}

/** Also one that is scheduled already: its time is reported. One that never had key material has nothing to destroy. */
const isDestroyable = (version: VersionRecord): boolean =>
  hasMaterial(version) || version.metadata.state === 'DESTROY_SCHEDULED';

const hasMaterial = ({ metadata }: VersionRecord): boolean =>
  metadata.state === 'ENABLED' || metadata.state === 'DISABLED';
