/** Takes back the destruction of a key in all rings. What was done in some of them only can be done again. */

import { FailedPreconditionError } from '../errors/keys.js';
import type { RestoreOptions } from '../keys/call-options.js';
import type { KeyMetadata, KeyProvider } from '../keys/key-provider.js';
import { callOptionsOf } from '../provider/call-input.js';
import type { KeyRings } from './key-rings.js';

/** @throws FailedPreconditionError when there was nothing to restore in any ring. */
export async function restoreEverywhere(
  rings: KeyRings,
  keyId: string,
  options: RestoreOptions | undefined,
): Promise<KeyMetadata> {
  const target = rings.targetOf('restoreKey', keyId);
  if (target.kind === 'single') return target.location.provider.restoreKey(target.keyId, options);
  const before: FailedPreconditionError[] = [];
  const restored = await rings.everywhere('restoreKey', target, async (provider, id) => {
    try {
      return await provider.restoreKey(id, options);
    } catch (error) {
      if (!(error instanceof FailedPreconditionError)) throw error;
      const key = await restoredBefore(provider, id, options);
      if (key === undefined) throw error;
      before.push(error);
      return key;
    }
  });
  if (before.length === rings.locations.length) throw before[0];
  return restored;
}

/** The key, if an earlier call has restored it: nothing of it is scheduled, and it has what was asked for. */
async function restoredBefore(
  provider: KeyProvider,
  keyId: string,
  wish: RestoreOptions = {},
): Promise<KeyMetadata | undefined> {
  const { state } = wish;
  const options = callOptionsOf(wish);
  const states = (await provider.listKeyVersions(keyId, options)).map((version) => version.state);
  const isRestored =
    !states.includes('DESTROY_SCHEDULED') &&
    (states.includes('ENABLED') || (state !== 'ENABLED' && states.includes('DISABLED')));
  return isRestored ? provider.getKey(keyId, options) : undefined;
}
