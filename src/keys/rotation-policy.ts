/**
 * When an agent's key is rotated and what becomes of old versions. The policy is a label of the key itself, so every
 * process acts on the same one: `v1-r<rotate after>-p<prepare ahead>-g<grace>-d<retire after>-k<versions kept>`.
 */

import {
  type KeyVersionMetadata,
  ROTATION_PERIOD_MAX_SECONDS,
  ROTATION_PERIOD_MIN_SECONDS,
} from './key-provider.js';
import type { ParseResult } from './parse-result.js';
import { type Labels, versionTimes } from './version-history.js';

/** When an agent's signing key is rotated, and what becomes of old versions. All times are whole seconds. */
export interface RotationPolicy {
  /** A version is replaced when it has been in use this long: 86,400 (a day) to 3,153,600,000. */
  readonly rotateAfterSeconds: number;
  /**
   * The new version is made and published this long before it is used, by a run of `rotateDueKeys` in that time; where no run
   * came in time it is used later, when nine tenths of this have passed since. Default 0: both in one run. Where processes verify each other, longer than any of them believes its cache.
   */
  readonly prepareAheadSeconds?: number | undefined;
  /** A replaced version stays ENABLED this long. Default 604,800 (7 days). */
  readonly graceSeconds?: number | undefined;
  /** A replaced version is scheduled for destruction after this long, not before its grace. Default: never. */
  readonly retireAfterSeconds?: number | undefined;
  /** Versions with key material that are kept, the one in use included, 1 to 999. Default: no limit. */
  readonly keepVersions?: number | undefined;
}

export const POLICY_LABEL = 'a2a-policy';

/** The fields by the letters that stand for them in the label. */
const FIELDS = {
  r: 'rotateAfterSeconds',
  p: 'prepareAheadSeconds',
  g: 'graceSeconds',
  d: 'retireAfterSeconds',
  k: 'keepVersions',
} as const satisfies Record<string, keyof RotationPolicy>;
const LETTERS = ['r', 'p', 'g', 'd', 'k'] as const;
const NAMES: readonly string[] = Object.values(FIELDS);
/** Each field once, in this order: a label that could be read in two ways is refused. */
const LABEL = /^v1-r[0-9]{1,10}(?:-p[0-9]{1,10})?(?:-g[0-9]{1,10})?(?:-d[0-9]{1,10})?(?:-k[0-9]{1,10})?$/;
const KEEP_MAX = 999;

/** Checks a policy. The problem names every field that is wrong. */
export function checkPolicy(policy: unknown): ParseResult<RotationPolicy> {
  if (typeof policy !== 'object' || policy === null) {
    return { ok: false, problem: 'a rotation policy is an object with rotateAfterSeconds.' };
  }
  const unknown = Object.keys(policy).filter((name) => !NAMES.includes(name));
  const value = (name: keyof RotationPolicy): unknown => Reflect.get(policy, name);
  const [rotate, ahead, grace, retire, keep] = LETTERS.map((letter) => value(FIELDS[letter]));
  const problems = [
    ...unknown.map((name) => `${name} is not a field of a rotation policy`),
    !isBetween(rotate, ROTATION_PERIOD_MIN_SECONDS, ROTATION_PERIOD_MAX_SECONDS) &&
      `rotateAfterSeconds is ${ROTATION_PERIOD_MIN_SECONDS} (a day) to ${ROTATION_PERIOD_MAX_SECONDS}`,
    ahead !== undefined &&
      !isBetween(ahead, 0, Number(rotate)) &&
      'prepareAheadSeconds is 0 to rotateAfterSeconds',
    grace !== undefined &&
      !isBetween(grace, 0, ROTATION_PERIOD_MAX_SECONDS) &&
      `graceSeconds is 0 to ${ROTATION_PERIOD_MAX_SECONDS}`,
    retire !== undefined &&
      !isBetween(retire, Number(grace ?? 0), ROTATION_PERIOD_MAX_SECONDS) &&
      `retireAfterSeconds is graceSeconds to ${ROTATION_PERIOD_MAX_SECONDS}`,
    keep !== undefined && !isBetween(keep, 1, KEEP_MAX) && `keepVersions is 1 to ${KEEP_MAX}`,
  ].filter((problem) => problem !== false);
  if (problems.length > 0) return { ok: false, problem: `${problems.join('; ')}.` };
  const known = LETTERS.flatMap((letter) => {
    const number = value(FIELDS[letter]);
    return typeof number === 'number' ? [[FIELDS[letter], number]] : [];
  });
  return { ok: true, value: { rotateAfterSeconds: Number(rotate), ...Object.fromEntries(known) } };
}

/** The label of a policy that was checked. */
export function formatPolicy(policy: RotationPolicy): string {
  const parts = LETTERS.flatMap((letter) => {
    const number = policy[FIELDS[letter]];
    return number === undefined ? [] : [`-${letter}${number}`];
  });
  return `v1${parts.join('')}`;
}

/** The policy in a label. */
export function parsePolicy(label: string): ParseResult<RotationPolicy> {
  if (!LABEL.test(label)) {
    return {
      ok: false,
      problem: `the label ${POLICY_LABEL} is not a rotation policy: ${JSON.stringify(label)}.`,
    };
  }
  const fields = label
    .split('-')
    .slice(1)
    .map((part) => [FIELDS[letterOf(part)], Number(part.slice(1))]);
  return checkPolicy(Object.fromEntries(fields));
}

/** When a policy has the version in use replaced, given the labels of its key. */
export function rotationDueTime(
  labels: Labels,
  primary: Pick<KeyVersionMetadata, 'version' | 'createTime' | 'generateTime'>,
  { rotateAfterSeconds }: RotationPolicy,
): Date {
  const { activatedTime } = versionTimes(labels, primary.version);
  const inUseSince = activatedTime ?? primary.generateTime ?? primary.createTime;
  return new Date(inUseSince.getTime() + rotateAfterSeconds * 1_000);
}

const letterOf = (part: string): keyof typeof FIELDS =>
  LETTERS.find((letter) => part.startsWith(letter)) ?? 'r';

const isBetween = (value: unknown, min: number, max: number): boolean =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max;
