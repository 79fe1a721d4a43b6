/** The key to generate, checked against the algorithm table and the limits of Cloud KMS before any call is made. */

import { z } from 'zod';
import type { ErrorContext } from '../errors/base.js';
import { InvalidArgumentError, KeySpecMismatchError, UnsupportedAlgorithmError } from '../errors/input.js';
import type { AlgorithmEntry, ProtectionLevel } from '../keys/algorithm-types.js';
import { algorithmsOf, findAlgorithm } from '../keys/algorithms.js';
import type { ProviderKeyPurpose } from '../keys/key-provider.js';
import { type CryptoKeyName, type KeyRingName, parseKeyReference } from '../keys/resource-name.js';
import { countOtherLabels, MAX_LABELS, MAX_OTHER_LABELS } from '../keys/version-history.js';
import { parseInput } from './call-input.js';

/** "destroy_scheduled_duration" in resources.proto: default 30 days; the documentation gives 24 hours and 120 days as bounds. */
const DESTROY_SCHEDULED_DEFAULT_SECONDS = 2_592_000;
const DESTROY_SCHEDULED_MIN_SECONDS = 86_400;
const DESTROY_SCHEDULED_MAX_SECONDS = 10_368_000;
/** The form of keys and values: documentation of Cloud KMS, "Labeling keys". */
const LABEL_KEY = /^[\p{Ll}\p{Lo}][\p{Ll}\p{Lo}\p{N}_-]{0,62}$/u;
const LABEL_VALUE = /^[\p{Ll}\p{Lo}\p{N}_-]{0,63}$/u;

/** The labels of a key, by the rules of Cloud KMS. */
export const labelsSchema = z
  .record(
    z.string().regex(LABEL_KEY, 'is not a label key'),
    z.string().regex(LABEL_VALUE, 'is not a label value'),
  )
  .refine(
    (labels) => countOtherLabels(labels) <= MAX_OTHER_LABELS,
    `at most ${MAX_OTHER_LABELS} labels are possible: of the ${MAX_LABELS} of a key the others tell which versions were in use`,
  );

const schema = z.strictObject({
  name: z.string('a key id is required'),
  purpose: z.enum(
    ['ENCRYPT_DECRYPT', 'ASYMMETRIC_SIGN', 'ASYMMETRIC_DECRYPT'],
    'must be ENCRYPT_DECRYPT, ASYMMETRIC_SIGN or ASYMMETRIC_DECRYPT',
  ),
  algorithm: z.string('an algorithm is required'),
  protectionLevel: z.enum(['HSM', 'SOFTWARE'], 'must be HSM or SOFTWARE').default('HSM'),
  labels: labelsSchema.default({}),
  destroyScheduledDurationSeconds: z
    .int('must be whole seconds')
    .min(DESTROY_SCHEDULED_MIN_SECONDS, 'must be at least 86,400 seconds (24 hours)')
    .max(DESTROY_SCHEDULED_MAX_SECONDS, 'must be at most 10,368,000 seconds (120 days)')
    .default(DESTROY_SCHEDULED_DEFAULT_SECONDS),
});

export interface CheckedKeySpec {
  readonly key: CryptoKeyName;
  readonly purpose: ProviderKeyPurpose;
  readonly algorithm: AlgorithmEntry;
  readonly protectionLevel: ProtectionLevel;
  readonly labels: Readonly<Record<string, string>>;
  /** Labels that say whose key it is: an existing key without them is another one. */
  readonly identifyingLabels: Readonly<Record<string, string>>;
  readonly destroyScheduledDurationSeconds: number;
}

/** Labels with this prefix are this library's; they take part in the decision whether an existing key is the same. */
const IDENTIFYING_LABEL = /^a2a-(?:role|agent-[0-9]+)$/;

/**
 * Checks a spec.
 * @throws InvalidArgumentError naming every field that is wrong; UnsupportedAlgorithmError with the alternatives.
 */
export function checkKeySpec(spec: unknown, keyRing: KeyRingName, context: ErrorContext): CheckedKeySpec {
  const { name, purpose, algorithm, protectionLevel, labels, destroyScheduledDurationSeconds } = parseInput(
    context,
    schema,
    { name: 'spec', value: spec },
  );
  const reference = parseKeyReference(name, keyRing);
  if (!reference.ok) throw new InvalidArgumentError(context, reference.problem);
  if (reference.value.kind === 'version') {
    throw new InvalidArgumentError(
      context,
      'a key is generated under a key id or key name, not the name of a version.',
    );
  }
  const entry = findAlgorithm(algorithm);
  if (entry === undefined || entry.purpose !== purpose) {
    const problem =
      entry === undefined
        ? `${JSON.stringify(algorithm)} is not a Cloud KMS algorithm.`
        : `${algorithm} is of purpose ${entry.purpose}, not ${purpose}.`;
    throw new UnsupportedAlgorithmError(context, problem, algorithmsOf(purpose, protectionLevel));
  }
  if (!entry.protectionLevels.includes(protectionLevel)) {
    throw new UnsupportedAlgorithmError(
      context,
      `Cloud KMS has no ${protectionLevel} form of ${algorithm}${protectionLevel === 'HSM' ? '; it exists in protection level SOFTWARE only, which has to be asked for by name' : ''}.`,
      algorithmsOf(purpose, protectionLevel),
    );
  }
  return {
    key: reference.value.key,
    purpose,
    algorithm: entry,
    protectionLevel,
    labels,
    identifyingLabels: Object.fromEntries(
      Object.entries(labels).filter(([label]) => IDENTIFYING_LABEL.test(label)),
    ),
    destroyScheduledDurationSeconds,
  };
}

/**
 * Whether an existing key is the one asked for. `algorithm` is that of the version in use.
 * @throws KeySpecMismatchError naming every difference.
 */
export function requireSameSpec(
  context: ErrorContext,
  key: {
    readonly purpose: string;
    readonly algorithm: string;
    readonly protectionLevel: string;
    readonly labels: Readonly<Record<string, string>>;
  },
  spec: CheckedKeySpec,
): void {
  const wanted = [
    { field: 'purpose', expected: spec.purpose, actual: key.purpose },
    { field: 'algorithm', expected: spec.algorithm.name, actual: key.algorithm },
    { field: 'protectionLevel', expected: spec.protectionLevel, actual: key.protectionLevel },
    ...Object.entries(spec.identifyingLabels).map(([label, value]) => ({
      field: `label ${label}`,
      expected: value,
      actual: key.labels[label] ?? 'not set',
    })),
  ];
  const differences = wanted.filter(({ expected, actual }) => expected !== actual);
  if (differences.length > 0) throw new KeySpecMismatchError(context, differences);
}
