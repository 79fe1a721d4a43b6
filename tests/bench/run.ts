/**
 * `npm run bench`: starts an emulator in a process of its own, runs every group of benches against it, prints a table and
 * writes results.json. `npm run bench -- batch receipts` runs the groups whose names begin so, and writes nothing. Ends with
 * status 1 when a bench is below its floor.
 *
 * The emulator's HSM answers without delay: a delay is the same for both sides and would only hide what the clients cost.
 * Groups that are about the delay or about quotas start emulators of their own.
 */

import { writeFileSync } from 'node:fs';
import { benchBatch } from './batch.js';
import { benchColdImport } from './cold-import.js';
import { startEmulatorProcess } from './emulator-process.js';
import { benchEnvelope } from './envelope.js';
import type { Bench, BenchGroup } from './measure.js';
import { benchReceipts } from './receipts.js';
import { inRepository } from './repository.js';
import { benchSigning } from './signing.js';
import { benchTelemetry } from './telemetry.js';
import { benchVerification } from './verification.js';

const groups: Readonly<Record<string, BenchGroup>> = {
  cold: benchColdImport,
  sign: benchSigning,
  verify: benchVerification,
  envelope: benchEnvelope,
  receipts: benchReceipts,
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
  for (const [, group] of chosen) benches.push(...(await group({ emulatorHost: emulator.host })));
} finally {
  await emulator.stop();
}

const results = Object.fromEntries(benches.map(({ id, result }) => [id, result]));
if (wanted.length === 0) {
  writeFileSync(inRepository('tests/bench/results.json'), `${JSON.stringify(results, null, 2)}\n`);
}
console.table(results);

const tooLow = benches.filter(
  ({ result, ratioFloor }) => ratioFloor !== undefined && result.ratio < ratioFloor,
);
for (const { id, result, ratioFloor } of tooLow) {
  console.error(`${id}: ratio ${result.ratio}, at least ${ratioFloor} is required`);
}
process.exitCode = tooLow.length === 0 ? 0 : 1;
