/** Configuration of a `KMSClient`: parsed once, in the constructor, with every problem listed. */

import { z } from 'zod';
import type { AttestationRoots } from '../attestation/roots.js';
import { type Clock, systemClock } from '../clock.js';
import { type ConfigProblem, InvalidConfigError } from '../errors/input.js';
import type { KeyAlgorithm, ProtectionLevel } from '../keys/algorithm-types.js';
import { isKeyAlgorithm } from '../keys/algorithms.js';
import type { Impersonation } from '../keys/impersonation.js';
import type { PublicKeyArchive } from '../keys/public-key-archive.js';
import { createDefaultLogger, type Logger } from '../logger.js';
import type { ProviderObserver } from '../provider/observer.js';
import type { TelemetrySetting } from '../telemetry/load.js';
import { identityProblems, impersonationSchema, keyImpersonationSchema } from './access-config.js';
import { attestationProblems, attestationShape } from './attestation-config.js';
import type { AuditConfig } from './audit-config.js';
import {
  emulatorHostSchema,
  emulatorSource,
  endpointOf,
  endpointProblems,
  hostSchema,
  type KmsEndpoint,
} from './endpoint.js';
import { type QuotaConfig, quotaSchema } from './quota-config.js';
import { count, type Environment, keyRingShape, milliseconds, runtimeShape, toProblems } from './shapes.js';

const pinnedVersion = z.strictObject({
  /** Full CryptoKeyVersion name, in the configured key ring. */
  name: z.string('the full name of a key version is required'),
  algorithm: z.custom<KeyAlgorithm>(isKeyAlgorithm, 'is not a Cloud KMS algorithm'),
  protectionLevel: z.enum(['HSM', 'SOFTWARE'], 'must be HSM or SOFTWARE').default('HSM'),
});

export const kmsShape = {
  ...keyRingShape,
  ...runtimeShape,
  ...attestationShape,
  credentialsPath: z.string('must be a path').min(1, 'must not be empty').optional(),
  apiEndpoint: hostSchema.optional(),
  emulatorHost: emulatorHostSchema.optional(),
  allowEmulatorInProduction: z.boolean('must be true or false').default(false),
  emulatorAccessToken: z.string('must be a token').min(1, 'must not be empty').optional(),
  impersonate: impersonationSchema.optional(),
  impersonateKeys: keyImpersonationSchema.optional(),
  iamCredentialsEndpoint: hostSchema.optional(),
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
      /** The most gRPC connections; a further one is opened when all are full. */
      count: count(8, 64),
      /** Calls at the same time on one connection; the Cloud KMS front end allows about 100 streams. */
      maxConcurrentCalls: count(100, 1_000),
    })
    .prefault({}),
  quota: quotaSchema,
  pinnedVersions: z.array(pinnedVersion, 'must be a list').default([]),
} as const;

const kmsSchema = z.strictObject(kmsShape, 'must be an object with projectId, locationId and keyRingId');

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
  /** Access token for calls to an emulator that enforces IAM. Refused without an emulator. */
  readonly emulatorAccessToken?: string | undefined;
  /**
   * Service account to act as in all calls, in place of the process's own identity, which needs
   * `iam.serviceAccounts.getAccessToken` on it.
   */
  readonly impersonate?: Impersonation | undefined;
  /**
   * Service account to act as where a key is used to sign, encrypt or decrypt; called with the short id of the key.
   * Where it returns undefined, and for all other calls, `impersonate` applies.
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
        /** Of the wait for a free stream when all are in use, and of that for a quota; the other deadlines stand still meanwhile. Default 30,000. */
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
        /** The most gRPC connections; a further one is opened when all are full. Default 8. */
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
   * To use is to sign, to encrypt, to decrypt, and to give out the public key of an encryption key; signatures verify all the
   * same. Default false. Refuses `SOFTWARE` and imported keys, and symmetric ones unless `unboundAttestation` is `accepted`.
   * Costs one call for each version, and for symmetric decryption one more each `cache.keyVersionTtlMs`.
   */
  readonly requireAttestation?: boolean | undefined;
  /**
   * `accepted`: with `requireAttestation`, symmetric keys are used on a statement of which nothing shows that it is about
   * the very key (`valid-unbound`): that it is, is Cloud KMS's word. Default `refused`.
   */
  readonly unboundAttestation?: 'refused' | 'accepted' | undefined;
  /** Roots that statements must lead up to, in place of those of Cloud HSM. */
  readonly attestationRoots?: AttestationRoots | undefined;
  /** A pino logger or one with the same four methods. Default: pino to standard error, level `warn`. */
  readonly logger?: Logger | undefined;
  /** Default: the real one. For tests. */
  readonly clock?: Clock | undefined;
  /** Observers notified of every call (docs/observers.md). Default: none, at no cost. */
  readonly observers?: readonly ProviderObserver[] | undefined;
  /** The tamper-evident audit trail (docs/audit-trail.md). Default: none. */
  readonly audit?: AuditConfig | undefined;
  /**
   * Spans and metrics through the OpenTelemetry API (docs/telemetry.md). `off`, the default: the package is not loaded.
   * `auto`: if `@opentelemetry/api` is installed. `on`: it has to be, else the configuration is refused.
   */
  readonly telemetry?: TelemetrySetting | undefined;
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
    ...attestationProblems(parsed.data),
  ];
  if (problems.length > 0) throw new InvalidConfigError(problems);
  return resolveKms(parsed.data, environment);
}

export function tokenProblems(parsed: ParsedKms, environment: Environment): readonly ConfigProblem[] {
  return identityProblems({ ...parsed, isEmulator: emulatorSource(parsed, environment) !== undefined });
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
