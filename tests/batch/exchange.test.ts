import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { KmsEmulator } from '../../src/emulator/index.js';
import {
  type A2AKeyExchange,
  AgentKeyNotFoundError,
  BatchSigner,
  InvalidArgumentError,
  OperationAbortedError,
  ReceiptTrust,
  ResourceExhaustedError,
  verifyReceipt,
} from '../../src/index.js';
import { newExchange, startTestEmulator } from '../support/emulator.js';

const messagesOf = (count: number): Buffer[] =>
  Array.from({ length: count }, (_, index) => Buffer.from(`pay ${index} EUR to alice`));

describe('batches of an agent', () => {
  let emulator: KmsEmulator;
  let exchange: A2AKeyExchange;
  let trust: ReceiptTrust;
  beforeAll(async () => {
    emulator = await startTestEmulator();
    const retry = { initialDelayMs: 1, maxDelayMs: 2 };
    // No look-up in the background while calls are counted.
    const cache = { keyVersionTtlMs: 3_600_000 };
    exchange = newExchange(emulator, { retry, quota: { mode: 'off' }, cache });
    await exchange.initialize();
    await exchange.generateAgentKey('invoice-bot');
    await exchange.signMessage('invoice-bot', Buffer.from('warm'));
    trust = new ReceiptTrust(await exchange.hierarchy.getAgentJwk('invoice-bot'));
    await exchange.idle();
  });
  afterAll(async () => {
    await exchange.close();
    await emulator.close();
  });
  beforeEach(() => emulator.requests.clear());

  it('take one operation of the HSM, and each receipt verifies alone, without a call', async () => {
    const messages = messagesOf(100);
    const receipts = await exchange.signBatch('invoice-bot', messages);
    expect(emulator.requests.count('AsymmetricSign')).toBe(1);
    for (const [index, receipt] of receipts.entries()) {
      expect(await verifyReceipt(messages[index] ?? Buffer.alloc(0), receipt, trust)).toBe(true);
    }
    expect(emulator.requests.count()).toBe(1);
  });

  it('send a digest of the root to Cloud KMS, and nothing of the messages', async () => {
    await exchange.signBatch('invoice-bot', messagesOf(3));
    const [entry, ...others] = emulator.requests.entries;
    expect(others).toEqual([]);
    expect(entry?.request['digest']).toMatchObject({ sha384: expect.any(Uint8Array) });
    expect(entry?.request['data'] ?? []).toHaveLength(0);
  });

  it('of any process verify after a rotation by the old key and the new one', async () => {
    await using own = newExchange(emulator);
    await own.generateAgentKey('rotating');
    const message = Buffer.from('before or after');
    const [before] = await own.signBatch('rotating', [message]);
    const oldKey = await own.hierarchy.getAgentJwk('rotating');
    await own.rotateAgentKey('rotating');
    await using other = newExchange(emulator);
    const [after] = await other.signBatch('rotating', [message]);
    const newKey = await other.hierarchy.getAgentJwk('rotating');
    const both = new ReceiptTrust([oldKey, newKey]);
    expect(newKey.kid).not.toBe(oldKey.kid);
    for (const receipt of [before, after]) {
      expect(await verifyReceipt(message, receipt ?? Buffer.alloc(0), both)).toBe(true);
    }
    expect(await verifyReceipt(message, after ?? Buffer.alloc(0), oldKey)).toBe(false);
  });

  it.each([
    ['RSA_SIGN_PSS_2048_SHA256', 'HSM'],
    ['EC_SIGN_SECP256K1_SHA256', 'HSM'],
    ['EC_SIGN_ED25519', 'SOFTWARE'],
    ['PQ_SIGN_ML_DSA_44', 'SOFTWARE'],
    ['PQ_SIGN_ML_DSA_65', 'SOFTWARE'],
    ['PQ_SIGN_ML_DSA_87', 'SOFTWARE'],
  ] as const)('are signed with %s too', async (algorithm, protectionLevel) => {
    await exchange.generateAgentKey(algorithm, { algorithm, protectionLevel });
    const message = Buffer.from('any algorithm');
    const [receipt] = await exchange.signBatch(algorithm, [message]);
    expect(
      await verifyReceipt(
        message,
        receipt ?? Buffer.alloc(0),
        await exchange.hierarchy.getAgentJwk(algorithm),
      ),
    ).toBe(true);
  });

  it('of an agent without a key are refused, and so is what is no batch, before any call', async () => {
    await expect(exchange.signBatch('nobody', messagesOf(1))).rejects.toThrow(AgentKeyNotFoundError);
    emulator.requests.clear();
    await expect(exchange.signBatch('invoice-bot', [])).rejects.toThrow(InvalidArgumentError);
    await expect(exchange.signBatch('', messagesOf(1))).rejects.toThrow(InvalidArgumentError);
    await expect(exchange.signMany('nobody', messagesOf(1), { concurrency: 0 })).rejects.toThrow(
      InvalidArgumentError,
    );
    expect(emulator.requests.count()).toBe(0);
  });

  it('are given up when the caller aborts', async () => {
    const signal = AbortSignal.abort();
    await expect(exchange.signBatch('invoice-bot', messagesOf(1), { signal })).rejects.toThrow(
      OperationAbortedError,
    );
  });

  it('form by themselves under load', async () => {
    await using signer = new BatchSigner(exchange, 'invoice-bot');
    const messages = messagesOf(500);
    const receipts = await Promise.all(messages.map((message) => signer.sign(message)));
    expect(emulator.requests.count()).toBe(1);
    const verdicts = await Promise.all(
      receipts.map((receipt, index) => verifyReceipt(messages[index] ?? Buffer.alloc(0), receipt, trust)),
    );
    expect(verdicts.every(Boolean)).toBe(true);
  });

  it('wait for the quota without failing', async () => {
    const details = [
      { type: 'google.rpc.RetryInfo' as const, value: { retryDelay: { seconds: 0, nanos: 30_000_000 } } },
    ];
    using fault = emulator.faults.add({
      rpc: 'AsymmetricSign',
      status: { code: 'RESOURCE_EXHAUSTED', details },
      times: 2,
    });
    await using signer = new BatchSigner(exchange, 'invoice-bot');
    const receipts = await Promise.all(messagesOf(20).map((message) => signer.sign(message)));
    expect(receipts).toHaveLength(20);
    expect(fault.hits).toBe(2);
    expect(emulator.requests.count('AsymmetricSign')).toBe(3);
  });

  it('are refused by the quota without being repeated where the caller asks for that', async () => {
    using fault = emulator.faults.add({ rpc: 'AsymmetricSign', status: { code: 'RESOURCE_EXHAUSTED' } });
    const signing = exchange.signBatch('invoice-bot', messagesOf(1), { onQuota: 'fail' });
    await expect(signing).rejects.toThrow(ResourceExhaustedError);
    expect(fault.hits).toBe(1);
  });
});

describe('signMany of an agent', () => {
  it.each(['known', 'not known yet'])(
    'that is aborted says so for each message, with the key %s',
    async (known) => {
      await using emulator = await startTestEmulator();
      await using exchange = newExchange(emulator);
      await exchange.initialize();
      await exchange.generateAgentKey('invoice-bot');
      await using other = newExchange(emulator);
      const used = known === 'known' ? exchange : other;
      await exchange.idle();
      emulator.requests.clear();
      const progress: number[] = [];
      const outcomes = await used.signMany('invoice-bot', messagesOf(3), {
        signal: AbortSignal.abort('no longer needed'),
        onProgress: ({ failed }) => progress.push(failed),
      });
      expect(outcomes).toMatchObject(
        Array(3).fill({ status: 'failed', error: { code: 'ABORTED', cause: 'no longer needed' } }),
      );
      expect(progress).toEqual([1, 2, 3]);
      expect(emulator.requests.count()).toBe(0);
    },
  );

  it('fails as a whole when its key cannot be looked up', async () => {
    await using emulator = await startTestEmulator();
    await using exchange = newExchange(emulator);
    await exchange.initialize();
    await expect(exchange.signMany('nobody', messagesOf(2))).rejects.toThrow(AgentKeyNotFoundError);
  });

  it('gives ordinary signatures, in order, and repeats none in parallel when the quota is used up', async () => {
    await using emulator = await startTestEmulator();
    await using exchange = newExchange(emulator, { retry: { initialDelayMs: 1, maxDelayMs: 2 } });
    await exchange.initialize();
    await exchange.generateAgentKey('invoice-bot');
    const messages = messagesOf(40);
    await exchange.signMessage('invoice-bot', Buffer.from('warm'));
    await exchange.idle();
    emulator.requests.clear();
    using fault = emulator.faults.add({
      rpc: 'AsymmetricSign',
      status: { code: 'RESOURCE_EXHAUSTED' },
      after: 36,
      times: 1,
    });
    const progress: number[] = [];
    const outcomes = await exchange.signMany('invoice-bot', messages, {
      concurrency: 8,
      onProgress: ({ signed }) => progress.push(signed),
    });
    expect(fault.hits).toBe(1);
    expect(emulator.requests.count('AsymmetricSign')).toBe(41);
    expect(progress).toEqual(messages.map((_, index) => index + 1));
    for (const [index, outcome] of outcomes.entries()) {
      if (outcome.status === 'failed') throw outcome.error;
      expect(outcome.protectionLevel).toBe('HSM');
      const message = messages[index] ?? Buffer.alloc(0);
      expect(await exchange.verifyMessage('invoice-bot', message, outcome.signature)).toBe(true);
    }
  });
});
