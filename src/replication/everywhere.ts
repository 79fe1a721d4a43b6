/** Does something in all locations at once, and says where it is done when it is not done everywhere. */

import { A2AKmsError, type ErrorContext } from '../errors/base.js';
import { type LocationFailure, ReplicationIncompleteError } from '../errors/replication.js';
import type { CallOptions } from '../keys/call-options.js';
import type { KeyProvider } from '../keys/key-provider.js';
import type { Location } from './location.js';

/** A call for one key in one ring. */
export interface RingCall {
  readonly provider: KeyProvider;
  readonly keyId: string;
  readonly options: CallOptions | undefined;
}

/**
 * @returns the result of the first location.
 * @throws the first location's error when nothing was done anywhere.
 * @throws ReplicationIncompleteError when it was done in some locations only.
 */
export async function everywhere<T>(
  context: ErrorContext,
  locations: readonly Location[],
  change: (location: Location) => Promise<T>,
): Promise<T> {
  const outcomes = await Promise.allSettled(
    locations.map(async (location) => ({ location, result: await change(location) })),
  );
  const done = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  const failures = outcomes.flatMap((outcome, index): LocationFailure[] => {
    if (outcome.status === 'fulfilled') return [];
    const { reason } = outcome;
    const problem = reason instanceof A2AKmsError ? reason.code : String(reason);
    return [{ keyRing: locations[index]?.keyRing ?? '', problem, cause: reason }];
  });
  const [first] = done;
  if (first === undefined) throw failures[0]?.cause;
  if (failures.length > 0) {
    throw new ReplicationIncompleteError(
      context,
      done.map(({ location }) => location.keyRing),
      failures,
    );
  }
  return first.result;
}
