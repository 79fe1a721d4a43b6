/** The public API of a2a-kms. */

export {
  A2AKeyExchange,
  type AgentDescription,
  type AgentSummary,
} from './a2a-key-exchange.js';
export { type CancelTimer, type Clock, systemClock } from './clock.js';
export type { A2AKeyExchangeConfig, KMSConfig } from './config.js';
export * from './errors.js';
export type { EncryptForAgentOptions, Recipient } from './hierarchy/agent-encryption.js';
export type {
  AgentKeyOptions,
  AgentKeyPurpose,
  EncryptionAlgorithmAlias,
} from './hierarchy/agent-key-spec.js';
export type {
  DescribedAgent,
  DescribedKey,
  DescribeHierarchyOptions,
  HierarchyDescription,
} from './hierarchy/describe.js';
export {
  type AgentKeySet,
  type EndorseOptions,
  KeyHierarchy,
  type KeyHierarchyOptions,
  type MasterKeys,
} from './hierarchy/key-hierarchy.js';
export { derToP1363, p1363ToDer } from './identity/der.js';
export {
  ENDORSEMENT_TYPE,
  type Endorsement,
  type IssueEndorsementOptions,
  issueEndorsement,
  type VerifyEndorsementOptions,
  verifyEndorsement,
} from './identity/endorsement.js';
export type { JoseHeader } from './identity/jose-header.js';
export { encryptCompactJwe, type JweOptions } from './identity/jwe.js';
export {
  type JwkLike,
  jwkThumbprint,
  type PublicJwk,
  type PublicKeyInput,
  toPublicJwk,
} from './identity/jwk.js';
export {
  type JwsHeader,
  type JwsSigner,
  type SignJwsOptions,
  signCompactJws,
  type VerifiedJws,
  type VerifyJwsOptions,
  verifyCompactJws,
} from './identity/jws.js';
export type { AgentAlgorithmAlias } from './keys/algorithm-alias.js';
export {
  type AlgorithmEntry,
  algorithmsOf,
  findAlgorithm,
  type KeyAlgorithm,
  type KeyPurpose,
  type ProtectionLevel,
  type SignatureEncoding,
  type SigningAlgorithm,
} from './keys/algorithms.js';
export type {
  CallOptions,
  DestructionResult,
  EncryptionOptions,
  KeyMetadata,
  KeyProvider,
  KeySpec,
  KeyVersionInUse,
  KeyVersionMetadata,
  KeyVersionState,
  ListKeysOptions,
  ProviderKeyPurpose,
  RestoreOptions,
  SignatureDetails,
} from './keys/key-provider.js';
export { KMSClient } from './kms/kms-client.js';
export type { Logger } from './logger.js';
