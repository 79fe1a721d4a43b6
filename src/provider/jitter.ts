/** At least half of a delay is kept, the rest is chance: callers that failed together do not come back together. */
export const jittered = (delayMs: number): number => delayMs / 2 + (Math.random() * delayMs) / 2;
