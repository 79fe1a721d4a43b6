/** The public API of a2a-kms. */

export { A2AKeyExchange, type EnvelopeOptions, type VerifyMessageOptions } from './a2a-key-exchange.js';
export type {
  AgentAccessBinding,
  AgentAccessOptions,
  GrantAgentAccessOptions,
} from './access/agent-access.js';
export { AGENT_ROLES, type AgentRole, type AgentRoleName } from './access/agent-roles.js';
export type { MissingPermission, PreflightOptions, PreflightReport } from './access/preflight.js';
export type { PreflightTask } from './access/preflight-needs.js';
export { FilePublicKeyArchive, type FilePublicKeyArchiveOptions } from './archive/file-archive.js';
export { type ArchivedJwk, type ArchivedJwkSet, exportJwkSet, importJwkSet } from './archive/jwk-set.js';
export type { AttestationCertificateChains, AttestationInput } from './attestation/attestation-input.js';
export type { KeyAttestation } from './attestation/key-attestation.js';
export type { AttestedKey } from './attestation/key-attributes.js';
export { type AttestationRoots, CLOUD_HSM_ROOTS } from './attestation/roots.js';
export {
  type AttestationCheck,
  type AttestationCheckName,
  type AttestationVerdict,
  attestedKeyOf,
  verifyAttestation,
} from './attestation/verify-attestation.js';
export type { AuditAnchor, AuditStats, AuditTrail } from './audit/audit-trail.js';
export type {
  AuditProblem,
  AuditVerdict,
  AuditVerification,
  VerifiedChain,
} from './audit/audit-verification.js';
export type { AuditCheckpoint, AuditEvent, AuditLine, AuditNotice } from './audit/line.js';
export type { CheckpointKey } from './audit/section-check.js';
export type { AuditKeys, VerifyAuditTrailOptions } from './audit/verification-input.js';
export { verifyAuditTrail } from './audit/verify-audit-trail.js';
export { type BatchExchange, BatchSigner } from './batch/batch-signer.js';
export type {
  BatchCloseOptions,
  BatchSignerOptions,
  BatchSignOptions,
} from './batch/batch-signer-options.js';
export { BlindedMessage } from './batch/blinded-message.js';
export { type ReceiptJson, receiptFromJson, receiptToJson } from './batch/receipt-json.js';
export { ReceiptTrust, type ReceiptTrustOptions, type TrustedKeys } from './batch/receipt-trust.js';
export type { SignBatchOptions } from './batch/sign-batch-options.js';
export type { SignManyOptions, SignManyOutcome, SignManyProgress } from './batch/sign-many.js';
export { examineReceipt, type ReceiptVerdict, verifyReceipt } from './batch/verify-receipt.js';
export { type CancelTimer, type Clock, systemClock, type TimerOptions } from './clock.js';
export type { ComplianceReportOptions } from './compliance/compliance-report.js';
export { renderComplianceReport } from './compliance/markdown.js';
export type {
  ComplianceCheck,
  ComplianceFinding,
  ComplianceReport,
  FindingResult,
  ReportedKey,
  ReportedVersion,
} from './compliance/report.js';
export type { AccessRolesConfig, AgentImpersonations } from './config/access-config.js';
export type { A2AKeyExchangeConfig } from './config/agent-config.js';
export type { AuditConfig, AuditSink, AuditSinkConfig } from './config/audit-config.js';
export type { MigrationPhase } from './config/flags.js';
export type { KMSConfig, PinnedVersion } from './config/kms-config.js';
export type { QuotaConfig, QuotaLimitsConfig } from './config/quota-config.js';
export type { ReplicaConfig, ReplicationConfig } from './config/replication-config.js';
export type { SoftwareKeyStoreConfig, SoftwareKeysPolicy, StoreSecret } from './config/software-config.js';
export { EnvelopeCipher, type EnvelopeStats } from './envelope/envelope-cipher.js';
export type { KeyWrappingProvider } from './envelope/key-wrapper.js';
export type { EnvelopeCallOptions, EnvelopeCipherOptions } from './envelope/options.js';
export * from './errors/access.js';
export * from './errors/any-error.js';
export { A2AKmsError, type ErrorContext } from './errors/base.js';
export * from './errors/envelope.js';
export type { ErrorCode } from './errors/error-code.js';
export * from './errors/identity.js';
export * from './errors/input.js';
export * from './errors/keys.js';
export * from './errors/migration.js';
export * from './errors/replication.js';
export * from './errors/service.js';
export * from './errors/storage.js';
export type { ExchangeStats } from './exchange-stats.js';
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
export type { KeyHierarchyOptions } from './hierarchy/hierarchy-options.js';
export {
  type AgentKeySet,
  type EndorseOptions,
  type ExchangeHierarchy,
  KeyHierarchy,
} from './hierarchy/key-hierarchy.js';
export type { MasterKeys } from './hierarchy/master-keys.js';
export { derToP1363, p1363ToDer } from './identity/der.js';
export {
  ENDORSEMENT_TYPE,
  type Endorsement,
  type IssueEndorsementOptions,
  issueEndorsement,
  type VerifyEndorsementOptions,
  verifyEndorsement,
} from './identity/endorsement.js';
export type { Ed25519Name } from './identity/jose-algorithm.js';
export type { JoseHeader } from './identity/jose-header.js';
export { encryptCompactJwe, type JweOptions } from './identity/jwe.js';
export {
  type JosePublicKey,
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
export type {
  AccessBinding,
  AccessChange,
  AccessManager,
  GrantOptions,
  TestedPermissions,
} from './keys/access.js';
export type { AgentKeyRole } from './keys/agent-key-name.js';
export type { AgentAlgorithmAlias } from './keys/algorithm-alias.js';
export type {
  AlgorithmEntry,
  DecryptionAlgorithm,
  DecryptionAlgorithmEntry,
  KemAlgorithmEntry,
  KeyAlgorithm,
  KeyPurpose,
  MacAlgorithmEntry,
  ProtectionLevel,
  RawSymmetricAlgorithmEntry,
  SignatureEncoding,
  SigningAlgorithm,
  SigningAlgorithmEntry,
} from './keys/algorithm-types.js';
export { algorithmsOf, findAlgorithm } from './keys/algorithms.js';
export type {
  CallOptions,
  DestroyOptions,
  EncryptionOptions,
  ListKeysOptions,
  RestoreOptions,
  RetireOptions,
  RotationOptions,
  VerifyOptions,
} from './keys/call-options.js';
export type { Impersonation } from './keys/impersonation.js';
export type {
  DestructionResult,
  KeyMetadata,
  KeyProvider,
  KeyRingProvider,
  KeySpec,
  KeyVersionInUse,
  KeyVersionMetadata,
  KeyVersionState,
  ProviderKeyPurpose,
  RetirementResult,
  RotationResult,
  RotationSchedule,
  ScheduledDestruction,
  SignatureDetails,
} from './keys/key-provider.js';
export type { MasterRole } from './keys/master-key-name.js';
export type { ParseResult } from './keys/parse-result.js';
export type { ArchivedPublicKey, PublicKeyArchive } from './keys/public-key-archive.js';
export type { RotationPolicy } from './keys/rotation-policy.js';
export type { VersionLifecycle, VersionTimes } from './keys/version-history.js';
export { KMSClient } from './kms/kms-client.js';
export type { AgentRotationOptions, RoleOptions } from './lifecycle/agent-lifecycle.js';
export type { LocatedAttestation } from './lifecycle/attest-agent.js';
export type {
  AgentDescription,
  AgentSummary,
  DescribedVersion,
  KeyDescription,
} from './lifecycle/describe-agent.js';
export type { AgentDestruction, DestroyAgentOptions, VersionDestruction } from './lifecycle/destroy-agent.js';
export type { LocatedPublicKey, PublishedLifecycle } from './lifecycle/published-keys.js';
export type { UnreadKeyRing } from './lifecycle/read-rings.js';
export type {
  KeyRotationReport,
  RotateDueKeysOptions,
  RotationProgress,
  RotationReport,
} from './lifecycle/rotate-due-keys.js';
export type { RotationScheduler, RotationSchedulerOptions } from './lifecycle/rotation-scheduler.js';
export type { PruneStaleAgentsOptions, StaleAgentReport } from './lifecycle/stale-agents.js';
export type { Logger } from './logger.js';
export {
  HANDOVER_ACCEPTANCE_TYPE,
  HANDOVER_TYPE,
  type Handover,
  type VerifyHandoverOptions,
  verifyHandover,
} from './migration/handover.js';
export type {
  AgentMigration,
  AgentMigrationReport,
  MigrateAgentOptions,
  MigrateAllAgentsOptions,
  MigratedKey,
  MigrationProgress,
  MigrationReport,
  PurgeMigratedKeysOptions,
  PurgeReport,
} from './migration/migration-report.js';
export type { MigrationStrategy } from './migration/standing.js';
export type {
  CallObserver,
  ObservedAttempt,
  ObservedCall,
  ObservedOutcome,
  ObservedVersion,
  ObservedWarning,
  ProviderObserver,
} from './provider/observer.js';
export type {
  CacheStats,
  ConnectionStats,
  KmsStats,
  OperationStats,
  ProviderStats,
  QuotaStats,
  SoftwareStats,
} from './provider/stats.js';
export type { LocationStatus } from './replication/location.js';
export type { ReplicatedKeyProvider } from './replication/replicated-key-provider.js';
export type { SoftwareKeyProviderConfig } from './software/provider-config.js';
export { SoftwareKeyProvider } from './software/software-key-provider.js';
export type { TelemetrySetting } from './telemetry/load.js';
