import { afterEach, describe, expect, it, vi } from 'vitest';
import { ReceiptTrust, receiptToJson, verifyReceipt } from '../../src/index.js';
import { verifySignature } from '../../src/provider/signature-check.js';
import { LocalBatchKey } from '../support/batch.js';

vi.mock(import('../../src/provider/signature-check.js'), async (original) => {
  const actual = await original();
  return { verifySignature: vi.fn(actual.verifySignature) };
});

const message = Buffer.from('pay 10 EUR to alice');

describe('the signature of a root', () => {
  afterEach(() => vi.mocked(verifySignature).mockClear());
  const verifications = (): number => vi.mocked(verifySignature).mock.calls.length;

  it('is verified once for all receipts of its batch, one after the other or at once (P15)', async () => {
    const key = new LocalBatchKey('EC_SIGN_P384_SHA384');
    const receipts = await key.signBatch(Array.from({ length: 50 }, () => message));
    const trust = new ReceiptTrust(key.jwk);
    const verdicts = await Promise.all(receipts.map((receipt) => verifyReceipt(message, receipt, trust)));
    expect(verdicts.every(Boolean)).toBe(true);
    for (const receipt of receipts) {
      expect(await verifyReceipt(message, await receiptToJson(receipt), trust)).toBe(true);
    }
    expect(verifications()).toBe(1);
  });

  it('is verified once for callers that pass the bare key with each call too', async () => {
    const key = new LocalBatchKey();
    const receipts = await key.signBatch([message, message, message]);
    for (const receipt of receipts) expect(await verifyReceipt(message, receipt, key.jwk)).toBe(true);
    for (const receipt of receipts) expect(await verifyReceipt(message, receipt, key.pem)).toBe(true);
    expect(verifications()).toBe(1);
  });

  it('is verified once for callers that pass the bare key at the same time', async () => {
    const key = new LocalBatchKey();
    const receipts = await key.signBatch([message, message, message]);
    const verdicts = await Promise.all(receipts.map((receipt) => verifyReceipt(message, receipt, key.jwk)));
    expect(verdicts).toEqual([true, true, true]);
    expect(verifications()).toBe(1);
  });

  it('is remembered together by all that name no number, and apart by one that does', async () => {
    const key = new LocalBatchKey();
    const receipt = await key.receiptOf(message);
    for (const options of [{}, {}, { maxCachedRoots: 1_000 }]) {
      expect(await verifyReceipt(message, receipt, new ReceiptTrust(key.jwk, options))).toBe(true);
    }
    expect(verifications()).toBe(2);
  });

  it('is verified for each key and each batch', async () => {
    const keys = [new LocalBatchKey(), new LocalBatchKey()];
    const trust = new ReceiptTrust(keys.map(({ jwk }) => jwk));
    for (const key of [...keys, ...keys]) {
      expect(await verifyReceipt(message, await key.receiptOf(message), trust)).toBe(true);
    }
    expect(verifications()).toBe(4);
  });

  it('is forgotten when there are more roots than are remembered', async () => {
    const key = new LocalBatchKey();
    const trust = new ReceiptTrust(key.jwk, { maxCachedRoots: 1 });
    const [first, second] = [await key.receiptOf(message), await key.receiptOf(message)];
    for (const receipt of [first, first, second, second, first]) {
      expect(await verifyReceipt(message, receipt, trust)).toBe(true);
    }
    expect(verifications()).toBe(3);
  });

  it('that is wrong is never remembered, nor is what goes with a right one (D4)', async () => {
    const key = new LocalBatchKey();
    const trust = new ReceiptTrust(key.jwk);
    const receipt = await key.receiptOf(message);
    const forged = Buffer.from(receipt);
    forged[forged.length - 1] = (forged.at(-1) ?? 0) ^ 1;
    expect(await verifyReceipt(message, forged, trust)).toBe(false);
    expect(await verifyReceipt(message, forged, trust)).toBe(false);
    expect(await verifyReceipt(message, receipt, trust)).toBe(true);
    expect(await verifyReceipt(Buffer.from('another'), receipt, trust)).toBe(false);
    expect(await verifyReceipt(message, receipt, trust)).toBe(true);
    expect(verifications()).toBe(4);
  });
});
