/**
 * The Cloud KMS RPCs this library calls: their types, whether they may be repeated, and the IAM permission they need.
 */

import type { protos } from '@google-cloud/kms';

export type KmsMessages = {
  CryptoKey: protos.google.cloud.kms.v1.ICryptoKey;
  CryptoKeyVersion: protos.google.cloud.kms.v1.ICryptoKeyVersion;
};

/** google.iam.v1.Binding. */
export interface BindingMessage {
  readonly role: string;
  readonly members: readonly string[];
  readonly condition?: {
    readonly title: string;
    readonly description: string;
    readonly expression: string;
  } | null;
}

/**
 * google.iam.v1.Policy, as the client decodes it: with defaults for what is not on the wire, but for messages. The client's
 * types come from a package that is not a dependency of this one.
 */
export interface PolicyMessage {
  readonly version: number;
  readonly bindings: readonly BindingMessage[];
  readonly etag: Uint8Array;
}

interface Rpc<Request, Response> {
  readonly request: Request;
  readonly response: Response;
}

/** Request and response of each RPC, as the official client's types give them. */
interface RpcTypes {
  readonly createKeyRing: Rpc<
    protos.google.cloud.kms.v1.ICreateKeyRingRequest,
    protos.google.cloud.kms.v1.IKeyRing
  >;
  readonly getKeyRing: Rpc<
    protos.google.cloud.kms.v1.IGetKeyRingRequest,
    protos.google.cloud.kms.v1.IKeyRing
  >;
  readonly createCryptoKey: Rpc<protos.google.cloud.kms.v1.ICreateCryptoKeyRequest, KmsMessages['CryptoKey']>;
  readonly getCryptoKey: Rpc<protos.google.cloud.kms.v1.IGetCryptoKeyRequest, KmsMessages['CryptoKey']>;
  readonly listCryptoKeys: Rpc<
    protos.google.cloud.kms.v1.IListCryptoKeysRequest,
    protos.google.cloud.kms.v1.IListCryptoKeysResponse
  >;
  readonly updateCryptoKey: Rpc<protos.google.cloud.kms.v1.IUpdateCryptoKeyRequest, KmsMessages['CryptoKey']>;
  readonly updateCryptoKeyPrimaryVersion: Rpc<
    protos.google.cloud.kms.v1.IUpdateCryptoKeyPrimaryVersionRequest,
    KmsMessages['CryptoKey']
  >;
  readonly createCryptoKeyVersion: Rpc<
    protos.google.cloud.kms.v1.ICreateCryptoKeyVersionRequest,
    KmsMessages['CryptoKeyVersion']
  >;
  readonly getCryptoKeyVersion: Rpc<
    protos.google.cloud.kms.v1.IGetCryptoKeyVersionRequest,
    KmsMessages['CryptoKeyVersion']
  >;
  readonly listCryptoKeyVersions: Rpc<
    protos.google.cloud.kms.v1.IListCryptoKeyVersionsRequest,
    protos.google.cloud.kms.v1.IListCryptoKeyVersionsResponse
  >;
  readonly updateCryptoKeyVersion: Rpc<
    protos.google.cloud.kms.v1.IUpdateCryptoKeyVersionRequest,
    KmsMessages['CryptoKeyVersion']
  >;
  readonly destroyCryptoKeyVersion: Rpc<
    protos.google.cloud.kms.v1.IDestroyCryptoKeyVersionRequest,
    KmsMessages['CryptoKeyVersion']
  >;
  readonly restoreCryptoKeyVersion: Rpc<
    protos.google.cloud.kms.v1.IRestoreCryptoKeyVersionRequest,
    KmsMessages['CryptoKeyVersion']
  >;
  readonly createImportJob: Rpc<
    protos.google.cloud.kms.v1.ICreateImportJobRequest,
    protos.google.cloud.kms.v1.IImportJob
  >;
  readonly getImportJob: Rpc<
    protos.google.cloud.kms.v1.IGetImportJobRequest,
    protos.google.cloud.kms.v1.IImportJob
  >;
  readonly importCryptoKeyVersion: Rpc<
    protos.google.cloud.kms.v1.IImportCryptoKeyVersionRequest,
    KmsMessages['CryptoKeyVersion']
  >;
  readonly getPublicKey: Rpc<
    protos.google.cloud.kms.v1.IGetPublicKeyRequest,
    protos.google.cloud.kms.v1.IPublicKey
  >;
  readonly asymmetricSign: Rpc<
    protos.google.cloud.kms.v1.IAsymmetricSignRequest,
    protos.google.cloud.kms.v1.IAsymmetricSignResponse
  >;
  readonly asymmetricDecrypt: Rpc<
    protos.google.cloud.kms.v1.IAsymmetricDecryptRequest,
    protos.google.cloud.kms.v1.IAsymmetricDecryptResponse
  >;
  readonly encrypt: Rpc<
    protos.google.cloud.kms.v1.IEncryptRequest,
    protos.google.cloud.kms.v1.IEncryptResponse
  >;
  readonly decrypt: Rpc<
    protos.google.cloud.kms.v1.IDecryptRequest,
    protos.google.cloud.kms.v1.IDecryptResponse
  >;
  readonly getIamPolicy: Rpc<
    { readonly resource: string; readonly options: { readonly requestedPolicyVersion: number } },
    PolicyMessage
  >;
  readonly setIamPolicy: Rpc<{ readonly resource: string; readonly policy: PolicyMessage }, PolicyMessage>;
  readonly testIamPermissions: Rpc<
    { readonly resource: string; readonly permissions: readonly string[] },
    { readonly permissions: readonly string[] }
  >;
}

/** The RPCs of google.iam.v1.IAMPolicy, which Cloud KMS serves beside its own. */
export const IAM_RPCS: readonly string[] = ['getIamPolicy', 'setIamPolicy', 'testIamPermissions'];

export type RpcName = keyof RpcTypes;
export type RpcRequest<Name extends RpcName> = RpcTypes[Name]['request'];
export type RpcResponse<Name extends RpcName> = RpcTypes[Name]['response'];

interface RpcTraits {
  /**
   * `safe`: doing it twice has the effect of doing it once (or is answered ALREADY_EXISTS), so it may be repeated after
   * any transient failure. `look-first`: after a failure that leaves open whether it happened, look before acting again.
   */
  readonly repeat: 'safe' | 'look-first';
  /** The IAM permission it needs, and the smallest predefined role that holds it (Cloud KMS documentation, "Permissions and roles"). */
  readonly permission: string;
  readonly role: string;
}

const ADMIN = 'roles/cloudkms.admin';
const VIEWER = 'roles/cloudkms.viewer';
const IMPORTER = 'roles/cloudkms.importer';

/** What is to be known of each RPC. */
export const RPC_TRAITS: Readonly<Record<RpcName, RpcTraits>> = {
  createKeyRing: { repeat: 'safe', permission: 'cloudkms.keyRings.create', role: ADMIN },
  getKeyRing: { repeat: 'safe', permission: 'cloudkms.keyRings.get', role: VIEWER },
  createCryptoKey: { repeat: 'safe', permission: 'cloudkms.cryptoKeys.create', role: ADMIN },
  getCryptoKey: { repeat: 'safe', permission: 'cloudkms.cryptoKeys.get', role: VIEWER },
  listCryptoKeys: { repeat: 'safe', permission: 'cloudkms.cryptoKeys.list', role: VIEWER },
  updateCryptoKey: { repeat: 'safe', permission: 'cloudkms.cryptoKeys.update', role: ADMIN },
  updateCryptoKeyPrimaryVersion: { repeat: 'safe', permission: 'cloudkms.cryptoKeys.update', role: ADMIN },
  createCryptoKeyVersion: {
    repeat: 'look-first',
    permission: 'cloudkms.cryptoKeyVersions.create',
    role: ADMIN,
  },
  getCryptoKeyVersion: { repeat: 'safe', permission: 'cloudkms.cryptoKeyVersions.get', role: VIEWER },
  listCryptoKeyVersions: { repeat: 'safe', permission: 'cloudkms.cryptoKeyVersions.list', role: VIEWER },
  updateCryptoKeyVersion: { repeat: 'safe', permission: 'cloudkms.cryptoKeyVersions.update', role: ADMIN },
  destroyCryptoKeyVersion: {
    repeat: 'look-first',
    permission: 'cloudkms.cryptoKeyVersions.destroy',
    role: ADMIN,
  },
  restoreCryptoKeyVersion: {
    repeat: 'look-first',
    permission: 'cloudkms.cryptoKeyVersions.restore',
    role: ADMIN,
  },
  createImportJob: { repeat: 'safe', permission: 'cloudkms.importJobs.create', role: IMPORTER },
  getImportJob: { repeat: 'safe', permission: 'cloudkms.importJobs.get', role: IMPORTER },
  importCryptoKeyVersion: {
    repeat: 'look-first',
    permission: 'cloudkms.importJobs.useToImport',
    role: IMPORTER,
  },
  getPublicKey: {
    repeat: 'safe',
    permission: 'cloudkms.cryptoKeyVersions.viewPublicKey',
    role: 'roles/cloudkms.publicKeyViewer',
  },
  asymmetricSign: {
    repeat: 'safe',
    permission: 'cloudkms.cryptoKeyVersions.useToSign',
    role: 'roles/cloudkms.signer',
  },
  asymmetricDecrypt: {
    repeat: 'safe',
    permission: 'cloudkms.cryptoKeyVersions.useToDecrypt',
    role: 'roles/cloudkms.cryptoKeyDecrypter',
  },
  encrypt: {
    repeat: 'safe',
    permission: 'cloudkms.cryptoKeyVersions.useToEncrypt',
    role: 'roles/cloudkms.cryptoKeyEncrypter',
  },
  decrypt: {
    repeat: 'safe',
    permission: 'cloudkms.cryptoKeyVersions.useToDecrypt',
    role: 'roles/cloudkms.cryptoKeyDecrypter',
  },
  getIamPolicy: { repeat: 'safe', permission: 'cloudkms.cryptoKeys.getIamPolicy', role: ADMIN },
  // With the etag in it, a policy is written once.
  setIamPolicy: { repeat: 'safe', permission: 'cloudkms.cryptoKeys.setIamPolicy', role: ADMIN },
  // Anybody may ask what they may do; what can be missing is the right to use the API of the project.
  testIamPermissions: {
    repeat: 'safe',
    permission: 'serviceusage.services.use',
    role: 'roles/serviceusage.serviceUsageConsumer',
  },
};
