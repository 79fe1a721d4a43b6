/**
 * Every name that telemetry gives out: docs/telemetry.md lists the same. The `rpc.*`, `server.*` and `error.*` names are those
 * of the OpenTelemetry semantic conventions 1.45.0; a name that others have fixed is not changed here.
 */

import { version } from '../../package.json';

/** The instrumentation scope, also in the version of this package. */
export const SCOPE = { name: 'a2a-kms', version };

/** `a2a_kms sign` and so on: one for each call of a public method of a provider. */
export const OPERATION_SPAN_PREFIX = 'a2a_kms ';
/** `google.cloud.kms.v1.KeyManagementService/AsymmetricSign` and so on: one for each attempt of an RPC. */
export function rpcMethod(rpc: string): string {
  // What Cloud KMS serves of google.iam.v1: GetIamPolicy, SetIamPolicy, TestIamPermissions.
  const service = /Iam(?:Policy|Permissions)$/.test(rpc)
    ? 'google.iam.v1.IAMPolicy'
    : 'google.cloud.kms.v1.KeyManagementService';
  return `${service}/${rpc.charAt(0).toUpperCase()}${rpc.slice(1)}`;
}

export const METRIC = {
  operationDuration: 'a2a_kms.operation.duration',
  operationAttempts: 'a2a_kms.operation.attempts',
  rpcDuration: 'rpc.client.call.duration',
  operationsActive: 'a2a_kms.operation.active',
  cacheRequests: 'a2a_kms.cache.requests',
  cacheEntries: 'a2a_kms.cache.entries',
  channels: 'a2a_kms.connection.channels',
  rpcsActive: 'a2a_kms.connection.rpcs',
  queueDepth: 'a2a_kms.connection.queue_depth',
  quotaTokens: 'a2a_kms.quota.tokens',
  quotaWaiting: 'a2a_kms.quota.queue_depth',
  auditEvents: 'a2a_kms.audit.events',
  auditLostEvents: 'a2a_kms.audit.lost_events',
  auditFailedCheckpoints: 'a2a_kms.audit.failed_checkpoints',
  auditUnsigned: 'a2a_kms.audit.unsigned',
  locationState: 'a2a_kms.location.state',
} as const;

export const ATTRIBUTE = {
  operation: 'a2a_kms.operation',
  provider: 'a2a_kms.provider',
  keyRing: 'a2a_kms.key_ring',
  key: 'a2a_kms.key',
  keyVersion: 'a2a_kms.key_version',
  algorithm: 'a2a_kms.algorithm',
  protectionLevel: 'a2a_kms.protection_level',
  outcome: 'a2a_kms.outcome',
  verdict: 'a2a_kms.verdict',
  attempts: 'a2a_kms.attempts',
  attempt: 'a2a_kms.attempt',
  correlationId: 'a2a_kms.correlation_id',
  cache: 'a2a_kms.cache',
  cacheResult: 'a2a_kms.cache.result',
  quota: 'a2a_kms.quota',
  locationState: 'a2a_kms.location.state',
  errorType: 'error.type',
  rpcSystem: 'rpc.system.name',
  rpcMethod: 'rpc.method',
  rpcStatus: 'rpc.response.status_code',
  serverAddress: 'server.address',
  serverPort: 'server.port',
} as const;
