/** The public API of a2a-kms. */

export {
  A2AKeyExchange,
  type AgentDescription,
  type AgentKeyOptions,
  type AgentSummary,
} from './a2a-key-exchange.js';
export { type CancelTimer, type Clock, systemClock } from './clock.js';
export type { A2AKeyExchangeConfig, KMSConfig } from './config.js';
export * from './errors.js';
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
