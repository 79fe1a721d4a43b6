/**
 * Receipts of a batch whose root is known, verified one after the other on one core, against nothing but the hashes that
 * each needs.
 */

import { hash } from 'node:crypto';
import { A2AKeyExchange, ReceiptTrust, receiptToJson, verifyReceipt } from '../../src/index.js';
import { type Bench, type BenchContext, higherIsBetter, inTurn, median, perCpuSecond } from './measure.js';
import { quiet } from './quiet-logger.js';

const AGENT = 'bench';
/** The default batch of a BatchSigner: a path of twelve nodes. */
const BATCH = 4_096;
const HASHES_PER_RECEIPT = 1 + Math.log2(BATCH);
const ROUNDS = 9;
/** Fast enough, whatever share of the bare hashes that is. */
const ENOUGH_PER_SECOND = 50_000;
const ENOUGH_OF_THE_HASHES = 0.5;

export async function benchReceipts({ emulatorHost }: BenchContext): Promise<readonly Bench[]> {
  await using exchange = new A2AKeyExchange({
    projectId: 'bench',
    locationId: 'europe-west3',
    keyRingId: 'receipts',
    emulatorHost,
    logger: quiet,
  });
  await exchange.initialize();
  await exchange.generateAgentKey(AGENT, { algorithm: 'ecdsa-p384' });
  const messages = Array.from({ length: BATCH }, (_, index) =>
    Buffer.from(`{"from":"invoice-bot","to":"ledger","number":${index},"pay":"10 EUR"}`),
  );
  const receipts = await exchange.signBatch(AGENT, messages);
  const json = await Promise.all(receipts.map(receiptToJson));
  const trust = new ReceiptTrust(await exchange.hierarchy.getAgentJwk(AGENT));

  const verifyAll = async (forms: typeof receipts | typeof json): Promise<void> => {
    for (const [index, form] of forms.entries()) {
      const message = messages[index];
      if (message === undefined || !(await verifyReceipt(message, form, trust))) {
        throw new Error(`receipt ${index} does not verify`);
      }
    }
  };
  const leaf = Buffer.alloc(1 + 32 + (messages[0]?.length ?? 0));
  const node = Buffer.alloc(1 + 2 * 32);
  // As strings of bytes, which cost half of what Buffers do.
  const hashAll = async (): Promise<void> => {
    for (let receipt = 0; receipt < BATCH; receipt += 1) {
      hash('sha256', leaf, 'binary');
      for (let count = 1; count < HASHES_PER_RECEIPT; count += 1) hash('sha256', node, 'binary');
    }
  };

  const rates = await inTurn(ROUNDS, {
    bytes: () => perCpuSecond(BATCH, () => verifyAll(receipts)),
    json: () => perCpuSecond(BATCH, () => verifyAll(json)),
    hashes: () => perCpuSecond(BATCH, hashAll),
  });
  const hashes = median(rates('hashes'));
  const ratioFloor = Math.min(ENOUGH_OF_THE_HASHES, ENOUGH_PER_SECOND / hashes);
  return [
    {
      id: 'receipts.warm.throughput',
      result: higherIsBetter('receipts/s of CPU', median(rates('bytes')), hashes),
      ratioFloor,
    },
    {
      id: 'receipts.warm-json.throughput',
      result: higherIsBetter('receipts/s of CPU', median(rates('json')), hashes),
    },
  ];
}
