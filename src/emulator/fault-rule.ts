/** Which calls go wrong on purpose, and how. A rule that could never strike is refused: a test of it would show nothing. */

import { z } from 'zod';
import { parseArgument } from './argument.js';
import {
  type RpcMessage,
  STATUS_DETAIL_TYPES,
  StatusCode,
  type StatusDetail,
  type StatusName,
} from './rpc.js';
import { RPC_NAMES, type RpcName } from './rpc-names.js';

/** What of a call is damaged. */
export type Corruption =
  /** A byte of the request's payload, on the way in: its checksum no longer matches. */
  | 'request'
  /** A byte of the answer's payload (signature, ciphertext, plaintext, PEM, …): its checksum no longer matches. */
  | 'response-data'
  /** The checksum of the answer's payload. */
  | 'response-crc'
  /** The checksum of the answer's payload is missing. */
  | 'missing-crc'
  /** The payload of the answer is missing. */
  | 'missing-data'
  /** `verified_*` of the answer says that no checksum was seen. */
  | 'verified'
  /** The resource name in the answer is another one. */
  | 'name'
  /** The answer names another protection level. */
  | 'protection-level';

/** Which calls of the emulator go wrong, and how (docs/emulator.md). Unknown fields are refused. */
export interface FaultRule {
  /** Short RPC name, or `*` for every RPC. */
  readonly rpc: RpcName | '*';
  /** Answers with a status in place of a result. */
  readonly status?:
    | {
        readonly code: StatusName;
        readonly message?: string | undefined;
        readonly details?: readonly StatusDetail[] | undefined;
      }
    | undefined;
  /** Waits before anything else, in real milliseconds. */
  readonly delayMs?: number | undefined;
  /** Never answers. */
  readonly hang?: boolean | undefined;
  readonly corrupt?: Corruption | undefined;
  /** Destroys the TCP connection. */
  readonly dropConnection?: boolean | undefined;
  /** The call takes effect, and only then does the fault happen: the answer is lost. */
  readonly applyAfterExecution?: boolean | undefined;
  /** Only calls for which it returns true. */
  readonly when?: ((request: RpcMessage) => boolean) | undefined;
  /** Spares the first n calls. */
  readonly after?: number | undefined;
  /** Only every nth call. */
  readonly every?: number | undefined;
  /** Stops after n faults. */
  readonly times?: number | undefined;
}

const flag = z.boolean('must be true or false').optional();
const count = (min: number) => z.int('must be a whole number').min(min, `must be at least ${min}`).optional();
const STATUS_NAMES = Object.keys(StatusCode).filter((name): name is StatusName => name in StatusCode);

const status = z.strictObject({
  code: z.enum(STATUS_NAMES, 'is not a status of gRPC, such as UNAVAILABLE'),
  message: z.string().optional(),
  details: z
    .array(
      z.strictObject({
        type: z.enum(STATUS_DETAIL_TYPES, `must be one of ${STATUS_DETAIL_TYPES.join(', ')}`),
        value: z.record(z.string(), z.unknown()),
      }),
    )
    .optional(),
});

const schema = z.strictObject({
  rpc: z.enum([...RPC_NAMES, '*'], 'is not the name of an RPC, such as AsymmetricSign, nor *'),
  status: status.optional(),
  delayMs: z.number().min(0, 'must not be negative').max(86_400_000, 'must be at most 86,400,000').optional(),
  hang: flag,
  corrupt: z
    .enum(
      [
        ...(['request', 'response-data', 'response-crc', 'missing-crc', 'missing-data', 'verified'] as const),
        ...(['name', 'protection-level'] as const),
      ] satisfies readonly Corruption[],
      'is nothing that can be damaged',
    )
    .optional(),
  dropConnection: flag,
  applyAfterExecution: flag,
  when: z
    .custom<(request: RpcMessage) => boolean>((value) => typeof value === 'function', 'must be a function')
    .optional(),
  after: count(0),
  every: count(1),
  times: count(1),
});

/** @throws InvalidArgumentError naming every field that is wrong. */
export function parseFaultRule(rule: unknown): FaultRule {
  return parseArgument('faults.add', schema, { name: 'rule', value: rule });
}
