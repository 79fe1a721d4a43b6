/**
 * What an RPC is inside the emulator: a function from a decoded request to a response object, and the one error it may
 * throw. The server owns the wire, these functions own the rules.
 */

import type { Clock } from '../clock.js';

/** The canonical gRPC codes that Cloud KMS answers with (google/rpc/code.proto). */
export const StatusCode = {
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;
/** Name of a gRPC status code other than OK (google.rpc.Code), e.g. `UNAVAILABLE`. */
export type StatusName = keyof typeof StatusCode;

export const STATUS_DETAIL_TYPES = [
  'google.rpc.PreconditionFailure',
  'google.rpc.ErrorInfo',
  'google.rpc.RetryInfo',
  'google.rpc.QuotaFailure',
  'google.rpc.BadRequest',
] as const;

/** A message for `google.rpc.Status.details`, by its full name, with its fields in lowerCamelCase. */
export interface StatusDetail {
  readonly type: (typeof STATUS_DETAIL_TYPES)[number];
  readonly value: Readonly<Record<string, unknown>>;
}

/** The one error an RPC handler throws; the server turns it into a gRPC status. */
export class RpcError extends Error {
  readonly status: StatusName;
  readonly details: readonly StatusDetail[];

  constructor(status: StatusName, message: string, details: readonly StatusDetail[] = []) {
    super(message);
    this.name = 'RpcError';
    this.status = status;
    this.details = details;
  }
}

/** What a handler knows of the call besides its request. */
export interface CallContext {
  /** Short RPC name, e.g. `AsymmetricSign`. */
  readonly method: string;
  readonly clock: Clock;
  /** Request metadata, names in lower case, first value of each. */
  readonly metadata: ReadonlyMap<string, string>;
  /** Who calls, as a member of a policy; undefined where IAM is not enforced. */
  readonly principal: string | undefined;
  /** Waits as long as an HSM takes for one operation; handlers call it for versions of protection level HSM. */
  delayForHsm(): Promise<void>;
}

/**
 * Requests and responses are plain objects in lowerCamelCase as @grpc/proto-loader makes them: enums are strings, bytes
 * are Buffers, int64 are numbers, an unset message field (wrapper types too) is null or absent.
 */
export type RpcMessage = Readonly<Record<string, unknown>>;
export type RpcHandler = (request: RpcMessage, context: CallContext) => Promise<RpcMessage> | RpcMessage;

/** Whether an RPC changes resources, by its name. */
export function isWrite(rpc: string): boolean {
  return /^(?:Create|Update|Destroy|Restore|Import|Delete|SetIam)/.test(rpc);
}

/** RPC name → handler, for one gRPC service. */
export type ServiceHandlers = Readonly<Record<string, RpcHandler>>;
