/**
 * Where each version of a key is in its life, told from what the provider keeps and nothing else: the states of the
 * versions, the label `a2a-primary` that names the version in use, and a label `a2a-version-<number>` for each version
 * that says when it was put to use, replaced and disabled. Any process comes to the same answer.
 */

import type { KeyMetadata, KeyVersionMetadata, KeyVersionState } from './key-provider.js';
import { isVersionSetLabel } from './version-set.js';

export type Labels = Readonly<Record<string, string>>;

/** The label that names the version in use of an asymmetric key, by number. */
export const PRIMARY_LABEL = 'a2a-primary';
const VERSION_LABEL = /^a2a-version-([1-9][0-9]{0,14})$/;
/** `a` activated, `r` replaced, `d` disabled, each with the time in seconds since the epoch. */
const VERSION_TIMES = /^(?:a([0-9]{1,15}))?-?(?:r([0-9]{1,15}))?-?(?:d([0-9]{1,15}))?$/;

/** A key has at most 64 labels (Cloud KMS documentation, "Labeling keys"). */
export const MAX_LABELS = 64;
/** Labels that a key may have besides those that a provider keeps for itself: these need room to say what was in use. */
export const MAX_OTHER_LABELS = 52;
/** Versions whose times are kept; the latest events count. */
const MAX_HISTORIES = 32;
/** Labels that are left free for the owner of the key to add, unless fewer times than these would be kept. */
const SPARE_LABELS = 4;
const MIN_HISTORIES = 4;

/** Whether a provider keeps the label for itself. */
export const isHistoryLabel = (label: string): boolean =>
  label === PRIMARY_LABEL || isVersionSetLabel(label) || VERSION_LABEL.test(label);

/** How many labels a key has that no provider keeps for itself. */
export const countOtherLabels = (labels: Labels): number =>
  Object.keys(labels).filter((label) => !isHistoryLabel(label)).length;

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

/** The labels without the time at which a version was disabled: it is ENABLED, or is going to be. */
export function withoutRetiredTime(labels: Labels, number: number): Labels {
  const { [labelOf(number)]: label, ...others } = labels;
  const { retiredTime, ...times } = parseTimes(label ?? '');
  if (retiredTime === undefined) return labels;
  const rest = formatTimes(times);
  return rest === '' ? others : { ...others, [labelOf(number)]: rest };
}

/** Whether the labels tell of a version by itself; they do not where there are too many others. */
export const hasTimes = (labels: Labels, number: number): boolean => labels[labelOf(number)] !== undefined;

const labelOf = (number: number): string => `a2a-version-${number}`;

interface History {
  readonly number: number;
  readonly times: VersionTimes;
}

function histories(labels: Labels): readonly History[] {
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

/**
 * Drops times of versions where there are too many: those whose latest event is longest ago, as numbers where it is the same.
 * Never those of the version in use, and of the highest that ever was: without the latter older ones look like new ones.
 */
function bounded(labels: Labels): Labels {
  const known = histories(labels);
  // The label that names the version in use may be about to be added.
  const others = Object.keys({ ...labels, [PRIMARY_LABEL]: '' }).length - known.length;
  const roomy = Math.min(MAX_HISTORIES, Math.max(MIN_HISTORIES, MAX_LABELS - SPARE_LABELS - others));
  const tooMany = known.length - Math.min(roomy, MAX_LABELS - others);
  if (tooMany <= 0) return labels;
  const highest = Math.max(0, ...known.filter(({ times }) => wasInUse(times)).map(({ number }) => number));
  const worth = ({ number, times }: History): number =>
    number === highest || labels[PRIMARY_LABEL] === String(number)
      ? Number.POSITIVE_INFINITY
      : Math.max(0, ...Object.values(times).map((time: Date) => time.getTime()));
  const dropped = known
    .toSorted((a, b) => a.number - b.number)
    .map((history) => ({ label: labelOf(history.number), worth: worth(history) }))
    .toSorted((a, b) => (a.worth === b.worth ? 0 : a.worth - b.worth))
    .slice(0, tooMany)
    .map(({ label }) => label);
  return Object.fromEntries(Object.entries(labels).filter(([label]) => !dropped.includes(label)));
}
