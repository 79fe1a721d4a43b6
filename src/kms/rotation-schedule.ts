/** Cloud KMS's own rotation, which only symmetric keys have. The bounds are checked before the call. */

import type { RotationSchedule } from '../keys/key-provider.js';
import type { CryptoKeyName } from '../keys/resource-name.js';
import type { Operation } from '../provider/operation.js';
import { checkSchedule, requireSchedulable } from '../provider/rotation-input.js';
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
  requireSchedulable(operation, purpose);
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
  const { periodSeconds, nextTimeMs } = checkSchedule(operation, schedule, core.config.clock.now());
  return {
    rotationPeriod: { seconds: periodSeconds },
    nextRotationTime: {
      seconds: Math.floor(nextTimeMs / 1_000),
      nanos: (nextTimeMs % 1_000) * 1_000_000,
    },
  };
}
