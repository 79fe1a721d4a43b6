/** Keys and versions that are not what a call needs. */

import { A2AKmsError, type ErrorContext, endSentence, sentence } from './base.js';

/** Cloud KMS could not generate (or import) the key material of a version. */
export class KeyGenerationFailedError extends A2AKmsError {
  readonly code = 'KEY_GENERATION_FAILED';
  /** `CryptoKeyVersion.generation_failure_reason`, as Cloud KMS gives it. */
  readonly reason: string;

  constructor(context: ErrorContext, reason: string) {
    super(
      sentence(
        context,
        `key generation failed: ${endSentence(reason || 'Cloud KMS gave no reason')}`,
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
        `the import failed: ${endSentence(reason || 'Cloud KMS gave no reason')}`,
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
      sentence(
        context,
        problem,
        'Restore what is scheduled for destruction (restoreAgent, or restoreKey), enable a version, or make a new one (rotateAgentKey, or rotateKey).',
      ),
      context,
    );
  }
}

/** The key, version or key ring does not exist (Cloud KMS: NOT_FOUND). */
export class NotFoundError extends A2AKmsError {
  readonly code = 'NOT_FOUND';

  /** @param missing what does not exist, and what to do about it. Default: a key without a role in the key ring. */
  constructor(
    context: ErrorContext,
    missing: { readonly what: string; readonly next: string } = {
      what: 'it does not exist.',
      next: "Check project, location and key ring, or create it: an agent's key with generateAgentKey, others with generateKey.",
    },
  ) {
    super(sentence(context, missing.what, missing.next), context);
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
        `Create it with generateAgentKey${role === 'encryption' ? ' and purpose "encryption" or "both"' : ''}; where the key ring is new, call initialize before.`,
      ),
      context,
    );
    this.agentId = agentId;
  }
}

/** The resource exists already. */
export class AlreadyExistsError extends A2AKmsError {
  readonly code = 'ALREADY_EXISTS';

  constructor(context: ErrorContext) {
    super(sentence(context, 'it exists already.', 'Read it with getKey.'), context);
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

/** No HSM made the key, so none has a statement about it: it is a software key. */
export class AttestationUnsupportedError extends A2AKmsError {
  readonly code = 'ATTESTATION_UNSUPPORTED';

  constructor(context: ErrorContext) {
    super(
      sentence(
        context,
        'it is a software key: no HSM made it or holds it, so there is no statement to check.',
        'Move the agent to an HSM key with migrateAgent.',
      ),
      context,
    );
  }
}
