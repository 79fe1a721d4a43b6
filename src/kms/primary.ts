/**
 * Which version is in use, written down: the primary of a symmetric key, the label `a2a-primary` of the others, with the
 * time of the change in the labels of the versions concerned.
 */

import { ConcurrentChangeError, FailedPreconditionError } from '../errors/keys.js';
import { type CryptoKeyName, keyVersion } from '../keys/resource-name.js';
import {
  hasTimes,
  type Labels,
  PRIMARY_LABEL,
  versionTimes,
  wasActivated,
  wasActivatedSince,
  withPrimary,
  withTimes,
} from '../keys/version-history.js';
import type { Operation } from '../provider/operation.js';
import { versionNumberOf } from '../provider/rotation-input.js';
import type { KmsCore } from './core.js';
import { changeLabels } from './labels.js';
import type { KeyRecord, VersionRecord } from './resources.js';
import { type RotationState, readRotationState } from './rotation-state.js';
import type { RpcCall } from './rpc-caller.js';
import type { KeySnapshot } from './version-resolver.js';

/**
 * Uses a version in place of the one that the state names. What another process put to use since then stays: the
 * pointer is moved only from where it was seen.
 */
export async function movePrimary(
  core: KmsCore,
  operation: Operation,
  state: RotationState,
  target: VersionRecord,
): Promise<void> {
  const { key, primary } = state;
  const to = target.number;
  const move = { from: primary?.number, to, at: new Date(core.config.clock.now()) };
  if (key.purpose === 'ENCRYPT_DECRYPT') {
    await updatePrimary(core, operation, { name: key.name, to, mayMove: (seen) => seen === move.from });
    const moved = await changeLabels(core, operation, key.name, ({ labels, primary: seen }) =>
      seen?.number !== to || isRecorded(labels, to) ? labels : withPrimary(labels, move),
    );
    watchPrimary(core, operation, moved, move);
    return;
  }
  const moved = await changeLabels(core, operation, key.name, ({ labels }) =>
    mayMove(labels, state) ? { ...withPrimary(labels, move), [PRIMARY_LABEL]: String(to) } : labels,
  );
  watchPrimary(core, operation, moved, move);
}

/**
 * Writes down the version in use, before a new one is made: without the pointer the highest ENABLED version counts, so
 * the new one would be used as soon as it is ENABLED.
 */
export async function holdPrimary(core: KmsCore, operation: Operation, state: RotationState): Promise<void> {
  const { key, primary } = state;
  if (key.purpose === 'ENCRYPT_DECRYPT' || primary === undefined) return;
  const { generateTime, createTime } = primary.metadata;
  const held = await changeLabels(core, operation, key.name, ({ labels }) => {
    if (!isUnset(labels, state)) return labels;
    const history = wasActivated(labels, primary.number)
      ? labels
      : withTimes(labels, primary.number, { activatedTime: generateTime ?? createTime });
    return { ...history, [PRIMARY_LABEL]: String(primary.number) };
  });
  watchPrimary(core, operation, held, { from: undefined, to: primary.number });
}

/** Goes back to the version that was in use before, where the one that was put to use cannot be used any more. */
export async function returnPrimary(
  core: KmsCore,
  operation: Operation,
  state: RotationState,
  before: VersionRecord | undefined,
): Promise<void> {
  const { key, primary: unusable, versions } = state;
  const primary = versions.find(
    ({ number, metadata }) => number === before?.number && metadata.state === 'ENABLED',
  );
  if (key.purpose !== 'ENCRYPT_DECRYPT') return holdPrimary(core, operation, { ...state, primary });
  if (primary === undefined || unusable?.metadata.state === 'ENABLED') return;
  const to = primary.number;
  const mayMove = (seen: number | undefined): boolean => seen === unusable?.number;
  await updatePrimary(core, operation, { name: key.name, to, mayMove });
}

/**
 * Uses the version that the caller names, whatever is in use: the way back after a rotation that went wrong.
 * @throws ConcurrentChangeError when another process disabled the version, or put yet another one to use, meanwhile.
 */
export async function setPrimary(
  core: KmsCore,
  operation: Operation,
  name: CryptoKeyName,
  wanted: number | string,
): Promise<KeySnapshot> {
  const to = versionNumberOf(operation, name, wanted);
  const state = await readRotationState(core, operation, name);
  const target = state.versions.find((version) => version.number === to);
  if (target?.metadata.state !== 'ENABLED') {
    throw new FailedPreconditionError(
      operation.context(),
      `version ${to} is ${target?.metadata.state ?? 'not there'}; only an ENABLED version can be used.`,
    );
  }
  const move = { from: state.primary?.number, to, at: new Date(core.config.clock.now()) };
  if (state.key.purpose !== 'ENCRYPT_DECRYPT') {
    const moved = await changeLabels(core, operation, name, ({ labels }) =>
      labels[PRIMARY_LABEL] === String(to) ? labels : withWayBack(operation, labels, move),
    );
    watchPrimary(core, operation, moved, move);
  } else if (move.from !== to) {
    // Written down first: after a crash in between, the version that is left must not be taken for a new one.
    await changeLabels(core, operation, name, ({ labels }) =>
      isRecorded(labels, to) ? labels : requireTimes(operation, withPrimary(labels, move), move),
    );
    await updatePrimary(core, operation, { name, to, mayMove: () => true });
    watchPrimary(core, operation, await core.reader.getKey(operation, name), move);
  }
  const after = await readRotationState(core, operation, name);
  if (after.primary?.number === to && after.primary.metadata.state === 'ENABLED')
    return core.resolver.learn(operation, after.key, after.versions);
  await returnPrimary(core, operation, after, state.primary);
  core.resolver.invalidate(name);
  throw new ConcurrentChangeError(operation.context());
}

const withWayBack = (operation: Operation, labels: Labels, move: TimedMove): Labels =>
  requireTimes(operation, { ...withPrimary(labels, move), [PRIMARY_LABEL]: String(move.to) }, move);

/** @throws FailedPreconditionError when the labels cannot tell that the version that is left was in use: it is above the other. */
function requireTimes(operation: Operation, labels: Labels, { from, to }: PrimaryMove): Labels {
  if (hasTimes(labels, to) && (from === undefined || hasTimes(labels, from))) return labels;
  throw new FailedPreconditionError(
    operation.context(),
    `the key has ${Object.keys(labels).length} labels, so there is no room to write down which versions were in use, and the one before would be mistaken for a new one; remove some of them with updateLabels.`,
  );
}

/** Sets the primary of a symmetric key. Never repeated without a look: another process may have set it in between. */
async function updatePrimary(
  core: KmsCore,
  operation: Operation,
  update: {
    readonly name: CryptoKeyName;
    readonly to: number;
    readonly mayMove: (seen: number | undefined) => boolean;
  },
): Promise<void> {
  const { name, to, mayMove: mayMoveFrom } = update;
  const call: RpcCall<'updateCryptoKeyPrimaryVersion'> = {
    rpc: 'updateCryptoKeyPrimaryVersion',
    request: { name, cryptoKeyVersionId: String(to) },
    routeBy: ['name', name],
  };
  for (let attempt = 1; ; attempt++) {
    const seen = (await core.reader.getKey(operation, name)).primary?.number;
    if (seen === to || !mayMoveFrom(seen)) return;
    const outcome = await core.caller.callOnce(operation, call, attempt);
    if (outcome.kind === 'done') return;
  }
}

/** A version that was put to use in place of another. */
interface PrimaryMove {
  readonly from: number | undefined;
  readonly to: number;
}

interface TimedMove extends PrimaryMove {
  readonly at: Date;
}

/** As it is written down in the labels. */
interface RecordedMove extends TimedMove {
  readonly name: CryptoKeyName;
}

/** Has it checked later that the version is still in use, or was replaced by somebody who knew of it. */
function watchPrimary(core: KmsCore, operation: Operation, key: KeyRecord, { from, to }: PrimaryMove): void {
  const { name, labels } = key;
  const inUse = key.purpose === 'ENCRYPT_DECRYPT' ? key.primary?.number : Number(labels[PRIMARY_LABEL]);
  const { activatedTime: at } = versionTimes(labels, to);
  // Another process was faster: what becomes of its version is its business.
  if (inUse !== to || at === undefined) return;
  core.lateChecks.schedule(name, () =>
    core.reader.detached(operation, (own) => repairPrimary(core, own, { name, from, to, at })),
  );
}

/** Moves the version in use to where it was moved before, if a write by somebody who did not know of that undid it. */
async function repairPrimary(core: KmsCore, operation: Operation, move: RecordedMove): Promise<void> {
  const { name, from, to } = move;
  const key = await core.reader.getKey(operation, name);
  if (!isUndone(key, move)) return;
  const version = await core.reader.getVersion(operation, name, keyVersion(name, to));
  if (version.metadata.state !== 'ENABLED') return;
  core.config.logger.warn(
    { keyVersion: version.name },
    'a write of another process undid that this version was put to use; it is put to use again',
  );
  if (key.purpose === 'ENCRYPT_DECRYPT') {
    await updatePrimary(core, operation, { name, to, mayMove: (seen) => seen === from });
  } else {
    await changeLabels(core, operation, name, (current) =>
      isUndone(current, move)
        ? { ...withPrimary(current.labels, move), [PRIMARY_LABEL]: String(to) }
        : current.labels,
    );
  }
  core.resolver.invalidate(name);
  watchPrimary(core, operation, await core.reader.getKey(operation, name), move);
}

/**
 * Whether the version before is in use again, and nothing says that somebody wanted that: who moves the pointer on adds
 * to what is written down of the version, and only labels that were read before the move lack it. Of a symmetric key the
 * labels tell that the version was replaced.
 */
function isUndone({ purpose, labels, primary }: KeyRecord, { from, to, at }: RecordedMove): boolean {
  if (from === to) return false;
  if (purpose === 'ENCRYPT_DECRYPT') return primary?.number === from && isRecorded(labels, to);
  const label = labels[PRIMARY_LABEL];
  const isBefore = label === undefined || (from !== undefined && label === String(from));
  return isBefore && !wasActivatedSince(labels, to, at);
}

/** Whether it is written down that the version was put to use and not replaced since: another process was faster. */
function isRecorded(labels: Labels, number: number): boolean {
  const { activatedTime, replacedTime } = versionTimes(labels, number);
  return activatedTime !== undefined && replacedTime === undefined;
}

/** The pointer may be moved from where it was seen, or from where it means nothing. */
function mayMove(labels: Labels, state: RotationState): boolean {
  return labels[PRIMARY_LABEL] === String(state.primary?.number) || isUnset(labels, state);
}

/**
 * Whether the pointer names no version that could be in use. One that is named only since the state was read was just put
 * to use by others, whatever the version was when they were listed.
 */
function isUnset(labels: Labels, { key, versions }: RotationState): boolean {
  const label = labels[PRIMARY_LABEL];
  if (label === undefined || !/^[1-9][0-9]{0,14}$/.test(label)) return true;
  if (label !== key.labels[PRIMARY_LABEL]) return false;
  return versions.find((version) => String(version.number) === label)?.metadata.state !== 'ENABLED';
}
