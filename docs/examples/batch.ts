/**
 * Many messages and one HSM: a batch with one signature, a signer that forms batches by itself, ordinary signatures, and
 * receipts that are verified without any call. It talks to an emulator that it starts itself, whose HSM takes 25 ms, or to
 * the one that KMS_EMULATOR_HOST names.
 */

import {
  A2AKeyExchange,
  BatchSigner,
  ReceiptTrust,
  receiptFromJson,
  receiptToJson,
  verifyReceipt,
} from 'a2a-kms';
import { startKmsEmulator } from 'a2a-kms/emulator';

const AGENT = 'invoice-bot';
const MESSAGES = 2_000;
const messages = Array.from({ length: MESSAGES }, (_, index) => Buffer.from(`pay ${index} EUR to alice`));

const emulator = process.env['KMS_EMULATOR_HOST'] ? undefined : await startKmsEmulator({ hsmLatencyMs: 25 });
const exchange = new A2AKeyExchange({
  projectId: 'demo-project',
  locationId: 'europe-west3',
  keyRingId: 'agents',
  emulatorHost: process.env['KMS_EMULATOR_HOST'] ?? emulator?.endpoint,
});

/** Runs one step and prints what came of it and how long it took. */
async function step<T>(title: string, run: () => Promise<T>, tell: (result: T) => string): Promise<T> {
  const start = performance.now();
  const result = await run();
  const tookMs = performance.now() - start;
  console.log(`${title.padEnd(58)}${tookMs.toFixed(1).padStart(8)} ms`);
  console.log(`    ${tell(result)}`);
  return result;
}

function expect(condition: boolean, problem: string): void {
  if (!condition) throw new Error(problem);
}

try {
  await exchange.initialize();
  await exchange.generateAgentKey(AGENT);
  await exchange.signMessage(AGENT, Buffer.from('the first call opens the connection'));

  const receipts = await step(
    `signBatch: ${MESSAGES} messages, one signature`,
    () => exchange.signBatch(AGENT, messages),
    ([first]) => `a receipt has ${first?.length} bytes`,
  );

  // Whoever verifies needs the public keys, once, from a place it trusts. No call is made after that.
  const trust = new ReceiptTrust({ keys: await exchange.getAgentJwks(AGENT) });
  const verifyAll = async (): Promise<number> => {
    let valid = 0;
    for (const [index, receipt] of receipts.entries()) {
      if (await verifyReceipt(messages[index] ?? Buffer.alloc(0), receipt, trust)) valid += 1;
    }
    return valid;
  };
  await step('verifyReceipt: all of them, one signature checked', verifyAll, (valid) => {
    expect(valid === MESSAGES, 'a receipt does not verify');
    return `${valid} are valid`;
  });

  const [receipt = Buffer.alloc(0)] = receipts;
  const json = await receiptToJson(receipt);
  expect((await receiptFromJson(json)).equals(receipt), 'the two forms differ');
  expect(await verifyReceipt(messages[0] ?? Buffer.alloc(0), json, trust), 'the JSON form does not verify');
  expect(!(await verifyReceipt(Buffer.from('pay 99 EUR to mallory'), json, trust)), 'a forgery verifies');
  console.log(`As JSON, for an A2A message: ${Object.keys(json).join(', ')}`);

  {
    await using signer = new BatchSigner(exchange, AGENT);
    await step(
      `BatchSigner: ${MESSAGES} messages that come one by one`,
      async () => {
        const calls: Promise<Buffer>[] = [];
        for (const message of messages) {
          calls.push(signer.sign(message));
          if (calls.length % 100 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
        }
        return Promise.all(calls);
      },
      (signed) => `${signed.length} receipts, by as many signatures as the HSM had time for`,
    );
    await step(
      'BatchSigner: a single message, when nothing else is to do',
      () => signer.sign(Buffer.from('just this one')),
      () => 'one operation of the HSM, no further delay',
    );
  }

  await step(
    'signMany: 200 messages, an ordinary signature each',
    () => exchange.signMany(AGENT, messages.slice(0, 200), { concurrency: 64 }),
    (outcomes) => {
      const signed = outcomes.filter(({ status }) => status === 'signed').length;
      expect(signed === 200, 'a signature failed');
      return `${signed} signatures, as many operations of the HSM`;
    },
  );
} finally {
  await exchange.close();
  await emulator?.close();
}
