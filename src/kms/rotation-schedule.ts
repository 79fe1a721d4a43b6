/** Cloud KMS's own rotation, which only symmetric keys have. The bounds are checked before the call. */

import { InvalidArgumentError } from '../errors.js';
import {
  ROTATION_PERIOD_MAX_SECONDS,
  ROTATION_PERIOD_MIN_SECONDS,
  type RotationSchedule,
} from '../keys/key-provider.js';
import type { CryptoKeyName } from '../keys/resource-name.js';
import type { Operation } from '../provider/operation.js';
import type { KmsCore } from './core.js';
import type { KeySnapshot } from './version-resolver.js';

/** Sets or, with null, removes the schedule. */
export async function setSchedule(
  core: KmsCore,
  operation: Operation,
  name: CryptoKeyName,
  schedule: RotationSchedule | null,
): Promise<KeySnapshot> {
  const fields = schedule === null ? {} : toFields(core, operation, schedule);
  const { purpose } = await core.reader.getKey(operation, name);
  if (purpose !== 'ENCRYPT_DECRYPT') {
    throw new InvalidArgumentError(
      operation.context(),
      `Cloud KMS rotates only symmetric keys by itself, this one is of purpose ${purpose}; give it a rotation policy and call rotateDueKeys.`,
    );
  }
  await core.caller.call(operation, {
    rpc: 'updateCryptoKey',
    request: {
      cryptoKey: { name, ...fields },
      updateMask: { paths: ['rotation_period', 'next_rotation_time'] },
    },
    routeBy: ['crypto_key.name', name],
  });
  return core.resolver.refresh(operation, name);
}

function toFields(core: KmsCore, operation: Operation, schedule: RotationSchedule) {
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
  const nowMs = core.config.clock.now();
  const nextMs = schedule.nextRotationTime?.getTime() ?? nowMs + seconds * 1_000;
  if (!(nextMs > nowMs)) {
    throw new InvalidArgumentError(operation.context(), 'the next rotation is a time in the future.');
  }
  return {
    rotationPeriod: { seconds },
    nextRotationTime: { seconds: Math.floor(nextMs / 1_000), nanos: (nextMs % 1_000) * 1_000_000 },
  };
}
