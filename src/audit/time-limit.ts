/** Ends a wait for something that may never come. The work itself goes on: nothing can be taken back from a sink. */

import type { Clock } from '../clock.js';

/** @throws Error saying what takes too long, when `work` has not settled after so many milliseconds. */
export async function withinLimit<T>(
  work: Promise<T>,
  limit: { readonly clock: Clock; readonly timeoutMs: number; readonly what: string },
): Promise<T> {
  const { clock, timeoutMs, what } = limit;
  return new Promise((resolve, reject) => {
    const cancel = clock.setTimer(timeoutMs, () => reject(overdue(what, timeoutMs)));
    work.then(resolve, reject).finally(cancel);
  });
}

export const overdue = (what: string, timeoutMs: number): Error =>
  new Error(`${what} takes longer than ${timeoutMs} ms`);
