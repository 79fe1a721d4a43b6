/**
 * Signing through `KMSClient` against the official client as its users write it: hash, call, take the signature. The
 * official client is not asked to check anything; `KMSClient` does its checksums and name checks all the same.
 */

import { createHash } from 'node:crypto';
import { KMSClient } from '../../src/index.js';
import { type Bench, type BenchContext, compareUnderLoad, higherIsBetter, lowerIsBetter } from './measure.js';
import { openOfficialClient } from './official-client.js';

const KEY_RING = { projectId: 'bench', locationId: 'europe-west3', keyRingId: 'signing' } as const;
const message = Buffer.from('{"from":"invoice-bot","to":"ledger","pay":"10 EUR"}');

export async function benchSigning({ emulatorHost }: BenchContext): Promise<readonly Bench[]> {
  await using kms = new KMSClient({ ...KEY_RING, emulatorHost });
  const official = await openOfficialClient(emulatorHost);
  await kms.initialize();
  const { name, primary } = await kms.generateKey({
    name: 'signer',
    purpose: 'ASYMMETRIC_SIGN',
    algorithm: 'EC_SIGN_P256_SHA256',
    protectionLevel: 'HSM',
  });
  if (primary === undefined) throw new Error('the new key has no version in use');

  const sides = {
    ours: () => kms.sign(name, message),
    reference: () =>
      official.asymmetricSign({
        name: primary,
        digest: { sha256: createHash('sha256').update(message).digest() },
      }),
  };
  const benches: Bench[] = [];
  for (const concurrency of [1, 64, 512]) {
    const { ours, reference } = await compareUnderLoad(sides, { concurrency, roundMs: 1_000, rounds: 7 });
    if (concurrency === 1) {
      benches.push({
        id: 'sign.c1.latency',
        result: lowerIsBetter('ms', ours.latencyMs, reference.latencyMs),
      });
    }
    benches.push({
      id: `sign.c${concurrency}.throughput`,
      result: higherIsBetter('signatures/s', ours.callsPerSecond, reference.callsPerSecond),
      ratioFloor: 0.9,
    });
    benches.push({
      id: `sign.c${concurrency}.cpu`,
      result: lowerIsBetter(
        'µs of client CPU/signature',
        ours.cpuMicrosecondsPerCall,
        reference.cpuMicrosecondsPerCall,
      ),
    });
  }
  await official.close();
  return benches;
}
