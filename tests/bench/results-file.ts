/** results.json and baseline.json: one entry for each bench, by its id, and `environment`: what it was measured on. */

import { readFileSync, writeFileSync } from 'node:fs';
import { z } from 'zod';
import type { BenchResult } from './measure.js';
import { inRepository } from './repository.js';

const environment = z.strictObject({
  /** yyyy-mm-dd. */
  date: z.string(),
  machine: z.strictObject({
    cpu: z.string(),
    cores: z.number(),
    memoryGiB: z.number(),
    system: z.string(),
  }),
  node: z.string(),
  openssl: z.string(),
  packages: z.record(z.string(), z.string()),
});
const result = z.strictObject({
  ours: z.number(),
  reference: z.number(),
  unit: z.string(),
  ratio: z.number(),
});
const file = z.object({ environment }).catchall(result);

export type Environment = z.output<typeof environment>;

export interface Results {
  readonly environment: Environment;
  readonly benches: ReadonlyMap<string, BenchResult>;
}

export const RESULTS = 'tests/bench/results.json';
export const BASELINE = 'tests/bench/baseline.json';

export function readResults(path: string): Results {
  return parseResults(readFileSync(inRepository(path), 'utf8'));
}

export function parseResults(json: string): Results {
  const { environment, ...benches } = file.parse(JSON.parse(json));
  return { environment, benches: new Map(Object.entries(benches)) };
}

export function writeResults(path: string, { environment, benches }: Results): void {
  const content = { environment, ...Object.fromEntries(benches) };
  writeFileSync(inRepository(path), `${JSON.stringify(content, null, 2)}\n`);
}
