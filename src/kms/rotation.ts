/**
 * Rotation in two steps that any process can repeat or take over: a new version is made (prepared), and it is put to use
 * (activated). What is done next is decided by what Cloud KMS holds, never by what this process remembers.
 */

import { ConcurrentChangeError } from '../errors/keys.js';
import type { RotationResult, ScheduledDestruction } from '../keys/key-provider.js';
import type { CryptoKeyName } from '../keys/resource-name.js';
import type { Operation } from '../provider/operation.js';
import type { RotationWish } from '../provider/rotation-input.js';
import type { KmsCore } from './core.js';
import { movePrimary, returnPrimary } from './primary.js';
import { toKeyMetadata } from './resources.js';
import { MAX_ROUNDS, type Settled, settle, settleWaiting } from './rotation-candidate.js';
import { isNamed, type RotationState, readRotationState } from './rotation-state.js';

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
export function rotate(
  core: KmsCore,
  operation: Operation,
  name: CryptoKeyName,
  wish: RotationWish,
): Promise<RotationResult> {
  return putToUse(core, operation, () => settle(core, operation, name, wish));
}

/** Uses the version that waits. Without one there is nothing to do: it is in use already, or was never made. */
export function activate(
  core: KmsCore,
  operation: Operation,
  name: CryptoKeyName,
  wish: RotationWish,
): Promise<RotationResult> {
  return putToUse(core, operation, () => settleWaiting(core, operation, name, wish));
}

/** Has the candidate used; where others destroy it in the same moment, the next one. */
async function putToUse(
  core: KmsCore,
  operation: Operation,
  settleNext: () => Promise<Settled>,
): Promise<RotationResult> {
  const disposed: ScheduledDestruction[] = [];
  for (let rounds = 0; rounds < MAX_ROUNDS; rounds++) {
    const { state, base, candidate, disposed: gone } = await settleNext();
    disposed.push(...gone);
    if (candidate === undefined) return toResult(core, operation, state, disposed);
    await movePrimary(core, operation, { ...state, primary: base }, candidate);
    const after = await readRotationState(core, operation, state.key.name);
    // This one is in use, or another process went on from it.
    const isMoved = isNamed(after) && after.primary?.number !== base?.number;
    if (isMoved && after.primary?.metadata.state === 'ENABLED')
      return toResult(core, operation, after, disposed);
    await returnPrimary(core, operation, after, base);
  }
  throw new ConcurrentChangeError(operation.context());
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
