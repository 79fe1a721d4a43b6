/**
 * Every error this library throws: one base class, one subclass per thing a caller can act on. `code` is stable and
 * narrows the type; the message says what was attempted on which resource and what to do next. No error holds key
 * material, plaintext, a digest or a credential.
 */

/** What an error knows about the call that failed. */
export interface ErrorContext {
  /**
   * The public method that failed, e.g. `sign`. A method that makes several calls may fail in one of them: an agent's key
   * that cannot be read is `getKey`.
   */
  readonly operation: string;
  /** The resource it was called for: a full resource name, an agent id or a configuration. */
  readonly resource: string;
  /** How many times Cloud KMS was asked before giving up; 0 when the input was refused before any call. */
  readonly attempts?: number;
  readonly cause?: unknown;
}

/** The base of all errors of this library. */
export abstract class A2AKmsError extends Error {
  /** Stable, machine-readable. See docs/troubleshooting.md for one entry per code. */
  abstract readonly code: ErrorCode;
  readonly operation: string;
  readonly resource: string;
  readonly attempts: number;

  constructor(message: string, context: ErrorContext) {
    super(message, context.cause === undefined ? undefined : { cause: context.cause });
    this.name = new.target.name;
    this.operation = context.operation;
    this.resource = context.resource;
    this.attempts = context.attempts ?? 0;
  }
}

const sentence = (context: ErrorContext, what: string, next: string): string =>
  `${context.operation} on ${context.resource}: ${what} ${next}`;

/** One thing that is wrong with the configuration. */
export interface ConfigProblem {
  /** Dotted path of the field, or the name of the environment variable. */
  readonly field: string;
  readonly problem: string;
}

/** The configuration is not usable. Lists every problem, not only the first. */
export class InvalidConfigError extends A2AKmsError {
  readonly code = 'INVALID_CONFIG';
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    const list = problems.map(({ field, problem }) => `${field}: ${problem}`).join('; ');
    super(
      `The configuration is not usable (${problems.length} problem${problems.length === 1 ? '' : 's'}): ${list}.`,
      {
        operation: 'configure',
        resource: 'configuration',
      },
    );
    this.problems = problems;
  }
}

/** An argument was refused, by this library before any call, or by Cloud KMS (then `attempts` is above 0). */
export class InvalidArgumentError extends A2AKmsError {
  readonly code = 'INVALID_ARGUMENT';

  constructor(context: ErrorContext, problem: string) {
    super(sentence(context, problem, 'Correct the argument and call again.'), context);
  }
}

/** The data is larger than one Cloud KMS request may carry. Nothing was sent. */
export class DataTooLargeError extends A2AKmsError {
  readonly code = 'DATA_TOO_LARGE';
  readonly sizeBytes: number;
  readonly limitBytes: number;

  constructor(
    context: ErrorContext,
    size: { readonly what: string; readonly sizeBytes: number; readonly limitBytes: number },
    next: string,
  ) {
    super(
      sentence(
        context,
        `${size.what} of ${size.sizeBytes} bytes exceeds the limit of ${size.limitBytes} bytes.`,
        next,
      ),
      context,
    );
    this.sizeBytes = size.sizeBytes;
    this.limitBytes = size.limitBytes;
  }
}

/** The algorithm does not exist, does not fit the purpose, or does not exist in the protection level asked for. */
export class UnsupportedAlgorithmError extends A2AKmsError {
  readonly code = 'UNSUPPORTED_ALGORITHM';
  /** The algorithms that would be accepted in its place. */
  readonly alternatives: readonly string[];

  constructor(context: ErrorContext, problem: string, alternatives: readonly string[]) {
    super(sentence(context, problem, `Use one of: ${alternatives.join(', ')}.`), context);
    this.alternatives = alternatives;
  }
}

/** A key of that name exists, but it is not the key that was asked for. It was left as it is. */
export class KeySpecMismatchError extends A2AKmsError {
  readonly code = 'KEY_SPEC_MISMATCH';
  /** Field → what was asked for and what the existing key has. */
  readonly differences: readonly {
    readonly field: string;
    readonly expected: string;
    readonly actual: string;
  }[];

  constructor(
    context: ErrorContext,
    differences: readonly { readonly field: string; readonly expected: string; readonly actual: string }[],
  ) {
    const list = differences
      .map((d) => `${d.field} is ${d.actual}, but ${d.expected} was asked for`)
      .join('; ');
    super(
      sentence(
        context,
        `a key of that name exists and differs: ${list}.`,
        'Choose another name, or ask for what exists.',
      ),
      context,
    );
    this.differences = differences;
  }
}

/** Cloud KMS could not generate (or import) the key material of a version. */
export class KeyGenerationFailedError extends A2AKmsError {
  readonly code = 'KEY_GENERATION_FAILED';
  /** `CryptoKeyVersion.generation_failure_reason`, as Cloud KMS gives it. */
  readonly reason: string;

  constructor(context: ErrorContext, reason: string) {
    super(
      sentence(
        context,
        `key generation failed: ${reason || 'Cloud KMS gave no reason'}.`,
        'Call generateKey again: it makes a new version of the same key.',
      ),
      context,
    );
    this.reason = reason;
  }
}

/** Cloud KMS could not import key material. */
export class KeyImportFailedError extends A2AKmsError {
  readonly code = 'KEY_IMPORT_FAILED';
  /** `CryptoKeyVersion.import_failure_reason`, as Cloud KMS gives it. */
  readonly reason: string;

  constructor(context: ErrorContext, reason: string) {
    super(
      sentence(
        context,
        `the import failed: ${reason || 'Cloud KMS gave no reason'}.`,
        'Call again: it imports into the same version once more.',
      ),
      context,
    );
    this.reason = reason;
  }
}

/** The key exists but has no version that could do what was asked. */
export class NoUsableVersionError extends A2AKmsError {
  readonly code = 'NO_USABLE_VERSION';

  constructor(context: ErrorContext, problem: string) {
    super(
      sentence(context, problem, 'Restore or enable a version, or call rotateKey to make a new one.'),
      context,
    );
  }
}

/** The key, version or key ring does not exist (Cloud KMS: NOT_FOUND). */
export class NotFoundError extends A2AKmsError {
  readonly code = 'NOT_FOUND';

  constructor(context: ErrorContext) {
    super(
      sentence(
        context,
        'it does not exist.',
        'Check project, location and key ring, or create it with generateKey (a key) or initialize (the key ring).',
      ),
      context,
    );
  }
}

/** The agent has no key in this key ring. */
export class AgentKeyNotFoundError extends A2AKmsError {
  readonly code = 'AGENT_KEY_NOT_FOUND';
  readonly agentId: string;

  constructor(context: ErrorContext, agentId: string, role: 'signing' | 'encryption' = 'signing') {
    super(
      sentence(
        context,
        `agent ${JSON.stringify(agentId)} has no ${role} key in this key ring.`,
        `Create it with generateAgentKey${role === 'encryption' ? ' and purpose "encryption" or "both"' : ''}.`,
      ),
      context,
    );
    this.agentId = agentId;
  }
}

/** The identity lacks a permission (Cloud KMS: PERMISSION_DENIED, also given for resources that may not exist). */
export class PermissionDeniedError extends A2AKmsError {
  readonly code = 'PERMISSION_DENIED';
  /** The IAM permission that the refused RPC needs. */
  readonly permission: string;
  /** A predefined role that grants it. */
  readonly role: string;

  constructor(context: ErrorContext, grant: { readonly permission: string; readonly role: string }) {
    super(
      sentence(
        context,
        `permission ${grant.permission} is missing, or the resource does not exist.`,
        `Grant a role that holds it, such as ${grant.role}, on the key or its key ring. IAM changes take seconds to minutes.`,
      ),
      context,
    );
    this.permission = grant.permission;
    this.role = grant.role;
  }
}

/** The credentials were missing, expired or not accepted. */
export class UnauthenticatedError extends A2AKmsError {
  readonly code = 'UNAUTHENTICATED';

  constructor(context: ErrorContext, problem: string) {
    super(
      sentence(
        context,
        problem,
        'Check credentialsPath, or the Application Default Credentials of the environment.',
      ),
      context,
    );
  }
}

/**
 * A token of the service account to act as could not be obtained (IAM Credentials: GenerateAccessToken). Nothing was sent to
 * Cloud KMS.
 */
export class ImpersonationError extends A2AKmsError {
  readonly code = 'IMPERSONATION_FAILED';
  /** Email of the service account. */
  readonly serviceAccount: string;
  /** The IAM permission it needs, on that service account. */
  readonly permission = 'iam.serviceAccounts.getAccessToken';
  /** A predefined role that holds it. */
  readonly role = 'roles/iam.serviceAccountTokenCreator';

  constructor(context: ErrorContext, serviceAccount: string, problem: string) {
    super(
      sentence(
        context,
        `no token of ${serviceAccount} could be obtained: ${problem}`,
        'Check that it exists and that the identity of this process, or each delegate on the next, has iam.serviceAccounts.getAccessToken on it (roles/iam.serviceAccountTokenCreator).',
      ),
      context,
    );
    this.serviceAccount = serviceAccount;
  }
}

/** The keys have no policies that could say who may use them: they are software keys. */
export class AccessControlUnsupportedError extends A2AKmsError {
  readonly code = 'ACCESS_CONTROL_UNSUPPORTED';

  constructor(context: ErrorContext) {
    super(
      sentence(
        context,
        'software keys have no IAM policy: whoever can open their store can use them all.',
        'Move the agent to an HSM key with migrateAgent.',
      ),
      context,
    );
  }
}

/** The resource is in a state, or has a purpose, that does not allow the call. */
export class FailedPreconditionError extends A2AKmsError {
  readonly code = 'FAILED_PRECONDITION';

  constructor(context: ErrorContext, problem: string) {
    super(sentence(context, problem, "Look at the version's state with listKeyVersions."), context);
  }
}

/** The version is the one in use, and what was asked for would end that. Nothing was touched. */
export class VersionInUseError extends A2AKmsError {
  readonly code = 'VERSION_IN_USE';

  constructor(context: ErrorContext) {
    super(
      sentence(
        context,
        'this version is in use. Nothing was touched.',
        'Put another version to use first (rotateKey, setPrimaryVersion), or pass force: true.',
      ),
      context,
    );
  }
}

/** Other processes changed the key at the same time, again and again. What is there is consistent. */
export class ConcurrentChangeError extends A2AKmsError {
  readonly code = 'CONCURRENT_CHANGE';

  constructor(context: ErrorContext) {
    super(
      sentence(context, 'other processes keep changing the key.', 'Look at it with getKey, then call again.'),
      context,
    );
  }
}

/** A public key is not in the archive and cannot be read, so its signatures could not be verified any more. */
export class PublicKeyNotArchivedError extends A2AKmsError {
  readonly code = 'PUBLIC_KEY_NOT_ARCHIVED';
  /** Full names of the versions. */
  readonly keyVersions: readonly string[];

  constructor(context: ErrorContext, keyVersions: readonly string[]) {
    super(
      sentence(
        context,
        `the public keys of ${keyVersions.join(', ')} are not in the archive, and Cloud KMS returns only those of ENABLED versions. Nothing was touched.`,
        'Enable the versions and call again, or pass force: true: what they signed can then no longer be verified.',
      ),
      context,
    );
    this.keyVersions = keyVersions;
  }
}

/** The archive of public keys could not be read or written, or holds something other than it should. */
export class ArchiveError extends A2AKmsError {
  readonly code = 'ARCHIVE';

  constructor(context: ErrorContext, problem: string) {
    super(
      sentence(context, problem, 'Check the archive: its path, its permissions and its contents.'),
      context,
    );
  }
}

/** The event of a call could not be written to the audit trail, and `audit.failClosed` is set. */
export class AuditWriteError extends A2AKmsError {
  readonly code = 'AUDIT';

  constructor(context: ErrorContext, problem: string) {
    super(
      sentence(
        context,
        problem,
        'Check where the audit trail is written to: its disk, its permissions, the service behind it.',
      ),
      context,
    );
  }
}

/** The resource exists already. */
export class AlreadyExistsError extends A2AKmsError {
  readonly code = 'ALREADY_EXISTS';

  constructor(context: ErrorContext) {
    super(sentence(context, 'it exists already.', 'Read it with getKey.'), context);
  }
}

/** A quota is used up (Cloud KMS: RESOURCE_EXHAUSTED). */
export class ResourceExhaustedError extends A2AKmsError {
  readonly code = 'RESOURCE_EXHAUSTED';
  /** How long Cloud KMS said to wait, in milliseconds; absent when it did not say. */
  readonly retryAfterMs?: number;

  constructor(context: ErrorContext, problem: string, retryAfterMs?: number) {
    super(sentence(context, problem, 'Call less often, or ask for a higher quota.'), context);
    if (retryAfterMs !== undefined) this.retryAfterMs = retryAfterMs;
  }
}

/** Cloud KMS could not be reached. */
export class UnavailableError extends A2AKmsError {
  readonly code = 'UNAVAILABLE';

  constructor(context: ErrorContext, problem: string) {
    super(sentence(context, problem, 'Check the network and the endpoint, then call again.'), context);
  }
}

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

/** The deadline of the operation passed. What it had started may still take effect. */
export class DeadlineExceededError extends A2AKmsError {
  readonly code = 'DEADLINE_EXCEEDED';
  readonly timeoutMs: number;

  constructor(context: ErrorContext, exceeded: { readonly limit: string; readonly timeoutMs: number }) {
    super(
      sentence(
        context,
        `${exceeded.limit} of ${exceeded.timeoutMs} ms passed after ${context.attempts ?? 0} attempt(s).`,
        'Raise it, or make fewer calls at once.',
      ),
      context,
    );
    this.timeoutMs = exceeded.timeoutMs;
  }
}

/** The HSM's statement about the version is missing or not valid, and the configuration requires a valid one. */
export class AttestationFailedError extends A2AKmsError {
  readonly code = 'ATTESTATION_FAILED';
  /** Full name of the version. */
  readonly keyVersion: string;
  /** As `attestKey` gives it. */
  readonly verdict: string;
  /** Names of the checks that failed and count for the verdict; none for `valid-unbound`. */
  readonly failedChecks: readonly string[];

  constructor(
    context: ErrorContext,
    keyVersion: string,
    found: { readonly verdict: string; readonly failedChecks: readonly string[] },
  ) {
    const [why, next] =
      found.verdict === 'valid-unbound'
        ? [
            'nothing shows that the statement is about this symmetric key',
            "Set unboundAttestation to 'accepted' if it is enough that Cloud KMS gives the statement for it.",
          ]
        : [found.failedChecks.join(', '), 'Look at it with attestKey; use a key that was made in the HSM.'];
    super(
      sentence(
        context,
        `attestation is required, and that of ${keyVersion} is ${found.verdict} (${why}). The version was not used.`,
        next,
      ),
      context,
    );
    this.keyVersion = keyVersion;
    this.verdict = found.verdict;
    this.failedChecks = found.failedChecks;
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

/** The store of software keys does not open: the secret is not the right one, or was changed. Nothing was changed. */
export class KeyStoreLockedError extends A2AKmsError {
  readonly code = 'KEY_STORE_LOCKED';

  constructor(context: ErrorContext, problem: string) {
    super(
      sentence(
        context,
        `the store of software keys could not be unlocked: ${problem}`,
        'Supply the passphrase or the key that it was last encrypted with; nothing was changed.',
      ),
      context,
    );
  }
}

/** The store of software keys cannot be opened, read or written. */
export class KeyStoreError extends A2AKmsError {
  readonly code = 'KEY_STORE';

  constructor(context: ErrorContext, problem: string, next: string) {
    super(sentence(context, problem, next), context);
  }
}

/** A record of the store of software keys is not what was written there. Other records are not affected. */
export class StoredKeyDamagedError extends A2AKmsError {
  readonly code = 'STORED_KEY_DAMAGED';
  /** Full name of the key version whose material is damaged, or of the key whose record is. */
  readonly damaged: string;

  constructor(context: ErrorContext, damaged: string) {
    super(
      sentence(
        context,
        `what the store holds for ${damaged} is damaged or was tampered with, and was not used.`,
        'Restore the store from a copy, or rotate the key to a new version.',
      ),
      context,
    );
    this.damaged = damaged;
  }
}

/** Bytes that are not an envelope, or not the header of an encrypted stream. */
export class InvalidEnvelopeError extends A2AKmsError {
  readonly code = 'INVALID_ENVELOPE';
  /** The check that failed. All but `data-key` fail before any call: what was unwrapped is not a key for this format. */
  readonly check: 'size' | 'wrapped-key-size' | 'stream-header' | 'data-key';

  constructor(context: ErrorContext, check: InvalidEnvelopeError['check'], problem: string) {
    super(
      sentence(
        context,
        `not an envelope (${check}): ${problem}`,
        'Check that the bytes are whole, and that streams are read with decryptStream and messages with decrypt.',
      ),
      context,
    );
    this.check = check;
  }
}

/**
 * An encrypted stream is damaged, cut short, extended or put together from parts, or the associated data differs. What was
 * received of it so far must be discarded: it is not the whole of what was encrypted.
 */
export class StreamDecryptionError extends A2AKmsError {
  readonly code = 'STREAM_DECRYPTION_FAILED';
  /** Plaintext that was handed out before the failure, in bytes; all of it must be discarded. */
  readonly releasedBytes: number;

  constructor(context: ErrorContext, failure: { readonly segment: number; readonly releasedBytes: number }) {
    super(
      sentence(
        context,
        `segment ${failure.segment} is damaged, missing or out of place, or the associated data differs.`,
        `Discard the ${failure.releasedBytes} bytes that were already received.`,
      ),
      context,
    );
    this.releasedBytes = failure.releasedBytes;
  }
}

/** A JSON Web Key is not one this library works with: damaged, private, of another algorithm, or too small. */
export class InvalidJwkError extends A2AKmsError {
  readonly code = 'INVALID_JWK';

  constructor(context: ErrorContext, problem: string) {
    super(
      sentence(context, `the key is not usable: ${problem}`, 'Ask its owner for the public key again.'),
      context,
    );
  }
}

/** A JWS was refused. */
export class JwsVerificationError extends A2AKmsError {
  readonly code = 'JWS_VERIFICATION_FAILED';
  /** The check that failed; nothing of the JWS may be believed, whichever it was. */
  readonly check: 'format' | 'size' | 'algorithm' | 'critical-header' | 'type' | 'signature';

  constructor(context: ErrorContext, check: JwsVerificationError['check'], problem: string) {
    super(
      sentence(context, `refused (${check}): ${problem}`, 'Discard it, or ask its sender for another.'),
      context,
    );
    this.check = check;
  }
}

/** An endorsement does not show that the key is the agent's. */
export class EndorsementError extends A2AKmsError {
  readonly code = 'ENDORSEMENT_REJECTED';
  /** The check that failed. */
  readonly check:
    | 'format'
    | 'size'
    | 'algorithm'
    | 'critical-header'
    | 'type'
    | 'root-key'
    | 'signature'
    | 'not-yet-valid'
    | 'expired'
    | 'agent'
    | 'key'
    | 'key-algorithm';

  constructor(context: ErrorContext, check: EndorsementError['check'], problem: string) {
    super(
      sentence(
        context,
        `the endorsement was refused (${check}): ${problem}`,
        'Do not use the key for the agent; ask the agent for a current endorsement.',
      ),
      context,
    );
    this.check = check;
  }
}

/** A handover statement does not show that the agent's new key takes the place of the old one. */
export class HandoverError extends A2AKmsError {
  readonly code = 'HANDOVER_REJECTED';
  /** The check that failed. */
  readonly check:
    | 'format'
    | 'size'
    | 'algorithm'
    | 'critical-header'
    | 'type'
    | 'signature'
    | 'agent'
    | 'key';

  constructor(context: ErrorContext, check: HandoverError['check'], problem: string) {
    super(
      sentence(
        context,
        `the handover statement was refused (${check}): ${problem}`,
        'Keep using only the old key; ask the agent for its statement again.',
      ),
      context,
    );
    this.check = check;
  }
}

/** A software key was asked to sign where the configuration does not let software keys sign. Nothing was signed. */
export class SoftwareSigningRefusedError extends A2AKmsError {
  readonly code = 'SOFTWARE_SIGNING_REFUSED';

  constructor(context: ErrorContext, problem: string, next: string) {
    super(sentence(context, problem, next), context);
  }
}

/** What was asked for belongs to another phase of the migration. Nothing was touched. */
export class MigrationPhaseError extends A2AKmsError {
  readonly code = 'MIGRATION_PHASE';

  constructor(context: ErrorContext, problem: string, next: string) {
    super(sentence(context, problem, next), context);
  }
}

/** The configuration is for after the migration, and there are agents that were not migrated. */
export class UnmigratedAgentsError extends A2AKmsError {
  readonly code = 'UNMIGRATED_AGENTS';
  readonly agentIds: readonly string[];

  constructor(context: ErrorContext, agentIds: readonly string[]) {
    const shown = agentIds.slice(0, 20).map((agentId) => JSON.stringify(agentId));
    const more = agentIds.length > shown.length ? ` and ${agentIds.length - shown.length} more` : '';
    super(
      sentence(
        context,
        `migration.phase is 4 and ${agentIds.length} agent(s) have software keys that were not migrated: ${shown.join(', ')}${more}.`,
        'Go back to phase 2 or 3, call migrateAllAgents, then start with phase 4 again.',
      ),
      context,
    );
    this.agentIds = agentIds;
  }
}

/** A JWE was refused before its key was unwrapped: no call was made. */
export class InvalidJweError extends A2AKmsError {
  readonly code = 'INVALID_JWE';
  /** The check that failed. */
  readonly check: 'format' | 'size' | 'algorithm' | 'critical-header' | 'compression';

  constructor(context: ErrorContext, check: InvalidJweError['check'], problem: string) {
    super(
      sentence(
        context,
        `refused (${check}): ${problem}`,
        'Have it made as a compact JWE with RSA-OAEP-256 and A256GCM.',
      ),
      context,
    );
    this.check = check;
  }
}

/** What was given as a receipt is none, or is not in the one form that is read. */
export class InvalidReceiptError extends A2AKmsError {
  readonly code = 'INVALID_RECEIPT';

  constructor(context: ErrorContext, problem: string) {
    super(sentence(context, `not a receipt: ${problem}`, 'Ask its sender for the receipt again.'), context);
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

/** A message names a key that is not among the agent's ENABLED versions: of another agent, retired, or destroyed. */
export class UnknownKeyIdError extends A2AKmsError {
  readonly code = 'UNKNOWN_KEY_ID';
  /** The `kid` of the message, shortened. */
  readonly keyId: string;

  constructor(context: ErrorContext, keyId: string) {
    const shown = keyId.slice(0, 100);
    super(
      sentence(
        context,
        `no ENABLED version of the key has the id ${JSON.stringify(shown)}.`,
        'Have it encrypted with the current public key, or enable the retired version.',
      ),
      context,
    );
    this.keyId = shown;
  }
}

/** The client was closed before the call, or while it ran. */
export class ClientClosedError extends A2AKmsError {
  readonly code = 'CLIENT_CLOSED';

  constructor(context: ErrorContext) {
    super(sentence(context, 'the client is closed.', 'Make a new one.'), context);
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
        `Cloud KMS answered ${status}: ${problem}.`,
        'Call again; if it persists, check the status of the service.',
      ),
      context,
    );
    this.status = status;
  }
}

/** All codes. A `switch` over `code` of a `A2AKmsError` is exhaustive over these. */
export type ErrorCode =
  | 'INVALID_CONFIG'
  | 'INVALID_ARGUMENT'
  | 'DATA_TOO_LARGE'
  | 'UNSUPPORTED_ALGORITHM'
  | 'KEY_SPEC_MISMATCH'
  | 'KEY_GENERATION_FAILED'
  | 'KEY_IMPORT_FAILED'
  | 'NO_USABLE_VERSION'
  | 'NOT_FOUND'
  | 'AGENT_KEY_NOT_FOUND'
  | 'PERMISSION_DENIED'
  | 'UNAUTHENTICATED'
  | 'IMPERSONATION_FAILED'
  | 'ACCESS_CONTROL_UNSUPPORTED'
  | 'FAILED_PRECONDITION'
  | 'VERSION_IN_USE'
  | 'CONCURRENT_CHANGE'
  | 'PUBLIC_KEY_NOT_ARCHIVED'
  | 'ARCHIVE'
  | 'AUDIT'
  | 'ALREADY_EXISTS'
  | 'RESOURCE_EXHAUSTED'
  | 'UNAVAILABLE'
  | 'ALL_LOCATIONS_FAILED'
  | 'REPLICATION_INCOMPLETE'
  | 'DEADLINE_EXCEEDED'
  | 'ATTESTATION_FAILED'
  | 'ABORTED'
  | 'INTEGRITY'
  | 'DECRYPTION_FAILED'
  | 'KEY_STORE_LOCKED'
  | 'KEY_STORE'
  | 'STORED_KEY_DAMAGED'
  | 'INVALID_ENVELOPE'
  | 'STREAM_DECRYPTION_FAILED'
  | 'INVALID_JWK'
  | 'JWS_VERIFICATION_FAILED'
  | 'ENDORSEMENT_REJECTED'
  | 'HANDOVER_REJECTED'
  | 'SOFTWARE_SIGNING_REFUSED'
  | 'MIGRATION_PHASE'
  | 'UNMIGRATED_AGENTS'
  | 'INVALID_JWE'
  | 'INVALID_RECEIPT'
  | 'QUEUE_FULL'
  | 'UNKNOWN_KEY_ID'
  | 'CLIENT_CLOSED'
  | 'SERVICE_ERROR';
