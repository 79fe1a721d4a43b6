/**
 * Rotation in two steps that any process can repeat or take over: a new version is made (prepared), and it is put to use
 * (activated). What is done next is decided by what Cloud KMS holds, never by what this process remembers. Where rotations
 * race, the lowest new version wins and the others are scheduled for destruction.
 */

import { ConcurrentChangeError, KeyGenerationFailedError } from '../errors.js';
import type { RotationResult, ScheduledDestruction } from '../keys/key-provider.js';
import type { CryptoKeyName } from '../keys/resource-name.js';
import type { Operation } from '../provider/operation.js';
import { isWanted, type RotationWish, requireWished } from '../provider/rotation-input.js';
import { archivePublicKey } from './archiving.js';
import type { KmsCore } from './core.js';
import { scheduleDestruction } from './destruction.js';
import { awaitOutcome, createVersion } from './key-creation.js';
import { holdPrimary, movePrimary } from './primary.js';
import { toKeyMetadata, type VersionRecord } from './resources.js';
import { type RotationState, readRotationState } from './rotation-state.js';

/** Makes a new version, or finds the one that waits. */
export async function prepare(
  core: KmsCore,
  operation: Operation,
  name: CryptoKeyName,
  wish: RotationWish,
): Promise<RotationResult> {
  const { state, disposed } = await settle(core, operation, name, wish);
  return toResult(core, operation, state, disposed);
}

/** Makes a new version, or takes the one that waits, and uses it. */
export async function rotate(
  core: KmsCore,
  operation: Operation,
  name: CryptoKeyName,
  wish: RotationWish,
): Promise<RotationResult> {
  const { state, candidate, disposed } = await settle(core, operation, name, wish);
  return candidate === undefined
    ? toResult(core, operation, state, disposed)
    : putToUse(core, operation, { state, candidate, disposed });
}

/** Uses the version that waits. Without one there is nothing to do: it is in use already, or was never made. */
export async function activate(
  core: KmsCore,
  operation: Operation,
  name: CryptoKeyName,
  wish: RotationWish,
): Promise<RotationResult> {
  const found = await readRotationState(core, operation, name);
  if (
    !isWanted(operation, found.key, { primary: found.primary?.name, wish }) ||
    found.candidates.length === 0
  ) {
    return toResult(core, operation, found, []);
  }
  const { state, candidate, disposed } = await awaitCandidate(core, operation, {
    name,
    base: found.primary?.number,
    wish,
  });
  return candidate === undefined
    ? toResult(core, operation, state, disposed)
    : putToUse(core, operation, { state, candidate, disposed });
}

interface Settled {
  readonly state: RotationState;
  /** The version to put to use; none when another process did that meanwhile. */
  readonly candidate: VersionRecord | undefined;
  readonly disposed: readonly ScheduledDestruction[];
}

async function settle(
  core: KmsCore,
  operation: Operation,
  name: CryptoKeyName,
  wish: RotationWish,
): Promise<Settled> {
  const state = await readRotationState(core, operation, name);
  if (!isWanted(operation, state.key, { primary: state.primary?.name, wish }))
    return { state, candidate: undefined, disposed: [] };
  const [waiting] = state.candidates;
  const own = waiting === undefined ? await create(core, operation, state, wish) : undefined;
  return awaitCandidate(core, operation, { name, base: state.primary?.number, wish, own });
}

async function create(
  core: KmsCore,
  operation: Operation,
  state: RotationState,
  wish: RotationWish,
): Promise<VersionRecord> {
  const { key, versions } = state;
  if (wish.algorithm !== undefined && wish.algorithm !== key.algorithm) {
    await core.caller.call(operation, {
      rpc: 'updateCryptoKey',
      request: {
        cryptoKey: { name: key.name, versionTemplate: { algorithm: wish.algorithm } },
        updateMask: { paths: ['version_template.algorithm'] },
      },
      routeBy: ['crypto_key.name', key.name],
    });
  }
  await holdPrimary(core, operation, state);
  const created = await createVersion(core, operation, key.name, versions);
  // Another process may have overwritten the pointer with labels it read before. The new version is not ENABLED yet.
  await holdPrimary(core, operation, state);
  return created;
}

/**
 * Waits until the lowest new version is ENABLED, and disposes of the others. A version that this process made for a
 * rotation that another one finished meanwhile is a spare too.
 */
async function awaitCandidate(
  core: KmsCore,
  operation: Operation,
  rotation: {
    readonly name: CryptoKeyName;
    /** The version that was in use when the rotation began. */
    readonly base: number | undefined;
    readonly wish: RotationWish;
    readonly own?: VersionRecord | undefined;
  },
): Promise<Settled> {
  const { name, base, wish, own } = rotation;
  let awaited = own?.number;
  for (;;) {
    const state = await readRotationState(core, operation, name);
    const isOvertaken = state.primary?.number !== base;
    const candidate = isOvertaken ? undefined : state.candidates[0];
    const isOwn = (version: VersionRecord): boolean => version.number === own?.number;
    const spares = isOvertaken ? state.candidates.filter(isOwn) : state.candidates.slice(1);
    const pending = [candidate, ...spares.filter(isOwn)].find(
      (version) => version?.metadata.state === 'PENDING_GENERATION',
    );
    if (pending !== undefined) {
      awaited = pending.number;
      await awaitOutcome(core, operation, name, pending);
      continue;
    }
    const disposed = await dispose(core, operation, state, spares);
    if (candidate === undefined && !isOvertaken) throw noCandidate(operation, state, awaited);
    if (candidate !== undefined) requireWished(operation, candidate.metadata, wish);
    return { state, candidate, disposed };
  }
}

function noCandidate(operation: Operation, { versions }: RotationState, awaited: number | undefined): Error {
  const metadata = versions.find(({ number }) => number === awaited)?.metadata;
  if (metadata?.state === 'GENERATION_FAILED') {
    return new KeyGenerationFailedError(operation.context(), metadata.failureReason ?? '');
  }
  return new ConcurrentChangeError(operation.context());
}

/** Schedules spares for destruction. Those that have no key material yet are left to the process that makes them. */
async function dispose(
  core: KmsCore,
  operation: Operation,
  { key }: RotationState,
  spares: readonly VersionRecord[],
): Promise<readonly ScheduledDestruction[]> {
  const disposed: ScheduledDestruction[] = [];
  for (const version of spares.filter(({ metadata }) => metadata.state === 'ENABLED')) {
    // It was never in use; its key is archived all the same where that is possible.
    await archivePublicKey(core, operation, { key, version });
    const { name } = version;
    const destroyTime = await scheduleDestruction(core, operation, { key: key.name, version });
    core.config.logger.warn(
      { keyVersion: name, destroyTime },
      'a spare version of racing rotations was scheduled for destruction',
    );
    if (destroyTime !== undefined) disposed.push({ name, destroyTime });
  }
  return disposed;
}

async function putToUse(
  core: KmsCore,
  operation: Operation,
  settled: Settled & { readonly candidate: VersionRecord },
): Promise<RotationResult> {
  const { state, candidate, disposed } = settled;
  await movePrimary(core, operation, state, candidate);
  const after = await readRotationState(core, operation, state.key.name);
  // The pointer names a version that is not ENABLED any more, so the one before counts again.
  if (after.primary?.number === state.primary?.number) throw new ConcurrentChangeError(operation.context());
  return toResult(core, operation, after, disposed);
}

function toResult(
  core: KmsCore,
  operation: Operation,
  state: RotationState,
  disposed: readonly ScheduledDestruction[],
): RotationResult {
  const { key, versions, primary, candidates } = state;
  core.resolver.learn(operation, key, versions);
  const gone = new Set(disposed.map(({ name }) => name));
  const prepared = candidates.find(
    ({ name, metadata }) => metadata.state === 'ENABLED' && !gone.has(name),
  )?.name;
  return { ...toKeyMetadata(key, primary), prepared, disposed };
}
