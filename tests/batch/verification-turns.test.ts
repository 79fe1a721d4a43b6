/** How much is verified before the event loop turns. What waits for its turn is verified as it was when it was given. */

import { setImmediate as turnOfTheLoop } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { ReceiptTrust, verifyReceipt } from '../../src/index.js';
import { LocalBatchKey } from '../support/batch.js';

const COUNT = 1_000;

describe('a thousand receipts of a root that is known', () => {
  const key = new LocalBatchKey();
  const trust = new ReceiptTrust(key.jwk);
  let claims: readonly { readonly message: Buffer; readonly receipt: Buffer }[];
  beforeAll(async () => {
    const messages = Array.from({ length: COUNT }, (_, index) => Buffer.from(`pay ${index} EUR to alice`));
    const receipts = await key.signBatch(messages);
    claims = receipts.map((receipt, index) => ({ message: messages[index] ?? Buffer.alloc(0), receipt }));
    for (const { message, receipt } of claims.slice(0, 1)) await verifyReceipt(message, receipt, trust);
    await turnOfTheLoop();
  });

  it('let the event loop turn while each is awaited before the next', async () => {
    let done = 0;
    const inTheFirstTurn = turnOfTheLoop().then(() => done);
    for (const { message, receipt } of claims) {
      expect(await verifyReceipt(message, receipt, trust)).toBe(true);
      done += 1;
    }
    expect(await inTheFirstTurn).toBeGreaterThan(0);
    expect(await inTheFirstTurn).toBeLessThanOrEqual(200);
  });

  /** How many of them were verified at once. */
  async function burst(
    all: readonly { readonly message: Buffer; readonly receipt: Buffer }[],
    trusted: Parameters<typeof verifyReceipt>[2],
  ): Promise<number> {
    await turnOfTheLoop();
    let done = 0;
    const inTheFirstTurn = turnOfTheLoop().then(() => done);
    const own = all.map(({ message, receipt }) => ({
      message: Buffer.from(message),
      receipt: Buffer.from(receipt),
    }));
    const verdicts = own.map(async ({ message, receipt }) => {
      const verdict = await verifyReceipt(message, receipt, trusted);
      done += 1;
      return verdict;
    });
    for (const { message, receipt } of own) {
      message.fill(0);
      receipt.fill(0);
    }
    expect(await Promise.all(verdicts)).toEqual(all.map(() => true));
    return inTheFirstTurn;
  }

  it('let it turn when all are verified at the same time, and none is taken as it is later', async () => {
    const atOnce = await burst(claims, trust);
    expect(atOnce).toBeGreaterThan(0);
    expect(atOnce).toBeLessThanOrEqual(200);
  });

  it('let it turn sooner where keys have to be read for each', async () => {
    const some = claims.slice(0, 50);
    for (const trusted of [key.jwk, [key.jwk, key.pem], { keys: [key.jwk] }]) {
      expect(await burst(some, trusted)).toBeLessThan(10);
    }
  });

  it('let it turn sooner where messages are long', async () => {
    const message = Buffer.alloc(1_048_576, 1);
    const long = (await key.signBatch(Array.from({ length: 10 }, () => message))).map((receipt) => ({
      message,
      receipt,
    }));
    expect(await burst(long, trust)).toBeLessThan(6);
  });
});
