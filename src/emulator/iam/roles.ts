/**
 * What the predefined roles hold, as far as it is about the RPCs that are here, and the custom roles that were given.
 * Source: IAM documentation, "Cloud Key Management Service roles and permissions" and "IAM roles and permissions".
 */

const USE_TO_SIGN = 'cloudkms.cryptoKeyVersions.useToSign';
const USE_TO_VERIFY = 'cloudkms.cryptoKeyVersions.useToVerify';
const USE_TO_ENCRYPT = 'cloudkms.cryptoKeyVersions.useToEncrypt';
const USE_TO_DECRYPT = 'cloudkms.cryptoKeyVersions.useToDecrypt';
const USE_TO_DECAPSULATE = 'cloudkms.cryptoKeyVersions.useToDecapsulate';
const VIEW_PUBLIC_KEY = 'cloudkms.cryptoKeyVersions.viewPublicKey';
const GENERATE_RANDOM_BYTES = 'cloudkms.locations.generateRandomBytes';
/** Whoever may ask for a service account's token, and in whose name a further one may be asked for. */
export const GET_ACCESS_TOKEN = 'iam.serviceAccounts.getAccessToken';
export const IMPLICIT_DELEGATION = 'iam.serviceAccounts.implicitDelegation';

const LOCATIONS = ['cloudkms.locations.get', 'cloudkms.locations.list'];
const IMPORT = [
  'cloudkms.importJobs.create',
  'cloudkms.importJobs.get',
  'cloudkms.importJobs.list',
  'cloudkms.importJobs.useToImport',
];
const VIEW = [
  'cloudkms.cryptoKeyVersions.get',
  'cloudkms.cryptoKeyVersions.list',
  'cloudkms.cryptoKeys.get',
  'cloudkms.cryptoKeys.list',
  'cloudkms.importJobs.get',
  'cloudkms.importJobs.list',
  'cloudkms.keyRings.get',
  'cloudkms.keyRings.list',
  'cloudkms.operations.get',
  'cloudkms.retiredResources.get',
  'cloudkms.retiredResources.list',
  ...LOCATIONS,
];
/** Everything but the use of keys, and neither the public key. */
const ADMINISTER = [
  ...VIEW,
  ...IMPORT,
  'cloudkms.cryptoKeyVersions.create',
  'cloudkms.cryptoKeyVersions.delete',
  'cloudkms.cryptoKeyVersions.destroy',
  'cloudkms.cryptoKeyVersions.restore',
  'cloudkms.cryptoKeyVersions.update',
  'cloudkms.cryptoKeys.create',
  'cloudkms.cryptoKeys.delete',
  'cloudkms.cryptoKeys.getIamPolicy',
  'cloudkms.cryptoKeys.setIamPolicy',
  'cloudkms.cryptoKeys.update',
  'cloudkms.importJobs.getIamPolicy',
  'cloudkms.importJobs.setIamPolicy',
  'cloudkms.keyRings.create',
  'cloudkms.keyRings.getIamPolicy',
  'cloudkms.keyRings.setIamPolicy',
];
const OPERATE = [
  ...[USE_TO_DECAPSULATE, USE_TO_DECRYPT, USE_TO_ENCRYPT, USE_TO_SIGN, USE_TO_VERIFY],
  ...[VIEW_PUBLIC_KEY, GENERATE_RANDOM_BYTES],
  ...LOCATIONS,
];

const PREDEFINED: Readonly<Record<string, readonly string[]>> = {
  'roles/owner': [...ADMINISTER, ...OPERATE],
  'roles/cloudkms.admin': ADMINISTER,
  'roles/cloudkms.viewer': VIEW,
  'roles/cloudkms.cryptoKeyEncrypterDecrypter': [USE_TO_ENCRYPT, USE_TO_DECRYPT, ...LOCATIONS],
  'roles/cloudkms.cryptoKeyEncrypter': [USE_TO_ENCRYPT, ...LOCATIONS],
  'roles/cloudkms.cryptoKeyDecrypter': [USE_TO_DECRYPT, ...LOCATIONS],
  'roles/cloudkms.cryptoOperator': OPERATE,
  'roles/cloudkms.decapsulator': [USE_TO_DECAPSULATE, VIEW_PUBLIC_KEY, ...LOCATIONS],
  'roles/cloudkms.importer': [...IMPORT, ...LOCATIONS],
  'roles/cloudkms.publicKeyViewer': [VIEW_PUBLIC_KEY, ...LOCATIONS],
  'roles/cloudkms.signer': [USE_TO_SIGN, ...LOCATIONS],
  'roles/cloudkms.signerVerifier': [USE_TO_SIGN, USE_TO_VERIFY, VIEW_PUBLIC_KEY, ...LOCATIONS],
  'roles/cloudkms.verifier': [USE_TO_VERIFY, VIEW_PUBLIC_KEY, ...LOCATIONS],
  'roles/iam.serviceAccountTokenCreator': [GET_ACCESS_TOKEN, IMPLICIT_DELEGATION],
};

const KNOWN_PERMISSIONS = new Set(Object.values(PREDEFINED).flat());

/** Whether it is a permission of a KeyRing, a CryptoKey or an ImportJob; IAM refuses to test any other on one. */
export function isTestable(permission: string, resource: string): boolean {
  if (!KNOWN_PERMISSIONS.has(permission)) return false;
  if (resource.includes('/cryptoKeys/'))
    return /^cloudkms\.(?:cryptoKeys\.(?!create$|list$)|cryptoKeyVersions\.)/.test(permission);
  if (resource.includes('/importJobs/')) return /^cloudkms\.importJobs\.(?!create$|list$)/.test(permission);
  return /^cloudkms\.(?:keyRings\.(?!create$|list$)|cryptoKeys\.|cryptoKeyVersions\.|importJobs\.)/.test(
    permission,
  );
}

export class Roles {
  readonly #permissions: ReadonlyMap<string, ReadonlySet<string>>;

  /** @param custom full names of custom roles, with their permissions. */
  constructor(custom: Readonly<Record<string, readonly string[]>>) {
    this.#permissions = new Map(
      [...Object.entries(PREDEFINED), ...Object.entries(custom)].map(([role, permissions]) => [
        role,
        new Set(permissions),
      ]),
    );
  }

  has(role: string): boolean {
    return this.#permissions.has(role);
  }

  holds(role: string, permission: string): boolean {
    return this.#permissions.get(role)?.has(permission) ?? false;
  }
}
