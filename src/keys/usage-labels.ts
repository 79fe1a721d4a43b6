/** The labels that say when a key was last used, and since when it counts as unused. */

/** The last day on which it was used, in UTC, as yyyymmdd. */
export const SEEN_LABEL = 'a2a-seen';
/** When it was first found unused for too long, in seconds since the epoch. */
export const STALE_LABEL = 'a2a-stale';

const DAY_MS = 86_400_000;

/** The day of a time as yyyymmdd, in UTC. */
export function dayOf(timeMs: number): string {
  return new Date(timeMs).toISOString().slice(0, 10).replaceAll('-', '');
}

/** The end of the day in a label; undefined for what is not a day. */
export function endOfDay(label: string | undefined): Date | undefined {
  const [, year, month, day] = /^([0-9]{4})([0-9]{2})([0-9]{2})$/.exec(label ?? '') ?? [];
  const timeMs = Date.parse(`${year}-${month}-${day}T00:00:00Z`);
  return Number.isNaN(timeMs) ? undefined : new Date(timeMs + DAY_MS);
}
