/**
 * Works with the version in use of a key. What the cache says may be a minute old: when the service answers that the
 * version is no longer usable, the version is looked up again and the call is made once more.
 */

import { FailedPreconditionError, NotFoundError } from '../errors/keys.js';
import type { KeyPurpose } from '../keys/algorithm-types.js';
import type { KeyReference } from '../keys/resource-name.js';
import type { Operation } from '../provider/operation.js';
import type { KmsCore } from './core.js';
import type { UsableVersion } from './version-resolver.js';

export async function withUsableVersion<T>(
  core: KmsCore,
  operation: Operation,
  target: { readonly reference: KeyReference; readonly purposes: readonly KeyPurpose[] },
  use: (version: UsableVersion) => Promise<T>,
): Promise<T> {
  const { reference, purposes } = target;
  // Most often it is known, and a wait for nothing would cost every call.
  const found = core.resolver.resolve(operation, reference, purposes);
  const version = found instanceof Promise ? await found : found;
  try {
    return await use(version);
  } catch (error) {
    const outdated = error instanceof FailedPreconditionError || error instanceof NotFoundError;
    if (!outdated || reference.kind === 'version' || core.resolver.isPinned(reference.key)) throw error;
    core.resolver.invalidate(reference.key);
    return use(await core.resolver.resolve(operation, reference, purposes));
  }
}
