/** Makes a call in the first location that can do it, within one deadline. */

import { isBrokenCircuitError } from 'cockatiel';
import type { Clock } from '../clock.js';
import { A2AKmsError, type ErrorContext } from '../errors/base.js';
import { AllLocationsFailedError } from '../errors/replication.js';
import type { CallOptions } from '../keys/call-options.js';
import type { KeyProvider } from '../keys/key-provider.js';
import { isLocationFailure } from '../provider/location-failure.js';
import type { Location } from './location.js';

export interface FailoverOptions {
  readonly clock: Clock;
  /** Total deadline of a call that names none. */
  readonly operationMs: number;
}

/**
 * @param call is made with options whose deadline leaves time for the locations that follow.
 * @throws the error of the first location that answered with something else than a failure of the location.
 * @throws AllLocationsFailedError when none answered.
 */
export async function withFailover<T, Options extends CallOptions>(
  settings: FailoverOptions,
  attempt: {
    readonly context: ErrorContext;
    readonly locations: readonly Location[];
    readonly options: Options | undefined;
    /** `cache`: what a location remembers says nothing of how it is. Open breakers are respected and nothing is counted. */
    readonly from: 'service' | 'cache';
  },
  call: (provider: KeyProvider, options: Options | CallOptions, location: Location) => Promise<T>,
): Promise<T> {
  const { clock, operationMs } = settings;
  const { context, locations, options, from } = attempt;
  const endMs = clock.monotonic() + (options?.timeoutMs ?? operationMs);
  const failures: { keyRing: string; problem: string; cause: unknown }[] = [];
  for (const [index, location] of locations.entries()) {
    const isLast = index === locations.length - 1;
    // Who waits for a probe of an open breaker waits for nothing when the location is still down.
    const isOut = from === 'cache' ? location.isOpen : location.isProbing;
    if (!isLast && isOut) {
      failures.push({
        keyRing: location.keyRing,
        problem: 'not called, its breaker is open',
        cause: undefined,
      });
      continue;
    }
    const timeoutMs = shareOfTime(endMs - clock.monotonic(), locations.length - index);
    try {
      const make = (provider: KeyProvider): Promise<T> => call(provider, { ...options, timeoutMs }, location);
      if (from === 'cache') return await make(location.provider);
      return await (isLast ? location.execute(make) : location.executeOrLeave(make));
    } catch (error) {
      if (!isLocationFailure(error) && !isBrokenCircuitError(error)) throw error;
      const problem = error instanceof A2AKmsError ? error.code : 'not called, its breaker is open';
      failures.push({ keyRing: location.keyRing, problem, cause: error });
    }
  }
  throw new AllLocationsFailedError(context, failures);
}

/** What a location may take of the time that is left: all of it, or half where others follow. At least a millisecond. */
export const shareOfTime = (leftMs: number, locationsLeft: number): number =>
  Math.max(1, Math.floor(locationsLeft === 1 ? leftMs : leftMs / 2));
