/**
 * Sets of version numbers in the labels of a key, as ranges: `1-3_7` is 1, 2, 3 and 7. What does not fit into one label goes
 * on in the next (`a2a-disabled-2`, …). Pure.
 */

type Labels = Readonly<Record<string, string>>;

/** The versions that a restore under way is going to enable. */
export const RESTORING_LABEL = 'a2a-restoring';
/** The versions that were DISABLED when their destruction was scheduled. */
export const DISABLED_LABEL = 'a2a-disabled';
type VersionSet = typeof RESTORING_LABEL | typeof DISABLED_LABEL;

const SET_LABEL = /^(a2a-restoring|a2a-disabled)(?:-[1-9][0-9]?)?$/;
const RANGE = /^([1-9][0-9]{0,14})(?:-([1-9][0-9]{0,14}))?$/;
/** Resource "Labels" in the documentation of Cloud KMS. */
const MAX_VALUE_CHARACTERS = 63;

export const isVersionSetLabel = (label: string): boolean => SET_LABEL.test(label);

/** Whether a version is in the set. */
export function isInSet(labels: Labels, set: VersionSet, number: number): boolean {
  return Object.entries(labels).some(
    ([label, value]) =>
      SET_LABEL.exec(label)?.[1] === set && value.split('_').some((part) => isInRange(part, number)),
  );
}

/** The labels with these numbers in the set, and no others. */
export function withSet(labels: Labels, set: VersionSet, numbers: readonly number[]): Labels {
  const others = Object.entries(labels).filter(([label]) => SET_LABEL.exec(label)?.[1] !== set);
  const values = toValues(toRanges(numbers));
  const own = values.map((value, index) => [index === 0 ? set : `${set}-${index + 1}`, value]);
  return Object.fromEntries([...others, ...own]);
}

function isInRange(part: string, number: number): boolean {
  const [, first, last = first] = RANGE.exec(part) ?? [];
  return first !== undefined && Number(first) <= number && number <= Number(last);
}

function toRanges(numbers: readonly number[]): readonly string[] {
  const ranges: { first: number; last: number }[] = [];
  for (const number of [...new Set(numbers)].toSorted((a, b) => a - b)) {
    const open = ranges.at(-1);
    if (open !== undefined && number === open.last + 1) open.last = number;
    else ranges.push({ first: number, last: number });
  }
  return ranges.map(({ first, last }) => (first === last ? `${first}` : `${first}-${last}`));
}

function toValues(ranges: readonly string[]): readonly string[] {
  const values: string[] = [];
  for (const range of ranges) {
    const joined = values.length === 0 ? range : `${values.at(-1)}_${range}`;
    if (joined.length <= MAX_VALUE_CHARACTERS) values[Math.max(0, values.length - 1)] = joined;
    else values.push(range);
  }
  return values;
}
