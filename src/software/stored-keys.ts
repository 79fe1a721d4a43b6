/**
 * Reads and changes stored keys as they are at this moment: what time has done to a key since it was written (destruction
 * whose time has come, the rotation of a schedule) is done to it first, in the store.
 */

import { randomBytes } from 'node:crypto';
import type { CryptoKeyName, KeyVersion } from '../keys/resource-name.js';
import { withPrimary } from '../keys/version-history.js';
import { resourceNotFound } from '../provider/not-found.js';
import type { Operation } from '../provider/operation.js';
import { SYMMETRIC_KEY_BYTES } from './key-material.js';
import {
  addressOf,
  currentVersion,
  destroyed,
  dueForDestruction,
  isRotationDue,
  type NamedKey,
  newVersion,
  versionName,
  withVersion,
} from './key-records.js';
import type { SoftwareCore } from './software-calls.js';
import type { StoreTransaction, StoreView } from './store/key-store.js';
import type { StoredVersion } from './store/stored-key.js';

/** @throws NotFoundError */
export async function readKey(
  core: SoftwareCore,
  operation: Operation,
  name: CryptoKeyName,
): Promise<NamedKey> {
  const key = core.store.read(operation.context(), (view) => findIn(view, name));
  if (key === undefined) throw resourceNotFound(operation.context());
  if (!isDue(core, key)) return key;
  return changeKey(core, operation, name, ({ key: settled }) => settled);
}

/** What a change works with. */
export interface KeyChange {
  readonly transaction: StoreTransaction;
  /** As it is now. */
  readonly key: NamedKey;
  readonly nowMs: number;
}

/**
 * Works on a key in a transaction: no other process changes it meanwhile.
 * @throws NotFoundError
 */
export function changeKey<T>(
  core: SoftwareCore,
  operation: Operation,
  name: CryptoKeyName,
  work: (change: KeyChange) => T,
): Promise<T> {
  return core.store.transact(operation.context(), (transaction) => {
    operation.throwIfEnded();
    const stored = findIn(transaction, name);
    if (stored === undefined) throw resourceNotFound(operation.context());
    return work({ transaction, key: settle(core, transaction, stored), nowMs: core.clock.now() });
  });
}

/** The key in a view, under the name that was parsed. */
export function findIn(view: Pick<StoreView, 'getKey'>, name: CryptoKeyName): NamedKey | undefined {
  const stored = view.getKey(name);
  return stored && { ...stored, name };
}

/** @throws NotFoundError */
export function findVersion(operation: Operation, key: NamedKey, { number }: KeyVersion): StoredVersion {
  const version = key.versions.find((candidate) => candidate.number === number);
  if (version === undefined) throw resourceNotFound(operation.context());
  return version;
}

const isDue = (core: SoftwareCore, key: NamedKey): boolean => {
  const nowMs = core.clock.now();
  return dueForDestruction(key, nowMs).length > 0 || isRotationDue(key, nowMs);
};

/** Does what is due, and gives the key as it is then. */
function settle(core: SoftwareCore, transaction: StoreTransaction, stored: NamedKey): NamedKey {
  const nowMs = core.clock.now();
  let key = stored;
  for (const version of dueForDestruction(stored, nowMs)) {
    removeMaterial(core, transaction, key, version);
    key = withVersion(key, destroyed(version, version.destroyTimeMs ?? nowMs));
  }
  if (isRotationDue(key, nowMs)) key = rotateOnSchedule(transaction, key, nowMs);
  if (key !== stored) transaction.putKey(key);
  return key;
}

/** Removes the material of a version from the store and from this process. */
export function removeMaterial(
  core: SoftwareCore,
  transaction: StoreTransaction,
  key: NamedKey,
  version: StoredVersion,
): void {
  transaction.removeMaterial(addressOf(key, version));
  core.keyObjects.forgetSecret(versionName(key, version));
}

/** One rotation, however many periods have passed: versions that nothing was encrypted with would be of no use. */
function rotateOnSchedule(transaction: StoreTransaction, key: NamedKey, nowMs: number): NamedKey {
  const { rotation } = key;
  if (rotation === undefined) return key;
  const version = newVersion(key, { algorithm: key.algorithm, publicKeyPem: undefined, nowMs });
  const material = randomBytes(SYMMETRIC_KEY_BYTES);
  transaction.putMaterial(addressOf(key, version), material);
  material.fill(0);
  const periodMs = rotation.periodSeconds * 1_000;
  const missed = Math.floor((nowMs - rotation.nextTimeMs) / periodMs);
  return {
    ...key,
    primary: version.number,
    rotation: { ...rotation, nextTimeMs: rotation.nextTimeMs + (missed + 1) * periodMs },
    labels: withPrimary(key.labels, {
      from: currentVersion(key)?.number,
      to: version.number,
      at: new Date(nowMs),
    }),
    versions: [...key.versions, version],
  };
}
