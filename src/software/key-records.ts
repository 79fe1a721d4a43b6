/**
 * Stored keys and versions as the vocabulary of providers has them, and what the passing of time does to them. Pure: the
 * transactions around it read and write.
 */

import type { AlgorithmEntry, KeyAlgorithm } from '../keys/algorithm-types.js';
import { findAlgorithm } from '../keys/algorithms.js';
import type { KeyMetadata, KeyVersionMetadata, ScheduledDestruction } from '../keys/key-provider.js';
import {
  type CryptoKeyName,
  type CryptoKeyVersionName,
  cryptoKeyName,
  type KeyRingName,
  keyVersion,
} from '../keys/resource-name.js';
import { primaryNumber, rotationCandidates, type VersionStanding } from '../keys/version-history.js';
import type { MaterialAddress } from './store/key-store.js';
import type { StoredKey, StoredVersion } from './store/stored-key.js';

/** What keys of this provider are. */
export const PROTECTION_LEVEL = 'SOFTWARE';

/** A key with its name as the parser made it. */
export interface NamedKey extends StoredKey {
  readonly name: CryptoKeyName;
}

export const versionName = (key: NamedKey, { number }: StoredVersion): CryptoKeyVersionName =>
  keyVersion(key.name, number).name;

export const addressOf = (key: NamedKey, version: StoredVersion): MaterialAddress => ({
  version: versionName(key, version),
  algorithm: version.algorithm,
});

/** The entry of an algorithm that was found to be one when it was read or passed. */
export function entryOf(algorithm: KeyAlgorithm): AlgorithmEntry {
  const entry = findAlgorithm(algorithm);
  if (entry === undefined) throw new TypeError(`not an algorithm: ${algorithm}`);
  return entry;
}

/** The name of a key that is in a key ring by its prefix. */
export const nameInRing = (keyRing: KeyRingName, name: string): CryptoKeyName =>
  cryptoKeyName(keyRing, name.slice(`${keyRing}/cryptoKeys/`.length));

/** The version in use. The primary of a symmetric key stays its primary whatever its state. */
export function currentVersion(key: NamedKey): StoredVersion | undefined {
  const number = key.purpose === 'ENCRYPT_DECRYPT' ? key.primary : primaryNumber(key.labels, standings(key));
  return key.versions.find((version) => version.number === number);
}

/** New versions that were never in use, lowest first. */
export function candidatesOf(key: NamedKey): readonly StoredVersion[] {
  const numbers = rotationCandidates(key.labels, standings(key), currentVersion(key)?.number);
  return numbers.flatMap(({ version }) => key.versions.filter(({ number }) => number === version));
}

/** The versions as the vocabulary has them. */
export const standings = (key: Pick<NamedKey, 'versions'>): readonly VersionStanding[] =>
  key.versions.map(({ number, state }) => ({ version: number, state }));

export function withVersion(key: NamedKey, changed: StoredVersion): NamedKey {
  return {
    ...key,
    versions: key.versions.map((version) => (version.number === changed.number ? changed : version)),
  };
}

/** A version in a state that has no time of its own. */
export function inState(
  { destroyTimeMs: _, destroyEventTimeMs: __, ...version }: StoredVersion,
  state: 'ENABLED' | 'DISABLED',
): StoredVersion {
  return { ...version, state };
}

export function scheduled(version: StoredVersion, destroyTimeMs: number): StoredVersion {
  return { ...version, state: 'DESTROY_SCHEDULED', destroyTimeMs };
}

export function destroyed(
  { destroyTimeMs: _, ...version }: StoredVersion,
  destroyEventTimeMs: number,
): StoredVersion {
  return { ...version, state: 'DESTROYED', destroyEventTimeMs };
}

/** Whether the private key, or the symmetric one, is still there to be used. */
export const hasMaterial = ({ state }: StoredVersion): boolean => state === 'ENABLED' || state === 'DISABLED';

/** The versions whose time of destruction has come. */
export const dueForDestruction = (key: NamedKey, nowMs: number): readonly StoredVersion[] =>
  key.versions.filter(
    ({ state, destroyTimeMs }) =>
      state === 'DESTROY_SCHEDULED' && destroyTimeMs !== undefined && destroyTimeMs <= nowMs,
  );

export const isRotationDue = (key: NamedKey, nowMs: number): boolean =>
  key.rotation !== undefined && key.rotation.nextTimeMs <= nowMs;

/** The next version of a key; it is not in use. */
export function newVersion(
  key: Pick<StoredKey, 'versions'>,
  made: {
    readonly algorithm: KeyAlgorithm;
    readonly publicKeyPem: string | undefined;
    readonly nowMs: number;
  },
): StoredVersion {
  const { algorithm, publicKeyPem, nowMs } = made;
  return {
    number: (key.versions.at(-1)?.number ?? 0) + 1,
    state: 'ENABLED',
    algorithm,
    createTimeMs: nowMs,
    ...(publicKeyPem !== undefined && { publicKeyPem }),
  };
}

export function toKeyMetadata(key: NamedKey): KeyMetadata {
  const current = currentVersion(key);
  return {
    name: key.name,
    purpose: key.purpose,
    algorithm: current?.algorithm ?? key.algorithm,
    protectionLevel: PROTECTION_LEVEL,
    createTime: new Date(key.createTimeMs),
    primary: current && versionName(key, current),
    labels: { ...key.labels },
    destroyScheduledDurationSeconds: key.destroyScheduledDurationSeconds,
    ...(key.rotation && {
      nextRotationTime: new Date(key.rotation.nextTimeMs),
      rotationPeriodSeconds: key.rotation.periodSeconds,
    }),
  };
}

export function toVersionMetadata(key: NamedKey, version: StoredVersion): KeyVersionMetadata {
  const { number, state, algorithm, createTimeMs, destroyTimeMs, destroyEventTimeMs } = version;
  return {
    name: versionName(key, version),
    version: number,
    state,
    algorithm,
    protectionLevel: PROTECTION_LEVEL,
    createTime: new Date(createTimeMs),
    generateTime: new Date(createTimeMs),
    ...(destroyTimeMs !== undefined && { destroyTime: new Date(destroyTimeMs) }),
    ...(destroyEventTimeMs !== undefined && { destroyEventTime: new Date(destroyEventTimeMs) }),
  };
}

export function toScheduledDestruction(
  key: NamedKey,
  version: StoredVersion,
): readonly ScheduledDestruction[] {
  const { destroyTimeMs } = version;
  return destroyTimeMs === undefined
    ? []
    : [{ name: versionName(key, version), destroyTime: new Date(destroyTimeMs) }];
}
