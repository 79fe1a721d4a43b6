/**
 * Which permission an RPC needs, and on which resource: what the reference of the RPC API says under "Authorization
 * requires the following IAM permission". The name is looked at first, so that a malformed one is INVALID_ARGUMENT for
 * everybody.
 */

import { invalidArgument, message, text } from '../request-fields.js';
import {
  requireCryptoKey,
  requireImportJob,
  requireKeyRing,
  requireLocation,
  requireRetiredResource,
  requireVersion,
} from '../resources/names.js';
import type { RpcMessage } from '../rpc.js';

/** A permission on a resource. */
interface Requirement {
  readonly permission: string;
  readonly resource: string;
}

type Rule = (request: RpcMessage) => readonly Requirement[];
type NameCheck = (name: string) => unknown;

const on = (field: 'name' | 'parent' | 'location', check: NameCheck, permission: string): Rule => {
  return (request) => {
    const resource = text(request, field);
    check(resource);
    return [{ permission: `cloudkms.${permission}`, resource }];
  };
};

const ofBody = (field: 'cryptoKey' | 'cryptoKeyVersion', check: NameCheck, permission: string): Rule => {
  return (request) => {
    const body = message(request, field);
    if (body === undefined) throw invalidArgument(`${field} is required.`);
    return on('name', check, permission)(body);
  };
};

const keyOrVersion: NameCheck = (name) =>
  name.includes('/cryptoKeyVersions/') ? requireVersion(name) : requireCryptoKey(name);

const anyName: NameCheck = () => undefined;

const ofPolicy = (verb: 'getIamPolicy' | 'setIamPolicy'): Rule => {
  return (request) => {
    const resource = text(request, 'resource');
    const collection = resource.split('/').at(-2) ?? '';
    const known = ['keyRings', 'cryptoKeys', 'importJobs', 'ekmConnections'].includes(collection);
    return [{ permission: `cloudkms.${known ? collection : 'ekmConfigs'}.${verb}`, resource }];
  };
};

/** "The create permission is only required on this key when creating a new CryptoKeyVersion" (reference). */
const importing: Rule = (request) => {
  const job = text(request, 'importJob');
  requireImportJob(job);
  const useJob = { permission: 'cloudkms.importJobs.useToImport', resource: job };
  const version = text(request, 'cryptoKeyVersion');
  if (version === '') return [useJob, ...on('parent', requireCryptoKey, 'cryptoKeyVersions.create')(request)];
  requireVersion(version);
  return [useJob, { permission: 'cloudkms.cryptoKeyVersions.update', resource: version }];
};

const RULES: Readonly<Record<string, Rule>> = {
  ListKeyRings: on('parent', requireLocation, 'keyRings.list'),
  ListCryptoKeys: on('parent', requireKeyRing, 'cryptoKeys.list'),
  ListCryptoKeyVersions: on('parent', requireCryptoKey, 'cryptoKeyVersions.list'),
  ListImportJobs: on('parent', requireKeyRing, 'importJobs.list'),
  ListRetiredResources: on('parent', requireLocation, 'retiredResources.list'),
  GetKeyRing: on('name', requireKeyRing, 'keyRings.get'),
  GetCryptoKey: on('name', requireCryptoKey, 'cryptoKeys.get'),
  GetCryptoKeyVersion: on('name', requireVersion, 'cryptoKeyVersions.get'),
  GetPublicKey: on('name', requireVersion, 'cryptoKeyVersions.viewPublicKey'),
  GetImportJob: on('name', requireImportJob, 'importJobs.get'),
  GetRetiredResource: on('name', requireRetiredResource, 'retiredResources.get'),
  CreateKeyRing: on('parent', requireLocation, 'keyRings.create'),
  CreateCryptoKey: on('parent', requireKeyRing, 'cryptoKeys.create'),
  CreateCryptoKeyVersion: on('parent', requireCryptoKey, 'cryptoKeyVersions.create'),
  CreateImportJob: on('parent', requireKeyRing, 'importJobs.create'),
  DeleteCryptoKey: on('name', requireCryptoKey, 'cryptoKeys.delete'),
  DeleteCryptoKeyVersion: on('name', requireVersion, 'cryptoKeyVersions.delete'),
  ImportCryptoKeyVersion: importing,
  UpdateCryptoKey: ofBody('cryptoKey', requireCryptoKey, 'cryptoKeys.update'),
  UpdateCryptoKeyVersion: ofBody('cryptoKeyVersion', requireVersion, 'cryptoKeyVersions.update'),
  UpdateCryptoKeyPrimaryVersion: on('name', requireCryptoKey, 'cryptoKeys.update'),
  DestroyCryptoKeyVersion: on('name', requireVersion, 'cryptoKeyVersions.destroy'),
  RestoreCryptoKeyVersion: on('name', requireVersion, 'cryptoKeyVersions.restore'),
  Encrypt: on('name', keyOrVersion, 'cryptoKeyVersions.useToEncrypt'),
  Decrypt: on('name', requireCryptoKey, 'cryptoKeyVersions.useToDecrypt'),
  RawEncrypt: on('name', requireVersion, 'cryptoKeyVersions.useToEncrypt'),
  RawDecrypt: on('name', requireVersion, 'cryptoKeyVersions.useToDecrypt'),
  AsymmetricSign: on('name', requireVersion, 'cryptoKeyVersions.useToSign'),
  AsymmetricDecrypt: on('name', requireVersion, 'cryptoKeyVersions.useToDecrypt'),
  MacSign: on('name', requireVersion, 'cryptoKeyVersions.useToSign'),
  MacVerify: on('name', requireVersion, 'cryptoKeyVersions.useToVerify'),
  Decapsulate: on('name', requireVersion, 'cryptoKeyVersions.useToDecapsulate'),
  GenerateRandomBytes: on('location', requireLocation, 'locations.generateRandomBytes'),
  GetIamPolicy: ofPolicy('getIamPolicy'),
  SetIamPolicy: ofPolicy('setIamPolicy'),
  ListLocations: on('name', anyName, 'locations.list'),
  GetLocation: on('name', anyName, 'locations.get'),
  GetOperation: on('name', anyName, 'operations.get'),
};

/**
 * What the caller needs; nothing for RPCs that anybody may call (TestIamPermissions) and those that are not implemented.
 * @throws RpcError INVALID_ARGUMENT for a malformed name.
 */
export function requirementsOf(rpc: string, request: RpcMessage): readonly Requirement[] {
  return RULES[rpc]?.(request) ?? [];
}
