import { getEventListeners } from 'node:events';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import { BatchSigning } from '../../src/batch/batch-signing.js';
import { ManualClock } from '../../src/emulator/index.js';
import {
  InvalidArgumentError,
  OperationAbortedError,
  PermissionDeniedError,
  ResourceExhaustedError,
  type SignatureDetails,
  type SignManyOptions,
  type SignManyOutcome,
} from '../../src/index.js';
import type { CallOptions } from '../../src/keys/call-options.js';
import { LocalBatchKey } from '../support/batch.js';

const context = { operation: 'sign', resource: 'key', attempts: 1 };
const quotaAnswer = (retryAfterMs?: number): ResourceExhaustedError =>
  new ResourceExhaustedError(context, 'Quota exceeded.', retryAfterMs);
const denied = new PermissionDeniedError(context, { permission: 'useToSign', role: 'signer' });
const messagesOf = (count: number): Buffer[] =>
  Array.from({ length: count }, (_, index) => Buffer.from(`message ${index}`));

async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await nextTurn();
}

describe('signMany', () => {
  let clock: ManualClock;
  let signing: BatchSigning;
  /** Calls that wait for their answer. */
  let open: {
    readonly text: string;
    readonly options: CallOptions | undefined;
    answer(error?: unknown): void;
  }[];
  let started: number;
  /** Answers a call at once; undefined leaves it open. */
  let respond: ((text: string) => unknown) | undefined;

  beforeEach(() => {
    clock = new ManualClock();
    open = [];
    started = 0;
    respond = undefined;
    const provider = {
      ...new LocalBatchKey().provider,
      signDetailed: (_keyId: string, data: Uint8Array, options?: CallOptions): Promise<SignatureDetails> => {
        started += 1;
        const text = Buffer.from(data).toString();
        return new Promise((resolve, reject) => {
          const answer = (error?: unknown): void =>
            error === undefined ? resolve(signed(text)) : reject(error);
          if (respond === undefined) open.push({ text, options, answer });
          else answer(respond(text));
        });
      },
    };
    signing = new BatchSigning(provider, {
      versionKeys: new LocalBatchKey().versionKeys,
      clock,
    });
  });

  const signed = (text: string): SignatureDetails => ({
    signature: Buffer.from(`signature of ${text}`),
    keyVersion: 'key/1',
    algorithm: 'EC_SIGN_P256_SHA256',
    protectionLevel: 'HSM',
    encoding: 'der',
  });
  const signMany = (messages: readonly Uint8Array[], options: SignManyOptions = {}) =>
    signing.signMany('key', signing.prepareMany('invoice-bot', messages, options));
  /** Time passes, and what it brings up is done at its time. */
  const pass = async (durationMs: number): Promise<void> => {
    for (let passedMs = 0; passedMs < durationMs; passedMs += 50) {
      clock.advance(50);
      await settle();
    }
  };
  const texts = (outcomes: readonly SignManyOutcome[]): string[] =>
    outcomes.map((outcome) =>
      outcome.status === 'signed' ? outcome.signature.toString() : outcome.error.code,
    );

  it('keeps the order, whatever order the answers come in', async () => {
    const signing = signMany(messagesOf(3));
    await settle();
    for (const call of [...open].reverse()) call.answer();
    expect(texts(await signing)).toEqual(messagesOf(3).map((message) => `signature of ${message}`));
  });

  it('gives with each signature what made it', async () => {
    respond = () => undefined;
    const [outcome] = await signMany(messagesOf(1));
    expect(outcome).toEqual({ status: 'signed', ...signed('message 0') });
  });

  it('makes so many calls at a time and no more (P5)', async () => {
    const signing = signMany(messagesOf(10), { concurrency: 3 });
    for (let round = 0; round < 10; round++) {
      await settle();
      expect(open.length).toBe(Math.min(3, 10 - round));
      open.shift()?.answer();
    }
    await signing;
    expect(started).toBe(10);
  });

  it('reports a failure where it belongs and goes on', async () => {
    respond = (text) => (text === 'message 1' ? denied : undefined);
    const outcomes = await signMany(messagesOf(3));
    expect(texts(outcomes)).toEqual([
      'signature of message 0',
      'PERMISSION_DENIED',
      'signature of message 2',
    ]);
    expect(outcomes[1]).toEqual({ status: 'failed', error: denied });
  });

  it('tells of its progress after each message', async () => {
    respond = (text) => (text === 'message 1' ? denied : undefined);
    const seen: unknown[] = [];
    await signMany(messagesOf(3), { concurrency: 1, onProgress: (progress) => seen.push(progress) });
    expect(seen).toEqual([
      { signed: 1, failed: 0, total: 3 },
      { signed: 1, failed: 1, total: 3 },
      { signed: 2, failed: 1, total: 3 },
    ]);
  });

  it('of no messages makes no call', async () => {
    expect(await signMany([])).toEqual([]);
    expect(started).toBe(0);
  });

  it('passes the deadline of a call on, and has quota answers reported', async () => {
    const signing = signMany(messagesOf(1), { timeoutMs: 700 });
    await settle();
    expect(open[0]?.options).toMatchObject({ timeoutMs: 700, onQuota: 'fail' });
    open[0]?.answer();
    await signing;
  });

  it('reports no progress any more after onProgress has thrown, however many calls are under way', async () => {
    let reports = 0;
    const signing = signMany(messagesOf(500), {
      concurrency: 100,
      onProgress: () => {
        reports += 1;
        throw new Error('the progress bar broke');
      },
    });
    const outcome = expect(signing).rejects.toThrow('the progress bar broke');
    await settle();
    open[0]?.answer();
    await settle();
    for (const call of open) call.answer();
    await outcome;
    await settle();
    expect([reports, started]).toEqual([1, 100]);
  });

  it('ends with what onProgress throws, and starts nothing more', async () => {
    const failure = new Error('the progress bar broke');
    const signing = signMany(messagesOf(10), {
      concurrency: 2,
      onProgress: () => {
        throw failure;
      },
    });
    await settle();
    open[0]?.answer();
    await settle();
    expect(open[1]?.options?.signal?.aborted).toBe(true);
    open[1]?.answer();
    await expect(signing).rejects.toBe(failure);
    expect(started).toBe(2);
  });

  it('keeps what is signed when another message fails with an error that is not of this library', async () => {
    const refusal = new Error('not to mallory');
    respond = (text) => (text === 'message 1' ? refusal : undefined);
    const outcomes = await signMany(messagesOf(3));
    expect(texts(outcomes)).toEqual(['signature of message 0', 'UNEXPECTED', 'signature of message 2']);
    expect(outcomes[1]).toMatchObject({ error: { cause: refusal, resource: 'key', operation: 'signMany' } });
  });

  describe('when the caller aborts', () => {
    it('reports what is not signed, keeps what is, and tells the calls under way (D11)', async () => {
      const controller = new AbortController();
      const signing = signMany(messagesOf(4), { concurrency: 2, signal: controller.signal });
      await settle();
      open[0]?.answer();
      await settle();
      controller.abort('enough');
      expect(open[1]?.options?.signal?.aborted).toBe(true);
      for (const call of open) call.answer(new OperationAbortedError(context));
      const outcomes = await signing;
      expect(texts(outcomes)).toEqual(['signature of message 0', 'ABORTED', 'ABORTED', 'ABORTED']);
      const last = outcomes[3];
      expect(last?.status === 'failed' && last.error.cause).toBe('enough');
      expect(started).toBe(3);
    });

    it('is done with a hundred thousand messages at once', async () => {
      const controller = new AbortController();
      respond = () => quotaAnswer(60_000);
      const signing = signMany(messagesOf(100_000), { signal: controller.signal });
      await settle();
      controller.abort();
      expect(
        (await signing).every((outcome) => outcome.status === 'failed' && outcome.error.code === 'ABORTED'),
      ).toBe(true);
    });

    it('listens once to a signal that ends several calls', async () => {
      const { signal } = new AbortController();
      const both = [signMany(messagesOf(1), { signal }), signMany(messagesOf(1), { signal })];
      await settle();
      expect(getEventListeners(signal, 'abort')).toHaveLength(1);
      for (const call of open) call.answer();
      await Promise.all(both);
      expect(getEventListeners(signal, 'abort')).toHaveLength(0);
    });

    it('before it begins makes no call', async () => {
      const outcomes = await signMany(messagesOf(2), { signal: AbortSignal.abort() });
      expect(texts(outcomes)).toEqual(['ABORTED', 'ABORTED']);
      expect(started).toBe(0);
    });

    it('leaves the line at once, also when another call is at its head', async () => {
      respond = () => quotaAnswer(60_000);
      const first = signMany(messagesOf(1));
      await settle();
      const controller = new AbortController();
      const second = signMany(messagesOf(3), { signal: controller.signal });
      await settle();
      controller.abort();
      expect(texts(await second)).toEqual(['ABORTED', 'ABORTED', 'ABORTED']);
      expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0);
      respond = () => undefined;
      clock.advance(60_000);
      await settle();
      expect(texts(await first)).toEqual(['signature of message 0']);
    });

    it('during a pause ends it at once', async () => {
      const controller = new AbortController();
      respond = () => quotaAnswer(60_000);
      const signing = signMany(messagesOf(2), { signal: controller.signal });
      await settle();
      controller.abort();
      expect(texts(await signing)).toEqual(['ABORTED', 'ABORTED']);
      expect(clock.pendingTimers).toBe(0);
    });
  });

  describe('when the quota is used up', () => {
    it('pauses for everybody and then goes on one after the other, without a failure', async () => {
      const signing = signMany(messagesOf(50), { concurrency: 50 });
      await settle();
      expect(started).toBe(50);
      respond = () => undefined;
      clock.advance(1_000);
      for (const [index, call] of open.entries()) call.answer(index < 10 ? undefined : quotaAnswer(5_000));
      await settle();
      clock.advance(4_999);
      await settle();
      expect(started).toBe(50);
      // Ten signatures in a second before the refusal: five a second after it.
      clock.advance(1);
      await settle();
      expect(started).toBe(51);
      await pass(1_000);
      expect(started).toBeGreaterThanOrEqual(55);
      expect(started).toBeLessThanOrEqual(57);
      await pass(20_000);
      expect((await signing).every(({ status }) => status === 'signed')).toBe(true);
      expect(started).toBe(90);
    });

    it('starts those who wait at the rate of their turn, not at that of when they came', async () => {
      respond = () => quotaAnswer();
      const signing = signMany(messagesOf(200), { concurrency: 64 });
      await settle();
      respond = () => undefined;
      // One a second after a first call that was refused; a quarter more each second while the limit is searched.
      await pass(40_000);
      expect((await signing).every(({ status }) => status === 'signed')).toBe(true);
    });

    it('holds up later calls of the same exchange too', async () => {
      respond = () => quotaAnswer(5_000);
      const first = signMany(messagesOf(1));
      await settle();
      respond = () => undefined;
      const second = signMany(messagesOf(1));
      await settle();
      expect(started).toBe(1);
      clock.advance(10_000);
      await settle();
      expect(texts([...(await first), ...(await second)])).toEqual(Array(2).fill('signature of message 0'));
    });

    it('gives up in time also when the server names a longer one, without another call', async () => {
      respond = () => quotaAnswer(3_600_000);
      const signing = signMany(messagesOf(3), { concurrency: 2, maxQuotaWaitMs: 3_000 });
      await settle();
      clock.advance(2_999);
      await settle();
      expect(clock.pendingTimers).toBeGreaterThan(0);
      clock.advance(1);
      expect(texts(await signing)).toEqual(Array(3).fill('RESOURCE_EXHAUSTED'));
      expect(started).toBe(2);
      expect(clock.pendingTimers).toBe(0);
    });

    it('gives up in time when it was used up by others', async () => {
      respond = () => quotaAnswer(60_000);
      const first = signMany(messagesOf(1));
      await settle();
      const second = signMany(messagesOf(2), { maxQuotaWaitMs: 0 });
      clock.advance(1);
      expect(await second).toMatchObject(
        Array(2).fill({
          status: 'failed',
          error: { code: 'RESOURCE_EXHAUSTED', message: expect.stringContaining('maxQuotaWaitMs') },
        }),
      );
      respond = () => undefined;
      clock.advance(60_000);
      expect(texts(await first)).toEqual(['signature of message 0']);
    });

    it('goes on for as long as it lets something through', async () => {
      respond = () => quotaAnswer(1_000);
      const signing = signMany(messagesOf(6), { concurrency: 6, maxQuotaWaitMs: 2_500 });
      await settle();
      respond = () => undefined;
      await pass(10_000);
      expect((await signing).every(({ status }) => status === 'signed')).toBe(true);
    });

    it('tries again after a minute, however long the server says that it takes', async () => {
      respond = () => quotaAnswer(3_600_000);
      const signing = signMany(messagesOf(1));
      await settle();
      respond = () => undefined;
      clock.advance(60_000);
      expect(texts(await signing)).toEqual(['signature of message 0']);
    });

    it('gives up when it let nothing through for as long as the caller said', async () => {
      respond = () => quotaAnswer(1_000);
      const signing = signMany(messagesOf(3), { concurrency: 1, maxQuotaWaitMs: 3_000 });
      for (let second = 0; second < 30; second++) {
        clock.advance(1_000);
        await settle();
      }
      expect(texts(await signing)).toEqual(Array(3).fill('RESOURCE_EXHAUSTED'));
    });
  });

  it.each([
    ['concurrency', 0],
    ['concurrency', 1_001],
    ['signal', 'abort'],
    ['timeoutMs', 0.5],
    ['maxQuotaWaitMs', -1],
    ['onProgress', 'tell me'],
    ['retries', 3],
  ])('refuses the option %s with %j', (name, value) => {
    const options: object = { [name]: value };
    expect(() => signMany(messagesOf(1), options)).toThrow(InvalidArgumentError);
    expect(() => signMany(messagesOf(1), options)).toThrow(name);
    expect(started).toBe(0);
  });

  it.each([['text'], [[Buffer.from('x'), 'text']], [null]])('refuses %j as messages', (messages) => {
    expect(() => Reflect.apply(signMany, undefined, [messages])).toThrow(InvalidArgumentError);
  });
});
