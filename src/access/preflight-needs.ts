/** Which permissions each kind of work needs, where, and why. */

import { MASTER_KEY_IDS } from '../keys/master-key-name.js';

/** What a process does with the keys. */
export const TASKS = [
  'initialize',
  'sign',
  'batch',
  'verify',
  'create',
  'rotate',
  'destroy',
  'import',
  'masters',
  'audit',
  'attest',
  'access',
] as const;
/**
 * What a process may be meant to do, for `preflight`. Each task stands for the permissions that it needs: `sign` for plain
 * signatures; `batch` for those that name the key, receipts and JWS; `masters` for making and using the master keys, `access`
 * for reading and changing policies, `attest` for statements of the HSMs, of the keys of the other tasks too.
 */
export type PreflightTask = (typeof TASKS)[number];

/** `agents`: on each agent's key, or inherited from the key ring. Otherwise on the key ring, or on the key of that id. */
type NeedScope = 'key-ring' | 'agents' | { readonly keyId: string };

export interface Need {
  readonly task: PreflightTask;
  readonly permission: string;
  readonly scope: NeedScope;
  readonly reason: string;
  /** Needed only where this is done as well. */
  readonly with?: PreflightTask;
}

const needs = (
  task: PreflightTask,
  scope: NeedScope,
  reasons: Readonly<Record<string, string>>,
  also?: PreflightTask,
): readonly Need[] =>
  Object.entries(reasons).map(([permission, reason]) => ({
    task,
    permission: `cloudkms.${permission}`,
    scope,
    reason,
    ...(also && { with: also }),
  }));

const FIND_VERSION = {
  'cryptoKeys.get': 'to find the key',
  'cryptoKeyVersions.list': 'to find the version in use',
} as const;
const READ_SECRET_STATEMENT = { 'cryptoKeyVersions.get': "to read the HSM's statements" } as const;
const READ_STATEMENT = {
  ...READ_SECRET_STATEMENT,
  'cryptoKeyVersions.viewPublicKey': 'to compare statements with the key',
} as const;
const ROOT = { keyId: MASTER_KEY_IDS.root };
const KEK = { keyId: MASTER_KEY_IDS.kek };
const AUDIT = { keyId: MASTER_KEY_IDS.audit };

const NEEDS: readonly Need[] = [
  ...needs('initialize', 'key-ring', { 'keyRings.get': 'to see that the key ring is there' }),
  ...needs('sign', 'agents', { ...FIND_VERSION, 'cryptoKeyVersions.useToSign': 'to sign' }),
  ...needs('batch', 'agents', {
    ...FIND_VERSION,
    'cryptoKeyVersions.useToSign': 'to sign',
    'cryptoKeyVersions.viewPublicKey': 'to name the key in receipts and JWS, by its thumbprint',
  }),
  ...needs('verify', 'agents', { ...FIND_VERSION, 'cryptoKeyVersions.viewPublicKey': 'to read public keys' }),
  ...needs('create', 'key-ring', {
    'cryptoKeys.create': 'to make keys',
    'cryptoKeys.get': 'to adopt keys that exist',
    'cryptoKeyVersions.create': 'to repeat a generation that failed',
    'cryptoKeyVersions.get': 'to wait for key material',
    'cryptoKeyVersions.list': 'to adopt versions that exist',
  }),
  ...needs('rotate', 'key-ring', { 'cryptoKeys.list': 'to find the keys whose rotation is due' }),
  ...needs('rotate', 'agents', {
    ...FIND_VERSION,
    'cryptoKeys.update': 'to say which version is in use',
    'cryptoKeyVersions.create': 'to make the new version',
    'cryptoKeyVersions.get': 'to wait for its key material',
    'cryptoKeyVersions.update': 'to disable old versions',
    'cryptoKeyVersions.destroy': 'to end spare and retired versions',
    'cryptoKeyVersions.viewPublicKey': 'to archive public keys',
  }),
  ...needs('destroy', 'key-ring', { 'cryptoKeys.get': 'to see which keys an agent has' }),
  ...needs('destroy', 'agents', {
    'cryptoKeyVersions.list': 'to find the versions to end',
    'cryptoKeys.update': 'to write down what is being restored',
    'cryptoKeyVersions.destroy': 'to schedule destruction',
    'cryptoKeyVersions.restore': 'to take it back',
    'cryptoKeyVersions.update': 'to enable what was restored',
    'cryptoKeyVersions.viewPublicKey': 'to archive public keys',
  }),
  ...needs('import', 'key-ring', {
    'importJobs.create': 'to make the job that wraps keys for the HSM',
    'importJobs.get': 'to read its public key',
    'importJobs.useToImport': 'to import with it',
    'cryptoKeys.create': 'to make the keys that are imported into',
    'cryptoKeys.get': 'to adopt keys that exist',
    'cryptoKeyVersions.create': 'to import a version',
    'cryptoKeyVersions.get': 'to wait for the import',
    'cryptoKeyVersions.list': 'to find what is imported already',
    'cryptoKeyVersions.viewPublicKey': 'to compare what was imported with what was to be',
    'cryptoKeyVersions.update': 'to repeat an import that failed',
  }),
  ...needs('masters', 'key-ring', { 'cryptoKeys.create': 'to make the master keys' }),
  ...needs('masters', ROOT, {
    ...FIND_VERSION,
    'cryptoKeyVersions.get': 'to wait for its key material',
    'cryptoKeyVersions.useToSign': 'to sign endorsements',
    'cryptoKeyVersions.viewPublicKey': 'to publish the key that endorsements verify with',
  }),
  ...needs('masters', KEK, {
    'cryptoKeys.get': 'to find the key-encryption key',
    'cryptoKeys.update': 'to schedule its rotation',
    'cryptoKeyVersions.useToEncrypt': 'to wrap data keys',
    'cryptoKeyVersions.useToDecrypt': 'to unwrap data keys',
  }),
  ...needs('masters', 'agents', {
    ...FIND_VERSION,
    'cryptoKeyVersions.viewPublicKey': 'to endorse the keys of agents',
  }),
  ...needs('audit', 'key-ring', { 'cryptoKeys.create': 'to make the key of the audit trail' }),
  ...needs('audit', AUDIT, {
    ...FIND_VERSION,
    'cryptoKeyVersions.get': 'to wait for its key material',
    'cryptoKeyVersions.useToSign': 'to sign checkpoints of the audit trail',
    'cryptoKeyVersions.viewPublicKey': 'to name the key in checkpoints, by its thumbprint',
  }),
  ...needs('attest', 'agents', { ...FIND_VERSION, ...READ_STATEMENT }),
  ...needs('attest', ROOT, READ_STATEMENT, 'masters'),
  ...needs(
    'attest',
    KEK,
    { ...READ_SECRET_STATEMENT, 'cryptoKeyVersions.list': 'to find all versions that may decrypt' },
    'masters',
  ),
  ...needs('attest', AUDIT, READ_STATEMENT, 'audit'),
  ...needs('access', 'agents', {
    ...FIND_VERSION,
    'cryptoKeys.getIamPolicy': 'to read who may use a key',
    'cryptoKeys.setIamPolicy': 'to say who may use a key',
  }),
];

export const needsOf = (tasks: readonly PreflightTask[]): readonly Need[] =>
  NEEDS.filter((need) => tasks.includes(need.task) && (need.with === undefined || tasks.includes(need.with)));

/** What of a configuration says what the process will do. */
interface ConfiguredWork {
  readonly hasMasters: boolean;
  readonly hasRotationPolicy: boolean;
  readonly hasAudit: boolean;
  readonly requiresAttestation: boolean;
  readonly migrates: boolean;
}

export function configuredTasks(work: ConfiguredWork): readonly PreflightTask[] {
  const { hasMasters, hasRotationPolicy, hasAudit, requiresAttestation, migrates } = work;
  return [
    ...(['initialize', 'sign', 'verify', 'create'] as const),
    ...(hasRotationPolicy ? (['rotate'] as const) : []),
    ...(migrates ? (['import'] as const) : []),
    ...(hasMasters ? (['masters'] as const) : []),
    ...(hasAudit ? (['audit'] as const) : []),
    ...(requiresAttestation ? (['attest'] as const) : []),
  ];
}

const PREDEFINED: readonly (readonly [RegExp, string])[] = [
  [/\.useToSign$/, 'roles/cloudkms.signer'],
  [/\.useToEncrypt$/, 'roles/cloudkms.cryptoKeyEncrypter'],
  [/\.useToDecrypt$/, 'roles/cloudkms.cryptoKeyDecrypter'],
  [/\.viewPublicKey$/, 'roles/cloudkms.publicKeyViewer'],
  [/\.importJobs\./, 'roles/cloudkms.importer'],
  [/\.(?:get|list)$/, 'roles/cloudkms.viewer'],
];

/** A predefined role that holds a permission. */
export const predefinedRoleOf = (permission: string): string =>
  PREDEFINED.find(([pattern]) => pattern.test(permission))?.[1] ?? 'roles/cloudkms.admin';
