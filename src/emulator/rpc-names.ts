/** The RPCs that are registered, by name: all of Cloud KMS and what its clients call besides. A test compares them with the descriptors. */

export const RPC_NAMES = [
  // google.cloud.kms.v1.KeyManagementService
  ...(['ListKeyRings', 'GetKeyRing', 'CreateKeyRing'] as const),
  ...(['ListCryptoKeys', 'GetCryptoKey', 'CreateCryptoKey', 'UpdateCryptoKey', 'DeleteCryptoKey'] as const),
  ...(['UpdateCryptoKeyPrimaryVersion', 'ListCryptoKeyVersions', 'GetCryptoKeyVersion'] as const),
  ...(['CreateCryptoKeyVersion', 'UpdateCryptoKeyVersion', 'DeleteCryptoKeyVersion'] as const),
  ...(['DestroyCryptoKeyVersion', 'RestoreCryptoKeyVersion', 'ImportCryptoKeyVersion'] as const),
  ...(['ImportTrustedKeyWrappedCryptoKeyVersion', 'ExportTrustedKeyWrappedCryptoKeyVersion'] as const),
  ...(['GetPublicKey', 'ListImportJobs', 'GetImportJob', 'CreateImportJob'] as const),
  ...(['ListRetiredResources', 'GetRetiredResource'] as const),
  ...(['Encrypt', 'Decrypt', 'RawEncrypt', 'RawDecrypt', 'AsymmetricSign', 'AsymmetricDecrypt'] as const),
  ...(['MacSign', 'MacVerify', 'Decapsulate', 'GenerateRandomBytes'] as const),
  // google.cloud.kms.v1.Autokey and AutokeyAdmin
  ...(['CreateKeyHandle', 'GetKeyHandle', 'ListKeyHandles'] as const),
  ...(['UpdateAutokeyConfig', 'GetAutokeyConfig', 'ShowEffectiveAutokeyConfig'] as const),
  // google.cloud.kms.v1.EkmService
  ...(['ListEkmConnections', 'GetEkmConnection', 'CreateEkmConnection', 'UpdateEkmConnection'] as const),
  ...(['GetEkmConfig', 'UpdateEkmConfig', 'VerifyConnectivity'] as const),
  // google.cloud.kms.v1.HsmManagement
  ...([
    'ListSingleTenantHsmInstances',
    'GetSingleTenantHsmInstance',
    'CreateSingleTenantHsmInstance',
  ] as const),
  ...(['CreateSingleTenantHsmInstanceProposal', 'ApproveSingleTenantHsmInstanceProposal'] as const),
  ...(['ExecuteSingleTenantHsmInstanceProposal', 'GetSingleTenantHsmInstanceProposal'] as const),
  ...(['ListSingleTenantHsmInstanceProposals', 'DeleteSingleTenantHsmInstanceProposal'] as const),
  // google.longrunning.Operations
  ...(['ListOperations', 'GetOperation', 'DeleteOperation', 'CancelOperation', 'WaitOperation'] as const),
  // google.iam.credentials.v1.IAMCredentials
  ...(['GenerateAccessToken', 'GenerateIdToken', 'SignBlob', 'SignJwt'] as const),
  // google.iam.v1.IAMPolicy
  ...(['SetIamPolicy', 'GetIamPolicy', 'TestIamPermissions'] as const),
  // google.cloud.location.Locations
  ...(['ListLocations', 'GetLocation'] as const),
] as const;

/** Short name of an RPC that the emulator answers, e.g. `AsymmetricSign`. */
export type RpcName = (typeof RPC_NAMES)[number];
