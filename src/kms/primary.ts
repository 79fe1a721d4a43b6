/**
 * Which version is in use, written down: the primary of a symmetric key, the label `a2a-primary` of the others, with the
 * time of the change in the labels of the versions concerned.
 */

import { FailedPreconditionError } from '../errors.js';
import type { CryptoKeyName } from '../keys/resource-name.js';
import {
  type Labels,
  PRIMARY_LABEL,
  versionTimes,
  wasActivated,
  withPrimary,
  withTimes,
} from '../keys/version-history.js';
import type { Operation } from '../provider/operation.js';
import { versionNumberOf } from '../provider/rotation-input.js';
import type { KmsCore } from './core.js';
import { changeLabels } from './labels.js';
import type { VersionRecord } from './resources.js';
import { type RotationState, readRotationState } from './rotation-state.js';
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
  const at = new Date(core.config.clock.now());
  const history = (labels: Labels): Labels =>
    withPrimary(labels, { from: primary?.number, to: target.number, at });
  if (key.purpose === 'ENCRYPT_DECRYPT') {
    await updatePrimary(core, operation, key.name, target.number);
    await changeLabels(core, operation, key.name, ({ labels }) =>
      isRecorded(labels, target.number) ? labels : history(labels),
    );
    return;
  }
  await changeLabels(core, operation, key.name, ({ labels }) =>
    mayMove(labels, state) ? { ...history(labels), [PRIMARY_LABEL]: String(target.number) } : labels,
  );
}

/**
 * Writes down the version in use, before a new one is made: without the pointer the highest ENABLED version counts, so
 * the new one would be used as soon as it is ENABLED.
 */
export async function holdPrimary(core: KmsCore, operation: Operation, state: RotationState): Promise<void> {
  const { key, primary } = state;
  if (key.purpose === 'ENCRYPT_DECRYPT' || primary === undefined) return;
  const { generateTime, createTime } = primary.metadata;
  await changeLabels(core, operation, key.name, ({ labels }) => {
    if (!isUnset(labels, state)) return labels;
    const history = wasActivated(labels, primary.number)
      ? labels
      : withTimes(labels, primary.number, { activatedTime: generateTime ?? createTime });
    return { ...history, [PRIMARY_LABEL]: String(primary.number) };
  });
}

/** Uses the version that the caller names, whatever is in use: the way back after a rotation that went wrong. */
export async function setPrimary(
  core: KmsCore,
  operation: Operation,
  name: CryptoKeyName,
  wanted: number | string,
): Promise<KeySnapshot> {
  const number = versionNumberOf(operation, name, wanted);
  const state = await readRotationState(core, operation, name);
  const target = state.versions.find((version) => version.number === number);
  if (target?.metadata.state !== 'ENABLED') {
    throw new FailedPreconditionError(
      operation.context(),
      `version ${number} is ${target?.metadata.state ?? 'not there'}; only an ENABLED version can be used.`,
    );
  }
  const at = new Date(core.config.clock.now());
  const history = (labels: Labels): Labels =>
    withPrimary(labels, { from: state.primary?.number, to: number, at });
  if (state.key.purpose === 'ENCRYPT_DECRYPT') {
    if (state.primary?.number !== number) {
      await updatePrimary(core, operation, name, number);
      await changeLabels(core, operation, name, ({ labels }) =>
        isRecorded(labels, number) ? labels : history(labels),
      );
    }
  } else {
    const wantedLabel = String(number);
    await changeLabels(core, operation, name, ({ labels }) =>
      labels[PRIMARY_LABEL] === wantedLabel ? labels : { ...history(labels), [PRIMARY_LABEL]: wantedLabel },
    );
  }
  return core.resolver.refresh(operation, name);
}

async function updatePrimary(
  core: KmsCore,
  operation: Operation,
  name: CryptoKeyName,
  number: number,
): Promise<void> {
  await core.caller.call(operation, {
    rpc: 'updateCryptoKeyPrimaryVersion',
    request: { name, cryptoKeyVersionId: String(number) },
    routeBy: ['name', name],
  });
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

/** Whether the pointer names no version that could be in use. One that was not there yet was just put to use by others. */
function isUnset(labels: Labels, { versions }: RotationState): boolean {
  const label = labels[PRIMARY_LABEL];
  if (label === undefined || !/^[1-9][0-9]{0,14}$/.test(label)) return true;
  const named = versions.find((version) => String(version.number) === label);
  return named !== undefined && named.metadata.state !== 'ENABLED';
}
