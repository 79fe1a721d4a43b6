/** All errors as one type that `code` narrows, and how to know one that another copy of this package made. */

import type {
  AccessControlUnsupportedError,
  ImpersonationError,
  PermissionDeniedError,
  UnauthenticatedError,
} from './access.js';
import type { InvalidEnvelopeError, StreamDecryptionError } from './envelope.js';
import { ERROR_CODES } from './error-code.js';
import type {
  EndorsementError,
  HandoverError,
  InvalidJweError,
  InvalidJwkError,
  InvalidReceiptError,
  JwsVerificationError,
  UnknownKeyIdError,
} from './identity.js';
import type {
  DataTooLargeError,
  InvalidArgumentError,
  InvalidConfigError,
  KeySpecMismatchError,
  UnsupportedAlgorithmError,
} from './input.js';
import type {
  AgentKeyNotFoundError,
  AlreadyExistsError,
  AttestationFailedError,
  AttestationUnsupportedError,
  ConcurrentChangeError,
  FailedPreconditionError,
  KeyGenerationFailedError,
  KeyImportFailedError,
  NotFoundError,
  NoUsableVersionError,
  VersionInUseError,
} from './keys.js';
import type { MigrationPhaseError, SoftwareSigningRefusedError, UnmigratedAgentsError } from './migration.js';
import type { AllLocationsFailedError, ReplicationIncompleteError } from './replication.js';
import type {
  ClientClosedError,
  DeadlineExceededError,
  DecryptionFailedError,
  IntegrityError,
  OperationAbortedError,
  QueueFullError,
  ResourceExhaustedError,
  ServiceError,
  UnavailableError,
  UnexpectedError,
} from './service.js';
import type {
  ArchiveError,
  AuditWriteError,
  KeyStoreError,
  KeyStoreLockedError,
  PublicKeyNotArchivedError,
  StoredKeyDamagedError,
} from './storage.js';

/** Any error of this library: a check of `code` narrows it to the class with that code, and so to its fields. */
export type AnyA2AKmsError =
  | PermissionDeniedError
  | UnauthenticatedError
  | ImpersonationError
  | AccessControlUnsupportedError
  | InvalidEnvelopeError
  | StreamDecryptionError
  | InvalidJwkError
  | JwsVerificationError
  | EndorsementError
  | HandoverError
  | InvalidJweError
  | InvalidReceiptError
  | UnknownKeyIdError
  | InvalidConfigError
  | InvalidArgumentError
  | DataTooLargeError
  | UnsupportedAlgorithmError
  | KeySpecMismatchError
  | KeyGenerationFailedError
  | KeyImportFailedError
  | NoUsableVersionError
  | NotFoundError
  | AgentKeyNotFoundError
  | AlreadyExistsError
  | FailedPreconditionError
  | VersionInUseError
  | ConcurrentChangeError
  | AttestationFailedError
  | AttestationUnsupportedError
  | SoftwareSigningRefusedError
  | MigrationPhaseError
  | UnmigratedAgentsError
  | AllLocationsFailedError
  | ReplicationIncompleteError
  | ResourceExhaustedError
  | UnavailableError
  | DeadlineExceededError
  | OperationAbortedError
  | IntegrityError
  | DecryptionFailedError
  | QueueFullError
  | ClientClosedError
  | UnexpectedError
  | ServiceError
  | PublicKeyNotArchivedError
  | ArchiveError
  | AuditWriteError
  | KeyStoreLockedError
  | KeyStoreError
  | StoredKeyDamagedError;

/**
 * Whether an error is one of this library, also where `instanceof` does not say so: a process that both imports and requires
 * the package has each class twice, and `a2a-kms/emulator` brings its own in CommonJS.
 *
 * @example
 * const refused = await kms.sign('invoices', message).catch((error: unknown) => error);
 * if (isA2AKmsError(refused) && refused.code === 'PERMISSION_DENIED') console.error(refused.permission);
 */
export function isA2AKmsError(error: unknown): error is AnyA2AKmsError {
  if (typeof error !== 'object' || error === null) return false;
  const { code, operation, resource, attempts }: Partial<Record<keyof AnyA2AKmsError, unknown>> = error;
  return (
    CODES.has(code) &&
    typeof operation === 'string' &&
    typeof resource === 'string' &&
    typeof attempts === 'number'
  );
}

/** Typed by the union, so that a code without a class in it does not compile. */
const CODES: ReadonlySet<unknown> = new Set<AnyA2AKmsError['code']>(ERROR_CODES);
