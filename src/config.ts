/**
 * Configuration: parsed once, in the constructor, with every problem listed. Unknown fields are refused, so that a
 * misspelt option is never accepted and ignored. Defaults stand here with their units.
 */

import { X509Certificate } from 'node:crypto';
import { z } from 'zod';
import {
  type AccessRolesConfig,
  type AgentImpersonations,
  accessRolesSchema,
  agentImpersonationsSchema,
  identityProblems,
  impersonationSchema,
  keyImpersonationSchema,
} from './access-config.js';
import type { AttestationRoots } from './attestation/roots.js';
import { type AuditConfig, auditSchema, type ResolvedAuditConfig } from './audit-config.js';
import { type Clock, systemClock } from './clock.js';
import { type ConfigProblem, InvalidConfigError } from './errors.js';
import { type KeySource, type MigrationPhase, RETENTION_DEFAULT_DAYS, resolveKeySource } from './flags.js';
import { type AgentAlgorithmAlias, resolveAlgorithmAlias } from './keys/algorithm-alias.js';
import {
  algorithmsOf,
  findAlgorithm,
  isKeyAlgorithm,
  type KeyAlgorithm,
  type ProtectionLevel,
  type SigningAlgorithm,
  type SigningAlgorithmEntry,
} from './keys/algorithms.js';
import type { Impersonation } from './keys/impersonation.js';
import { ROTATION_PERIOD_MAX_SECONDS, ROTATION_PERIOD_MIN_SECONDS } from './keys/key-provider.js';
import type { PublicKeyArchive } from './keys/public-key-archive.js';
import { checkPolicy, type RotationPolicy } from './keys/rotation-policy.js';
import { createDefaultLogger, type Logger } from './logger.js';
import type { ProviderObserver } from './provider/observer.js';
import { type QuotaConfig, quotaSchema } from './quota-config.js';
import {
  type ReplicaConfig,
  type ReplicationConfig,
  replicaProblems,
  replicasSchema,
  replicationSchema,
} from './replication-config.js';
import {
  type SoftwareKeyStoreConfig,
  softwareKeyStoreSchema,
  softwareKeysPolicySchema,
} from './software-config.js';
import type { TelemetrySetting } from './telemetry/load.js';

const PROJECT_ID = /^(?:[a-z0-9.-]{1,253}:)?[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$|^[0-9]{1,20}$/;
const LOCATION_ID = /^[a-z][a-z0-9-]{0,62}$/;
const KEY_RING_ID = /^[a-zA-Z0-9_-]{1,63}$/;
const HOST = /^(?:\[[0-9a-fA-F:.]+\]|[a-zA-Z0-9.-]+)(?::[0-9]{1,5})?$/;
const HOST_AND_PORT = /^(?:\[[0-9a-fA-F:.]+\]|[a-zA-Z0-9.-]+):[0-9]{1,5}$/;

/** 90 days: what Google recommends for keys that encrypt regularly. */
export const KEK_ROTATION_PERIOD_DEFAULT_SECONDS = 7_776_000;
/** 30 days. */
export const ENDORSEMENT_VALIDITY_DEFAULT_SECONDS = 2_592_000;
/** 397 days, about the longest that web browsers took a certificate for. */
export const ENDORSEMENT_VALIDITY_MAX_SECONDS = 34_300_800;

const milliseconds = (defaultMs: number) =>
  z
    .int('a whole number of milliseconds is required')
    .min(1, 'at least 1 ms is required')
    .max(3_600_000, 'at most 3,600,000 ms (one hour) are possible')
    .default(defaultMs);

const count = (defaultCount: number, max: number) =>
  z
    .int('a whole number is required')
    .min(1, 'at least 1 is required')
    .max(max, `at most ${max} are possible`)
    .default(defaultCount);

const isLogger = (value: unknown): value is Logger =>
  typeof value === 'object' &&
  value !== null &&
  (['debug', 'info', 'warn', 'error'] as const).every(
    (level) => typeof Reflect.get(value, level) === 'function',
  );

const isClock = (value: unknown): value is Clock =>
  typeof value === 'object' &&
  value !== null &&
  (['now', 'setTimer'] as const).every((method) => typeof Reflect.get(value, method) === 'function');

const isObserver = (value: unknown): value is ProviderObserver =>
  typeof value === 'object' && value !== null && typeof Reflect.get(value, 'begin') === 'function';

const isArchive = (value: unknown): value is PublicKeyArchive =>
  typeof value === 'object' &&
  value !== null &&
  (['put', 'get', 'list'] as const).every((method) => typeof Reflect.get(value, method) === 'function');

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).toString() !== '';
  } catch {
    return false;
  }
}

const pinnedVersion = z.strictObject({
  /** Full CryptoKeyVersion name, in the configured key ring. */
  name: z.string('the full name of a key version is required'),
  algorithm: z.custom<KeyAlgorithm>(isKeyAlgorithm, 'is not a Cloud KMS algorithm'),
  protectionLevel: z.enum(['HSM', 'SOFTWARE'], 'must be HSM or SOFTWARE').default('HSM'),
});

/** The key ring that a provider works in. */
export const keyRingShape = {
  projectId: z
    .string('the Google Cloud project is required')
    .regex(PROJECT_ID, 'is not a project id or number'),
  locationId: z
    .string('the Cloud KMS location is required, e.g. europe-west3 or global')
    .regex(LOCATION_ID, 'is not a location id such as europe-west3, us or global'),
  keyRingId: z
    .string('the key ring is required')
    .regex(KEY_RING_ID, 'a key ring id has 1 to 63 letters, digits, "_" or "-"'),
} as const;

/** What every provider works with besides its keys. */
export const runtimeShape = {
  publicKeyArchive: z
    .custom<PublicKeyArchive>(
      isArchive,
      'must have the methods put, get and list, like a FilePublicKeyArchive',
    )
    .optional(),
  requireAttestation: z.boolean('must be true or false').default(false),
  attestationRoots: z
    .strictObject({
      manufacturer: z
        .array(z.string().refine(isCertificate, 'is not a certificate in PEM'))
        .min(1, 'a root is required'),
      google: z
        .array(z.string().refine(isCertificate, 'is not a certificate in PEM'))
        .min(1, 'a root is required'),
    })
    .optional(),
  logger: z
    .custom<Logger>(isLogger, 'must have the methods debug, info, warn and error, like a pino logger')
    .optional(),
  clock: z.custom<Clock>(isClock, 'must have the methods now and setTimer').optional(),
  observers: z
    .array(z.custom<ProviderObserver>(isObserver, 'must have the method begin'), 'must be a list')
    .default([]),
  audit: auditSchema.optional(),
  telemetry: z.enum(['off', 'auto', 'on'], 'must be off, auto or on').default('off'),
} as const;

const kmsShape = {
  ...keyRingShape,
  ...runtimeShape,
  credentialsPath: z.string('must be a path').min(1, 'must not be empty').optional(),
  apiEndpoint: z
    .string('must be a host name')
    .regex(HOST, 'is not a host name, optionally with a port')
    .optional(),
  emulatorHost: z.string('must be HOST:PORT').regex(HOST_AND_PORT, 'is not HOST:PORT').optional(),
  allowEmulatorInProduction: z.boolean('must be true or false').default(false),
  emulatorAccessToken: z.string('must be a token').min(1, 'must not be empty').optional(),
  impersonate: impersonationSchema.optional(),
  impersonateKeys: keyImpersonationSchema.optional(),
  iamCredentialsEndpoint: z
    .string('must be a host name')
    .regex(HOST, 'is not a host name, optionally with a port')
    .optional(),
  deadlines: z
    .strictObject({
      /** Total deadline of an operation, with all its calls and retries. */
      operationMs: milliseconds(10_000),
      /** Deadline of one attempt of one call. */
      attemptMs: milliseconds(5_000),
      /** Total deadline of generateKey and rotateKey, which wait for the HSM to make key material. */
      generationMs: milliseconds(60_000),
      /** How long a call may wait for a free stream when all are in use, or for a quota, outside of its deadline. */
      queueMs: milliseconds(30_000),
    })
    .prefault({}),
  retry: z
    .strictObject({
      maxAttempts: count(5, 100),
      initialDelayMs: milliseconds(100),
      maxDelayMs: milliseconds(2_000),
    })
    .prefault({}),
  cache: z
    .strictObject({
      /** How long it is believed which version of a key is in use. */
      keyVersionTtlMs: milliseconds(60_000),
      maxKeys: count(10_000, 10_000_000),
      maxPublicKeys: count(10_000, 10_000_000),
    })
    .prefault({}),
  channels: z
    .strictObject({
      /** gRPC connections at the most; a further one is opened when all are full. */
      count: count(4, 64),
      /** Calls at the same time on one connection; the Cloud KMS front end allows about 100 streams. */
      maxConcurrentCalls: count(100, 1_000),
    })
    .prefault({}),
  quota: quotaSchema,
  pinnedVersions: z.array(pinnedVersion, 'must be a list').default([]),
} as const;

const agentShape = {
  defaultAlgorithm: z
    .string('must be an algorithm name')
    .refine(
      (name) => findAlgorithm(resolveAlgorithmAlias(name))?.purpose === 'ASYMMETRIC_SIGN',
      `must be ecdsa-p256, ecdsa-p384, ed25519 or one of ${algorithmsOf('ASYMMETRIC_SIGN').join(', ')}`,
    )
    .default('EC_SIGN_P384_SHA384'),
  protectionLevel: z.enum(['HSM', 'SOFTWARE'], 'must be HSM or SOFTWARE').default('HSM'),
  maxCachedAgents: count(10_000, 10_000_000),
  rotationPolicy: z
    .unknown()
    .transform((policy, check) => {
      if (policy === undefined) return undefined;
      const parsed = checkPolicy(policy);
      if (parsed.ok) return parsed.value;
      check.addIssue({ code: 'custom', message: parsed.problem });
      return z.NEVER;
    })
    .optional(),
  hierarchy: z
    .strictObject({
      rootAlgorithm: z
        .string('must be an algorithm name')
        .refine(
          (name) => endorsingAlgorithms().includes(resolveAlgorithmAlias(name)),
          `must be ecdsa-p256, ecdsa-p384, ed25519 or one of ${endorsingAlgorithms().join(', ')}`,
        )
        .default('EC_SIGN_P384_SHA384'),
      protectionLevel: z.enum(['HSM', 'SOFTWARE'], 'must be HSM or SOFTWARE').default('HSM'),
      endorsementValiditySeconds: z
        .int('whole seconds are required')
        .min(1, 'at least 1 second is required')
        .max(ENDORSEMENT_VALIDITY_MAX_SECONDS, 'at most 34,300,800 seconds (397 days) are possible')
        .default(ENDORSEMENT_VALIDITY_DEFAULT_SECONDS),
      kekRotationPeriodSeconds: z
        .int('whole seconds are required')
        .min(ROTATION_PERIOD_MIN_SECONDS, 'at least 86,400 seconds (24 hours) are required')
        .max(ROTATION_PERIOD_MAX_SECONDS, 'at most 3,153,600,000 seconds (876,000 hours) are possible')
        .nullable()
        .default(KEK_ROTATION_PERIOD_DEFAULT_SECONDS),
    })
    .optional(),
  accessRoles: accessRolesSchema,
  impersonateAgents: agentImpersonationsSchema.optional(),
  replicas: replicasSchema,
  replication: replicationSchema,
  enableHsmKeys: z.boolean('must be true or false').optional(),
  useSoftwareKeys: z.boolean('must be true or false').optional(),
  softwareKeys: softwareKeysPolicySchema,
  softwareKeyStore: softwareKeyStoreSchema.optional(),
  migration: z
    .strictObject({
      phase: z.literal([1, 2, 3, 4], 'must be 1, 2, 3 or 4').default(1),
      retentionDays: z
        .int('whole days are required')
        .min(1, 'at least 1 day is required')
        .max(3_650, 'at most 3,650 days (ten years) are possible')
        .default(RETENTION_DEFAULT_DAYS),
    })
    .optional(),
} as const;

/** The algorithms that have a name in JOSE, which endorsements are written in. */
function endorsingAlgorithms(): readonly string[] {
  return algorithmsOf('ASYMMETRIC_SIGN').filter((name) => 'joseName' in (findAlgorithm(name) ?? {}));
}

const kmsSchema = z.strictObject(kmsShape, 'must be an object with projectId, locationId and keyRingId');
const agentSchema = z.strictObject(
  { ...kmsShape, ...agentShape },
  'must be an object with projectId, locationId and keyRingId',
);

/** A key version that is used without looking it up, for identities that may sign but not read keys. */
export interface PinnedVersion {
  /** Full CryptoKeyVersion name in the configured key ring. */
  readonly name: string;
  readonly algorithm: KeyAlgorithm;
  /** Every answer must name this level. Default `HSM`. */
  readonly protectionLevel?: ProtectionLevel | undefined;
}

/** Configuration of a `KMSClient`. Only the first three fields are required. */
export interface KMSConfig {
  /** Google Cloud project, id or number. */
  readonly projectId: string;
  /** Cloud KMS location, e.g. `europe-west3`, `us` or `global`. */
  readonly locationId: string;
  readonly keyRingId: string;
  /** Path of a credentials file (JSON). Default: Application Default Credentials. */
  readonly credentialsPath?: string | undefined;
  /** Host, optionally with a port, of a regional endpoint such as `cloudkms.europe-west3.rep.googleapis.com`. */
  readonly apiEndpoint?: string | undefined;
  /** `HOST:PORT` of an emulator: no encryption, no credentials, no protection. Default: the environment's `KMS_EMULATOR_HOST`. */
  readonly emulatorHost?: string | undefined;
  /** Allows an emulator with `NODE_ENV=production`. Default false. */
  readonly allowEmulatorInProduction?: boolean | undefined;
  /** Access token that calls to an emulator carry which enforces IAM. Refused without an emulator. */
  readonly emulatorAccessToken?: string | undefined;
  /**
   * Service account to act as in all calls, in place of the process's own identity, which needs
   * `iam.serviceAccounts.getAccessToken` on it.
   */
  readonly impersonate?: Impersonation | undefined;
  /**
   * Service account to act as where a key is used to sign, encrypt or decrypt; called with the short id of the key. Where
   * it gives none, and for all other calls, `impersonate` counts.
   */
  readonly impersonateKeys?: ((keyId: string) => Impersonation | undefined) | undefined;
  /** Host that gives out tokens of service accounts. Default `iamcredentials.googleapis.com`. */
  readonly iamCredentialsEndpoint?: string | undefined;
  /** Milliseconds. */
  readonly deadlines?:
    | {
        /** Of an operation, with all its calls and retries. Default 10,000. */
        readonly operationMs?: number | undefined;
        /** Of one attempt of one call. Default 5,000. */
        readonly attemptMs?: number | undefined;
        /** Of `generateKey` and `rotateKey`, which wait for the HSM to make key material. Default 60,000. */
        readonly generationMs?: number | undefined;
        /** Of the wait for a free stream when all are in use, and of that for a quota that is used up; the other deadlines stand still meanwhile. Default 30,000. */
        readonly queueMs?: number | undefined;
      }
    | undefined;
  /** Repeats of calls that are safe to repeat; the delay doubles with each and is jittered. */
  readonly retry?:
    | {
        /** Default 5. */
        readonly maxAttempts?: number | undefined;
        /** Default 100. */
        readonly initialDelayMs?: number | undefined;
        /** Default 2,000. */
        readonly maxDelayMs?: number | undefined;
      }
    | undefined;
  readonly cache?:
    | {
        /** How long it is believed which version of a key is in use. Milliseconds, default 60,000. */
        readonly keyVersionTtlMs?: number | undefined;
        /** Keys whose versions are remembered. Default 10,000. */
        readonly maxKeys?: number | undefined;
        /** Public keys that are remembered. Default 10,000. */
        readonly maxPublicKeys?: number | undefined;
      }
    | undefined;
  readonly channels?:
    | {
        /** gRPC connections at the most; a further one is opened when all are full. Default 4. */
        readonly count?: number | undefined;
        /** Calls at the same time on one connection. Default 100, what the Cloud KMS front end allows. */
        readonly maxConcurrentCalls?: number | undefined;
      }
    | undefined;
  readonly quota?: QuotaConfig | undefined;
  readonly pinnedVersions?: readonly PinnedVersion[] | undefined;
  /**
   * Where public keys go before their versions are disabled or destroyed, and where `verify` finds them afterwards.
   * Without one, signing versions are not retired, and destroying them ends the verification of what they signed.
   */
  readonly publicKeyArchive?: PublicKeyArchive | undefined;
  /**
   * Use a key only after the HSM's statement about the version was found valid: made in the HSM and never outside of it.
   * Default false. Refuses `SOFTWARE` and imported keys. Costs one call for each version.
   */
  readonly requireAttestation?: boolean | undefined;
  /** Roots that statements must lead up to, in place of those of Cloud HSM. */
  readonly attestationRoots?: AttestationRoots | undefined;
  /** A pino logger or one with the same four methods. Default: pino to standard error, level `warn`. */
  readonly logger?: Logger | undefined;
  /** Default: the real one. For tests. */
  readonly clock?: Clock | undefined;
  /** Who is told of every call, besides telemetry. Default: nobody, at no cost. */
  readonly observers?: readonly ProviderObserver[] | undefined;
  /** The tamper-evident audit trail (docs/audit-trail.md). Default: none. */
  readonly audit?: AuditConfig | undefined;
  /**
   * Spans and metrics through the OpenTelemetry API (docs/telemetry.md). `off`, the default: the package is not loaded.
   * `auto`: if `@opentelemetry/api` is installed. `on`: it has to be, else the configuration is refused.
   */
  readonly telemetry?: TelemetrySetting | undefined;
}

/** Configuration of an `A2AKeyExchange`: that of a `KMSClient`, and what new agents get. */
export interface A2AKeyExchangeConfig extends KMSConfig {
  /** `ecdsa-p384` (the default), `ecdsa-p256`, `ed25519`, or the Cloud KMS name of a signing algorithm. */
  readonly defaultAlgorithm?: AgentAlgorithmAlias | SigningAlgorithm | undefined;
  /** Default `HSM`. `SOFTWARE` only when asked for by name. */
  readonly protectionLevel?: ProtectionLevel | undefined;
  /**
   * Service account that uses the keys of an agent, by agent id: to sign, and to decrypt what was encrypted to the agent.
   * Making keys, looking at them, rotating and destroying them stays with the process's own identity or `impersonate`.
   */
  readonly impersonateAgents?: AgentImpersonations | undefined;
  /** Custom roles that `grantAgentAccess` grants. Default: those of docs/deploy, in the project. */
  readonly accessRoles?: AccessRolesConfig | undefined;
  /** Agents whose key name is remembered. Default 10,000. */
  readonly maxCachedAgents?: number | undefined;
  /** What `rotateDueKeys` does with the signing keys of new agents. Default: none, they are rotated by hand. */
  readonly rotationPolicy?: RotationPolicy | undefined;
  /**
   * Standby key rings in other locations. Agents' keys are made in all of them, and signing fails over when a location
   * cannot be reached. Not with software keys.
   */
  readonly replicas?: readonly ReplicaConfig[] | undefined;
  readonly replication?: ReplicationConfig | undefined;
  /** Whether agents have HSM keys. Default: the environment's `ENABLE_HSM_KEYS`, else true. */
  readonly enableHsmKeys?: boolean | undefined;
  /**
   * Whether software keys may sign: instead of HSM keys where those are switched off, and for agents that were not migrated
   * in phases 1 and 2 of a migration. Default: the environment's `USE_SOFTWARE_KEYS`, else false.
   */
  readonly useSoftwareKeys?: boolean | undefined;
  /** `forbidden` refuses to start with software keys that sign, whatever the flags say. Default `allowed`. */
  readonly softwareKeys?: 'allowed' | 'forbidden' | undefined;
  /** Where software keys are kept, encrypted. Opened only where the flags and the phase say so. */
  readonly softwareKeyStore?: SoftwareKeyStoreConfig | undefined;
  /** The way from software keys to HSM keys (docs/migration.md). Needs `publicKeyArchive`. */
  readonly migration?:
    | {
        /**
         * 1, the default: new agents get HSM keys, software agents go on. 2: software agents may be migrated. 3: software
         * keys only verify. 4: the software store is not opened.
         */
        readonly phase?: MigrationPhase | undefined;
        /** How long the software key of a migrated agent is kept for a rollback. Days, default 90. */
        readonly retentionDays?: number | undefined;
      }
    | undefined;
  /** Has `initialize` make sure of the master keys: the root that endorses agents' keys, and the key-encryption key. */
  readonly hierarchy?:
    | {
        /** Default `ecdsa-p384`. */
        readonly rootAlgorithm?: AgentAlgorithmAlias | SigningAlgorithm | undefined;
        /** Of the master keys. Default `HSM`. `SOFTWARE` only when asked for by name. */
        readonly protectionLevel?: ProtectionLevel | undefined;
        /** How long an endorsement is valid. Seconds, default 2,592,000 (30 days), at most 34,300,800 (397 days). */
        readonly endorsementValiditySeconds?: number | undefined;
        /**
         * How often Cloud KMS rotates the key-encryption key by itself. Seconds, 86,400 (a day) to 3,153,600,000, default
         * 7,776,000 (90 days); null for none. A schedule that the key has already is kept.
         */
        readonly kekRotationPeriodSeconds?: number | null | undefined;
      }
    | undefined;
}

/** Where the calls go. */
export type KmsEndpoint =
  | {
      readonly kind: 'cloud';
      readonly apiEndpoint: string | undefined;
      readonly credentialsPath: string | undefined;
    }
  | { readonly kind: 'emulator'; readonly host: string; readonly port: number };

/** Host and port that the calls go to. */
export function serverOf(endpoint: KmsEndpoint): { readonly address: string; readonly port: number } {
  if (endpoint.kind === 'emulator') return { address: endpoint.host, port: endpoint.port };
  const { hostname, port } = new URL(`https://${endpoint.apiEndpoint ?? 'cloudkms.googleapis.com'}`);
  return { address: hostname, port: port === '' ? 443 : Number(port) };
}

type ParsedKms = z.output<typeof kmsSchema>;

/** A configuration that was checked, with all defaults in place. */
export interface ResolvedKMSConfig
  extends Readonly<
    Omit<
      ParsedKms,
      'logger' | 'clock' | 'apiEndpoint' | 'emulatorHost' | 'allowEmulatorInProduction' | 'credentialsPath'
    >
  > {
  readonly endpoint: KmsEndpoint;
  readonly logger: Logger;
  readonly clock: Clock;
}

export interface ResolvedAgentConfig {
  readonly impersonateAgents: AgentImpersonations | undefined;
  readonly accessRoles: AccessRolesConfig;
  readonly replicas: readonly ReplicaConfig[];
  readonly replication: { readonly failureThreshold: number; readonly halfOpenAfterMs: number };
  readonly defaultAlgorithm: SigningAlgorithmEntry;
  readonly protectionLevel: ProtectionLevel;
  readonly maxCachedAgents: number;
  /** Absent: `initialize` leaves the master keys alone. */
  readonly hierarchy?:
    | {
        readonly rootAlgorithm: SigningAlgorithm;
        readonly protectionLevel: ProtectionLevel;
        readonly endorsementValiditySeconds: number;
        readonly kekRotationPeriodSeconds: number | null;
      }
    | undefined;
  readonly rotationPolicy: RotationPolicy | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** The endpoint as the audit trail has it: only where it is not the usual one. */
export function shownEndpoint(endpoint: KmsEndpoint): Readonly<Record<string, string>> {
  if (endpoint.kind === 'emulator') return { emulator: `${endpoint.host}:${endpoint.port}` };
  return endpoint.apiEndpoint === undefined ? {} : { apiEndpoint: endpoint.apiEndpoint };
}

/** The environment variables that are read. */
export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Parses the configuration of a `KMSClient`.
 * @throws InvalidConfigError with every problem.
 */
export function parseKMSConfig(config: unknown, environment: Environment = process.env): ResolvedKMSConfig {
  const parsed = kmsSchema.safeParse(config);
  if (!parsed.success)
    throw new InvalidConfigError([...toProblems(parsed.error), ...endpointProblems(config, environment)]);
  const problems = [
    ...endpointProblems(parsed.data, environment),
    ...tokenProblems(parsed.data, environment),
  ];
  if (problems.length > 0) throw new InvalidConfigError(problems);
  return resolveKms(parsed.data, environment);
}

/**
 * Parses the configuration of an `A2AKeyExchange` into that of its `KMSClient` and its own.
 * @throws InvalidConfigError with every problem.
 */
export function parseAgentConfig(
  config: unknown,
  environment: Environment = process.env,
): {
  readonly kms: KMSConfig;
  readonly agents: ResolvedAgentConfig;
  readonly source: KeySource<SoftwareKeyStoreConfig>;
  readonly audit: ResolvedAuditConfig | undefined;
} {
  const parsed = agentSchema.safeParse(config);
  if (!parsed.success) {
    throw new InvalidConfigError([...toProblems(parsed.error), ...endpointProblems(config, environment)]);
  }
  const { defaultAlgorithm, maxCachedAgents, rotationPolicy, hierarchy, ...selection } = parsed.data;
  const { replicas, replication, impersonateAgents, accessRoles, ...others } = selection;
  const { enableHsmKeys, useSoftwareKeys, softwareKeys, softwareKeyStore, migration, ...rest } = others;
  const { protectionLevel: configuredLevel, audit, ...kms } = rest;
  const problems = [...endpointProblems(kms, environment), ...tokenProblems(kms, environment)];
  const flags = { enableHsmKeys, useSoftwareKeys, softwareKeys, softwareKeyStore, migration };
  const { publicKeyArchive } = kms;
  const source = resolveKeySource({ ...flags, publicKeyArchive }, environment, problems);
  // With HSM keys switched off there is no other level, and the configuration must start as it is.
  const protectionLevel = source?.kind === 'software' ? 'SOFTWARE' : configuredLevel;
  const entry = findAlgorithm(resolveAlgorithmAlias(defaultAlgorithm));
  if (entry?.purpose !== 'ASYMMETRIC_SIGN') {
    throw new InvalidConfigError([
      ...problems,
      { field: 'defaultAlgorithm', problem: 'is not a signing algorithm' },
    ]);
  }
  if (source?.kind !== 'software' && !entry.protectionLevels.includes(protectionLevel)) {
    problems.push({
      field: 'defaultAlgorithm',
      problem: `${entry.name} does not exist in protection level ${protectionLevel}; use one of ${algorithmsOf('ASYMMETRIC_SIGN', protectionLevel).join(', ')}`,
    });
  }
  problems.push(...replicaProblems(kms, replicas));
  if (replicas.length > 0 && source !== undefined && source.kind !== 'hsm') {
    problems.push({ field: 'replicas', problem: 'cannot be combined with software keys or a migration' });
  }
  if (source?.kind === 'software') problems.push(...identityWithoutUse({ ...kms, impersonateAgents }));
  const masters = hierarchy && source?.kind === 'software' ? { ...hierarchy, protectionLevel } : hierarchy;
  const resolvedHierarchy = resolveHierarchy(masters, problems);
  if (problems.length > 0 || source === undefined) throw new InvalidConfigError(problems);
  const clock = kms.clock ?? systemClock;
  const logger = kms.logger ?? createDefaultLogger();
  const agents = { defaultAlgorithm: entry, protectionLevel, maxCachedAgents, rotationPolicy, clock, logger };
  return {
    kms: { ...kms, logger },
    agents: {
      ...agents,
      replicas,
      replication,
      impersonateAgents,
      accessRoles,
      ...(resolvedHierarchy && { hierarchy: resolvedHierarchy }),
    },
    source,
    audit,
  };
}

/** Options that say who calls Cloud KMS, in a configuration that never does. */
function identityWithoutUse(config: Readonly<Record<string, unknown>>): readonly ConfigProblem[] {
  return ['impersonate', 'impersonateKeys', 'impersonateAgents'].flatMap((field) =>
    config[field] === undefined
      ? []
      : [{ field, problem: 'has no meaning for software keys, which have no IAM' }],
  );
}

type ParsedHierarchy = z.output<typeof agentSchema>['hierarchy'];

function resolveHierarchy(
  parsed: ParsedHierarchy,
  problems: ConfigProblem[],
): ResolvedAgentConfig['hierarchy'] {
  if (parsed === undefined) return undefined;
  const root = findAlgorithm(resolveAlgorithmAlias(parsed.rootAlgorithm));
  if (root?.purpose !== 'ASYMMETRIC_SIGN' || !root.protectionLevels.includes(parsed.protectionLevel)) {
    problems.push({
      field: 'hierarchy.rootAlgorithm',
      problem: `does not exist in protection level ${parsed.protectionLevel}`,
    });
    return undefined;
  }
  return { ...parsed, rootAlgorithm: root.name };
}

/** What a schema found wrong with a configuration. */
export function toProblems(error: z.ZodError): ConfigProblem[] {
  return error.issues.flatMap((issue) => {
    const path = issue.path.map(String).join('.');
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((key) => ({
        field: path === '' ? key : `${path}.${key}`,
        problem: 'is not an option',
      }));
    }
    return [{ field: path === '' ? 'configuration' : path, problem: issue.message }];
  });
}

/** Where the emulator's address came from decides which name a problem with it is reported under. */
function emulatorSource(
  config: unknown,
  environment: Environment,
): { field: string; address: string } | undefined {
  const own = typeof config === 'object' && config !== null ? Reflect.get(config, 'emulatorHost') : undefined;
  if (typeof own === 'string') return { field: 'emulatorHost', address: own };
  const fromEnvironment = environment['KMS_EMULATOR_HOST'];
  return fromEnvironment ? { field: 'KMS_EMULATOR_HOST', address: fromEnvironment } : undefined;
}

function tokenProblems(parsed: ParsedKms, environment: Environment): readonly ConfigProblem[] {
  return identityProblems({ ...parsed, isEmulator: emulatorSource(parsed, environment) !== undefined });
}

/** What is wrong with the choice between Cloud KMS and an emulator; independent of the other fields. */
function endpointProblems(config: unknown, environment: Environment): ConfigProblem[] {
  const emulator = emulatorSource(config, environment);
  if (emulator === undefined || typeof config !== 'object' || config === null) return [];
  const problems: ConfigProblem[] = [];
  if (emulator.field === 'KMS_EMULATOR_HOST' && !HOST_AND_PORT.test(emulator.address)) {
    problems.push({
      field: emulator.field,
      problem: `is not HOST:PORT: ${JSON.stringify(emulator.address.slice(0, 100))}`,
    });
  }
  if (Reflect.get(config, 'apiEndpoint') !== undefined) {
    problems.push({
      field: emulator.field,
      problem: 'cannot be combined with apiEndpoint: it is unclear which one to call',
    });
  }
  if (environment['NODE_ENV'] === 'production' && Reflect.get(config, 'allowEmulatorInProduction') !== true) {
    problems.push({
      field: emulator.field,
      problem:
        'an emulator protects nothing and is refused with NODE_ENV=production; set allowEmulatorInProduction to use it all the same',
    });
  }
  return problems;
}

/** Where the calls of a configuration that was parsed go. */
export function endpointOf(config: KMSConfig, environment: Environment = process.env): KmsEndpoint {
  const emulator = emulatorSource(config, environment);
  if (emulator !== undefined) return emulatorEndpoint(emulator.address);
  return { kind: 'cloud', apiEndpoint: config.apiEndpoint, credentialsPath: config.credentialsPath };
}

function resolveKms(parsed: ParsedKms, environment: Environment): ResolvedKMSConfig {
  const {
    logger,
    clock,
    apiEndpoint: _,
    emulatorHost: __,
    allowEmulatorInProduction: ___,
    credentialsPath: ____,
    ...rest
  } = parsed;
  return {
    ...rest,
    endpoint: endpointOf(parsed, environment),
    logger: logger ?? createDefaultLogger(),
    clock: clock ?? systemClock,
  };
}

function emulatorEndpoint(address: string): KmsEndpoint {
  const colon = address.lastIndexOf(':');
  return { kind: 'emulator', host: address.slice(0, colon), port: Number(address.slice(colon + 1)) };
}
