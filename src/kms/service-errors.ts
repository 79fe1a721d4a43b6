/** From a gRPC failure to this library's errors: one table by status, and the retry delay that a server may send. */

import { PermissionDeniedError, UnauthenticatedError } from '../errors/access.js';
import { type A2AKmsError, type ErrorContext, endSentence } from '../errors/base.js';
import { InvalidArgumentError } from '../errors/input.js';
import { AlreadyExistsError, FailedPreconditionError } from '../errors/keys.js';
import {
  DeadlineExceededError,
  DecryptionFailedError,
  IntegrityError,
  ResourceExhaustedError,
  ServiceError,
  UnavailableError,
} from '../errors/service.js';
import { keyRingNotFound, resourceNotFound } from '../provider/not-found.js';
import { RPC_TRAITS, type RpcName } from './rpc.js';
import { retryDelayOf } from './status-details.js';
import { readTokenFailure, type TokenFailure, tellable } from './token-failure.js';

/** gRPC status codes by number (google/rpc/code.proto). */
const STATUS_NAMES = [
  'OK',
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
] as const;
type StatusName = (typeof STATUS_NAMES)[number];

/** RPCs that name no resource but the key ring they work in: NOT_FOUND is about that. */
const IN_KEY_RING: readonly RpcName[] = [
  'getKeyRing',
  'createCryptoKey',
  'listCryptoKeys',
  'createImportJob',
];

/** A failed attempt of one RPC, before it is decided whether to try again. */
export interface RpcFailure {
  readonly status: StatusName;
  readonly message: string;
  /** When the server said to come back, in milliseconds. */
  readonly retryAfterMs: number | undefined;
  readonly cause: unknown;
  /** `token`: there was no access token for the call, so nothing was sent to the service. */
  readonly origin: 'service' | 'token';
}

/** What went wrong in an attempt, read from what the gRPC client rejected with. */
export function toRpcFailure(cause: unknown): RpcFailure {
  const code = property(cause, 'code');
  const token = readTokenFailure(cause);
  if (token !== undefined) return toFailure(token);
  const status = (typeof code === 'number' ? STATUS_NAMES[code] : undefined) ?? 'UNKNOWN';
  const details = property(cause, 'details');
  const message =
    typeof details === 'string' && details !== ''
      ? details
      : cause instanceof Error
        ? cause.message
        : 'no message';
  const retryAfterMs = retryDelayOf(property(cause, 'metadata'));
  return { status, message, retryAfterMs, cause, origin: 'service' };
}

const toFailure = ({ kind, problem, cause }: TokenFailure): RpcFailure => ({
  status: kind === 'unreachable' ? 'UNAVAILABLE' : 'UNAUTHENTICATED',
  message: problem,
  retryAfterMs: undefined,
  cause,
  origin: 'token',
});

/**
 * Whether an attempt may be repeated. A quota answer means that nothing was done, and so does the lack of a token; after any
 * other transient failure the call may have taken effect, so only calls that are safe to repeat are.
 */
export function isRepeatable(rpc: RpcName, failure: RpcFailure): boolean {
  if (failure.status === 'RESOURCE_EXHAUSTED') return true;
  return isTransient(failure) && (!leavesOpen(failure) || RPC_TRAITS[rpc].repeat === 'safe');
}

/** Whether the failure leaves open if the call took effect. */
export const leavesOpen = (failure: RpcFailure): boolean =>
  isTransient(failure) && failure.origin === 'service';

/** Whether it may pass by itself. CANCELLED is what a reset stream can look like when nobody here cancelled it. */
export function isTransient(failure: RpcFailure): boolean {
  return (
    failure.status === 'UNAVAILABLE' ||
    failure.status === 'DEADLINE_EXCEEDED' ||
    failure.status === 'INTERNAL' ||
    failure.status === 'CANCELLED'
  );
}

/** The typed error for a failure that is not, or no longer, repeated. */
export function toTypedError(
  rpc: RpcName,
  failure: RpcFailure,
  limits: { readonly context: ErrorContext; readonly timeoutMs: number },
): A2AKmsError {
  const context = { ...limits.context, cause: failure.cause };
  if (failure.origin === 'token') return tokenError(context, failure, 'Cloud KMS');
  const said = `Cloud KMS said: ${failure.message}`;
  switch (failure.status) {
    case 'INVALID_ARGUMENT':
      return toInvalidArgument(rpc, context, failure.message);
    case 'NOT_FOUND':
      return IN_KEY_RING.includes(rpc) ? keyRingNotFound(context) : resourceNotFound(context);
    case 'ALREADY_EXISTS':
      return new AlreadyExistsError(context);
    case 'PERMISSION_DENIED':
      return new PermissionDeniedError(context, RPC_TRAITS[rpc]);
    case 'UNAUTHENTICATED':
      return new UnauthenticatedError(context, said);
    case 'FAILED_PRECONDITION':
      return new FailedPreconditionError(context, said);
    case 'RESOURCE_EXHAUSTED':
      return new ResourceExhaustedError(context, said, failure.retryAfterMs);
    case 'DEADLINE_EXCEEDED':
      return new DeadlineExceededError(context, {
        limit: `the attempt deadline of ${rpc}`,
        timeoutMs: limits.timeoutMs,
      });
    case 'UNAVAILABLE':
    case 'CANCELLED':
      return new UnavailableError(context, `Cloud KMS could not be reached: ${endSentence(failure.message)}`);
    default:
      return new ServiceError(context, failure.status, failure.message);
  }
}

/** The error for a connection that could not be set up, the cause in `context`: the official client looks for credentials then. */
export function setUpError(context: ErrorContext): UnauthenticatedError {
  const reason = context.cause instanceof Error ? context.cause.message : 'unknown reason';
  const { problem, cause } = tellable(reason, context.cause);
  return new UnauthenticatedError(
    { ...context, cause },
    `no connection could be set up: ${endSentence(problem)}`,
  );
}

/** The error for a call that there was no token for. */
export function tokenError(
  context: ErrorContext,
  { status, message }: RpcFailure,
  service: string,
): UnavailableError | UnauthenticatedError {
  const unsent = `Nothing was sent to ${service}.`;
  if (status === 'UNAVAILABLE') {
    return new UnavailableError(
      context,
      `no access token could be obtained, because the token endpoint could not be reached: ${endSentence(message)} ${unsent}`,
      'Check the network of this process to the token endpoint of its credentials (oauth2.googleapis.com for a service account key), then call again.',
    );
  }
  return new UnauthenticatedError(
    context,
    `no access token could be obtained: ${endSentence(message)} ${unsent}`,
  );
}

/** Cloud KMS has one status for a bad argument, a damaged ciphertext and a checksum that did not match on arrival. */
function toInvalidArgument(rpc: RpcName, context: ErrorContext, message: string): A2AKmsError {
  if (/crc32c/i.test(message)) return new IntegrityError(context, `the request arrived damaged (${message})`);
  // AsymmetricDecrypt has no other argument that could be wrong; Decrypt says so.
  if (rpc === 'asymmetricDecrypt' || (rpc === 'decrypt' && /decrypt/i.test(message))) {
    return new DecryptionFailedError(context);
  }
  return new InvalidArgumentError(context, `Cloud KMS said: ${message}`);
}

function property(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined;
}
