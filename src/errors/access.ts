/** Identities and what they may do. */

import { A2AKmsError, type ErrorContext, sentence } from './base.js';

/** The identity lacks a permission (Cloud KMS: PERMISSION_DENIED, also given for resources that may not exist). */
export class PermissionDeniedError extends A2AKmsError {
  readonly code = 'PERMISSION_DENIED';
  /** The IAM permission that the refused RPC needs. */
  readonly permission: string;
  /** The smallest predefined role that grants it; a custom role (docs/access.md) can be smaller. */
  readonly role: string;

  constructor(context: ErrorContext, grant: { readonly permission: string; readonly role: string }) {
    const { permission, role } = grant;
    const predefined =
      role === 'roles/cloudkms.admin'
        ? `of the predefined ones only ${role} does, which may do far more`
        : `of the predefined ones ${role} does`;
    super(
      sentence(
        context,
        `permission ${permission} is missing, or the resource does not exist.`,
        `Grant a role that holds it on the key or its key ring: those of docs/access.md (a2aSigner, a2aRotator, …) hold no more than a task needs; ${predefined}. preflight lists all that is missing. IAM changes take seconds to minutes.`,
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
