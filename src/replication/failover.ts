/** Makes a call in the first location that can do it, within one deadline. */

import { isBrokenCircuitError } from 'cockatiel';
import type { Clock } from '../clock.js';
import { A2AKmsError, AllLocationsFailedError, type ErrorContext } from '../errors.js';
import type { CallOptions, KeyProvider } from '../keys/key-provider.js';
import { isLocationFailure, type Location } from './location.js';

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
  },
  call: (provider: KeyProvider, options: Options | CallOptions, location: Location) => Promise<T>,
): Promise<T> {
  const { clock, operationMs } = settings;
  const { context, locations, options } = attempt;
  const endMs = clock.now() + (options?.timeoutMs ?? operationMs);
  const failures: { keyRing: string; problem: string; cause: unknown }[] = [];
  for (const [index, location] of locations.entries()) {
    const isLast = index === locations.length - 1;
    // Who waits for a probe of an open breaker waits for nothing when the location is still down.
    if (!isLast && location.isProbing) {
      failures.push({
        keyRing: location.keyRing,
        problem: 'not called, it is being tried',
        cause: undefined,
      });
      continue;
    }
    const leftMs = Math.max(1, Math.floor(endMs - clock.now()));
    const timeoutMs = isLast ? leftMs : Math.max(1, Math.floor(leftMs / 2));
    try {
      return await location.execute((provider) => call(provider, { ...options, timeoutMs }, location));
    } catch (error) {
      if (!isLocationFailure(error) && !isBrokenCircuitError(error)) throw error;
      const problem = error instanceof A2AKmsError ? error.code : 'not called, its breaker is open';
      failures.push({ keyRing: location.keyRing, problem, cause: error });
    }
  }
  throw new AllLocationsFailedError(context, failures);
}
