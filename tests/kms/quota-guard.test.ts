import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { KmsEmulator, QuotaLimits } from '../../src/emulator/index.js';
import { BatchSigner, type KeyMetadata, type KMSClient, type KMSConfig } from '../../src/index.js';
import type { Logger } from '../../src/logger.js';
import { newClient, newExchange, silentLogger, startTestEmulator } from '../support/emulator.js';
import { ScaledClock } from '../support/scaled-clock.js';

const message = Buffer.from('pay 10 EUR to alice');
/** A minute in 600 ms. */
const FACTOR = 100;
/** Deadlines in the time of the clock, long enough for a busy machine. */
const DEADLINES = { operationMs: 600_000, queueMs: 1_800_000 } as const;

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
    // Twenty were under way when the first was refused; after that one at a time tries.
    expect(refused()).toBeLessThan(120);
    expect(warnings).toContainEqual({ quota: 'hsm', resource: 'projects/test-project/locations/global' });
  });

  it('is refused nothing when it knows the limit', async () => {
    await start({ cryptographicPerMinute: 60 });
    const kms = client({ quota: { limits: { hsm: 60 * 7_000 } } });
    await signingKey(kms);
    expect(failed(await signs(kms, 150))).toEqual([]);
    expect(refused()).toBe(0);
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

  it('does not count for calls of another kind', async () => {
    await start({ cryptographicPerMinute: 1 });
    const kms = client({ deadlines: { queueMs: 1 } });
    await signingKey(kms);
    await kms.sign('sign', message);
    await expect(kms.sign('sign', message)).rejects.toMatchObject({ code: 'RESOURCE_EXHAUSTED' });
    await expect(kms.getKey('sign')).resolves.toMatchObject({ name: expect.any(String) });
  });

  it('says how long it waited, for what, and where that is set', async () => {
    await start({ cryptographicPerMinute: 1 });
    const kms = client({ deadlines: { ...DEADLINES, queueMs: 10_000 } });
    await signingKey(kms);
    await kms.sign('sign', message);
    await expect(kms.sign('sign', message)).rejects.toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      message: expect.stringMatching(/quota for HSM keys .*10000 ms \(deadlines\.queueMs\)/),
      retryAfterMs: expect.any(Number),
      cause: expect.any(Error),
    });
  });

  it('does not let the wait count for the deadline', async () => {
    await start({ cryptographicPerMinute: 10 });
    const kms = client({ deadlines: { operationMs: 20_000, queueMs: 600_000 } });
    await signingKey(kms);
    expect(failed(await signs(kms, 15))).toEqual([]);
  });

  it('never has a call with onQuota fail wait', async () => {
    await start({});
    const kms = client({ quota: { limits: { hsm: 7_000 } } });
    await signingKey(kms);
    await kms.sign('sign', message);
    await expect(kms.sign('sign', message, { onQuota: 'fail' })).rejects.toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      attempts: 0,
      retryAfterMs: expect.any(Number),
    });
    expect(sent()).toBe(1);
  });

  it('lets go of a call that is aborted while it waits, and of no other', async () => {
    await start({});
    const kms = client({ quota: { limits: { hsm: 7_000 } } });
    await signingKey(kms);
    await kms.sign('sign', message);
    const controller = new AbortController();
    const aborted = kms.sign('sign', message, { signal: controller.signal });
    const waits = kms.sign('sign', message);
    controller.abort();
    await expect(aborted).rejects.toMatchObject({ code: 'ABORTED' });
    expect(await waits).toBeInstanceOf(Buffer);
    expect(sent()).toBe(2);
  });

  it('is first come, first served', async () => {
    await start({});
    const kms = client({ quota: { limits: { hsm: 2 * 7_000 } } });
    await signingKey(kms);
    const order: number[] = [];
    const calls = Array.from({ length: 6 }, async (_, index) => {
      await kms.sign('sign', message);
      order.push(Math.floor(index / 2));
    });
    await Promise.all(calls);
    expect(order).toEqual([0, 0, 1, 1, 2, 2]);
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

  it('gives a BatchSigner its turns while others wait in line, and signMany the rest', async () => {
    await start({ cryptographicPerMinute: 60 });
    const exchange = newExchange(emulator, { clock, deadlines: DEADLINES });
    await exchange.initialize();
    await exchange.generateAgentKey('bot');
    const messages = Array.from({ length: 100 }, (_, index) => Buffer.from(`message ${index}`));
    const plain = Promise.allSettled(messages.map((text) => exchange.signMessage('bot', text)));
    const many = exchange.signMany('bot', messages.slice(0, 20), { timeoutMs: 600_000 });
    await using signer = new BatchSigner(exchange, 'bot', { clock, timeoutMs: 3_600_000 });
    const receipts = await Promise.allSettled(messages.map((text) => signer.sign(text)));
    expect(failed(receipts)).toEqual([]);
    expect(failed(await plain)).toEqual([]);
    expect((await many).filter(({ status }) => status === 'failed')).toEqual([]);
    await exchange.close();
  });
});
