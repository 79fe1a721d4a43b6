/** Destruction and restoration of a key that is there as HSM key and as software key. */

import { FailedPreconditionError } from '../errors/keys.js';
import type { CallOptions, DestroyOptions, RestoreOptions } from '../keys/call-options.js';
import type { DestructionResult, KeyMetadata, KeyProvider } from '../keys/key-provider.js';
import { callOptionsOf } from '../provider/call-input.js';
import type { KeyRouter, Route } from './key-router.js';

interface Destruction {
  readonly keyId: string;
  /** Seconds. */
  readonly destroyAfter: number | undefined;
  readonly options: DestroyOptions | undefined;
}

/** A whole key is destroyed wherever it is: a software key that was left would come back in a rollback. */
export async function destroyBothKinds(
  router: KeyRouter,
  route: Route,
  { keyId, destroyAfter, options }: Destruction,
): Promise<DestructionResult> {
  const result = await route.provider.destroyKey(keyId, destroyAfter, options);
  const retained = await retainedBy(router, route, keyId, options);
  if (retained === undefined) return result;
  const { versions } = await retained.destroyKey(keyId, destroyAfter, options);
  return { name: result.name, versions: [...result.versions, ...versions] };
}

interface Restoration {
  readonly keyId: string;
  readonly options: RestoreOptions | undefined;
}

/** A whole key comes back as it was: the software key too, if its destruction is scheduled. */
export async function restoreBothKinds(
  router: KeyRouter,
  route: Route,
  { keyId, options }: Restoration,
): Promise<KeyMetadata> {
  const retained = await retainedBy(router, route, keyId, options);
  const versions = (await retained?.listKeyVersions(keyId, callOptionsOf(options))) ?? [];
  const isScheduled = versions.some(({ state }) => state === 'DESTROY_SCHEDULED');
  const key = await route.provider.restoreKey(keyId, options).catch((error: unknown) => {
    // After a crash in between, only the software key is left to be restored.
    if (!isScheduled || !(error instanceof FailedPreconditionError)) throw error;
    return route.provider.getKey(keyId, callOptionsOf(options));
  });
  if (isScheduled) await retained?.restoreKey(keyId, options);
  return key;
}

/** The software keys, for a whole key that is served by the HSM and has a software key too. */
async function retainedBy(
  router: KeyRouter,
  route: Route,
  keyId: string,
  options: CallOptions | undefined,
): Promise<KeyProvider | undefined> {
  const { software } = router.providers;
  if (route.kind !== 'hsm' || keyId.includes('/cryptoKeyVersions/')) return undefined;
  return (await router.softwareKey(keyId, callOptionsOf(options))) === undefined ? undefined : software;
}
