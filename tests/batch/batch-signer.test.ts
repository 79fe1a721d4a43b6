import { getEventListeners } from 'node:events';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  BatchSigner,
  type BatchSignerOptions,
  BlindedMessage,
  ClientClosedError,
  DeadlineExceededError,
  IntegrityError,
  InvalidArgumentError,
  InvalidConfigError,
  OperationAbortedError,
  PermissionDeniedError,
  QueueFullError,
  ResourceExhaustedError,
} from '../../src/index.js';
import { handOver } from '../support/batch.js';
import { HeldExchange } from '../support/held-exchange.js';
import { SettableClock } from '../support/settable-clock.js';

const context = { operation: 'signBatch', resource: 'agent "invoice-bot"', attempts: 1 };
const quotaAnswer = (retryAfterMs?: number): ResourceExhaustedError =>
  new ResourceExhaustedError(context, 'Quota exceeded.', retryAfterMs);
const denied = (): PermissionDeniedError =>
  new PermissionDeniedError(context, {
    permission: 'cloudkms.cryptoKeyVersions.useToSign',
    role: 'roles/cloudkms.signer',
  });

const leaves = (messages: readonly BlindedMessage[]): string[] =>
  messages.map(({ leafHash }) => Buffer.from(leafHash).toString('hex'));

/** Lets everything that is ready run. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await nextTurn();
}

describe('BatchSigner', () => {
  let exchange: HeldExchange;
  let clock: SettableClock;
  let signer: BatchSigner;
  beforeEach(() => {
    exchange = new HeldExchange();
    clock = new SettableClock();
    signer = newSigner();
  });
  afterEach(async () => {
    for (const batch of exchange.batches) batch.fail(denied());
    // Whatever still waits ends by its deadline.
    const closing = signer.close();
    for (let round = 0; round < 30; round++) {
      await settle();
      clock.advance(10_000);
      for (const batch of exchange.batches) batch.fail(denied());
    }
    await closing;
  });

  const newSigner = (options: BatchSignerOptions = {}): BatchSigner =>
    new BatchSigner(exchange, 'invoice-bot', { clock, ...options });

  /** Signs one message after the other without waiting; the outcomes are looked at later. */
  const send = (count: number, options?: Parameters<BatchSigner['sign']>[1]): BlindedCall[] =>
    Array.from({ length: count }, () => call(options));
  interface BlindedCall {
    readonly blinded: BlindedMessage;
    readonly receipt: Promise<Buffer>;
  }
  const call = (options?: Parameters<BatchSigner['sign']>[1]): BlindedCall => {
    const blinded = new BlindedMessage(Buffer.from('message'));
    const receipt = signer.sign(blinded, options);
    receipt.catch(() => {});
    return { blinded, receipt };
  };
  const expectOwnReceipts = async (calls: readonly BlindedCall[]): Promise<void> => {
    for (const { blinded, receipt } of calls) expect(await receipt).toEqual(Buffer.from(blinded.leafHash));
  };

  it('that is idle signs at once, without a timer', async () => {
    const sent = call();
    const { messages } = await exchange.batch(0);
    expect(messages).toHaveLength(1);
    exchange.batches[0]?.succeed();
    await expectOwnReceipts([sent]);
    expect(clock.pendingTimers).toBe(0);
  });

  it('signs calls of the same turn together, in their order', async () => {
    const calls = send(5);
    const batch = await exchange.batch(0);
    expect(leaves(batch.messages)).toEqual(leaves(calls.map(({ blinded }) => blinded)));
    batch.succeed();
    await expectOwnReceipts(calls);
    expect(exchange.batches).toHaveLength(1);
  });

  it('gathers while a batch is under way, and never has two under way', async () => {
    const first = send(2);
    const one = await exchange.batch(0);
    const second = send(3);
    await settle();
    const third = send(4);
    await settle();
    expect(exchange.batches).toHaveLength(1);
    one.succeed();
    const two = await exchange.batch(1);
    expect(two.messages).toHaveLength(7);
    two.succeed();
    await expectOwnReceipts([...first, ...second, ...third]);
    expect(exchange.batches).toHaveLength(2);
  });

  it('takes those who got their receipt and send again into the very next batch', async () => {
    const loop = async (): Promise<void> => {
      for (let round = 0; round < 3; round++) {
        await signer.sign(Buffer.from('again'));
        // What a caller does with its receipt before it sends again, short of waiting for anything.
        for (let step = 0; step < 20; step++) await Promise.resolve();
      }
    };
    const loops = Promise.all([loop(), loop(), loop()]);
    for (let round = 0; round < 3; round++) {
      const batch = await exchange.batch(round);
      expect(batch.messages).toHaveLength(3);
      batch.succeed();
    }
    await loops;
  });

  it('signs what comes right as the run before ends', async () => {
    for (let round = 0; round < 20; round++) {
      const sent = call();
      (await exchange.batch(round)).succeed();
      await expectOwnReceipts([sent]);
      for (let turn = 0; turn < round % 5; turn++) await Promise.resolve();
    }
  });

  it('signs at most maxBatch at once, first come first served', async () => {
    signer = newSigner({ maxBatch: 3 });
    const calls = send(7);
    for (const [index, expected] of [calls.slice(0, 3), calls.slice(3, 6), calls.slice(6)].entries()) {
      const batch = await exchange.batch(index);
      expect(leaves(batch.messages)).toEqual(leaves(expected.map(({ blinded }) => blinded)));
      batch.succeed();
    }
    await expectOwnReceipts(calls);
  });

  it('signs the message as it was when it was passed, and keeps no reference to it', async () => {
    const message = Buffer.from('message');
    const receipt = signer.sign(message);
    message.fill(0);
    const batch = await exchange.batch(0);
    batch.succeed();
    expect(await receipt).toHaveLength(32);
    expect(Object.values(batch.messages[0] ?? {}).some((value) => value === message)).toBe(false);
  });

  describe.each([-3_600_000, 3_600_000])('when the wall clock is set by %d ms', (stepMs) => {
    it('signs what waits in its time', async () => {
      signer = newSigner({ maxDelayMs: 20 });
      const sent = call({ timeoutMs: 3_600_000 });
      await settle();
      clock.stepMs = stepMs;
      clock.advance(19);
      await settle();
      expect(exchange.batches).toHaveLength(0);
      clock.advance(1);
      const batch = await exchange.batch(0);
      expect(batch.options.timeoutMs).toBe(3_600_000 - 20);
      batch.succeed();
      await expectOwnReceipts([sent]);
    });

    it('ends a call at its deadline', async () => {
      const sent = call({ timeoutMs: 50 });
      await exchange.batch(0);
      clock.stepMs = stepMs;
      clock.advance(49);
      await settle();
      expect(signer.queued).toBe(1);
      clock.advance(1);
      await expect(sent.receipt).rejects.toThrow(DeadlineExceededError);
    });

    it('pauses as long as the server says', async () => {
      const sent = call();
      (await exchange.batch(0)).fail(quotaAnswer(5_000));
      await settle();
      clock.stepMs = stepMs;
      clock.advance(4_999);
      await settle();
      expect(exchange.batches).toHaveLength(1);
      clock.advance(1);
      (await exchange.batch(1)).succeed();
      await expectOwnReceipts([sent]);
    });
  });

  describe('with maxDelayMs', () => {
    it('waits for others that long, counted from the oldest message', async () => {
      signer = newSigner({ maxDelayMs: 20 });
      const first = call();
      await settle();
      clock.advance(15);
      const second = call();
      await settle();
      expect(exchange.batches).toHaveLength(0);
      clock.advance(5);
      const batch = await exchange.batch(0);
      expect(batch.messages).toHaveLength(2);
      batch.succeed();
      await expectOwnReceipts([first, second]);
    });

    it('does not wait when the batch is full', async () => {
      signer = newSigner({ maxDelayMs: 20, maxBatch: 3 });
      const calls = send(2);
      await settle();
      expect(exchange.batches).toHaveLength(0);
      calls.push(call());
      (await exchange.batch(0)).succeed();
      await expectOwnReceipts(calls);
    });

    it('does not wait when the queue is full', async () => {
      signer = newSigner({ maxDelayMs: 20, maxQueue: 2, whenFull: 'wait' });
      const calls = send(2);
      (await exchange.batch(0)).succeed();
      await expectOwnReceipts(calls);
    });

    it('does not wait when it is closed', async () => {
      signer = newSigner({ maxDelayMs: 20 });
      const calls = send(2);
      await settle();
      const closing = signer.close();
      (await exchange.batch(0)).succeed();
      await closing;
      await expectOwnReceipts(calls);
    });
  });

  describe('whose queue is full', () => {
    it('refuses further calls, until there is a place again', async () => {
      signer = newSigner({ maxQueue: 2 });
      const calls = send(2);
      await expect(signer.sign(Buffer.from('one too many'))).rejects.toThrow(QueueFullError);
      expect(signer.queued).toBe(2);
      (await exchange.batch(0)).succeed();
      await expectOwnReceipts(calls);
      const next = call();
      (await exchange.batch(1)).succeed();
      await expectOwnReceipts([next]);
    });

    it('has them wait in line where it was told to, first come first served', async () => {
      signer = newSigner({ maxQueue: 2, whenFull: 'wait' });
      const calls = send(5);
      expect([signer.queued, signer.inLine]).toEqual([2, 3]);
      for (const [index, expected] of [calls.slice(0, 2), calls.slice(2, 4), calls.slice(4)].entries()) {
        const batch = await exchange.batch(index);
        expect(leaves(batch.messages)).toEqual(leaves(expected.map(({ blinded }) => blinded)));
        batch.succeed();
      }
      await expectOwnReceipts(calls);
      expect([signer.queued, signer.inLine]).toEqual([0, 0]);
    });
  });

  describe('whose line is full, too', () => {
    it('refuses further calls, until there is a place again', async () => {
      signer = newSigner({ maxQueue: 2, whenFull: 'wait', maxInLine: 3 });
      const calls = send(5);
      await expect(signer.sign(Buffer.from('one too many'))).rejects.toMatchObject({
        code: 'QUEUE_FULL',
        limit: 5,
      });
      expect([signer.queued, signer.inLine]).toEqual([2, 3]);
      (await exchange.batch(0)).succeed();
      await expectOwnReceipts(calls.slice(0, 2));
      calls.push(...send(2));
      for (const index of [1, 2, 3]) (await exchange.batch(index)).succeed();
      await expectOwnReceipts(calls);
    });
  });

  describe('an abort', () => {
    it('before the batch takes only that message back', async () => {
      const controller = new AbortController();
      const [first, second] = [call({ signal: controller.signal }), call()];
      controller.abort(new Error('no longer needed'));
      await expect(first.receipt).rejects.toThrow(OperationAbortedError);
      const batch = await exchange.batch(0);
      expect(leaves(batch.messages)).toEqual(leaves([second.blinded]));
      batch.succeed();
      await expectOwnReceipts([second]);
    });

    it('while the batch is under way ends only that call, at once (D11)', async () => {
      const controller = new AbortController();
      const [first, second] = [call({ signal: controller.signal }), call()];
      const batch = await exchange.batch(0);
      controller.abort('no longer needed');
      await expect(first.receipt).rejects.toMatchObject({ code: 'ABORTED', cause: 'no longer needed' });
      expect(batch.options.signal?.aborted).toBe(false);
      batch.succeed();
      await expectOwnReceipts([second]);
    });

    it('of every call of a batch ends the operation', async () => {
      const controller = new AbortController();
      const calls = send(20, { signal: controller.signal });
      const batch = await exchange.batch(0);
      controller.abort();
      for (const { receipt } of calls) await expect(receipt).rejects.toThrow(OperationAbortedError);
      expect(batch.options.signal?.aborted).toBe(true);
      batch.fail(new OperationAbortedError(context));
      const next = call();
      (await exchange.batch(1)).succeed();
      await expectOwnReceipts([next]);
    });

    it('before the call takes nothing', async () => {
      await expect(signer.sign(Buffer.from('x'), { signal: AbortSignal.abort() })).rejects.toThrow(
        OperationAbortedError,
      );
      await settle();
      expect(exchange.batches).toHaveLength(0);
    });

    it('of a call that has its receipt changes nothing', async () => {
      const controller = new AbortController();
      const sent = call({ signal: controller.signal });
      (await exchange.batch(0)).succeed();
      await sent.receipt;
      expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0);
      controller.abort();
      await expectOwnReceipts([sent]);
    });
  });

  describe('a failure', () => {
    it('reaches every call of its batch and no other', async () => {
      const failed = send(3);
      const one = await exchange.batch(0);
      const others = send(2);
      await settle();
      const error = denied();
      one.fail(error);
      for (const { receipt } of failed) await expect(receipt).rejects.toBe(error);
      (await exchange.batch(1)).succeed();
      await expectOwnReceipts(others);
    });

    it('to give a receipt for each message fails the batch', async () => {
      const [sent] = send(2);
      (await exchange.batch(0)).answer([Buffer.alloc(1)]);
      await expect(sent?.receipt).rejects.toThrow(IntegrityError);
    });

    it('to give one of the receipts fails that message only', async () => {
      const [first, second] = send(2);
      const receipts = new Array<Buffer>(2);
      receipts[1] = Buffer.from('receipt');
      (await exchange.batch(0)).answer(receipts);
      await expect(first?.receipt).rejects.toThrow(IntegrityError);
      expect(await second?.receipt).toEqual(Buffer.from('receipt'));
      expect(signer.queued).toBe(0);
    });
  });

  describe('when the quota is used up', () => {
    it('waits as long as the server says, keeps gathering, and fails no call', async () => {
      const first = send(2);
      (await exchange.batch(0)).fail(quotaAnswer(5_000));
      await settle();
      const second = send(3);
      await settle();
      clock.advance(4_999);
      await settle();
      expect(exchange.batches).toHaveLength(1);
      clock.advance(1);
      const batch = await exchange.batch(1);
      expect(leaves(batch.messages)).toEqual(leaves([...first, ...second].map(({ blinded }) => blinded)));
      batch.succeed();
      await expectOwnReceipts([...first, ...second]);
    });

    it('tries again after a minute, however long the server says that it takes', async () => {
      const sent = call({ timeoutMs: 90_000 });
      (await exchange.batch(0)).fail(quotaAnswer(3_600_000));
      await settle();
      clock.advance(59_999);
      await settle();
      expect(exchange.batches).toHaveLength(1);
      clock.advance(1);
      (await exchange.batch(1)).succeed();
      await expectOwnReceipts([sent]);
    });

    it('lets the provider report it instead of repeating by itself', async () => {
      call();
      expect((await exchange.batch(0)).options.onQuota).toBe('fail');
    });

    it('fails a call at its deadline only, with the quota answer as the cause', async () => {
      const short = call({ timeoutMs: 1_000 });
      const long = call();
      const answer = quotaAnswer(5_000);
      (await exchange.batch(0)).fail(answer);
      await settle();
      clock.advance(999);
      await settle();
      expect(signer.queued).toBe(2);
      clock.advance(1);
      await expect(short.receipt).rejects.toMatchObject({
        code: 'DEADLINE_EXCEEDED',
        timeoutMs: 1_000,
        cause: answer,
      });
      clock.advance(4_000);
      const batch = await exchange.batch(1);
      expect(leaves(batch.messages)).toEqual(leaves([long.blinded]));
      batch.succeed();
      await expectOwnReceipts([long]);
    });

    it('spaces the batches that follow', async () => {
      const first = call();
      (await exchange.batch(0)).fail(quotaAnswer());
      await settle();
      clock.advance(250);
      (await exchange.batch(1)).succeed();
      await expectOwnReceipts([first]);
      const second = call();
      await settle();
      expect(exchange.batches).toHaveLength(2);
      clock.advance(1_000);
      (await exchange.batch(2)).succeed();
      await expectOwnReceipts([second]);
    });

    it('ends with its last call: closing does not wait for the pause', async () => {
      const sent = call({ timeoutMs: 10 });
      (await exchange.batch(0)).fail(quotaAnswer(60_000));
      await settle();
      const closing = signer.close();
      await settle();
      clock.advance(10);
      await expect(sent.receipt).rejects.toThrow(DeadlineExceededError);
      await closing;
      expect(clock.pendingTimers).toBe(0);
    });
  });

  describe('a deadline', () => {
    it('of the operation is the last one of its batch, so that none fails before its time', async () => {
      send(2, { timeoutMs: 500 });
      call({ timeoutMs: 30_000 });
      expect((await exchange.batch(0)).options.timeoutMs).toBe(30_000);
    });

    it('ends the call while the batch is under way, and the operation with the last one', async () => {
      const [first, second] = [call({ timeoutMs: 50 }), call({ timeoutMs: 80 })];
      const batch = await exchange.batch(0);
      clock.advance(50);
      await expect(first.receipt).rejects.toThrow(DeadlineExceededError);
      expect(batch.options.signal?.aborted).toBe(false);
      clock.advance(30);
      await expect(second.receipt).rejects.toThrow(DeadlineExceededError);
      expect(batch.options.signal?.aborted).toBe(true);
    });

    it('ends each call at its own, in whatever order they come', async () => {
      const timeouts = [70, 30, 70, 10, 30, 50];
      const ended: number[] = [];
      for (const timeoutMs of timeouts) {
        call({ timeoutMs }).receipt.catch(() => ended.push(timeoutMs));
        clock.advance(1);
      }
      await exchange.batch(0);
      const leftAt: number[] = [];
      for (let passedMs = timeouts.length; passedMs < 80; passedMs += 2) {
        clock.advance(2);
        await settle();
        leftAt.push(ended.length);
      }
      expect(ended).toEqual([10, 30, 30, 50, 70, 70]);
      expect(new Set(leftAt)).toEqual(new Set([0, 1, 2, 3, 4, 5, 6]));
      expect(clock.pendingTimers).toBe(0);
    });

    it('is kept within 1/128 of it among thousands that all differ', async () => {
      const STEP_MS = 20;
      const lateBy: number[] = [];
      const timeouts = Array.from({ length: 3_000 }, (_, index) => 1_000 + ((index * 7_919) % 100_000));
      const startedAt = clock.monotonic();
      for (const timeoutMs of timeouts) {
        call({ timeoutMs }).receipt.catch(() => {
          const lateMs = clock.monotonic() - startedAt - timeoutMs;
          // The clock goes in steps.
          lateBy.push(Math.max(0, lateMs - STEP_MS) / timeoutMs);
        });
      }
      await exchange.batch(0);
      for (let passedMs = 0; passedMs < 102_000; passedMs += STEP_MS) {
        clock.advance(STEP_MS);
        await settle();
      }
      expect(lateBy).toHaveLength(timeouts.length);
      expect(Math.max(...lateBy)).toBeLessThan(1 / 128);
      expect(clock.pendingTimers).toBe(0);
    });

    it('is that of the signer where the call names none', async () => {
      signer = newSigner({ timeoutMs: 40 });
      const sent = call();
      await exchange.batch(0);
      clock.advance(40);
      await expect(sent.receipt).rejects.toMatchObject({ timeoutMs: 40 });
    });
  });

  describe('whose batch is signed while its receipts are still to be written', () => {
    it('signs the next batch meanwhile, and gives each its own receipts', async () => {
      const calls = send(3);
      const first = await exchange.batch(0);
      const later = send(2);
      first.sign();
      const second = await exchange.batch(1);
      expect(leaves(second.messages)).toEqual(leaves(later.map(({ blinded }) => blinded)));
      expect(signer.queued).toBe(5);
      second.succeed();
      await expectOwnReceipts(later);
      first.succeed();
      await expectOwnReceipts(calls);
      expect(signer.queued).toBe(0);
    });

    it('waits with a third until the receipts of one are written', async () => {
      const calls = send(1);
      for (const index of [0, 1]) {
        (await exchange.batch(index)).sign();
        calls.push(...send(1));
      }
      await settle();
      expect(exchange.batches).toHaveLength(2);
      exchange.batches[1]?.succeed();
      (await exchange.batch(2)).succeed();
      exchange.batches[0]?.succeed();
      await expectOwnReceipts(calls);
    });

    it('fails its own calls and no others when they cannot be written', async () => {
      const calls = send(2);
      const first = await exchange.batch(0);
      const later = send(2);
      first.sign();
      const second = await exchange.batch(1);
      first.fail(denied());
      for (const { receipt } of calls) await expect(receipt).rejects.toThrow(PermissionDeniedError);
      second.succeed();
      await expectOwnReceipts(later);
    });

    it('puts the next one back at its place when the quota is used up', async () => {
      const calls = send(2);
      const first = await exchange.batch(0);
      const later = send(2);
      first.sign();
      (await exchange.batch(1)).fail(quotaAnswer(1_000));
      await settle();
      const last = send(1);
      first.succeed();
      await expectOwnReceipts(calls);
      clock.advance(1_001);
      const third = await exchange.batch(2);
      expect(leaves(third.messages)).toEqual(leaves([...later, ...last].map(({ blinded }) => blinded)));
      third.succeed();
      await expectOwnReceipts([...later, ...last]);
    });

    it('is given up when all of its calls left, and the other goes on', async () => {
      const controller = new AbortController();
      const calls = send(2, { signal: controller.signal });
      const first = await exchange.batch(0);
      const later = send(1);
      first.sign();
      const second = await exchange.batch(1);
      controller.abort();
      for (const { receipt } of calls) await expect(receipt).rejects.toThrow(OperationAbortedError);
      expect([first.options.signal?.aborted, second.options.signal?.aborted]).toEqual([true, false]);
      second.succeed();
      await expectOwnReceipts(later);
      first.fail(denied());
    });

    it('makes the next one no smaller because others wait in line for the queue', async () => {
      signer = newSigner({ maxBatch: 4, maxQueue: 5, whenFull: 'wait' });
      const calls = send(9);
      const first = await exchange.batch(0);
      first.sign();
      await settle();
      expect(exchange.batches).toHaveLength(1);
      first.succeed();
      const second = await exchange.batch(1);
      expect(second.messages).toHaveLength(4);
      second.succeed();
      (await exchange.batch(2)).succeed();
      await expectOwnReceipts(calls);
    });

    it('ends its calls when the quota is said to be used up after all', async () => {
      const [only] = send(1);
      const first = await exchange.batch(0);
      first.sign();
      await settle();
      first.fail(quotaAnswer());
      await expect(only?.receipt).rejects.toThrow(ResourceExhaustedError);
      expect(signer.queued).toBe(0);
    });

    it('takes none of those that wait in line for the queue', async () => {
      signer = newSigner({ maxQueue: 2, whenFull: 'wait' });
      const calls = send(3);
      const first = await exchange.batch(0);
      first.sign();
      await settle();
      expect(exchange.batches).toHaveLength(1);
      first.succeed();
      (await exchange.batch(1)).succeed();
      await expectOwnReceipts(calls);
    });

    it('has all receipts when it is closed', async () => {
      const calls = send(1);
      const first = await exchange.batch(0);
      first.sign();
      await settle();
      let isClosed = false;
      const closing = signer.close().then(() => {
        isClosed = true;
      });
      await settle();
      expect(isClosed).toBe(false);
      first.succeed();
      await closing;
      await expectOwnReceipts(calls);
    });

    it('has a message wait no longer than it may for others', async () => {
      signer = newSigner({ maxDelayMs: 100, maxBatch: 2 });
      const calls = send(2);
      const first = await exchange.batch(0);
      first.sign();
      calls.push(...send(1));
      await settle();
      expect(exchange.batches).toHaveLength(1);
      calls.push(...send(1));
      (await exchange.batch(1)).succeed();
      first.succeed();
      await expectOwnReceipts(calls);
    });
  });

  describe('that is closed', () => {
    it('refuses what is not signed in the time that closing has, under way or in a pause for the quota', async () => {
      const [first] = send(1);
      const batch = await exchange.batch(0);
      const [second] = send(1);
      const closing = signer.close({ timeoutMs: 200 });
      clock.advance(199);
      await settle();
      expect(batch.options.signal?.aborted).toBe(false);
      clock.advance(1);
      await expect(first?.receipt).rejects.toMatchObject({ code: 'CLIENT_CLOSED' });
      await expect(second?.receipt).rejects.toMatchObject({ code: 'CLIENT_CLOSED' });
      expect(batch.options.signal?.aborted).toBe(true);
      batch.fail(new OperationAbortedError(context));
      await closing;
      expect(clock.pendingTimers).toBe(0);
    });

    it('waits for the last call and no longer, whatever time closing has', async () => {
      const [sent] = send(1);
      const batch = await exchange.batch(0);
      const closing = signer.close({ timeoutMs: 3_600_000 });
      batch.succeed();
      await closing;
      await sent?.receipt;
      expect(clock.pendingTimers).toBe(0);
    });

    it('stays open when the time is none', async () => {
      await expect(signer.close({ timeoutMs: 0 })).rejects.toThrow(/timeoutMs/);
      const [sent] = send(1);
      (await exchange.batch(0)).succeed();
      await sent?.receipt;
    });

    it('signs what waits and takes nothing more', async () => {
      const calls = send(3);
      const closing = signer.close();
      await expect(signer.sign(Buffer.from('late'))).rejects.toThrow(ClientClosedError);
      (await exchange.batch(0)).succeed();
      await closing;
      await expectOwnReceipts(calls);
    });

    it('with nothing waiting is closed at once, also by `await using`', async () => {
      {
        await using other = newSigner();
        expect(other.queued).toBe(0);
      }
      await signer.close();
      expect(exchange.batches).toHaveLength(0);
    });
  });

  describe('refuses', () => {
    it.each([
      ['maxBatch', 0],
      ['maxBatch', 65_537],
      ['maxDelayMs', -1],
      ['maxDelayMs', 60_001],
      ['maxQueue', 0],
      ['whenFull', 'drop'],
      ['maxInLine', 5],
      ['timeoutMs', 3_600_001],
      ['timeoutMs', 0],
      ['clock', {}],
      ['linger', 5],
    ])('the option %s with %j', (name, value) => {
      const options: object = { [name]: value };
      expect(() => new BatchSigner(exchange, 'invoice-bot', options)).toThrow(InvalidConfigError);
      expect(() => new BatchSigner(exchange, 'invoice-bot', options)).toThrow(name);
    });

    it('what is no agent id', () => {
      expect(() => new BatchSigner(exchange, '')).toThrow(InvalidArgumentError);
    });

    it('a blinded message that is not whole, and leaves the others of its batch alone', async () => {
      const good = call();
      const torn = Object.assign(Object.create(BlindedMessage.prototype), {
        blinding: new Uint8Array(32),
        leafHash: new Uint8Array(31),
      });
      await expect(signer.sign(torn)).rejects.toThrow(InvalidArgumentError);
      (await exchange.batch(0)).succeed();
      await expectOwnReceipts([good]);
    });

    it('to have a batch spoilt by what becomes of a blinded message meanwhile', async () => {
      const blinded = new BlindedMessage(Buffer.from('message'));
      const leafHash = Buffer.from(blinded.leafHash);
      const receipt = signer.sign(blinded);
      handOver(blinded.leafHash);
      const batch = await exchange.batch(0);
      batch.succeed();
      expect(await receipt).toEqual(leafHash);
    });

    it('a message that is not bytes, and options of a call that are none', async () => {
      const notBytes: unknown = 'text';
      await expect(Reflect.apply(signer.sign, signer, [notBytes])).rejects.toThrow(InvalidArgumentError);
      await expect(signer.sign(Buffer.from('x'), { timeoutMs: 0 })).rejects.toThrow(/timeoutMs/);
      const unknown: object = { patience: 1 };
      await expect(signer.sign(Buffer.from('x'), unknown)).rejects.toThrow(/patience is not an option/);
      await settle();
      expect(exchange.batches).toHaveLength(0);
    });
  });
});
