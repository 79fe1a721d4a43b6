/**
 * Local verification with a known key, against node:crypto with a ready KeyObject, and against users of the official client
 * who fetch the public key each time. And what a load of verifications does to the event loop.
 */

import { verify } from 'node:crypto';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { z } from 'zod';
import { KMSClient } from '../../src/index.js';
import type { KeySpec } from '../../src/keys/key-provider.js';
import {
  type Bench,
  type BenchContext,
  type BenchResult,
  higherInPairs,
  inTurn,
  lowerIsBetter,
  median,
  perSecond,
} from './measure.js';
import { inNewProcess, PROCESSES } from './new-process.js';
import { openOfficialClient } from './official-client.js';
import { quiet } from './quiet-logger.js';
import { KEY_RING, type VerificationTask, verificationRates, verifyInTurn } from './verification-task.js';

const message = Buffer.from('{"from":"invoice-bot","to":"ledger","pay":"10 EUR"}');
const ALGORITHMS = [
  { id: 'ed25519', algorithm: 'EC_SIGN_ED25519', protectionLevel: 'SOFTWARE', digest: null, count: 1_000 },
  { id: 'p256', algorithm: 'EC_SIGN_P256_SHA256', protectionLevel: 'HSM', digest: 'sha256', count: 1_500 },
  { id: 'p384', algorithm: 'EC_SIGN_P384_SHA384', protectionLevel: 'HSM', digest: 'sha384', count: 200 },
] as const satisfies readonly (Pick<KeySpec, 'algorithm' | 'protectionLevel'> & {
  readonly id: string;
  readonly digest: string | null;
  /** Verifications of one round: about a tenth of a second. */
  readonly count: number;
})[];
/** Signatures of one round that are verified by way of the network, which takes some twenty times as long. */
const RAW_COUNT = 100;
const RAW_ROUNDS = 9;
const BARE_FLOOR = 0.95;
const DELAY_LIMIT_MS = 20;
const LOAD_MS = 3_000;
/** Messages that come in together and are verified at once. */
const BURST = 1_000;

export async function benchVerification({ emulatorHost }: BenchContext): Promise<readonly Bench[]> {
  await using kms = new KMSClient({ ...KEY_RING, emulatorHost, logger: quiet });
  const official = await openOfficialClient(emulatorHost);
  await kms.initialize();
  const benches: Bench[] = [];
  const calls: (() => Promise<boolean>)[] = [];
  for (const { id, algorithm, protectionLevel, digest, count } of ALGORITHMS) {
    const key = await kms.generateKey({ name: id, purpose: 'ASYMMETRIC_SIGN', algorithm, protectionLevel });
    const name = key.primary ?? '';
    const signature = await kms.sign(key.name, message);
    const sides = {
      warm: () => kms.verify(key.name, message, signature),
      raw: async () => {
        const [{ pem }] = await official.getPublicKey({ name });
        return verify(digest, message, pem ?? '', signature);
      },
    };
    calls.push(sides.warm);
    const rates = await inTurn(RAW_ROUNDS, {
      warm: () => perSecond(count, () => verifyInTurn(count, sides.warm)),
      raw: () => perSecond(RAW_COUNT, () => verifyInTurn(RAW_COUNT, sides.raw)),
    });
    benches.push(
      {
        id: `verify.${id}.against-bare`,
        result: await againstBare({
          ...{ emulatorHost, key: key.name, digest, count },
          message: message.toString('base64'),
          signature: signature.toString('base64'),
        }),
        ratioFloor: BARE_FLOOR,
      },
      {
        id: `verify.${id}.against-raw`,
        result: higherInPairs('verifications/s', rates('warm'), rates('raw')),
        ratioFloor: 1,
      },
    );
  }
  await official.close();
  return [...benches, await eventLoopDelay(calls)];
}

async function againstBare(task: VerificationTask): Promise<BenchResult> {
  const runs: z.output<typeof verificationRates>[] = [];
  while (runs.length < PROCESSES)
    runs.push(verificationRates.parse(await inNewProcess('verification-process', task)));
  return {
    ours: median(runs.map(({ ours }) => ours)),
    reference: median(runs.map(({ reference }) => reference)),
    unit: 'verifications/s of CPU',
    ratio: median(runs.map(({ ratio }) => ratio)),
  };
}

/** Bursts of verifications by all keys, one after the other: what else this process has to do waits that long. */
async function eventLoopDelay(calls: readonly (() => Promise<boolean>)[]): Promise<Bench> {
  const burst = (): Promise<unknown> =>
    Promise.all(Array.from({ length: BURST }, (_, index) => calls[index % calls.length]?.()));
  await burst();
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  for (const end = performance.now() + LOAD_MS; performance.now() < end; ) await burst();
  delay.disable();
  return {
    id: 'verify.load.event-loop-delay-p99',
    // Of nanoseconds, with the interval of the timer that measures.
    result: lowerIsBetter('ms', delay.percentile(99) / 1e6, DELAY_LIMIT_MS),
    ratioFloor: 1,
  };
}
