/** Which errors say that a location cannot be reached, rather than that something is wrong with a call. */

import type { A2AKmsError } from '../errors/base.js';
import { DeadlineExceededError, ServiceError, UnavailableError } from '../errors/service.js';

/** Failures of a location as a whole. What is wrong with a call, a key, a right or a quota is wrong everywhere. */
export function isLocationFailure(error: unknown): error is A2AKmsError {
  return (
    error instanceof UnavailableError ||
    error instanceof DeadlineExceededError ||
    // What is left of connections that are reset, after the repeats of calls that may be repeated.
    (error instanceof ServiceError && error.status === 'INTERNAL')
  );
}
