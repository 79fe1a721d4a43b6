/**
 * The version that a rotation leads to: the one that waits, or a new one. Where rotations race, the lowest new version
 * wins and the others are scheduled for destruction.
 */

import { ConcurrentChangeError, KeyGenerationFailedError } from '../errors/keys.js';
import type { ScheduledDestruction } from '../keys/key-provider.js';
import type { CryptoKeyName } from '../keys/resource-name.js';
import { wasActivated } from '../keys/version-history.js';
import type { Operation } from '../provider/operation.js';
import { isWanted, type RotationWish, requireWished } from '../provider/rotation-input.js';
import { archivePublicKey } from './archiving.js';
import type { KmsCore } from './core.js';
import { awaitOutcome, createVersion } from './key-creation.js';
import { holdPrimary } from './primary.js';
import type { VersionRecord } from './resources.js';
import { candidatesAbove, isNamed, type RotationState, readRotationState } from './rotation-state.js';
import { scheduleDestruction, takeBackInUse } from './version-state.js';

/** Times a rotation begins again when others destroy the version that it leads to. */
export const MAX_ROUNDS = 5;

/** Where a rotation has come to. */
export interface Settled {
  readonly state: RotationState;
  /** The version that was in use when it began. */
  readonly base: VersionRecord | undefined;
  /** The version to put to use; none when there is nothing to do any more. */
  readonly candidate: VersionRecord | undefined;
  readonly disposed: readonly ScheduledDestruction[];
}

/** Finds the version that waits, or makes one. */
export async function settle(
  core: KmsCore,
  operation: Operation,
  name: CryptoKeyName,
  wish: RotationWish,
): Promise<Settled> {
  const disposed: ScheduledDestruction[] = [];
  for (let rounds = 0; rounds < MAX_ROUNDS; rounds++) {
    const state = await readRotationState(core, operation, name);
    const base = state.primary;
    if (!isWanted(operation, state.key, { primary: base?.name, wish }))
      return { state, base, candidate: undefined, disposed };
    const [waiting] = state.candidates;
    const own = waiting === undefined ? await create(core, operation, state, wish) : undefined;
    const found = await awaitCandidate(core, operation, { name, base, wish, own, disposed });
    if (found !== 'vanished') return found;
  }
  throw new ConcurrentChangeError(operation.context());
}

/** Finds the version that waits. Without one there is nothing to do: it is in use already, or was never made. */
export async function settleWaiting(
  core: KmsCore,
  operation: Operation,
  name: CryptoKeyName,
  wish: RotationWish,
): Promise<Settled> {
  const disposed: ScheduledDestruction[] = [];
  for (;;) {
    const state = await readRotationState(core, operation, name);
    const base = state.primary;
    if (!isWanted(operation, state.key, { primary: base?.name, wish }) || state.candidates.length === 0)
      return { state, base, candidate: undefined, disposed };
    const found = await awaitCandidate(core, operation, { name, base, wish, disposed });
    if (found !== 'vanished') return found;
  }
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
 * rotation that another one finished meanwhile is a spare too. `vanished`: others destroyed what there was.
 */
async function awaitCandidate(
  core: KmsCore,
  operation: Operation,
  rotation: Pick<Settled, 'base'> & {
    readonly name: CryptoKeyName;
    readonly wish: RotationWish;
    readonly own?: VersionRecord | undefined;
    /** What was disposed of is added. */
    readonly disposed: ScheduledDestruction[];
  },
): Promise<Settled | 'vanished'> {
  const { name, base, wish, own, disposed } = rotation;
  let awaited = own?.number;
  for (;;) {
    const state = await readRotationState(core, operation, name);
    if (isPointerLost(state, base)) {
      await holdPrimary(core, operation, { ...state, primary: base });
      continue;
    }
    const isOvertaken = isNamed(state) && state.primary?.number !== base?.number;
    const [candidate, ...others] = isOvertaken ? [] : candidatesAbove(state, base?.number);
    const isOwn = ({ number }: VersionRecord): boolean => number === own?.number;
    const spares = isOvertaken
      ? state.versions.filter((version) => isOwn(version) && isUnused(state, version))
      : others;
    const pending = [candidate, ...spares.filter(isOwn)].find(
      (version) => version?.metadata.state === 'PENDING_GENERATION',
    );
    if (pending !== undefined) {
      awaited = pending.number;
      await awaitOutcome(core, operation, name, pending);
      continue;
    }
    const gone = await dispose(core, operation, state, spares);
    disposed.push(...gone);
    // That took its time: others may have gone on.
    if (gone.length > 0) continue;
    if (candidate !== undefined) requireWished(operation, candidate.metadata, wish);
    else if (!isOvertaken) {
      requireGenerated(operation, state, awaited);
      return 'vanished';
    }
    return { state, base, candidate, disposed };
  }
}

/**
 * Whether the version before could be in use and another one only is because it is the newest: nobody put that to use,
 * labels that were read before the pointer was written have overwritten it.
 */
function isPointerLost(state: RotationState, base: VersionRecord | undefined): boolean {
  const { primary, versions } = state;
  if (base === undefined || primary === undefined || primary.number === base.number || isNamed(state))
    return false;
  return versions.some(({ number, metadata }) => number === base.number && metadata.state === 'ENABLED');
}

/** Whether it was never in use, and still could be. */
function isUnused({ key, primary }: RotationState, version: VersionRecord): boolean {
  const { state } = version.metadata;
  const isAlive = state === 'ENABLED' || state === 'PENDING_GENERATION';
  return isAlive && version.number !== primary?.number && !wasActivated(key.labels, version.number);
}

/** @throws KeyGenerationFailedError when that is why the awaited version cannot be used. */
function requireGenerated(
  operation: Operation,
  { versions }: RotationState,
  awaited: number | undefined,
): void {
  const metadata = versions.find(({ number }) => number === awaited)?.metadata;
  if (metadata?.state === 'GENERATION_FAILED')
    throw new KeyGenerationFailedError(operation.context(), metadata.failureReason ?? '');
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
    if (destroyTime === undefined) continue;
    // Another rotation may have put the spare to use in the moment before.
    if (await takeBackInUse(core, operation, { key: key.name, version })) continue;
    core.config.logger.warn(
      { keyVersion: name, destroyTime },
      'a spare version of racing rotations was scheduled for destruction',
    );
    disposed.push({ name, destroyTime });
  }
  return disposed;
}
