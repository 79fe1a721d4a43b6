/**
 * Where each version of a key is in its life, told from what the provider keeps and nothing else: the states of the
 * versions, the label `a2a-primary` that names the version in use, and a label `a2a-version-<number>` for each version
 * that says when it was put to use, replaced and disabled. Any process comes to the same answer.
 */

import type { KeyMetadata, KeyVersionMetadata, KeyVersionState } from './key-provider.js';

export type Labels = Readonly<Record<string, string>>;

/** The label that names the version in use of an asymmetric key, by number. */
export const PRIMARY_LABEL = 'a2a-primary';
/** The numbers of the versions that a restore under way is going to enable, joined by `-`. */
export const RESTORING_LABEL = 'a2a-restoring';
const VERSION_LABEL = /^a2a-version-([1-9][0-9]{0,14})$/;
/** `a` activated, `r` replaced, `d` disabled, each with the time in seconds since the epoch. */
const VERSION_TIMES = /^(?:a([0-9]{1,15}))?-?(?:r([0-9]{1,15}))?-?(?:d([0-9]{1,15}))?$/;

/** Versions whose times are kept; the newest count. */
const MAX_HISTORIES = 32;
/** A key has at most 64 labels (Cloud KMS documentation, "Labeling keys"); some are left for their owner to add. */
const MAX_LABELS = 60;

/** Whether a provider keeps the label for itself. */
export const isHistoryLabel = (label: string): boolean =>
  label === PRIMARY_LABEL || label === RESTORING_LABEL || VERSION_LABEL.test(label);

/** When a version went from state to state; fields that are unknown are omitted. */
export interface VersionTimes {
  /** When it was put to use, the latest time. */
  readonly activatedTime?: Date;
  /** When another version was put to use in its place. */
  readonly replacedTime?: Date;
  /** When it was disabled after that. */
  readonly retiredTime?: Date;
}

/**
 * `pending` → `prepared` (ENABLED, published, not used yet) → `active` (in use) → `retiring` (ENABLED, verifies) →
 * `retired` (DISABLED) → `destroyed` (scheduled, then gone). `failed`: there is no key material and never was.
 */
export type VersionLifecycle =
  | 'pending'
  | 'prepared'
  | 'active'
  | 'retiring'
  | 'retired'
  | 'destroyed'
  | 'failed';

/** What has to be known of a version to tell which one is in use. */
export type VersionStanding = Pick<KeyVersionMetadata, 'version' | 'state'>;

const LIFECYCLES = {
  PENDING_GENERATION: 'pending',
  PENDING_IMPORT: 'pending',
  DISABLED: 'retired',
  DESTROY_SCHEDULED: 'destroyed',
  DESTROYED: 'destroyed',
  PENDING_EXTERNAL_DESTRUCTION: 'destroyed',
  EXTERNAL_DESTRUCTION_FAILED: 'failed',
  IMPORT_FAILED: 'failed',
  GENERATION_FAILED: 'failed',
} as const satisfies Record<Exclude<KeyVersionState, 'ENABLED'>, VersionLifecycle>;

/**
 * The number of the version in use of a key that has no primary of its own: the ENABLED version that `a2a-primary`
 * names, else the ENABLED version with the highest number. Numbers are compared as numbers.
 */
export function primaryNumber(labels: Labels, versions: readonly VersionStanding[]): number | undefined {
  const enabled = versions.filter(({ state }) => state === 'ENABLED').map(({ version }) => version);
  const label = labels[PRIMARY_LABEL];
  const pointer = enabled.find((number) => String(number) === label);
  return pointer ?? (enabled.length === 0 ? undefined : Math.max(...enabled));
}

/** Where a version is in its life, given the number of the version in use. */
export function lifecycleOf(
  labels: Labels,
  version: VersionStanding,
  primary: number | undefined,
): VersionLifecycle {
  if (version.state !== 'ENABLED') return LIFECYCLES[version.state];
  if (version.version === primary) return 'active';
  // After a rollback a version above the one in use is not a new one: it was in use before.
  const isNew = version.version > (primary ?? 0) && !wasPassed(labels, version.version);
  return isNew ? 'prepared' : 'retiring';
}

/** Where each version of a key is in its life, in the order in which they are given. */
export function versionLifecycles<V extends KeyVersionMetadata>(
  { labels, primary: primaryName }: Pick<KeyMetadata, 'labels' | 'primary'>,
  versions: readonly V[],
): readonly { readonly version: V; readonly lifecycle: VersionLifecycle }[] {
  const primary = versions.find(({ name }) => name === primaryName)?.version;
  return versions.map((version) => ({ version, lifecycle: lifecycleOf(labels, version, primary) }));
}

/**
 * The versions that a rotation leads to, lowest first: with or without key material yet, above the version in use, and
 * never in use before. The lowest wins; the others are spares of rotations that raced.
 */
export function rotationCandidates<V extends VersionStanding>(
  labels: Labels,
  versions: readonly V[],
  primary: number | undefined,
): readonly V[] {
  return versions
    .filter(({ state }) => state === 'ENABLED' || state === 'PENDING_GENERATION')
    .filter(({ version }) => version > (primary ?? 0) && !wasPassed(labels, version))
    .toSorted((a, b) => a.version - b.version);
}

/**
 * When a version was put to use, replaced and disabled. Where its own label is gone, the time at which the next version
 * above it was put to use stands for its replacement: it was replaced by then.
 */
export function versionTimes(labels: Labels, number: number): VersionTimes {
  const own = labels[labelOf(number)];
  if (own !== undefined) return parseTimes(own);
  const [next] = histories(labels)
    .filter((history) => history.number > number && history.times.activatedTime !== undefined)
    .toSorted((a, b) => a.number - b.number);
  const replacedTime = next?.times.activatedTime;
  return replacedTime === undefined ? {} : { replacedTime };
}

/** Whether it is written down that the version was in use before. */
export function wasActivated(labels: Labels, number: number): boolean {
  return wasInUse(parseTimes(labels[labelOf(number)] ?? ''));
}

/** Whether it is written down that the version was put to use at that time or later. */
export function wasActivatedSince(labels: Labels, number: number, since: Date): boolean {
  const { activatedTime } = parseTimes(labels[labelOf(number)] ?? '');
  return activatedTime !== undefined && toSeconds(activatedTime) >= toSeconds(since);
}

/**
 * Whether a version is no new one: it, or one above it, was in use before. The latter tells where its own label was
 * dropped, or never written because the provider rotated the key by itself.
 */
function wasPassed(labels: Labels, number: number): boolean {
  return histories(labels).some((history) => history.number >= number && wasInUse(history.times));
}

const wasInUse = ({ activatedTime, replacedTime }: VersionTimes): boolean =>
  activatedTime !== undefined || replacedTime !== undefined;

/** The labels when a version is put to use in place of another one. */
export function withPrimary(
  labels: Labels,
  move: { readonly from: number | undefined; readonly to: number; readonly at: Date },
): Labels {
  const { from, to, at } = move;
  const replaced = from === undefined || from === to ? labels : withTimes(labels, from, { replacedTime: at });
  const own = { [labelOf(to)]: formatTimes({ activatedTime: at }) };
  return bounded({ ...replaced, ...own });
}

/** The labels with further times of a version. */
export function withTimes(labels: Labels, number: number, times: VersionTimes): Labels {
  const label = labels[labelOf(number)];
  const known = label === undefined ? {} : parseTimes(label);
  return bounded({ ...labels, [labelOf(number)]: formatTimes({ ...known, ...times }) });
}

const labelOf = (number: number): string => `a2a-version-${number}`;

function histories(labels: Labels): readonly { readonly number: number; readonly times: VersionTimes }[] {
  return Object.entries(labels).flatMap(([label, value]) => {
    const number = VERSION_LABEL.exec(label)?.[1];
    return number === undefined ? [] : [{ number: Number(number), times: parseTimes(value) }];
  });
}

function parseTimes(value: string): VersionTimes {
  const [, activated, replaced, disabled] = VERSION_TIMES.exec(value) ?? [];
  return {
    ...(activated !== undefined && { activatedTime: fromSeconds(activated) }),
    ...(replaced !== undefined && { replacedTime: fromSeconds(replaced) }),
    ...(disabled !== undefined && { retiredTime: fromSeconds(disabled) }),
  };
}

function formatTimes({ activatedTime, replacedTime, retiredTime }: VersionTimes): string {
  return [
    activatedTime && `a${toSeconds(activatedTime)}`,
    replacedTime && `r${toSeconds(replacedTime)}`,
    retiredTime && `d${toSeconds(retiredTime)}`,
  ]
    .filter((part) => part !== undefined)
    .join('-');
}

const fromSeconds = (seconds: string): Date => new Date(Number(seconds) * 1_000);
const toSeconds = (time: Date): number => Math.floor(time.getTime() / 1_000);

/** Drops the histories of the oldest versions where there are too many. */
function bounded(labels: Labels): Labels {
  const numbers = histories(labels)
    .map(({ number }) => number)
    .toSorted((a, b) => a - b);
  const tooMany = Math.max(numbers.length - MAX_HISTORIES, Object.keys(labels).length - MAX_LABELS);
  const dropped = new Set(numbers.slice(0, Math.max(0, tooMany)).map(labelOf));
  return dropped.size === 0
    ? labels
    : Object.fromEntries(Object.entries(labels).filter(([label]) => !dropped.has(label)));
}
