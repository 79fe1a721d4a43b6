/** How calls of the service, and of this process, end. */

import { A2AKmsError, type ErrorContext, endSentence, sentence } from './base.js';

/** A quota is used up (Cloud KMS: RESOURCE_EXHAUSTED). */
export class ResourceExhaustedError extends A2AKmsError {
  readonly code = 'RESOURCE_EXHAUSTED';
  /** How long to wait, in whole milliseconds, as Cloud KMS said or as is known of the quota; absent when neither is so. */
  readonly retryAfterMs?: number;

  constructor(context: ErrorContext, problem: string, retryAfterMs?: number) {
    super(sentence(context, problem, 'Call less often, or ask for a higher quota.'), context);
    if (retryAfterMs !== undefined) this.retryAfterMs = Math.ceil(retryAfterMs);
  }
}

/** Cloud KMS could not be reached, or what gives the access tokens for it. */
export class UnavailableError extends A2AKmsError {
  readonly code = 'UNAVAILABLE';

  constructor(
    context: ErrorContext,
    problem: string,
    next = 'Check the network and the endpoint, then call again.',
  ) {
    super(sentence(context, problem, next), context);
  }
}

/** The deadline of the operation passed. What it had started may still take effect. */
export class DeadlineExceededError extends A2AKmsError {
  readonly code = 'DEADLINE_EXCEEDED';
  readonly timeoutMs: number;

  constructor(
    context: ErrorContext,
    exceeded: {
      readonly limit: string;
      readonly timeoutMs: number;
      /** `ahead`: it would pass before the next attempt. Default `passed`. */
      readonly when?: 'passed' | 'ahead';
      /** What the operation was waiting for, which goes on without it. */
      readonly waitedFor?: string | undefined;
    },
  ) {
    const { limit, timeoutMs, when = 'passed', waitedFor } = exceeded;
    const passed = when === 'passed' ? 'passed' : 'would pass before the next attempt,';
    const meanwhile = waitedFor === undefined ? '' : `, while ${waitedFor}`;
    super(
      sentence(
        context,
        `${limit} of ${timeoutMs} ms ${passed} after ${context.attempts ?? 0} attempt(s)${meanwhile}.`,
        waitedFor === undefined
          ? 'Raise it, or make fewer calls at once.'
          : 'Call again, which goes on waiting for it, or raise the deadline.',
      ),
      context,
    );
    this.timeoutMs = exceeded.timeoutMs;
  }
}

/** The caller's AbortSignal fired. `cause` is the signal's reason. */
export class OperationAbortedError extends A2AKmsError {
  readonly code = 'ABORTED';

  constructor(context: ErrorContext) {
    super(sentence(context, 'the caller aborted it.', 'What it had started may still take effect.'), context);
  }
}

/** What Cloud KMS answered does not match what was asked: it was not used. */
export class IntegrityError extends A2AKmsError {
  readonly code = 'INTEGRITY';
  /** The check that failed. */
  readonly check: string;

  constructor(context: ErrorContext, check: string) {
    super(
      sentence(
        context,
        `the answer failed an integrity check: ${check}.`,
        'The answer was discarded. Look for a proxy or faulty memory between this process and Cloud KMS.',
      ),
      context,
    );
    this.check = check;
  }
}

/** The ciphertext is damaged, belongs to another key, or the additional authenticated data differs. */
export class DecryptionFailedError extends A2AKmsError {
  readonly code = 'DECRYPTION_FAILED';

  constructor(context: ErrorContext) {
    super(
      sentence(
        context,
        'the ciphertext could not be decrypted.',
        'Check that it is whole, that it was made with this key, and that the additional authenticated data is the same.',
      ),
      context,
    );
  }
}

/** A message was not accepted, because the queue of the batch signer is full. It was not signed. */
export class QueueFullError extends A2AKmsError {
  readonly code = 'QUEUE_FULL';
  /** How many may wait. */
  readonly limit: number;

  constructor(context: ErrorContext, limit: number) {
    super(
      sentence(
        context,
        `${limit} messages are already waiting to be signed.`,
        'Send fewer at once, raise maxQueue, or let up to maxInLine calls wait with whenFull: "wait".',
      ),
      context,
    );
    this.limit = limit;
  }
}

/** The client was closed before the call, or while it ran; then `attempts` is above 0, and it may have had an effect. */
export class ClientClosedError extends A2AKmsError {
  readonly code = 'CLIENT_CLOSED';

  constructor(context: ErrorContext) {
    const [what, next] =
      (context.attempts ?? 0) === 0
        ? ['the client is closed.', 'Make a new one.']
        : [
            'the client was closed while it ran.',
            'What it had started may still take effect: look with a new client before you call again.',
          ];
    super(sentence(context, what, next), context);
  }
}

/** What ended a call is no error of this library, e.g. that of an observer which refused it. It is the `cause`. */
export class UnexpectedError extends A2AKmsError {
  readonly code = 'UNEXPECTED';

  constructor(context: ErrorContext) {
    super(
      sentence(context, 'an error that is not of this library ended it.', 'Its cause says what it was.'),
      context,
    );
  }
}

/** Cloud KMS failed in a way that has no class of its own (INTERNAL, UNKNOWN, UNIMPLEMENTED, DATA_LOSS, …). */
export class ServiceError extends A2AKmsError {
  readonly code = 'SERVICE_ERROR';
  /** The gRPC status name. */
  readonly status: string;

  constructor(context: ErrorContext, status: string, problem: string) {
    super(
      sentence(
        context,
        `Cloud KMS answered ${status}: ${endSentence(problem)}`,
        'Call again; if it persists, check the status of the service.',
      ),
      context,
    );
    this.status = status;
  }
}
