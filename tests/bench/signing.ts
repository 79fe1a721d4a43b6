/**
 * Signing through `KMSClient` against the official client as its users write it: hash, call, take the signature. The
 * official client is not asked to check anything; `KMSClient` does its checksums and name checks all the same.
 *
 * An operation of the HSM takes 25 ms, which is near the service in the same region. From another continent it takes 100 ms:
 * there the 100 streams of the official client's one connection are what limits it, and not the processor of this machine.
 */

import { KMSClient } from '../../src/index.js';
import { startConfiguredEmulator } from './emulator-process.js';
import { type Bench, higherIsBetter, type LoadOptions, lowerIsBetter, median } from './measure.js';
import { inNewProcess, PROCESSES } from './new-process.js';
import { quiet } from './quiet-logger.js';
import { type Comparison, comparisons, KEY_RING, type SigningTask } from './signing-task.js';

const NEAR_MS = 25;
const FAR_MS = 100;
/** Latencies within a hundredth, and throughput that the emulator limits, are the same but for noise. */
const NOISE = 0.95;
/** At most a tenth more. */
const CPU_FLOOR = 1 / 1.1;
const NEAR: readonly LoadOptions[] = [
  { concurrency: 1, roundMs: 1_000, rounds: 3 },
  { concurrency: 64, roundMs: 800, rounds: 6 },
  { concurrency: 512, roundMs: 1_000, rounds: 4 },
];
const FAR: LoadOptions = { concurrency: 512, roundMs: 1_500, rounds: 5 };

export async function benchSigning(): Promise<readonly Bench[]> {
  return [...(await signNear()), ...(await signFar())];
}

async function signNear(): Promise<readonly Bench[]> {
  const runs = await inProcesses(PROCESSES, { hsmLatencyMs: NEAR_MS, loads: NEAR });
  return NEAR.flatMap(({ concurrency }, index): readonly Bench[] => {
    const of = (value: (comparison: Comparison) => number): number =>
      median(runs.flatMap((run) => run.slice(index, index + 1).map(value)));
    const id = `sign.c${concurrency}`;
    const latency: readonly Bench[] = [
      {
        id: `${id}.latency`,
        result: lowerIsBetter(
          'ms',
          of(({ ours }) => ours.p50Ms),
          of(({ reference }) => reference.p50Ms),
        ),
        ratioFloor: NOISE,
      },
      {
        id: `${id}.latency-p99`,
        result: lowerIsBetter(
          'ms',
          of(({ ours }) => ours.p99Ms),
          of(({ reference }) => reference.p99Ms),
        ),
      },
    ];
    return [
      ...(concurrency === 1 ? latency : []),
      {
        id: `${id}.throughput`,
        result: higherIsBetter(
          'signatures/s',
          of(({ ours }) => ours.callsPerSecond),
          of(({ reference }) => reference.callsPerSecond),
        ),
        // The official client has one connection; the emulator limits both sides below.
        ratioFloor: concurrency === 512 ? 1 : NOISE,
      },
      {
        id: `${id}.cpu`,
        result: {
          ...lowerIsBetter(
            'µs of client CPU/signature',
            of(({ ours }) => ours.cpuMicrosecondsPerCall),
            of(({ reference }) => reference.cpuMicrosecondsPerCall),
          ),
          ratio: of(({ cpuRatio }) => cpuRatio),
        },
        ratioFloor: CPU_FLOOR,
      },
    ];
  });
}

async function signFar(): Promise<readonly Bench[]> {
  const runs = await inProcesses(1, { hsmLatencyMs: FAR_MS, loads: [FAR] });
  return runs.flat().map(({ ours, reference }) => ({
    id: `sign.c${FAR.concurrency}.throughput-${FAR_MS}ms`,
    result: higherIsBetter('signatures/s', ours.callsPerSecond, reference.callsPerSecond),
    ratioFloor: 1,
  }));
}

/** Compares under the loads in one process after the other, with one key of an emulator. */
async function inProcesses(
  count: number,
  { hsmLatencyMs, loads }: { readonly hsmLatencyMs: number; readonly loads: readonly LoadOptions[] },
): Promise<readonly (readonly Comparison[])[]> {
  const emulator = await startConfiguredEmulator({ hsmLatencyMs });
  try {
    const signer = await createSigner(emulator.host);
    const runs: (readonly Comparison[])[] = [];
    const task: SigningTask = { emulatorHost: emulator.host, ...signer, loads };
    while (runs.length < count) runs.push(comparisons.parse(await inNewProcess('signing-process', task)));
    return runs;
  } finally {
    await emulator.stop();
  }
}

async function createSigner(emulatorHost: string): Promise<Pick<SigningTask, 'key' | 'version'>> {
  await using kms = new KMSClient({ ...KEY_RING, emulatorHost, logger: quiet });
  await kms.initialize();
  const { name, primary } = await kms.generateKey({
    name: 'signer',
    purpose: 'ASYMMETRIC_SIGN',
    algorithm: 'EC_SIGN_P256_SHA256',
    protectionLevel: 'HSM',
  });
  if (primary === undefined) throw new Error('the new key has no version in use');
  return { key: name, version: primary };
}
