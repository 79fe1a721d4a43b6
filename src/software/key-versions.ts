/** Which version of a key a call works with, and whether it may. */

import { UnsupportedAlgorithmError } from '../errors/input.js';
import { FailedPreconditionError, NoUsableVersionError } from '../errors/keys.js';
import type { AlgorithmEntry, KeyPurpose } from '../keys/algorithm-types.js';
import type { CryptoKeyVersionName, KeyReference } from '../keys/resource-name.js';
import type { Operation } from '../provider/operation.js';
import { softwareAlgorithmsOf } from './key-material.js';
import {
  currentVersion,
  entryOf,
  hasMaterial,
  type NamedKey,
  PROTECTION_LEVEL,
  versionName,
} from './key-records.js';
import type { SoftwareCore } from './software-calls.js';
import type { StoredVersion } from './store/stored-key.js';
import { findVersion, readKey } from './stored-keys.js';

/** A version of a key, found and of a known algorithm. */
export interface FoundVersion {
  readonly key: NamedKey;
  readonly version: StoredVersion;
  readonly name: CryptoKeyVersionName;
  readonly algorithm: AlgorithmEntry;
}

/**
 * The version that a reference means.
 * @throws NoUsableVersionError when the key has none in use.
 */
export async function resolve(
  core: SoftwareCore,
  operation: Operation,
  reference: KeyReference,
): Promise<FoundVersion> {
  const key = await readKey(core, operation, reference.key);
  const version =
    reference.kind === 'version' ? findVersion(operation, key, reference.version) : currentVersion(key);
  if (version === undefined) {
    throw new NoUsableVersionError(operation.context(), 'the key has no ENABLED version.');
  }
  const name = versionName(key, version);
  const algorithm = entryOf(version.algorithm);
  operation.observation?.uses({
    keyVersion: name,
    algorithm: algorithm.name,
    protectionLevel: PROTECTION_LEVEL,
  });
  return { key, version, name, algorithm };
}

/** @throws FailedPreconditionError for a version that is not ENABLED. */
export function requireEnabled(core: SoftwareCore, operation: Operation, found: FoundVersion): void {
  const { version, name } = found;
  if (version.state === 'ENABLED') return;
  if (!hasMaterial(version)) core.keyObjects.forgetSecret(name);
  throw wrongState(operation, name, version);
}

export const wrongState = (
  operation: Operation,
  name: string,
  { state }: StoredVersion,
): FailedPreconditionError =>
  new FailedPreconditionError(operation.context(), `${name} is not enabled, its state is ${state}.`);

export function wrongPurpose(
  operation: Operation,
  { algorithm }: FoundVersion,
  purposes: readonly KeyPurpose[],
): UnsupportedAlgorithmError {
  return new UnsupportedAlgorithmError(
    operation.context(),
    `${algorithm.name} is of purpose ${algorithm.purpose}, which cannot ${operation.name}.`,
    purposes.flatMap((purpose) => softwareAlgorithmsOf(purpose)),
  );
}
