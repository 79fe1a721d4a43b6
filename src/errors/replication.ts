/** Several locations at once. */

import { A2AKmsError, type ErrorContext, sentence } from './base.js';

/** What became of a call in one location of a replicated key. */
export interface LocationFailure {
  /** Full name of the key ring. */
  readonly keyRing: string;
  readonly problem: string;
  readonly cause: unknown;
}

/** Every location of a replicated key failed. */
export class AllLocationsFailedError extends A2AKmsError {
  readonly code = 'ALL_LOCATIONS_FAILED';
  readonly failures: readonly LocationFailure[];

  constructor(context: ErrorContext, failures: readonly LocationFailure[]) {
    const list = failures.map(({ keyRing, problem }) => `${keyRing}: ${problem}`).join('; ');
    super(sentence(context, `no location answered (${list}).`, 'Check the network, then call again.'), {
      ...context,
      cause: failures.at(-1)?.cause,
    });
    this.failures = failures;
  }
}

/** What has to be done in all locations of a replicated key was done in only some of them. */
export class ReplicationIncompleteError extends A2AKmsError {
  readonly code = 'REPLICATION_INCOMPLETE';
  /** Full names of the key rings where it is done. */
  readonly completed: readonly string[];
  readonly failures: readonly LocationFailure[];

  constructor(context: ErrorContext, completed: readonly string[], failures: readonly LocationFailure[]) {
    const list = failures.map(({ keyRing, problem }) => `${keyRing}: ${problem}`).join('; ');
    super(
      sentence(
        context,
        `it is done in ${completed.join(', ')}, but not everywhere (${list}).`,
        'Call again to complete it; until then not every location can stand in for the others.',
      ),
      { ...context, cause: failures[0]?.cause },
    );
    this.completed = completed;
    this.failures = failures;
  }
}
