import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type KmsEmulator, ManualClock, type QuotaLimits } from '../../src/emulator/index.js';
import { BatchSigner, type KeyMetadata, type KMSClient, type KMSConfig } from '../../src/index.js';
import type { Logger } from '../../src/logger.js';
import { newClient, newExchange, silentLogger, startTestEmulator, UNHURRIED } from '../support/emulator.js';
import { ScaledClock } from '../support/scaled-clock.js';

const message = Buffer.from('pay 10 EUR to alice');
/** A minute in 600 ms. */
const FACTOR = 100;
/** Deadlines in the time of the clock but for that of an attempt, long enough for a busy machine. */
const DEADLINES = {
  attemptMs: 60_000,
  operationMs: 3_600_000,
  generationMs: 3_600_000,
  queueMs: 3_600_000,
} as const;

describe('the quota guard', () => {
  let clock: ScaledClock;
  let emulator: KmsEmulator;
  let warnings: unknown[];
  let clients: KMSClient[];
  let logger: Logger;
  beforeEach(() => {
    clock = new ScaledClock(FACTOR);
    warnings = [];
    clients = [];
    logger = { ...silentLogger, warn: (fields) => void warnings.push(fields) };
  });
  afterEach(async () => {
    for (const client of clients) await client.close();
    await emulator.close();
  });

  const start = async (quota: QuotaLimits): Promise<void> => {
    emulator = await startTestEmulator({ clock, quota });
  };
  const client = (rest: Partial<KMSConfig> = {}): KMSClient => {
    const made = newClient(emulator, { clock, logger, deadlines: DEADLINES, ...rest });
    clients.push(made);
    return made;
  };
  const signingKey = async (kms: KMSClient, name = 'sign'): Promise<KeyMetadata> => {
    await kms.initialize();
    const key = await kms.generateKey({
      name,
      purpose: 'ASYMMETRIC_SIGN',
      algorithm: 'EC_SIGN_P384_SHA384',
      protectionLevel: 'HSM',
    });
    await kms.getPublicKey(name);
    return key;
  };
  const signs = (kms: KMSClient, count: number): Promise<PromiseSettledResult<Buffer>[]> =>
    Promise.allSettled(Array.from({ length: count }, () => kms.sign('sign', message)));
  const failed = (outcomes: readonly PromiseSettledResult<unknown>[]): unknown[] =>
    outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []));
  const refused = (): number =>
    emulator.requests.entries.filter(({ status }) => status === 'RESOURCE_EXHAUSTED').length;
  const sent = (): number => emulator.requests.count('AsymmetricSign');

  it('has 200 signatures at once wait for a quota of 60 a minute, with few refused', async () => {
    await start({ cryptographicPerMinute: 60 });
    const kms = client({ channels: { count: 1, maxConcurrentCalls: 20 } });
    await signingKey(kms);
    expect(failed(await signs(kms, 200))).toEqual([]);
    // Those under way when the first is refused, then one at a time. Answers take seconds in the time of this clock.
    expect(refused()).toBeLessThan(120);
  });

  it('is refused nothing when it knows the limit', async () => {
    await start({ cryptographicPerMinute: 60 });
    const kms = client({ quota: { limits: { hsm: 60 * 7_000 } } });
    await signingKey(kms);
    expect(failed(await signs(kms, 150))).toEqual([]);
    expect(refused()).toBe(0);
  });

  it('charges the quota for no call that was given up before there was a stream for it', async () => {
    await start({});
    await signingKey(client());
    // Its minute does not end.
    const kms = client({
      clock: new ManualClock(),
      channels: { count: 1, maxConcurrentCalls: 1 },
      quota: { limits: { hsm: 10 * 7_000 } },
      deadlines: UNHURRIED,
    });
    await kms.resolveKeyVersion('sign');
    const before = kms.stats().quota.kinds['hsm']?.tokensLastMinute ?? 0;
    emulator.faults.add({ rpc: 'AsymmetricSign', delayMs: 100, times: 1 });
    const controller = new AbortController();
    const first = kms.sign('sign', message);
    const waiting = Array.from({ length: 9 }, () =>
      expect(kms.sign('sign', message, { signal: controller.signal })).rejects.toMatchObject({
        code: 'ABORTED',
      }),
    );
    controller.abort();
    await Promise.all(waiting);
    await first;
    expect(sent()).toBe(1);
    expect(kms.stats().quota.kinds['hsm']?.tokensLastMinute).toBe(before + 7_000);
  });

  it('counts what all clients of the process use', async () => {
    await start({ cryptographicPerMinute: 40 });
    const quota = { limits: { hsm: 40 * 7_000 } };
    const [one, other] = [client({ quota }), client({ quota })];
    await signingKey(one);
    const outcomes = await Promise.all([signs(one, 40), signs(other, 40)]);
    expect(failed(outcomes.flat())).toEqual([]);
    expect(refused()).toBe(0);
  });

  it('has no client wait because of the limit of another', async () => {
    await start({});
    await signingKey(client());
    const manual = new ManualClock();
    const [kept, other] = [
      client({ clock: manual, quota: { limits: { hsm: 7_000 } }, deadlines: UNHURRIED }),
      client({ clock: manual, deadlines: UNHURRIED }),
    ];
    await kept.sign('sign', message);
    const controller = new AbortController();
    const waits = kept.sign('sign', message, { signal: controller.signal, onQuota: 'retry' });
    const outcome = Promise.allSettled([waits]);
    expect(failed(await signs(other, 20))).toEqual([]);
    controller.abort();
    expect(failed(await outcome)).toHaveLength(1);
  });

  it('does not count for calls of another kind', async () => {
    const manual = new ManualClock();
    const quota = { cryptographicPerMinute: 1 };
    emulator = await startTestEmulator({ clock: manual, quota, hsmGenerationMs: 0 });
    const kms = client({ clock: manual, deadlines: { ...UNHURRIED, queueMs: 1 } });
    await signingKey(kms);
    await kms.sign('sign', message);
    await expect(kms.sign('sign', message)).rejects.toMatchObject({ code: 'RESOURCE_EXHAUSTED' });
    await expect(kms.getKey('sign')).resolves.toMatchObject({ name: expect.any(String) });
  });

  it('says how long it waited, for what, and where that is set, and logs that calls wait', async () => {
    await start({ cryptographicPerMinute: 1 });
    const kms = client({ deadlines: { ...DEADLINES, queueMs: 10_000 } });
    await signingKey(kms);
    emulator.faults.add({ rpc: 'AsymmetricSign', status: { code: 'RESOURCE_EXHAUSTED' } });
    await expect(kms.sign('sign', message)).rejects.toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      message: expect.stringMatching(/quota for HSM keys .*10000 ms \(deadlines\.queueMs\)/),
      retryAfterMs: expect.any(Number),
      cause: expect.any(Error),
    });
    const quota = { quota: 'hsm', resource: 'projects/test-project/locations/global' };
    expect(
      warnings.filter((fields) => typeof fields === 'object' && fields !== null && 'quota' in fields),
    ).toEqual([quota]);
  });

  it('never has a call with onQuota fail wait', async () => {
    await start({});
    await signingKey(client());
    const kms = client({
      clock: new ManualClock(),
      quota: { limits: { hsm: 7_000 } },
      // It could wait for the next minute.
      deadlines: { ...UNHURRIED, queueMs: 600_000 },
    });
    await kms.sign('sign', message);
    await expect(kms.sign('sign', message, { onQuota: 'fail' })).rejects.toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      attempts: 0,
      retryAfterMs: expect.any(Number),
    });
    expect(sent()).toBe(1);
  });

  it('leaves everything to the repeats when it is off', async () => {
    await start({ cryptographicPerMinute: 0 });
    const kms = client({ quota: { mode: 'off' }, retry: { maxAttempts: 3 } });
    await signingKey(kms);
    await expect(kms.sign('sign', message)).rejects.toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      attempts: 3,
    });
  });

  describe('with the published limits, which are assumed', () => {
    const PUBLISHED = 428;
    it('has few calls refused by a project that has them; the others wait', async () => {
      emulator = await startTestEmulator({ quota: { cryptographicPerMinute: PUBLISHED } });
      await signingKey(client());
      const kms = client({ clock: new ManualClock(), deadlines: UNHURRIED });
      const calls = signs(kms, 1_000);
      const state = (): readonly number[] => {
        const { quota, connection } = kms.stats();
        return [quota.callsWaiting, connection.callsInFlight, connection.queueDepth];
      };
      await expect.poll(state, { timeout: 30_000 }).toEqual([1_000 - PUBLISHED, 0, 0]);
      expect(refused()).toBeGreaterThan(0);
      expect(refused()).toBeLessThanOrEqual(10);
      expect(sent()).toBe(PUBLISHED + refused());
      await kms.close();
      expect(failed(await calls)).toHaveLength(1_000 - PUBLISHED);
    });

    it('holds nothing up for long where they were raised, and says so once', async () => {
      await start({});
      const told: unknown[] = [];
      logger = { ...silentLogger, info: (fields) => void told.push(fields) };
      await signingKey(client());
      // Its time stands still, so that no minute is ever over.
      const kms = client({ clock: new ManualClock(), deadlines: UNHURRIED });
      expect(failed(await signs(kms, 1_400))).toEqual([]);
      expect(refused()).toBe(0);
      expect(told.filter((fields) => JSON.stringify(fields).includes('assumed'))).toEqual([
        {
          quota: 'hsm',
          resource: 'projects/test-project/locations/global',
          assumedTokensPerMinute: 3_000_000,
        },
      ]);
    });

    const signsOrFails = (kms: KMSClient, count: number): Promise<PromiseSettledResult<Buffer>[]> =>
      Promise.allSettled(Array.from({ length: count }, () => kms.sign('sign', message, { onQuota: 'fail' })));

    it('holds up no call for long that does not wait for quotas', async () => {
      await start({});
      await signingKey(client());
      const kms = client({ clock: new ManualClock(), deadlines: UNHURRIED });
      expect(failed(await signsOrFails(kms, 1_000))).toEqual([]);
    });

    it('turns calls away that do not wait for quotas, with few refused', async () => {
      emulator = await startTestEmulator({ quota: { cryptographicPerMinute: PUBLISHED } });
      await signingKey(client());
      const outcomes = await signsOrFails(client({ clock: new ManualClock(), deadlines: UNHURRIED }), 1_000);
      expect(failed(outcomes)).toHaveLength(1_000 - PUBLISHED);
      for (const error of failed(outcomes)) expect(error).toMatchObject({ code: 'RESOURCE_EXHAUSTED' });
      expect(refused()).toBeGreaterThan(0);
      expect(refused()).toBeLessThanOrEqual(10);
    });

    it('says what a call waited for that was beyond them, and had no answer to wait for', async () => {
      await start({});
      await signingKey(client());
      const manual = new ManualClock();
      const kms = client({ clock: manual, deadlines: { ...UNHURRIED, queueMs: 1_000 } });
      expect(failed(await signs(kms, PUBLISHED))).toEqual([]);
      emulator.faults.add({ rpc: 'AsymmetricSign', hang: true });
      const controller = new AbortController();
      const unanswered = Promise.allSettled(
        Array.from({ length: 10 }, () => kms.sign('sign', message, { signal: controller.signal })),
      );
      const late = expect(kms.sign('sign', message)).rejects.toMatchObject({
        code: 'RESOURCE_EXHAUSTED',
        message: expect.stringMatching(
          /grants by default for HSM keys .*wait for answers to others.* 1000 ms/,
        ),
        retryAfterMs: 1_000,
      });
      await expect.poll(() => kms.stats().quota.callsWaiting).toBe(1);
      manual.advance(1_000);
      await late;
      controller.abort();
      expect(failed(await unanswered)).toHaveLength(10);
    });

    it('lets all go at once with none', async () => {
      await start({});
      await signingKey(client());
      const kms = client({ clock: new ManualClock(), deadlines: UNHURRIED, quota: { limits: 'none' } });
      const calls = signs(kms, 1_000);
      expect(kms.stats().quota.callsWaiting).toBe(0);
      expect(failed(await calls)).toEqual([]);
    });
  });

  describe('with a limit of one signature a minute', () => {
    let manual: ManualClock;
    let kms: KMSClient;
    beforeEach(async () => {
      await start({});
      await signingKey(client());
      manual = new ManualClock();
      kms = client({ clock: manual, quota: { limits: { hsm: 7_000 } }, deadlines: UNHURRIED });
      await kms.sign('sign', message);
    });

    const waiting = (count: number): Promise<void> =>
      expect.poll(() => kms.stats().quota.callsWaiting).toBe(count);

    it('does not let the wait count for the deadline', async () => {
      const late = client({
        clock: manual,
        quota: { limits: { hsm: 7_000 } },
        deadlines: { ...UNHURRIED, queueMs: 90_000 },
      });
      const call = late.sign('sign', message);
      await expect.poll(() => late.stats().quota.callsWaiting).toBe(1);
      manual.advance(61_000);
      expect(await call).toBeInstanceOf(Buffer);
    });

    it('refuses a call at once that cannot have its turn in time', async () => {
      await expect(kms.sign('sign', message)).rejects.toMatchObject({
        code: 'RESOURCE_EXHAUSTED',
        attempts: 0,
      });
    });

    it('serves first those who came first, and lets go of one that is aborted', async () => {
      const patient = client({
        clock: manual,
        quota: { limits: { hsm: 7_000 } },
        deadlines: { ...UNHURRIED, queueMs: 600_000 },
      });
      const order: string[] = [];
      const controller = new AbortController();
      const sign = async (name: string, signal?: AbortSignal): Promise<void> => {
        await patient.sign('sign', message, { signal });
        order.push(name);
      };
      const calls = [sign('a')];
      await waiting(1);
      const aborted = sign('aborted', controller.signal);
      await waiting(2);
      calls.push(sign('b'));
      await waiting(3);
      controller.abort();
      await expect(aborted).rejects.toMatchObject({ code: 'ABORTED' });
      await waiting(2);
      manual.advance(61_000);
      await calls[0];
      await waiting(1);
      manual.advance(61_000);
      await Promise.all(calls);
      expect(order).toEqual(['a', 'b']);
      expect(sent()).toBe(3);
    });

    it('refuses those that wait, and those that come later, when the client is closed', async () => {
      const patient = client({
        clock: manual,
        quota: { limits: { hsm: 7_000 } },
        deadlines: { ...UNHURRIED, queueMs: 100_000 },
      });
      const call = patient.sign('sign', message);
      await expect.poll(() => patient.stats().quota.callsWaiting).toBe(1);
      await patient.close();
      await expect(call).rejects.toMatchObject({ code: 'CLIENT_CLOSED' });
      await expect(patient.sign('sign', message)).rejects.toMatchObject({ code: 'CLIENT_CLOSED' });
      expect(kms.stats().quota.callsWaiting).toBe(0);
      expect(sent()).toBe(1);
    });

    it('ends the wait after the time in the queue', async () => {
      const patient = client({
        clock: manual,
        quota: { limits: { hsm: 7_000 } },
        deadlines: { ...UNHURRIED, queueMs: 100_000 },
      });
      const calls = [patient.sign('sign', message), patient.sign('sign', message)];
      const outcomes = Promise.allSettled(calls);
      await waiting(2);
      manual.advance(61_000);
      await calls[0];
      manual.advance(39_000);
      expect(failed(await outcomes)).toMatchObject([{ code: 'RESOURCE_EXHAUSTED', attempts: 0 }]);
    });
  });

  it('gives a BatchSigner its turns while others wait in line, and signMany the rest', async () => {
    // Several minutes long, so that there is a line on a slow machine too.
    await start({ cryptographicPerMinute: 20 });
    const exchange = newExchange(emulator, { clock, deadlines: DEADLINES });
    await exchange.initialize();
    await exchange.generateAgentKey('bot');
    const messages = Array.from({ length: 100 }, (_, index) => Buffer.from(`message ${index}`));
    let plainSigned = 0;
    const plain = Promise.allSettled(
      messages.map((text) => exchange.signMessage('bot', text).then(() => (plainSigned += 1))),
    );
    const many = exchange.signMany('bot', messages.slice(0, 20), {
      timeoutMs: 3_600_000,
      maxQuotaWaitMs: 3_600_000,
    });
    await using signer = new BatchSigner(exchange, 'bot', { clock, timeoutMs: 3_600_000 });
    const receipts = await Promise.allSettled(messages.map((text) => signer.sign(text)));
    // It was not kept waiting until the line was empty.
    expect(plainSigned).toBeLessThan(messages.length);
    expect(failed(receipts)).toEqual([]);
    expect(failed(await plain)).toEqual([]);
    expect((await many).filter(({ status }) => status === 'failed')).toEqual([]);
    await exchange.close();
  });
});
