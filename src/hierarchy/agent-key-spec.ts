/** What an agent's keys should be: the caller's options, checked against the algorithm table before any call. */

import { z } from 'zod';
import type { ErrorContext } from '../errors/base.js';
import { InvalidArgumentError, UnsupportedAlgorithmError } from '../errors/input.js';
import type { AgentKeyRole } from '../keys/agent-key-name.js';
import { type AgentAlgorithmAlias, resolveAlgorithmAlias, SIGNING_ALIASES } from '../keys/algorithm-alias.js';
import type {
  DecryptionAlgorithm,
  ProtectionLevel,
  SigningAlgorithm,
  SigningAlgorithmEntry,
} from '../keys/algorithm-types.js';
import { algorithmsOf, findAlgorithm } from '../keys/algorithms.js';
import type { CallOptions } from '../keys/call-options.js';
import type { KeySpec } from '../keys/key-provider.js';
import { formatPolicy, POLICY_LABEL, type RotationPolicy } from '../keys/rotation-policy.js';
import { rotationPolicySchema } from '../keys/rotation-policy-schema.js';
import { callShape, parseOptions } from '../provider/call-input.js';

/** What an agent's keys are for. A Cloud KMS key has one purpose, so `both` makes two keys. */
export type AgentKeyPurpose = AgentKeyRole | 'both';

/** Short names of the algorithms that agents are encrypted to: RSA-OAEP with SHA-256. */
const ENCRYPTION_ALGORITHM_ALIASES = {
  'rsa-oaep-3072': 'RSA_DECRYPT_OAEP_3072_SHA256',
  'rsa-oaep-4096': 'RSA_DECRYPT_OAEP_4096_SHA256',
} as const satisfies Record<string, DecryptionAlgorithm>;
/**
 * Short names of the algorithms that agents' encryption keys may have: RSA-OAEP with SHA-256, by modulus size in bits.
 */
export type EncryptionAlgorithmAlias = keyof typeof ENCRYPTION_ALGORITHM_ALIASES;
type EncryptionAlgorithm = (typeof ENCRYPTION_ALGORITHM_ALIASES)[EncryptionAlgorithmAlias];

/** The short names of all algorithms of agents' keys. */
export const AGENT_ALGORITHM_NAMES: readonly string[] = [
  ...SIGNING_ALIASES,
  ...Object.keys(ENCRYPTION_ALGORITHM_ALIASES),
];

const ENCRYPTION_ALIASES: ReadonlyMap<string, string> = new Map(Object.entries(ENCRYPTION_ALGORITHM_ALIASES));

/** The Cloud KMS name behind a short name of either kind of key; any other name as it is. */
export const resolveAgentAlgorithm = (name: string): string =>
  ENCRYPTION_ALIASES.get(name) ?? resolveAlgorithmAlias(name);

const DEFAULT_ENCRYPTION_ALGORITHM: EncryptionAlgorithm = 'RSA_DECRYPT_OAEP_3072_SHA256';

/** What a new agent's keys should be, where they differ from the configuration. */
export interface AgentKeyOptions extends CallOptions {
  /** Default `signing`. */
  readonly purpose?: AgentKeyPurpose | undefined;
  /** Of the signing key: `ecdsa-p384`, `ecdsa-p256`, `ed25519`, or the Cloud KMS name of a signing algorithm. */
  readonly algorithm?: AgentAlgorithmAlias | SigningAlgorithm | undefined;
  /** Of the encryption key: `rsa-oaep-3072` (the default), `rsa-oaep-4096`, or their Cloud KMS names. */
  readonly encryptionAlgorithm?: EncryptionAlgorithmAlias | EncryptionAlgorithm | undefined;
  readonly protectionLevel?: ProtectionLevel | undefined;
  /** When the signing key is rotated by `rotateDueKeys`, and what becomes of old versions. Written into a new key only. */
  readonly rotationPolicy?: RotationPolicy | undefined;
  /** Your own labels; names that begin with `a2a-` are this library's. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** Seconds, 86,400 to 10,368,000; default 2,592,000 (30 days). Cannot be changed later. */
  readonly destroyScheduledDurationSeconds?: number | undefined;
}

/** What the configuration gives a new agent. */
interface AgentKeyDefaults {
  readonly defaultAlgorithm: SigningAlgorithmEntry;
  /** Undefined leaves it to the provider, whose keys are HSM keys unless it says otherwise. */
  readonly protectionLevel: ProtectionLevel | undefined;
}

/** A key to make for an agent; its name and own labels are added by who knows the agent. */
export type RoleKeySpec = Omit<KeySpec, 'name'> & { readonly role: AgentKeyRole };

const OWN_LABEL_PREFIX = 'a2a-';

const schema = z.strictObject({
  ...callShape,
  purpose: z
    .enum(['signing', 'encryption', 'both'], 'must be signing, encryption or both')
    .default('signing'),
  algorithm: z.string('must be an algorithm name').optional(),
  encryptionAlgorithm: z.string('must be an algorithm name').optional(),
  protectionLevel: z.enum(['HSM', 'SOFTWARE'], 'must be HSM or SOFTWARE').optional(),
  rotationPolicy: rotationPolicySchema,
  labels: z
    .record(z.string(), z.string('must be a string'), 'must be an object of strings')
    .refine(
      (labels) => !Object.keys(labels).some((label) => label.startsWith(OWN_LABEL_PREFIX)),
      `must not begin with ${OWN_LABEL_PREFIX}`,
    )
    .optional(),
  destroyScheduledDurationSeconds: z.number('must be a number of seconds').optional(),
});

/**
 * The keys that the options ask for, one for each role, the signing key first.
 * @throws InvalidArgumentError naming every option that is wrong; UnsupportedAlgorithmError with the alternatives.
 */
export function agentKeySpecs(
  context: ErrorContext,
  options: AgentKeyOptions,
  defaults: AgentKeyDefaults,
): readonly [RoleKeySpec, ...RoleKeySpec[]] {
  const { purpose, algorithm, encryptionAlgorithm, rotationPolicy, ...rest } = parseOptions(
    context,
    schema,
    options,
  );
  const { protectionLevel = defaults.protectionLevel, labels, destroyScheduledDurationSeconds } = rest;
  const common = { protectionLevel, labels, destroyScheduledDurationSeconds };
  const unused =
    (purpose === 'encryption' && algorithm !== undefined && 'algorithm') ||
    (purpose === 'encryption' && rotationPolicy !== undefined && 'rotationPolicy') ||
    (purpose === 'signing' && encryptionAlgorithm !== undefined && 'encryptionAlgorithm');
  if (unused) {
    throw new InvalidArgumentError(context, `${unused} has no meaning with purpose ${purpose}.`);
  }
  const signing = (): RoleKeySpec => {
    const entry = algorithm === undefined ? defaults.defaultAlgorithm : signingAlgorithm(context, algorithm);
    requireLevel(context, entry, common.protectionLevel ?? 'HSM');
    const policy = rotationPolicy && { [POLICY_LABEL]: formatPolicy(rotationPolicy) };
    const labels = { ...common.labels, ...policy };
    return { role: 'signing', purpose: 'ASYMMETRIC_SIGN', algorithm: entry.name, ...common, labels };
  };
  const encryption = (): RoleKeySpec => {
    const name = decryptionAlgorithm(context, encryptionAlgorithm ?? DEFAULT_ENCRYPTION_ALGORITHM);
    return { role: 'encryption', purpose: 'ASYMMETRIC_DECRYPT', algorithm: name, ...common };
  };
  if (purpose === 'both') return [signing(), encryption()];
  return [purpose === 'signing' ? signing() : encryption()];
}

function requireLevel(context: ErrorContext, entry: SigningAlgorithmEntry, level: ProtectionLevel): void {
  if (entry.protectionLevels.includes(level)) return;
  throw new UnsupportedAlgorithmError(
    context,
    `Cloud KMS has no ${level} form of ${entry.name} today${level === 'HSM' ? '; it works with protectionLevel "SOFTWARE", which has to be asked for by name and puts the private key outside of any HSM' : ''}.`,
    algorithmsOf('ASYMMETRIC_SIGN', level),
  );
}

/** @throws UnsupportedAlgorithmError for a name that no signing algorithm has. */
export function signingAlgorithm(context: ErrorContext, name: string): SigningAlgorithmEntry {
  const entry = findAlgorithm(resolveAlgorithmAlias(name));
  if (entry?.purpose === 'ASYMMETRIC_SIGN') return entry;
  throw new UnsupportedAlgorithmError(
    context,
    `${JSON.stringify(name)} is not a signing algorithm.`,
    algorithmsOf('ASYMMETRIC_SIGN'),
  );
}

function decryptionAlgorithm(context: ErrorContext, name: string): EncryptionAlgorithm {
  for (const [alias, algorithm] of Object.entries(ENCRYPTION_ALGORITHM_ALIASES)) {
    if (name === alias || name === algorithm) return algorithm;
  }
  throw new UnsupportedAlgorithmError(
    context,
    `${JSON.stringify(name)} is not an algorithm that agents are encrypted to.`,
    Object.keys(ENCRYPTION_ALGORITHM_ALIASES),
  );
}
