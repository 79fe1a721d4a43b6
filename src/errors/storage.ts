/** What is kept outside of Cloud KMS: the archive, the audit trail, software keys. */

import { A2AKmsError, type ErrorContext, sentence } from './base.js';

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
