/**
 * The four roles for agents' keys and exactly what each holds. The files in docs/deploy say the same for gcloud and
 * Terraform; a test compares them.
 */

/** Names of the roles. */
export type AgentRoleName = 'signer' | 'verifier' | 'rotator' | 'administrator';

/** A custom role (google.iam.admin.v1.Role) that docs/deploy creates. */
export interface AgentRole {
  /** Id of the custom role. */
  readonly id: string;
  readonly title: string;
  readonly description: string;
  readonly permissions: readonly string[];
}

/** What it takes to find the version in use. */
const FIND_VERSION = ['cloudkms.cryptoKeyVersions.list', 'cloudkms.cryptoKeys.get'] as const;

/**
 * The four custom roles by name, with the permissions of each: what the files under docs/deploy create. Source of the
 * permissions: https://cloud.google.com/kms/docs/reference/permissions-and-roles.
 */
export const AGENT_ROLES: Readonly<Record<AgentRoleName, AgentRole>> = {
  signer: {
    id: 'a2aSigner',
    title: 'a2a-kms signer',
    description: "Signs with an agent's key. Grant it on that key.",
    // The public key is public, and names the key in receipts and JWS.
    permissions: [
      ...FIND_VERSION,
      'cloudkms.cryptoKeyVersions.useToSign',
      'cloudkms.cryptoKeyVersions.viewPublicKey',
    ],
  },
  verifier: {
    id: 'a2aVerifier',
    title: 'a2a-kms verifier',
    description:
      'Reads public keys, to verify signatures and to encrypt to an agent. Grant it on a key or the key ring.',
    permissions: [...FIND_VERSION, 'cloudkms.cryptoKeyVersions.viewPublicKey'],
  },
  rotator: {
    id: 'a2aRotator',
    title: 'a2a-kms rotator',
    description:
      'Makes new versions, puts them to use, retires old ones and schedules spare and retired ones for destruction. Grant it on a key or the key ring.',
    permissions: [
      ...FIND_VERSION,
      'cloudkms.cryptoKeyVersions.create',
      'cloudkms.cryptoKeyVersions.destroy',
      'cloudkms.cryptoKeyVersions.get',
      'cloudkms.cryptoKeyVersions.update',
      'cloudkms.cryptoKeyVersions.viewPublicKey',
      'cloudkms.cryptoKeys.list',
      'cloudkms.cryptoKeys.update',
    ],
  },
  administrator: {
    id: 'a2aAdministrator',
    title: 'a2a-kms administrator',
    description:
      'Creates, imports, rotates, destroys and restores keys and says who may use them. It does not hold the use of keys, and can grant it, also to itself. Grant it on the key ring.',
    permissions: [
      ...FIND_VERSION,
      'cloudkms.cryptoKeyVersions.create',
      'cloudkms.cryptoKeyVersions.destroy',
      'cloudkms.cryptoKeyVersions.get',
      'cloudkms.cryptoKeyVersions.restore',
      'cloudkms.cryptoKeyVersions.update',
      'cloudkms.cryptoKeyVersions.viewPublicKey',
      'cloudkms.cryptoKeys.create',
      'cloudkms.cryptoKeys.getIamPolicy',
      'cloudkms.cryptoKeys.list',
      'cloudkms.cryptoKeys.setIamPolicy',
      'cloudkms.cryptoKeys.update',
      'cloudkms.importJobs.create',
      'cloudkms.importJobs.get',
      'cloudkms.importJobs.useToImport',
      'cloudkms.keyRings.create',
      'cloudkms.keyRings.get',
    ],
  },
};

export const AGENT_ROLE_NAMES = ['signer', 'verifier', 'rotator', 'administrator'] as const;

export const isAgentRoleName = (role: string): role is AgentRoleName =>
  AGENT_ROLE_NAMES.some((name) => name === role);

/** Full names of the roles: those that are configured, else the ones in docs/deploy as roles of the project. */
export function resolveAgentRoles(
  projectId: string,
  configured: Readonly<Partial<Record<AgentRoleName, string | undefined>>>,
): Readonly<Record<AgentRoleName, string>> {
  const nameOf = (role: AgentRoleName): string =>
    configured[role] ?? `projects/${projectId}/roles/${AGENT_ROLES[role].id}`;
  return {
    signer: nameOf('signer'),
    verifier: nameOf('verifier'),
    rotator: nameOf('rotator'),
    administrator: nameOf('administrator'),
  };
}
