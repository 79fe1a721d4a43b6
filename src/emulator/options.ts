/** Options of the emulator, parsed once. */

import { z } from 'zod';
import { type Clock, clockSchema, systemClock } from '../clock.js';
import { InvalidConfigError } from '../errors/input.js';
import { schemaProblems } from '../schema-problems.js';
import type { PolicyBinding } from './iam/policies.js';
import type { QuotaLimits } from './quota.js';

/** Where the emulator writes what goes wrong in it; a pino logger is one. */
export interface EmulatorLogger {
  /** What the emulator goes on after. */
  warn(fields: object, message: string): void;
  /** What made a call or a write of the state file fail. */
  error(fields: object, message: string): void;
}

/** Who may do what. A member is written as in a policy, e.g. `serviceAccount:bot@project.iam.gserviceaccount.com`. */
export interface EmulatorIamOptions {
  /** The policy that all key rings, keys and service accounts inherit, as from a project. */
  readonly bindings?: readonly PolicyBinding[] | undefined;
  /** Custom roles: full name, e.g. `projects/p/roles/a2aSigner`, and permissions. */
  readonly roles?: Readonly<Record<string, readonly string[]>> | undefined;
  /** Access tokens that never expire, and whose they are. More are issued by `iam.issueToken` and GenerateAccessToken. */
  readonly tokens?: Readonly<Record<string, string>> | undefined;
  /** Policies of service accounts, by email: who may have their tokens. */
  readonly serviceAccounts?: Readonly<Record<string, readonly PolicyBinding[]>> | undefined;
}

/** Options of `startKmsEmulator`. Unknown ones are refused. */
export interface KmsEmulatorOptions {
  /** Address to listen on. Default `127.0.0.1`: only this machine. */
  readonly host?: string | undefined;
  /** Port; 0, the default, takes a free one. */
  readonly port?: number | undefined;
  /** How long each operation with an HSM-level key takes, in real milliseconds. Default 0. */
  readonly hsmLatencyMs?: number | undefined;
  /** How long a SOFTWARE asymmetric version stays PENDING_GENERATION, by the clock. Milliseconds, default 50. */
  readonly asymmetricGenerationMs?: number | undefined;
  /** How long an HSM asymmetric version stays PENDING_GENERATION, by the clock. Milliseconds, default 500. 0 for a clock that stands still. */
  readonly hsmGenerationMs?: number | undefined;
  /** What time it is for the service: creation, scheduled destruction, rotation, expiry, quotas. Default: the real one. */
  readonly clock?: Clock | undefined;
  /** Quotas per project. Default: none. */
  readonly quota?: QuotaLimits | undefined;
  /** HTTP/2 streams at once on one connection. Default 100, like the front end of Cloud KMS. */
  readonly maxConcurrentStreams?: number | undefined;
  /** Enforces IAM: every call needs a token, and its owner the permission. Default: nobody is refused. */
  readonly iam?: EmulatorIamOptions | undefined;
  /** File that keeps the keys over a restart, of this emulator only. Default: none, keys are gone when the emulator stops. */
  readonly stateFile?: string | undefined;
  /** Default: standard error. */
  readonly logger?: EmulatorLogger | undefined;
}

const hasMethods = (value: unknown, methods: readonly string[]): boolean =>
  typeof value === 'object' &&
  value !== null &&
  methods.every((name) => typeof Reflect.get(value, name) === 'function');

const perMinute = z.int().min(0).optional();
const milliseconds = (defaultMs: number) => z.number().min(0).max(86_400_000).default(defaultMs);

const bindings = z.array(
  z.strictObject({
    role: z.string(),
    members: z.array(z.string()),
    condition: z.strictObject({ expression: z.string() }).optional(),
  }),
);

const schema = z.strictObject({
  host: z.string().min(1).default('127.0.0.1'),
  port: z.int().min(0).max(65_535).default(0),
  hsmLatencyMs: milliseconds(0),
  asymmetricGenerationMs: milliseconds(50),
  hsmGenerationMs: milliseconds(500),
  clock: clockSchema.default(systemClock),
  quota: z
    .strictObject({ readPerMinute: perMinute, writePerMinute: perMinute, cryptographicPerMinute: perMinute })
    .default({}),
  maxConcurrentStreams: z.int().min(1).max(2_147_483_647).default(100),
  iam: z
    .strictObject({
      bindings: bindings.default([]),
      roles: z.record(z.string(), z.array(z.string())).default({}),
      tokens: z.record(z.string().min(1), z.string()).default({}),
      serviceAccounts: z.record(z.string(), bindings).default({}),
    })
    .optional(),
  stateFile: z.string().min(1).optional(),
  logger: z
    .custom<EmulatorLogger>((value) => hasMethods(value, ['warn', 'error']))
    .default({
      warn: (fields, message) => void process.stderr.write(`${message} ${JSON.stringify(fields)}\n`),
      error: (fields, message) => void process.stderr.write(`${message} ${JSON.stringify(fields)}\n`),
    }),
});

export type ResolvedEmulatorOptions = z.output<typeof schema>;

/** @throws InvalidConfigError naming every option that is wrong. */
export function parseEmulatorOptions(options: KmsEmulatorOptions): ResolvedEmulatorOptions {
  const parsed = schema.safeParse(options);
  if (parsed.success) return parsed.data;
  throw new InvalidConfigError(schemaProblems(parsed.error, 'emulator'));
}
