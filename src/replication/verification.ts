/** Verifies a signature that may be by the key of any location. */

import { NotFoundError, NoUsableVersionError } from '../errors/keys.js';
import type { CallOptions } from '../keys/call-options.js';
import type { KeyProvider } from '../keys/key-provider.js';
import { isLocationFailure } from '../provider/location-failure.js';
import { type FailoverOptions, shareOfTime } from './failover.js';
import type { Location } from './location.js';

/**
 * Asks one location after the other, those that can be reached first, within one deadline. It goes past the breakers:
 * what is cached verifies also while a location is down.
 * @throws the failure of a location that could not say, when no other one knows the signature; the first location's error
 *   when none has a key to verify with.
 */
export async function verifyInAny(
  { clock, operationMs }: FailoverOptions,
  asked: { readonly locations: readonly Location[]; readonly options: CallOptions | undefined },
  verify: (provider: KeyProvider, options: CallOptions) => Promise<boolean>,
): Promise<boolean> {
  const { locations, options } = asked;
  const endMs = clock.monotonic() + (options?.timeoutMs ?? operationMs);
  const byReach = locations.toSorted((a, b) => Number(a.isOpen) - Number(b.isOpen));
  const failures: unknown[] = [];
  const absences: unknown[] = [];
  for (const [index, { provider }] of byReach.entries()) {
    const timeoutMs = shareOfTime(endMs - clock.monotonic(), byReach.length - index);
    try {
      if (await verify(provider, { ...options, timeoutMs })) return true;
    } catch (error) {
      if (isLocationFailure(error)) failures.push(error);
      else if (error instanceof NotFoundError || error instanceof NoUsableVersionError) absences.push(error);
      else throw error;
    }
  }
  if (failures.length > 0) throw failures[0];
  if (absences.length === byReach.length) throw absences[0];
  return false;
}
