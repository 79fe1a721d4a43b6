/** Local verification with a known key, against node:crypto with the PEM that the official client returned once. */

import { verify } from 'node:crypto';
import { KMSClient } from '../../src/index.js';
import { type Bench, type BenchContext, compareUnderLoad, lowerIsBetter } from './measure.js';
import { openOfficialClient } from './official-client.js';

const KEY_RING = { projectId: 'bench', locationId: 'europe-west3', keyRingId: 'verification' } as const;
const message = Buffer.from('{"from":"invoice-bot","to":"ledger","pay":"10 EUR"}');

export async function benchVerification({ emulatorHost }: BenchContext): Promise<readonly Bench[]> {
  await using kms = new KMSClient({ ...KEY_RING, emulatorHost });
  const official = await openOfficialClient(emulatorHost);
  await kms.initialize();
  const { name, primary } = await kms.generateKey({
    name: 'signer',
    purpose: 'ASYMMETRIC_SIGN',
    algorithm: 'EC_SIGN_P256_SHA256',
    protectionLevel: 'HSM',
  });
  const signature = await kms.sign(name, message);
  const [{ pem }] = await official.getPublicKey({ name: primary ?? '' });
  await official.close();
  if (typeof pem !== 'string') throw new Error('the public key has no PEM');

  const { ours, reference } = await compareUnderLoad(
    {
      ours: () => kms.verify(name, message, signature),
      reference: async () => verify('sha256', message, pem, signature),
    },
    { concurrency: 1, roundMs: 500, rounds: 7 },
  );
  return [{ id: 'verify.warm.latency', result: lowerIsBetter('ms', ours.latencyMs, reference.latencyMs) }];
}
