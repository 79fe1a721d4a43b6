/**
 * What telemetry costs the call that would feel it most: verification with a known key, which asks nobody. `off` puts the
 * layer that every call passes without telemetry around the call once more, so that the difference is that layer. `on` has
 * spans and histograms made by the OpenTelemetry API, without an SDK behind it.
 */

import { KMSClient } from '../../src/index.js';
import { CallCounts } from '../../src/provider/stats.js';
import { type Bench, type BenchContext, type Call, compareUnderLoad, lowerIsBetter } from './measure.js';
import { quiet } from './quiet-logger.js';

const KEY_RING = { projectId: 'bench', locationId: 'europe-west3', keyRingId: 'telemetry' } as const;
const message = Buffer.from('{"from":"invoice-bot","to":"ledger","pay":"10 EUR"}');

export async function benchTelemetry({ emulatorHost }: BenchContext): Promise<readonly Bench[]> {
  await using off = new KMSClient({ ...KEY_RING, emulatorHost, logger: quiet });
  await using on = new KMSClient({ ...KEY_RING, emulatorHost, logger: quiet, telemetry: 'on' });
  await off.initialize();
  const { name } = await off.generateKey({
    name: 'signer',
    purpose: 'ASYMMETRIC_SIGN',
    algorithm: 'EC_SIGN_P256_SHA256',
    protectionLevel: 'HSM',
  });
  const signature = await off.sign(name, message);
  const counts = new CallCounts();
  const verify: Call = () => off.verify(name, message, signature);
  return [
    await compare('telemetry.off.latency', () => counts.count('verify', verify), verify),
    await compare('telemetry.on.latency', () => on.verify(name, message, signature), verify),
  ];
}

async function compare(id: string, ours: Call, reference: Call): Promise<Bench> {
  const loads = await compareUnderLoad({ ours, reference }, { concurrency: 1, roundMs: 300, rounds: 9 });
  return { id, result: lowerIsBetter('ms', loads.ours.p50Ms, loads.reference.p50Ms) };
}
