/**
 * `npm run bench`: starts an emulator in a process of its own, runs every group of benches against it, prints a table and
 * writes results.json and docs/performance.md. `npm run bench -- batch receipts` runs the groups whose names begin so, and writes nothing. Ends with
 * status 1 when a bench is below its floor.
 *
 * The emulator's HSM answers without delay. Groups that are about the delay, quotas or large key rings start emulators of
 * their own.
 */

import { benchAgents } from './agents.js';
import { benchBatch } from './batch.js';
import { benchColdStart } from './cold-start.js';
import { startEmulatorProcess } from './emulator-process.js';
import { benchEnvelope } from './envelope.js';
import { measuredOn } from './environment.js';
import type { Bench, BenchGroup } from './measure.js';
import { writePerformancePage } from './performance-page.js';
import { benchReceipts } from './receipts.js';
import { RESULTS, type Results, writeResults } from './results-file.js';
import { benchSigning } from './signing.js';
import { benchTelemetry } from './telemetry.js';
import { benchVerification } from './verification.js';

const groups: Readonly<Record<string, BenchGroup>> = {
  cold: benchColdStart,
  sign: benchSigning,
  verify: benchVerification,
  receipts: benchReceipts,
  agents: benchAgents,
  envelope: benchEnvelope,
  batch: benchBatch,
  telemetry: benchTelemetry,
};
const wanted = process.argv.slice(2);
const chosen = Object.entries(groups).filter(
  ([name]) => wanted.length === 0 || wanted.some((pattern) => name.startsWith(pattern)),
);
if (chosen.length === 0) throw new Error(`no group begins so; there are ${Object.keys(groups).join(', ')}`);

const emulator = await startEmulatorProcess();
const benches: Bench[] = [];
try {
  for (const [name, group] of chosen) {
    const start = performance.now();
    benches.push(...(await group({ emulatorHost: emulator.host })));
    console.error(`${name}: ${Math.round((performance.now() - start) / 1_000)} s`);
  }
} finally {
  await emulator.stop();
}

const results = benches.map(({ id, result }) => [id, result] as const);
if (wanted.length === 0) {
  const all: Results = { environment: measuredOn(new Date()), benches: new Map(results) };
  writeResults(RESULTS, all);
  writePerformancePage(all);
}
console.table(
  Object.fromEntries(benches.map(({ id, result, ratioFloor }) => [id, { ...result, floor: ratioFloor }])),
);

const tooLow = benches.filter(
  ({ result, ratioFloor }) => ratioFloor !== undefined && result.ratio < ratioFloor,
);
for (const { id, result, ratioFloor } of tooLow) {
  console.error(`${id}: ratio ${result.ratio}, at least ${ratioFloor} is required`);
}
process.exitCode = tooLow.length === 0 ? 0 : 1;
