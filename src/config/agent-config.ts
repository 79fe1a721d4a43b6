/** Configuration of an `A2AKeyExchange`: that of its `KMSClient`, and what agents get. Parsed once, with every problem listed. */

import { z } from 'zod';
import { type Clock, systemClock } from '../clock.js';
import { type ConfigProblem, InvalidConfigError } from '../errors/input.js';
import {
  ENDORSEMENT_VALIDITY_DEFAULT_SECONDS,
  ENDORSEMENT_VALIDITY_MAX_SECONDS,
} from '../identity/endorsement-validity.js';
import { type AgentAlgorithmAlias, resolveAlgorithmAlias } from '../keys/algorithm-alias.js';
import type { ProtectionLevel, SigningAlgorithm, SigningAlgorithmEntry } from '../keys/algorithm-types.js';
import { algorithmsOf, findAlgorithm } from '../keys/algorithms.js';
import { ROTATION_PERIOD_MAX_SECONDS, ROTATION_PERIOD_MIN_SECONDS } from '../keys/key-provider.js';
import type { RotationPolicy } from '../keys/rotation-policy.js';
import { rotationPolicySchema } from '../keys/rotation-policy-schema.js';
import { createDefaultLogger, type Logger } from '../logger.js';
import {
  type AccessRolesConfig,
  type AgentImpersonations,
  accessRolesSchema,
  agentImpersonationsSchema,
} from './access-config.js';
import { attestationOfSoftware, attestationProblems } from './attestation-config.js';
import type { ResolvedAuditConfig } from './audit-config.js';
import { endpointProblems } from './endpoint.js';
import { type KeySource, type MigrationPhase, RETENTION_DEFAULT_DAYS, resolveKeySource } from './flags.js';
import { type KMSConfig, kmsShape, tokenProblems } from './kms-config.js';
import {
  type ReplicaConfig,
  type ReplicationConfig,
  replicaProblems,
  replicasSchema,
  replicationSchema,
} from './replication-config.js';
import { count, type Environment, toProblems } from './shapes.js';
import {
  type SoftwareKeyStoreConfig,
  softwareKeyStoreSchema,
  softwareKeysPolicySchema,
} from './software-config.js';

/** 90 days: what Google recommends for keys that encrypt regularly. */
export const KEK_ROTATION_PERIOD_DEFAULT_SECONDS = 7_776_000;

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
  rotationPolicy: rotationPolicySchema,
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

const agentSchema = z.strictObject(
  { ...kmsShape, ...agentShape },
  'must be an object with projectId, locationId and keyRingId',
);

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
         * keys only verify and decrypt. 4: the software store is not opened.
         */
        readonly phase?: MigrationPhase | undefined;
        /** How long the software key of a migrated agent is kept for a rollback. Days, default 90. */
        readonly retentionDays?: number | undefined;
      }
    | undefined;
  /**
   * Makes `initialize` ensure that the master keys exist: the root that endorses agents' keys, and the key-encryption
   * key.
   */
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

export interface ResolvedAgentConfig {
  readonly impersonateAgents: AgentImpersonations | undefined;
  readonly accessRoles: AccessRolesConfig;
  readonly replicas: readonly ReplicaConfig[];
  readonly replication: { readonly failureThreshold: number; readonly halfOpenAfterMs: number };
  readonly defaultAlgorithm: SigningAlgorithmEntry;
  readonly protectionLevel: ProtectionLevel;
  /** Deadline of a call that names none. Milliseconds. */
  readonly operationMs: number;
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
  problems.push(...attestationProblems(kms), ...attestationOfSoftware(kms, source));
  if (source?.kind === 'software') problems.push(...identityWithoutUse({ ...kms, impersonateAgents }));
  const masters = hierarchy && source?.kind === 'software' ? { ...hierarchy, protectionLevel } : hierarchy;
  const resolvedHierarchy = resolveHierarchy(masters, problems);
  if (problems.length > 0 || source === undefined) throw new InvalidConfigError(problems);
  const clock = kms.clock ?? systemClock;
  const logger = kms.logger ?? createDefaultLogger();
  const { operationMs } = kms.deadlines;
  const agents = { defaultAlgorithm: entry, protectionLevel, maxCachedAgents, rotationPolicy, clock, logger };
  return {
    kms: { ...kms, logger },
    agents: {
      ...agents,
      operationMs,
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
