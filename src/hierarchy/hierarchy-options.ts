/** Options of a `KeyHierarchy`, and what they are once they are read. */

import { z } from 'zod';
import { type Clock, clockSchema } from '../clock.js';
import { KEK_ROTATION_PERIOD_DEFAULT_SECONDS } from '../config/agent-config.js';
import type { ErrorContext } from '../errors/base.js';
import { InvalidConfigError, UnsupportedAlgorithmError } from '../errors/input.js';
import {
  ENDORSEMENT_VALIDITY_DEFAULT_SECONDS,
  ENDORSEMENT_VALIDITY_MAX_SECONDS,
} from '../identity/endorsement-validity.js';
import { findJoseAlgorithm } from '../identity/jose-algorithm.js';
import type { AgentAlgorithmAlias } from '../keys/algorithm-alias.js';
import type { ProtectionLevel, SigningAlgorithm } from '../keys/algorithm-types.js';
import { algorithmsOf } from '../keys/algorithms.js';
import { ROTATION_PERIOD_MAX_SECONDS, ROTATION_PERIOD_MIN_SECONDS } from '../keys/key-provider.js';
import { createDefaultLogger, type Logger } from '../logger.js';
import { schemaProblems } from '../schema-problems.js';
import { signingAlgorithm } from './agent-key-spec.js';

/** Options of a `KeyHierarchy`; all are optional. */
export interface KeyHierarchyOptions {
  /** Of the root key. Default `ecdsa-p384`. */
  readonly rootAlgorithm?: AgentAlgorithmAlias | SigningAlgorithm | undefined;
  /** Of the master keys. Default `HSM`; `SOFTWARE` only when asked for by name. */
  readonly masterProtectionLevel?: ProtectionLevel | undefined;
  /** How long an endorsement is valid, in seconds. Default 2,592,000 (30 days), at most 34,300,800 (397 days). */
  readonly endorsementValiditySeconds?: number | undefined;
  /** How often Cloud KMS rotates the key-encryption key. Seconds, default 7,776,000 (90 days); null for none. */
  readonly kekRotationPeriodSeconds?: number | null | undefined;
  /** What agents' signing keys are, unless asked for otherwise. Default `ecdsa-p384`. */
  readonly defaultAlgorithm?: AgentAlgorithmAlias | SigningAlgorithm | undefined;
  /** Of the agents' keys. Default `HSM`. */
  readonly protectionLevel?: ProtectionLevel | undefined;
  /** Agents whose key names are remembered, and versions whose public keys are. Default 10,000. */
  readonly maxCachedAgents?: number | undefined;
  /** Full names of versions that the provider has pinned: the agents' keys they are of are not looked at. */
  readonly pinnedVersions?: readonly string[] | undefined;
  /** Default: warnings go to standard error. */
  readonly logger?: Pick<Logger, 'warn'> | undefined;
  /** Default: the real one. For tests. */
  readonly clock?: Clock | undefined;
}

const level = z.enum(['HSM', 'SOFTWARE'], 'must be HSM or SOFTWARE');
const algorithm = z.string('must be an algorithm name').default('EC_SIGN_P384_SHA384');
const wholeNumber = (min: number, max: number) =>
  z
    .int('a whole number is required')
    .min(min, `at least ${min.toLocaleString('en')} is required`)
    .max(max, `at most ${max.toLocaleString('en')} is possible`);
const schema = z.strictObject(
  {
    rootAlgorithm: algorithm,
    masterProtectionLevel: level.default('HSM'),
    endorsementValiditySeconds: wholeNumber(1, ENDORSEMENT_VALIDITY_MAX_SECONDS).default(
      ENDORSEMENT_VALIDITY_DEFAULT_SECONDS,
    ),
    kekRotationPeriodSeconds: wholeNumber(ROTATION_PERIOD_MIN_SECONDS, ROTATION_PERIOD_MAX_SECONDS)
      .nullable()
      .default(KEK_ROTATION_PERIOD_DEFAULT_SECONDS),
    defaultAlgorithm: algorithm,
    protectionLevel: level.optional(),
    maxCachedAgents: wholeNumber(1, 10_000_000).default(10_000),
    pinnedVersions: z.array(z.string('must be the full name of a version'), 'must be a list').default([]),
    logger: z
      .custom<Pick<Logger, 'warn'>>(
        (value) => typeof Object(value).warn === 'function',
        'must have the method warn',
      )
      .default(createDefaultLogger),
    clock: clockSchema.optional(),
  },
  'must be an object',
);

/** With every default filled in. */
export type ParsedHierarchyOptions = z.output<typeof schema>;

/** @throws InvalidConfigError naming every option that is wrong; UnsupportedAlgorithmError. */
export function parseHierarchyOptions(options: KeyHierarchyOptions): ParsedHierarchyOptions {
  const context = { operation: 'KeyHierarchy', resource: 'options' };
  const parsed = schema.safeParse(options);
  if (!parsed.success) throw new InvalidConfigError(schemaProblems(parsed.error, 'hierarchy'));
  requireJose(context, signingAlgorithm(context, parsed.data.rootAlgorithm).name);
  signingAlgorithm(context, parsed.data.defaultAlgorithm);
  return parsed.data;
}

function requireJose(context: ErrorContext, algorithm: SigningAlgorithm): void {
  if (findJoseAlgorithm(algorithm) !== undefined) return;
  throw new UnsupportedAlgorithmError(
    context,
    `JOSE has no name for ${algorithm}, so it cannot sign endorsements.`,
    algorithmsOf('ASYMMETRIC_SIGN').filter((name) => findJoseAlgorithm(name) !== undefined),
  );
}
