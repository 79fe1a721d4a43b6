/**
 * Schedules versions for destruction and takes that back. Neither call is repeated blindly: after an uncertain failure
 * the state of the version decides. Public keys are archived before anything is touched.
 */

import {
  FailedPreconditionError,
  InvalidArgumentError,
  PublicKeyNotArchivedError,
  VersionInUseError,
} from '../errors.js';
import type { DestructionResult, KeyVersionState } from '../keys/key-provider.js';
import type { CryptoKeyName, KeyReference } from '../keys/resource-name.js';
import { versionTimes } from '../keys/version-history.js';
import type { Operation } from '../provider/operation.js';
import { archivePublicKey } from './archiving.js';
import type { KmsCore } from './core.js';
import { awaitOutcome } from './key-creation.js';
import { type KeyRecord, toVersionRecord, type VersionRecord } from './resources.js';
import { type RotationState, readRotationState } from './rotation-state.js';
import type { RpcCall } from './rpc-caller.js';

export interface DestructionWish {
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
  const scheduled: { name: string; destroyTime: Date }[] = [];
  for (const version of targets) {
    const destroyTime = await scheduleDestruction(core, operation, { key: key.name, version });
    if (destroyTime !== undefined) scheduled.push({ name: version.name, destroyTime });
  }
  core.resolver.invalidate(key.name);
  return { name: key.name, versions: scheduled };
}

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
  if (isInUse(version) && wish.mode === 'careful') throw new VersionInUseError(operation.context());
  return version.metadata.state === 'DESTROYED' ? [] : [version];
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

/** Schedules one version. When it will be destroyed; undefined when it already is. */
export async function scheduleDestruction(
  core: KmsCore,
  operation: Operation,
  target: { readonly key: CryptoKeyName; readonly version: VersionRecord },
): Promise<Date | undefined> {
  const done = await moveTo(core, operation, {
    ...target,
    states: ['DESTROY_SCHEDULED', 'DESTROYED'],
    rpc: 'destroyCryptoKeyVersion',
  });
  return done.metadata.destroyTime;
}

/**
 * Brings back scheduled versions and enables them: Cloud KMS itself leaves them DISABLED. Of a whole key, those that were
 * retired before their destruction come back DISABLED, as they were, unless all are wanted ENABLED by name.
 */
export async function restore(
  core: KmsCore,
  operation: Operation,
  reference: KeyReference,
  wanted: 'ENABLED' | 'DISABLED' | undefined,
): Promise<void> {
  const { key } = reference;
  const versions =
    reference.kind === 'key'
      ? await core.reader.listVersions(operation, key)
      : [await core.reader.getVersion(operation, key, reference.version)];
  const targets = versions.filter(({ metadata }) => metadata.state === 'DESTROY_SCHEDULED');
  if (targets.length === 0) {
    throw new FailedPreconditionError(
      operation.context(),
      'no version is scheduled for destruction, so there is nothing to restore.',
    );
  }
  const { labels } = await core.reader.getKey(operation, key);
  const wasRetired = ({ number }: VersionRecord): boolean =>
    reference.kind === 'key' && versionTimes(labels, number).retiredTime !== undefined;
  for (const version of targets) {
    await moveTo(core, operation, {
      key,
      version,
      states: ['DISABLED', 'ENABLED'],
      rpc: 'restoreCryptoKeyVersion',
    });
    if ((wanted ?? (wasRetired(version) ? 'DISABLED' : 'ENABLED')) === 'ENABLED') {
      await setState(core, operation, version, 'ENABLED');
    }
  }
  core.resolver.invalidate(key);
}

/** Enables or disables a version. */
export async function setState(
  core: KmsCore,
  operation: Operation,
  { name }: VersionRecord,
  state: 'ENABLED' | 'DISABLED',
): Promise<void> {
  await core.caller.call(operation, {
    rpc: 'updateCryptoKeyVersion',
    request: { cryptoKeyVersion: { name, state }, updateMask: { paths: ['state'] } },
    routeBy: ['crypto_key_version.name', name],
  });
}

/** Calls the RPC until the version is in one of the states, looking before each further call. */
async function moveTo(
  core: KmsCore,
  operation: Operation,
  target: {
    readonly key: CryptoKeyName;
    readonly version: VersionRecord;
    readonly states: readonly KeyVersionState[];
    readonly rpc: 'destroyCryptoKeyVersion' | 'restoreCryptoKeyVersion';
  },
): Promise<VersionRecord> {
  let { version } = target;
  const call: RpcCall<typeof target.rpc> = {
    rpc: target.rpc,
    request: { name: version.name },
    routeBy: ['name', version.name],
  };
  while (!target.states.includes(version.metadata.state)) {
    try {
      const outcome = await core.caller.callCarefully(operation, call);
      version =
        outcome.kind === 'done'
          ? toVersionRecord(outcome.response, { key: target.key, version }, operation.context())
          : await core.reader.getVersion(operation, target.key, version);
    } catch (error) {
      if (!(error instanceof FailedPreconditionError)) throw error;
      // Another process may have done the same a moment before.
      version = await core.reader.getVersion(operation, target.key, version);
      if (!target.states.includes(version.metadata.state)) throw error;
    }
  }
  return version;
}
