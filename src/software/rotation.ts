/**
 * Rotation in two steps, like that of keys in Cloud KMS: a new version is made (prepared), and it is put to use (activated).
 * Key material is generated first; what is done with it is decided in one transaction by what the store holds then.
 */

import { FailedPreconditionError } from '../errors/keys.js';
import type { KeyMetadata, RotationResult, RotationSchedule } from '../keys/key-provider.js';
import type { CryptoKeyName } from '../keys/resource-name.js';
import { PRIMARY_LABEL, wasActivated, withPrimary, withTimes } from '../keys/version-history.js';
import type { Operation } from '../provider/operation.js';
import {
  checkSchedule,
  isWanted,
  type RotationWish,
  requireSchedulable,
  requireWished,
  versionNumberOf,
} from '../provider/rotation-input.js';
import { archivePublicKeys } from './archiving.js';
import { type GeneratedMaterial, generateMaterial } from './key-material.js';
import {
  addressOf,
  candidatesOf,
  currentVersion,
  entryOf,
  type NamedKey,
  newVersion,
  PROTECTION_LEVEL,
  scheduled,
  toKeyMetadata,
  toScheduledDestruction,
  versionName,
  withVersion,
} from './key-records.js';
import type { SoftwareCore } from './software-calls.js';
import type { StoredVersion } from './store/stored-key.js';
import { changeKey, type KeyChange, readKey } from './stored-keys.js';

/** `prepare` makes a version where none waits, `activate` puts one to use where one waits, `rotate` does both. */
export type RotationStep = 'prepare' | 'activate' | 'rotate';

export async function rotate(
  core: SoftwareCore,
  operation: Operation,
  rotation: { readonly name: CryptoKeyName; readonly step: RotationStep; readonly wish: RotationWish },
): Promise<RotationResult> {
  const { name, step, wish } = rotation;
  const before = await readKey(core, operation, name);
  if (!wanted(operation, before, wish)) return toResult(before, []);
  const candidates = candidatesOf(before);
  await archivePublicKeys(core, before, candidates.slice(1));
  const material =
    candidates.length === 0 && step !== 'activate'
      ? await generateMaterial(operation, entryOf(wish.algorithm ?? before.algorithm))
      : undefined;
  try {
    return await changeKey(core, operation, name, (change) => {
      const base = currentVersion(before)?.number;
      // Another process rotated the key meanwhile, or put to use what was seen waiting.
      if (currentVersion(change.key)?.number !== base) return toResult(change.key, []);
      return settle(operation, change, { step, wish, material });
    });
  } finally {
    material?.secret.fill(0);
  }
}

function settle(
  operation: Operation,
  { transaction, key: before, nowMs }: KeyChange,
  rotation: {
    readonly step: RotationStep;
    readonly wish: RotationWish;
    readonly material: GeneratedMaterial | undefined;
  },
): RotationResult {
  const { step, wish, material } = rotation;
  let key = before;
  let [candidate, ...spares] = candidatesOf(key);
  if (candidate === undefined && material !== undefined) {
    const version = newVersion(key, { ...material, nowMs });
    transaction.putMaterial(addressOf(key, version), material.secret);
    key = { ...holdPrimary(key), algorithm: material.algorithm };
    key = { ...key, versions: [...key.versions, version] };
    candidate = version;
  }
  if (candidate === undefined) return toResult(key, []);
  const { number, algorithm } = candidate;
  requireWished(operation, { version: number, algorithm }, wish);
  const disposed: StoredVersion[] = [];
  for (const spare of spares) {
    const version = scheduled(spare, nowMs + key.destroyScheduledDurationSeconds * 1_000);
    key = withVersion(key, version);
    disposed.push(version);
  }
  if (step !== 'prepare') key = putToUse(key, number, nowMs);
  if (key !== before) transaction.putKey(key);
  return toResult(key, disposed);
}

/** Uses the version that the caller names: the way back after a rotation that went wrong. */
export function setPrimary(
  core: SoftwareCore,
  operation: Operation,
  name: CryptoKeyName,
  version: number | string,
): Promise<KeyMetadata> {
  const number = versionNumberOf(operation, name, version);
  return changeKey(core, operation, name, ({ transaction, key, nowMs }) => {
    const target = key.versions.find((candidate) => candidate.number === number);
    if (target?.state !== 'ENABLED') {
      throw new FailedPreconditionError(
        operation.context(),
        `version ${number} is ${target?.state ?? 'not there'}; only an ENABLED version can be used.`,
      );
    }
    const pointer = key.purpose === 'ENCRYPT_DECRYPT' ? String(key.primary) : key.labels[PRIMARY_LABEL];
    if (pointer === String(number)) return toKeyMetadata(key);
    const changed = putToUse(key, number, nowMs);
    transaction.putKey(changed);
    return toKeyMetadata(changed);
  });
}

/** Sets or, with null, removes the schedule. */
export function setSchedule(
  core: SoftwareCore,
  operation: Operation,
  name: CryptoKeyName,
  schedule: RotationSchedule | null,
): Promise<KeyMetadata> {
  const rotation = schedule === null ? undefined : checkSchedule(operation, schedule, core.clock.now());
  return changeKey(core, operation, name, ({ transaction, key }) => {
    requireSchedulable(operation, key.purpose);
    const { rotation: _, ...rest } = key;
    const changed: NamedKey = { ...rest, ...(rotation && { rotation }) };
    transaction.putKey(changed);
    return toKeyMetadata(changed);
  });
}

function wanted(operation: Operation, key: NamedKey, wish: RotationWish): boolean {
  const current = currentVersion(key);
  return isWanted(
    operation,
    { ...key, protectionLevel: PROTECTION_LEVEL },
    { primary: current && versionName(key, current), wish },
  );
}

/** Writes down the version in use before a new one is there: without that the highest ENABLED version counts. */
function holdPrimary(key: NamedKey): NamedKey {
  const current = currentVersion(key);
  if (key.purpose === 'ENCRYPT_DECRYPT' || current === undefined) return key;
  const { labels } = key;
  if (labels[PRIMARY_LABEL] === String(current.number)) return key;
  const history = wasActivated(labels, current.number)
    ? labels
    : withTimes(labels, current.number, { activatedTime: new Date(current.createTimeMs) });
  return { ...key, labels: { ...history, [PRIMARY_LABEL]: String(current.number) } };
}

function putToUse(key: NamedKey, number: number, nowMs: number): NamedKey {
  const from = currentVersion(key)?.number;
  const labels = withPrimary(key.labels, { from, to: number, at: new Date(nowMs) });
  return key.purpose === 'ENCRYPT_DECRYPT'
    ? { ...key, labels, primary: number }
    : { ...key, labels: { ...labels, [PRIMARY_LABEL]: String(number) } };
}

function toResult(key: NamedKey, disposed: readonly StoredVersion[]): RotationResult {
  const [waiting] = candidatesOf(key);
  return {
    ...toKeyMetadata(key),
    prepared: waiting && versionName(key, waiting),
    disposed: disposed.flatMap((version) => toScheduledDestruction(key, version)),
  };
}
