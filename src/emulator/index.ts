/** `a2a-kms/emulator`: a local Cloud KMS for tests and development. No place for real keys. */

export type { Clock } from '../clock.js';
export { EMULATOR_ATTESTATION_ROOTS } from './attestation/authority.js';
export type { Corruption, FaultRule } from './fault-rule.js';
export type { ActiveFault, FaultInjector } from './faults.js';
export type { PolicyBinding } from './iam/policies.js';
export type { IssueTokenOptions } from './iam/tokens.js';
export { ManualClock } from './manual-clock.js';
export type { EmulatorIamOptions, EmulatorLogger, KmsEmulatorOptions } from './options.js';
export type { QuotaLimits } from './quota.js';
export type { RequestLog, RequestLogEntry } from './request-log.js';
export type { RpcMessage, StatusDetail, StatusName } from './rpc.js';
export type { RpcName } from './rpc-names.js';
export { type EmulatorIam, type KmsEmulator, startKmsEmulator } from './server.js';
