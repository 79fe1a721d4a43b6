/**
 * Moves one version from state to state. Destroying and restoring are never repeated blindly: after an uncertain failure
 * the state of the version decides.
 */

import { FailedPreconditionError } from '../errors/keys.js';
import type { KeyVersionState } from '../keys/key-provider.js';
import type { CryptoKeyName } from '../keys/resource-name.js';
import type { RestoredState } from '../keys/restore-plan.js';
import type { Operation } from '../provider/operation.js';
import type { KmsCore } from './core.js';
import { toVersionRecord, type VersionRecord } from './resources.js';
import { namedNumber } from './rotation-state.js';
import type { RpcCall } from './rpc-caller.js';

/** Schedules one version. When it will be destroyed; undefined when it already is. */
export async function scheduleDestruction(
  core: KmsCore,
  operation: Operation,
  target: { readonly key: CryptoKeyName; readonly version: VersionRecord },
): Promise<Date | undefined> {
  const done = await moveTo(core, operation, {
    ...target,
    states: ['DESTROY_SCHEDULED', 'DESTROYED'],
    rpc: 'destroyCryptoKeyVersion',
  });
  return done.metadata.destroyTime;
}

/** Takes back the destruction of a version that is in use: another process went over to it in the same moment. */
export async function takeBackInUse(
  core: KmsCore,
  operation: Operation,
  target: { readonly key: CryptoKeyName; readonly version: VersionRecord },
): Promise<boolean> {
  const key = await core.reader.getKey(operation, target.key);
  if (namedNumber(key) !== target.version.number) return false;
  await restoreVersion(core, operation, { ...target, state: 'ENABLED' });
  return true;
}

/** Brings back one version, also when others schedule it once more meanwhile. One that is gone for good stays so. */
export async function restoreVersion(
  core: KmsCore,
  operation: Operation,
  target: { readonly key: CryptoKeyName; readonly version: VersionRecord; readonly state: RestoredState },
): Promise<void> {
  const { key, state } = target;
  let { version } = target;
  for (;;) {
    version = await moveTo(core, operation, {
      key,
      version,
      states: ['DISABLED', 'ENABLED'],
      rpc: 'restoreCryptoKeyVersion',
    });
    if (state === 'DISABLED') return;
    try {
      await setState(core, operation, version, 'ENABLED');
      return;
    } catch (error) {
      if (!(error instanceof FailedPreconditionError)) throw error;
      version = await core.reader.getVersion(operation, key, version);
      if (version.metadata.state !== 'DESTROY_SCHEDULED') throw error;
    }
  }
}

/** Enables or disables a version. */
export async function setState(
  core: KmsCore,
  operation: Operation,
  { name }: VersionRecord,
  state: RestoredState,
): Promise<void> {
  await core.caller.call(operation, {
    rpc: 'updateCryptoKeyVersion',
    request: { cryptoKeyVersion: { name, state }, updateMask: { paths: ['state'] } },
    routeBy: ['crypto_key_version.name', name],
  });
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
    try {
      const outcome = await core.caller.callCarefully(operation, call);
      version =
        outcome.kind === 'done'
          ? toVersionRecord(outcome.response, { key: target.key, version }, operation.context())
          : await core.reader.getVersion(operation, target.key, version);
    } catch (error) {
      if (!(error instanceof FailedPreconditionError)) throw error;
      // Another process may have done the same a moment before.
      version = await core.reader.getVersion(operation, target.key, version);
      if (!target.states.includes(version.metadata.state)) throw error;
    }
  }
  return version;
}
