/**
 * Signing through `KMSClient` against the official client as its users write it: hash, call, take the signature. The
 * official client is not asked to check anything; `KMSClient` does its checksums and name checks all the same.
 *
 * An operation of the HSM takes 25 ms, which is near the service in the same region. From another continent it takes 100 ms:
 * there the 100 streams of the official client's one connection are what limits it, and not the processor of this machine.
 */

import { createHash } from 'node:crypto';
import { KMSClient } from '../../src/index.js';
import { startConfiguredEmulator } from './emulator-process.js';
import { type Bench, compareUnderLoad, higherIsBetter, type LoadOptions, lowerIsBetter } from './measure.js';
import { openOfficialClient } from './official-client.js';
import { quiet } from './quiet-logger.js';

const NEAR_MS = 25;
const FAR_MS = 100;
/** Latencies within a hundredth, and throughput that the emulator limits, are the same but for noise. */
const NOISE = 0.95;
const CPU_FLOOR = 0.9;
/** Until V8 has compiled what is measured, the CPU time of a call falls to a third, for both sides in their turn. */
const WARM_UP: LoadOptions = { concurrency: 512, roundMs: 4_000, rounds: 1 };
const message = Buffer.from('{"from":"invoice-bot","to":"ledger","pay":"10 EUR"}');

export async function benchSigning(): Promise<readonly Bench[]> {
  return [...(await signNear()), ...(await signFar())];
}

async function signNear(): Promise<readonly Bench[]> {
  const benches: Bench[] = [];
  await using sides = await openSides(NEAR_MS);
  await sides.compare(WARM_UP);
  for (const load of [
    { concurrency: 1, roundMs: 1_500, rounds: 10 },
    { concurrency: 64, roundMs: 600, rounds: 24 },
    { concurrency: 512, roundMs: 1_200, rounds: 12 },
  ]) {
    const { ours, reference, cpuRatio } = await sides.compare(load);
    const id = `sign.c${load.concurrency}`;
    if (load.concurrency === 1) {
      benches.push(
        {
          id: `${id}.latency`,
          result: lowerIsBetter('ms', ours.p50Ms, reference.p50Ms),
          ratioFloor: NOISE,
        },
        { id: `${id}.latency-p99`, result: lowerIsBetter('ms', ours.p99Ms, reference.p99Ms) },
      );
    }
    benches.push(
      {
        id: `${id}.throughput`,
        result: higherIsBetter('signatures/s', ours.callsPerSecond, reference.callsPerSecond),
        // One connection is what limits the official client there, and the emulator both sides below.
        ratioFloor: load.concurrency === 512 ? 1 : NOISE,
      },
      {
        id: `${id}.cpu`,
        result: {
          ...lowerIsBetter(
            'µs of client CPU/signature',
            ours.cpuMicrosecondsPerCall,
            reference.cpuMicrosecondsPerCall,
          ),
          ratio: cpuRatio,
        },
        ratioFloor: CPU_FLOOR,
      },
    );
  }
  return benches;
}

async function signFar(): Promise<readonly Bench[]> {
  await using sides = await openSides(FAR_MS);
  const { ours, reference } = await sides.compare({ concurrency: 512, roundMs: 1_500, rounds: 5 });
  return [
    {
      id: `sign.c512.throughput-${FAR_MS}ms`,
      result: higherIsBetter('signatures/s', ours.callsPerSecond, reference.callsPerSecond),
      ratioFloor: 1,
    },
  ];
}

/** Both clients with one key of an emulator in a process of its own. */
async function openSides(hsmLatencyMs: number) {
  const emulator = await startConfiguredEmulator({ hsmLatencyMs });
  const kms = new KMSClient({
    projectId: 'bench',
    locationId: 'europe-west3',
    keyRingId: 'signing',
    emulatorHost: emulator.host,
    logger: quiet,
    // As the official client.
    deadlines: { operationMs: 60_000, attemptMs: 60_000 },
  });
  const official = await openOfficialClient(emulator.host);
  await kms.initialize();
  const { name, primary } = await kms.generateKey({
    name: 'signer',
    purpose: 'ASYMMETRIC_SIGN',
    algorithm: 'EC_SIGN_P256_SHA256',
    protectionLevel: 'HSM',
  });
  if (primary === undefined) throw new Error('the new key has no version in use');
  return {
    compare: (load: LoadOptions) =>
      compareUnderLoad(
        {
          ours: () => kms.sign(name, message),
          reference: () =>
            official.asymmetricSign({
              name: primary,
              digest: { sha256: createHash('sha256').update(message).digest() },
            }),
        },
        load,
      ),
    async [Symbol.asyncDispose]() {
      await Promise.all([kms.close(), official.close()]);
      await emulator.stop();
    },
  };
}
