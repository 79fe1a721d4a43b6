/** What the process that compares the two clients is told, and what it answers. */

import { z } from 'zod';

export const KEY_RING = { projectId: 'bench', locationId: 'europe-west3', keyRingId: 'signing' } as const;

const load = z.object({ concurrency: z.int(), roundMs: z.int(), rounds: z.int() });
const summary = z.object({
  p50Ms: z.number(),
  p99Ms: z.number(),
  callsPerSecond: z.number(),
  cpuMicrosecondsPerCall: z.number(),
});

export const signingTask = z.object({
  emulatorHost: z.string(),
  key: z.string(),
  version: z.string(),
  loads: z.array(load).readonly(),
});
export const comparisons = z.array(z.object({ ours: summary, reference: summary, cpuRatio: z.number() }));

export type SigningTask = z.output<typeof signingTask>;
export type Comparison = z.output<typeof comparisons>[number];
