/** Destroys a key in all rings, or in none where one of them would do it sooner than asked. */

import { InvalidArgumentError } from '../errors/input.js';
import type { DestroyOptions } from '../keys/call-options.js';
import type { DestructionResult } from '../keys/key-provider.js';
import { callOptionsOf } from '../provider/call-input.js';
import type { KeyRings } from './key-rings.js';

/** @throws InvalidArgumentError when a ring's own delay is shorter than `destroyAfter`. */
export async function destroyEverywhere(
  rings: KeyRings,
  key: { readonly keyId: string; readonly destroyAfter: number | undefined },
  options: DestroyOptions | undefined,
): Promise<DestructionResult> {
  const { destroyAfter } = key;
  const target = rings.targetOf('destroyKey', key.keyId);
  if (target.kind === 'replicated' && destroyAfter !== undefined) {
    for (const { keyRing, provider } of rings.locations) {
      const { name, destroyScheduledDurationSeconds: delay } = await provider.getKey(
        target.keyId,
        callOptionsOf(options),
      );
      if (delay < destroyAfter) {
        throw new InvalidArgumentError(
          { operation: 'destroyKey', resource: name },
          `destroyAfter is ${destroyAfter} s, but in ${keyRing} the key destroys its versions after ${delay} s, which cannot be changed. Nothing was touched.`,
        );
      }
    }
  }
  return rings.everywhere('destroyKey', target, (provider, id) =>
    provider.destroyKey(id, destroyAfter, options),
  );
}
