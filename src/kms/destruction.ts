/**
 * Schedules versions for destruction and takes that back. Neither call is repeated blindly: after an uncertain failure
 * the state of the version decides.
 */

import { FailedPreconditionError, InvalidArgumentError } from '../errors.js';
import type { DestructionResult, KeyVersionState } from '../keys/key-provider.js';
import type { CryptoKeyName, KeyReference } from '../keys/resource-name.js';
import type { KmsCore } from './core.js';
import type { Operation } from './operation.js';
import { toVersionRecord, type VersionRecord } from './resources.js';
import type { RpcCall } from './rpc-caller.js';

/** Schedules a version, or all versions of a key, that still have key material. */
export async function destroy(
  core: KmsCore,
  operation: Operation,
  reference: KeyReference,
  destroyAfterSeconds: number | undefined,
): Promise<DestructionResult> {
  const { key: name } = reference;
  const key = await core.reader.getKey(operation, name);
  const delaySeconds = key.destroyScheduledDurationSeconds;
  if (destroyAfterSeconds !== undefined && delaySeconds < destroyAfterSeconds) {
    throw new InvalidArgumentError(
      operation.context(),
      `destruction was asked for after ${destroyAfterSeconds} s at the earliest, but this key destroys its versions after ${delaySeconds} s, which was fixed when it was created. Nothing was touched.`,
    );
  }
  const targets = (await versionsOf(core, operation, reference)).filter(
    ({ metadata }) => metadata.state !== 'DESTROYED',
  );
  const scheduled: { name: string; destroyTime: Date }[] = [];
  for (const version of targets) {
    const done = await moveTo(core, operation, {
      key: name,
      version,
      states: ['DESTROY_SCHEDULED', 'DESTROYED'],
      rpc: 'destroyCryptoKeyVersion',
    });
    const { destroyTime } = done.metadata;
    if (destroyTime !== undefined) scheduled.push({ name: done.name, destroyTime });
  }
  core.resolver.invalidate(name);
  return { name, versions: scheduled };
}

/** Brings back scheduled versions and, unless told otherwise, enables them: Cloud KMS itself leaves them DISABLED. */
export async function restore(
  core: KmsCore,
  operation: Operation,
  reference: KeyReference,
  state: 'ENABLED' | 'DISABLED',
): Promise<void> {
  const { key } = reference;
  const targets = (await versionsOf(core, operation, reference)).filter(
    ({ metadata }) => metadata.state === 'DESTROY_SCHEDULED',
  );
  if (targets.length === 0) {
    throw new FailedPreconditionError(
      operation.context(),
      'no version is scheduled for destruction, so there is nothing to restore.',
    );
  }
  for (const version of targets) {
    await moveTo(core, operation, {
      key,
      version,
      states: ['DISABLED', 'ENABLED'],
      rpc: 'restoreCryptoKeyVersion',
    });
    if (state === 'ENABLED') {
      await core.caller.call(operation, {
        rpc: 'updateCryptoKeyVersion',
        request: {
          cryptoKeyVersion: { name: version.name, state: 'ENABLED' },
          updateMask: { paths: ['state'] },
        },
        routeBy: ['crypto_key_version.name', version.name],
      });
    }
  }
  core.resolver.invalidate(key);
}

async function versionsOf(
  core: KmsCore,
  operation: Operation,
  reference: KeyReference,
): Promise<readonly VersionRecord[]> {
  if (reference.kind === 'key') return core.reader.listVersions(operation, reference.key);
  return [await core.reader.getVersion(operation, reference.key, reference.version)];
}

/** Calls the RPC until the version is in one of the states, looking before each further call. */
async function moveTo(
  core: KmsCore,
  operation: Operation,
  target: {
    readonly key: CryptoKeyName;
    readonly version: VersionRecord;
    readonly states: readonly KeyVersionState[];
    readonly rpc: 'destroyCryptoKeyVersion' | 'restoreCryptoKeyVersion';
  },
): Promise<VersionRecord> {
  let { version } = target;
  const call: RpcCall<typeof target.rpc> = {
    rpc: target.rpc,
    request: { name: version.name },
    routeBy: ['name', version.name],
  };
  while (!target.states.includes(version.metadata.state)) {
    const outcome = await core.caller.callCarefully(operation, call);
    version =
      outcome.kind === 'done'
        ? toVersionRecord(outcome.response, { key: target.key, version }, operation.context())
        : await core.reader.getVersion(operation, target.key, version);
  }
  return version;
}
