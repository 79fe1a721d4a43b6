/** Options of the calls that a provider of keys takes; all are optional. */

import type { KeyAlgorithm } from './algorithm-types.js';

/** Options that every call takes. */
export interface CallOptions {
  /** Aborts the call: it rejects with `OperationAbortedError`. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Total deadline of the call in milliseconds, in place of the configured one. Waiting for a quota or for a free stream does
   * not count: that has a limit of its own, `deadlines.queueMs`. A `signal` ends that too.
   */
  readonly timeoutMs?: number | undefined;
  /**
   * What to do when a quota is used up: `retry` (the default) waits for the quota and repeats. That wait is outside of the
   * deadline and at most `deadlines.queueMs` long; with `quota: { mode: 'off' }` the call is repeated within its deadline,
   * `retry.maxAttempts` times. `fail` rejects with `ResourceExhaustedError` at once, for callers that pace many calls
   * themselves; it waits only for answers to others, where what is known of the quota is assumed (`quota.limits`).
   */
  readonly onQuota?: 'retry' | 'fail' | undefined;
  /**
   * Why the call is made, for the audit trail and, as the header `x-goog-request-reason`, for Cloud Audit Logs. 1 to 256
   * characters of printable ASCII. It is written in clear: no secrets, no personal data.
   */
  readonly reason?: string | undefined;
  /** Id of the work that the call is part of, for the audit trail and telemetry. 1 to 128 characters of printable ASCII. */
  readonly correlationId?: string | undefined;
}

/** Options of `verify`. */
export interface VerifyOptions extends CallOptions {
  /**
   * What becomes of a signature that is by none of the versions that are known. `look` (the default): the versions of the key
   * are read again, within a bound, because another process may have made one a moment ago. `ignore`: it is false without
   * that, which may be wrong for as long as `cache.keyVersionTtlMs` after a rotation.
   */
  readonly newVersions?: 'look' | 'ignore' | undefined;
}

/** Options of `encrypt` and `decrypt`. */
export interface EncryptionOptions extends CallOptions {
  /** Authenticated with the ciphertext but not part of it; decryption needs the same bytes. Symmetric keys only. */
  readonly additionalAuthenticatedData?: Uint8Array | undefined;
}

/** Options of `listKeys`. */
export interface ListKeysOptions extends CallOptions {
  /** Only keys that have all these labels. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
}

/** Options of `restoreKey`. */
export interface RestoreOptions extends CallOptions {
  /**
   * State after the restore. Default `ENABLED`, but for versions of a restored key that were DISABLED when their destruction
   * was scheduled: they come back as they were. Cloud KMS itself leaves every restored version DISABLED.
   */
  readonly state?: 'ENABLED' | 'DISABLED' | undefined;
}

/** Options of `rotateKey`, `prepareRotation` and `activateRotation`. */
export interface RotationOptions extends CallOptions {
  /** Algorithm of the new version, of the same purpose. Default: the one that the key's latest versions have. */
  readonly algorithm?: KeyAlgorithm | undefined;
  /**
   * Full name of the version to replace. When another one is in use by now, somebody else rotated the key and nothing is
   * done: with it, a rotation can be repeated after a failure without rotating twice.
   */
  readonly replacing?: string | undefined;
}

/** Options of `retire`: when replaced versions are disabled, and when they are scheduled for destruction. */
export interface RetireOptions extends CallOptions {
  /** How long a version stays ENABLED after it was replaced. Seconds, default 604,800 (7 days). */
  readonly graceSeconds?: number | undefined;
  /** When a disabled version is scheduled for destruction, in seconds after it was replaced. Default: never. */
  readonly retireAfterSeconds?: number | undefined;
  /** Versions with key material that are kept, the one in use included; the oldest disabled ones go. Default: no limit. */
  readonly keepVersions?: number | undefined;
}

/** Options of `destroyKey`. */
export interface DestroyOptions extends CallOptions {
  /**
   * Destroys also what is otherwise refused: a version given by name while it is in use, and a version whose public key
   * could not be archived. Default false.
   */
  readonly force?: boolean | undefined;
}
