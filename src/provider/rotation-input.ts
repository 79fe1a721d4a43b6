/** What callers pass to rotate a key, checked against the key. */

import type { ErrorContext } from '../errors/base.js';
import { InvalidArgumentError, UnsupportedAlgorithmError } from '../errors/input.js';
import { FailedPreconditionError } from '../errors/keys.js';
import type { KeyAlgorithm } from '../keys/algorithm-types.js';
import { algorithmsOf, findAlgorithm } from '../keys/algorithms.js';
import {
  ROTATION_PERIOD_MAX_SECONDS,
  ROTATION_PERIOD_MIN_SECONDS,
  type RotationSchedule,
} from '../keys/key-provider.js';
import { type CryptoKeyName, keyVersion, parseVersionOf } from '../keys/resource-name.js';
import type { Operation } from './operation.js';

/** What a rotation should be. */
export interface RotationWish {
  readonly algorithm?: KeyAlgorithm | undefined;
  /** Full name of the version to replace. */
  readonly replacing?: string | undefined;
}

/** What has to be known of a key to rotate it. */
interface RotatedKey {
  readonly name: CryptoKeyName;
  readonly purpose: string;
  /** Algorithm of the versions that will be made. */
  readonly algorithm: string;
  readonly protectionLevel: string;
}

/** Whether the version that should be replaced is still in use, and the new algorithm is one for this key. */
export function isWanted(
  operation: Operation,
  key: RotatedKey,
  rotation: { readonly primary: string | undefined; readonly wish: RotationWish },
): boolean {
  const { primary } = rotation;
  const { algorithm, replacing } = rotation.wish;
  if (replacing !== undefined && parseVersionOf(key.name, replacing) === undefined) {
    throw new InvalidArgumentError(operation.context(), `replacing is not a version of ${key.name}.`);
  }
  if (algorithm !== undefined) requireAlgorithm(operation.context(), key, algorithm);
  return replacing === undefined || replacing === primary;
}

function requireAlgorithm(context: ErrorContext, key: RotatedKey, algorithm: KeyAlgorithm): void {
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

/** @throws FailedPreconditionError when the version that waits has another algorithm than the one asked for. */
export function requireWished(
  operation: Operation,
  candidate: { readonly version: number; readonly algorithm: string },
  wish: RotationWish,
): void {
  const { algorithm } = candidate;
  if (wish.algorithm === undefined || wish.algorithm === algorithm) return;
  throw new FailedPreconditionError(
    operation.context(),
    `version ${candidate.version} with ${algorithm} waits to be put to use; activate or destroy it before a rotation to ${wish.algorithm}.`,
  );
}

/**
 * The number of a version that is given by number or by name.
 * @throws InvalidArgumentError
 */
export function versionNumberOf(operation: Operation, name: CryptoKeyName, wanted: number | string): number {
  const number = typeof wanted === 'number' ? wanted : parseVersionOf(name, wanted)?.number;
  if (number !== undefined && Number.isSafeInteger(number) && number > 0)
    return keyVersion(name, number).number;
  throw new InvalidArgumentError(
    operation.context(),
    `${JSON.stringify(wanted)} is neither a version number nor the full name of a version of the key.`,
  );
}

/** @throws InvalidArgumentError for a key that signs or decrypts for others: its public key has to be published first. */
export function requireSchedulable(operation: Operation, purpose: string): void {
  if (purpose === 'ENCRYPT_DECRYPT') return;
  throw new InvalidArgumentError(
    operation.context(),
    `only symmetric keys are rotated on a schedule of their own, this one is of purpose ${purpose}; give it a rotation policy and call rotateDueKeys.`,
  );
}

/** @throws InvalidArgumentError for a period out of bounds, and for a first rotation that is not in the future. */
export function checkSchedule(
  operation: Operation,
  schedule: RotationSchedule,
  nowMs: number,
): { readonly periodSeconds: number; readonly nextTimeMs: number } {
  const { rotationPeriodSeconds: seconds } = schedule;
  if (
    !Number.isSafeInteger(seconds) ||
    seconds < ROTATION_PERIOD_MIN_SECONDS ||
    seconds > ROTATION_PERIOD_MAX_SECONDS
  ) {
    throw new InvalidArgumentError(
      operation.context(),
      `the rotation period is ${ROTATION_PERIOD_MIN_SECONDS} s (24 hours) to ${ROTATION_PERIOD_MAX_SECONDS} s (876,000 hours), got ${seconds}.`,
    );
  }
  const nextTimeMs = schedule.nextRotationTime?.getTime() ?? nowMs + seconds * 1_000;
  if (!(nextTimeMs > nowMs)) {
    throw new InvalidArgumentError(operation.context(), 'the next rotation is a time in the future.');
  }
  return { periodSeconds: seconds, nextTimeMs };
}
