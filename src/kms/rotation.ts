/**
 * Rotation in two steps that any process can repeat or take over: a new version is made (prepared), and it is put to use
 * (activated). What is done next is decided by what Cloud KMS holds, never by what this process remembers. Where rotations
 * race, the lowest new version wins and the others are scheduled for destruction.
 */

import {
  ConcurrentChangeError,
  type ErrorContext,
  FailedPreconditionError,
  InvalidArgumentError,
  KeyGenerationFailedError,
  UnsupportedAlgorithmError,
} from '../errors.js';
import { algorithmsOf, findAlgorithm, type KeyAlgorithm } from '../keys/algorithms.js';
import type { RotationResult, ScheduledDestruction } from '../keys/key-provider.js';
import { type CryptoKeyName, parseVersionOf } from '../keys/resource-name.js';
import { wasActivated } from '../keys/version-history.js';
import { archivePublicKey } from './archiving.js';
import type { KmsCore } from './core.js';
import { awaitOutcome, createVersion } from './key-creation.js';
import type { Operation } from './operation.js';
import { holdPrimary, movePrimary } from './primary.js';
import { type KeyRecord, toKeyMetadata, type VersionRecord } from './resources.js';
import {
  candidatesAbove,
  isNamed,
  namedNumber,
  type RotationState,
  readRotationState,
} from './rotation-state.js';
import { restoreVersion, scheduleDestruction } from './version-state.js';

/** Times a rotation begins again when others destroy the version that it is about to use. */
const MAX_ROUNDS = 5;

/** What a rotation should be. */
export interface RotationWish {
  readonly algorithm?: KeyAlgorithm | undefined;
  /** Full name of the version to replace. */
  readonly replacing?: string | undefined;
}

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
  return putToUse(core, operation, async () => {
    const state = await readRotationState(core, operation, name);
    return !isWanted(operation, state, wish) || state.candidates.length === 0
      ? { state, candidate: undefined, disposed: [] }
      : awaitCandidate(core, operation, { name, base: state.primary?.number, wish });
  });
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
  if (!isWanted(operation, state, wish)) return { state, candidate: undefined, disposed: [] };
  const [waiting] = state.candidates;
  const own = waiting === undefined ? await create(core, operation, state, wish) : undefined;
  return awaitCandidate(core, operation, { name, base: state.primary?.number, wish, own });
}

/** Whether the version that should be replaced is still in use, and the new algorithm is one for this key. */
function isWanted(operation: Operation, { key, primary }: RotationState, wish: RotationWish): boolean {
  const { algorithm, replacing } = wish;
  if (replacing !== undefined && parseVersionOf(key.name, replacing) === undefined) {
    throw new InvalidArgumentError(operation.context(), `replacing is not a version of ${key.name}.`);
  }
  if (algorithm !== undefined) requireAlgorithm(operation.context(), key, algorithm);
  return replacing === undefined || replacing === primary?.name;
}

function requireAlgorithm(context: ErrorContext, key: KeyRecord, algorithm: KeyAlgorithm): void {
  const purpose = findAlgorithm(key.algorithm)?.purpose;
  const entry = findAlgorithm(algorithm);
  const fits = entry?.protectionLevels.some((level) => level === key.protectionLevel);
  if (fits && entry?.purpose === purpose) return;
  throw new UnsupportedAlgorithmError(
    context,
    `a key of purpose ${key.purpose} and protection level ${key.protectionLevel} cannot go over to ${algorithm}.`,
    purpose === undefined
      ? []
      : algorithmsOf(purpose).filter((name) =>
          findAlgorithm(name)?.protectionLevels.some((level) => level === key.protectionLevel),
        ),
  );
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
    const replaced = state.versions.find(({ number }) => number === base);
    const isAnother = state.primary !== undefined && state.primary.number !== base;
    if (isAnother && !isNamed(state) && replaced?.metadata.state === 'ENABLED') {
      // Nobody put another one to use: labels that were read before the pointer was written have overwritten it.
      await holdPrimary(core, operation, { ...state, primary: replaced });
      continue;
    }
    const isOvertaken = isNamed(state) && state.primary?.number !== base;
    const candidates = isOvertaken ? [] : candidatesAbove(state, base);
    const [candidate, ...others] = candidates;
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
    const disposed = await dispose(core, operation, state, spares);
    if (candidate === undefined && !isOvertaken) throw noCandidate(operation, state, awaited);
    if (candidate !== undefined) requireWished(operation, candidate, wish);
    return { state, candidate, disposed };
  }
}

/** Whether it was never in use, and still could be. */
function isUnused({ key, primary }: RotationState, version: VersionRecord): boolean {
  const { state } = version.metadata;
  const isAlive = state === 'ENABLED' || state === 'PENDING_GENERATION';
  return isAlive && version.number !== primary?.number && !wasActivated(key.labels, version.number);
}

function noCandidate(operation: Operation, { versions }: RotationState, awaited: number | undefined): Error {
  const metadata = versions.find(({ number }) => number === awaited)?.metadata;
  if (metadata?.state === 'GENERATION_FAILED') {
    return new KeyGenerationFailedError(operation.context(), metadata.failureReason ?? '');
  }
  return new ConcurrentChangeError(operation.context());
}

function requireWished(operation: Operation, candidate: VersionRecord, wish: RotationWish): void {
  const { algorithm } = candidate.metadata;
  if (wish.algorithm === undefined || wish.algorithm === algorithm) return;
  throw new FailedPreconditionError(
    operation.context(),
    `version ${candidate.number} with ${algorithm} waits to be put to use; activate or destroy it before a rotation to ${wish.algorithm}.`,
  );
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
    if (await isTakenBack(core, operation, version, key.name)) continue;
    core.config.logger.warn(
      { keyVersion: name, destroyTime },
      'a spare version of racing rotations was scheduled for destruction',
    );
    disposed.push({ name, destroyTime });
  }
  return disposed;
}

/** Another rotation may have put the spare to use in the moment before: then its destruction is taken back. */
async function isTakenBack(
  core: KmsCore,
  operation: Operation,
  version: VersionRecord,
  name: CryptoKeyName,
): Promise<boolean> {
  const key = await core.reader.getKey(operation, name);
  if (namedNumber(key) !== version.number) return false;
  await restoreVersion(core, operation, { key: name, version, state: 'ENABLED' });
  return true;
}

/** Has the candidate used; where it is destroyed by others in the same moment, the next one. */
async function putToUse(
  core: KmsCore,
  operation: Operation,
  settleNext: () => Promise<Settled>,
): Promise<RotationResult> {
  const disposed: ScheduledDestruction[] = [];
  for (let rounds = 0; rounds < MAX_ROUNDS; rounds++) {
    const settled = await settleNext();
    const { state, candidate } = settled;
    disposed.push(...settled.disposed);
    if (candidate === undefined) return toResult(core, operation, state, disposed);
    await movePrimary(core, operation, state, candidate);
    const after = await readRotationState(core, operation, state.key.name);
    // This one is in use, or another process went on from it.
    if (isNamed(after) && after.primary?.number !== state.primary?.number)
      return toResult(core, operation, after, disposed);
    await holdPrimary(core, operation, { ...after, primary: enabled(after, state.primary) });
  }
  throw new ConcurrentChangeError(operation.context());
}

const enabled = ({ versions }: RotationState, wanted: VersionRecord | undefined): VersionRecord | undefined =>
  versions.find(({ number, metadata }) => number === wanted?.number && metadata.state === 'ENABLED');

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
