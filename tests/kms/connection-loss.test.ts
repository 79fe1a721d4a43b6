import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type KmsEmulator, ManualClock } from '../../src/emulator/index.js';
import type { KeyMetadata, KMSClient, KMSConfig } from '../../src/index.js';
import { KmsConnection } from '../../src/kms/connection.js';
import { Operation } from '../../src/provider/operation.js';
import { newClient, startTestEmulator } from '../support/emulator.js';
import { ScaledClock } from '../support/scaled-clock.js';
import { TcpProxy } from '../support/tcp-proxy.js';

const message = Buffer.from('pay 10 EUR to alice');

describe('a connection that is lost', () => {
  let emulator: KmsEmulator;
  let proxy: TcpProxy;
  beforeEach(async () => {
    emulator = await startTestEmulator({ hsmLatencyMs: 20 });
    proxy = await TcpProxy.to(emulator);
  });
  afterEach(async () => {
    await proxy[Symbol.asyncDispose]();
    await emulator.close();
  });

  const clientThroughProxy = (rest: Partial<KMSConfig> = {}): KMSClient =>
    newClient(emulator, { emulatorHost: proxy.endpoint, retry: { initialDelayMs: 5 }, ...rest });

  const keyOf = async (client: KMSClient): Promise<KeyMetadata> => {
    await client.initialize();
    return client.generateKey({
      name: 'aes',
      purpose: 'ENCRYPT_DECRYPT',
      algorithm: 'GOOGLE_SYMMETRIC_ENCRYPTION',
    });
  };

  const signingKeyOf = async (client: KMSClient): Promise<KeyMetadata> => {
    await client.initialize();
    return client.generateKey({
      name: 'sign',
      purpose: 'ASYMMETRIC_SIGN',
      algorithm: 'EC_SIGN_P256_SHA256',
    });
  };

  it.each(['encrypt', 'sign'] as const)(
    'fails none of 1,000 calls of %s while all channels are cut one after the other',
    async (method) => {
      // The repeats that users have: shorter ones are over before a busy process has connected again.
      await using client = clientThroughProxy({ channels: { count: 4, maxConcurrentCalls: 20 }, retry: {} });
      const key = method === 'encrypt' ? await keyOf(client) : await signingKeyOf(client);
      let served = 0;
      let cuts = 0;
      // By answers, not by time: on a slow machine a call would be hit as often as it is repeated.
      const call = async (): Promise<void> => {
        await client[method](key.name, message);
        served += 1;
        const [oldest] = proxy.connections;
        if (served % 80 !== 0 || oldest === undefined) return;
        oldest.cut();
        cuts += 1;
      };
      const outcomes = await Promise.allSettled(Array.from({ length: 1_000 }, call));
      expect(outcomes.filter(({ status }) => status === 'rejected')).toEqual([]);
      expect(cuts).toBeGreaterThanOrEqual(4);
      expect(proxy.accepted).toBeGreaterThan(4);
    },
  );

  it('leaves a connection that fell silent at the first call it swallows, and makes another', async () => {
    await using direct = newClient(emulator);
    const key = await keyOf(direct);
    await using client = clientThroughProxy({
      channels: { count: 1 },
      deadlines: { operationMs: 60_000, attemptMs: 2_000 },
    });
    await client.resolveKeyVersion(key.name);
    const accepted = proxy.accepted;
    for (const connection of proxy.connections) connection.silence();
    expect(await client.encrypt(key.name, message)).toBeInstanceOf(Buffer);
    expect(proxy.accepted).toBe(accepted + 1);
    expect(emulator.requests.count('Encrypt')).toBe(1);
  });

  it('that falls silent fails no call that has less time than an attempt may take', async () => {
    await using client = clientThroughProxy({ channels: { count: 1 } });
    const key = await keyOf(client);
    proxy.connections[0]?.silence();
    const options = { timeoutMs: 4_500 };
    const calls = Array.from({ length: 20 }, () => client.encrypt(key.name, message, options));
    const outcomes = await Promise.allSettled(calls);
    expect(outcomes.filter(({ status }) => status === 'rejected')).toEqual([]);
    expect(proxy.accepted).toBe(2);
    expect(emulator.requests.count('Encrypt')).toBe(20);
  });

  it('is kept when the service is slow for everybody, and no call is made twice', async () => {
    // Silent is what brings no answer in 0.4 s then.
    await using client = clientThroughProxy({
      clock: new ScaledClock(5),
      deadlines: { operationMs: 60_000 },
    });
    const key = await keyOf(client);
    emulator.faults.add({ rpc: 'Encrypt', delayMs: 1_200 });
    for (let round = 0; round < 2; round++) {
      await Promise.all(Array.from({ length: 30 }, () => client.encrypt(key.name, message)));
    }
    expect(emulator.requests.count('Encrypt')).toBe(60);
    expect(proxy.accepted).toBe(1);
  });

  it('that falls silent after a version was asked for: looks whether it was made', async () => {
    await using client = clientThroughProxy();
    const key = await signingKeyOf(client);
    const rpc = 'CreateCryptoKeyVersion';
    const fault = emulator.faults.add({ rpc, hang: true, applyAfterExecution: true, times: 1 });
    const rotating = client.rotateKey(key.name);
    await expect.poll(() => fault.hits).toBe(1);
    proxy.connections[0]?.silence();
    await rotating;
    expect(await client.listKeyVersions(key.name)).toHaveLength(2);
    expect(emulator.requests.count(rpc)).toBe(1);
    expect(proxy.accepted).toBe(2);
  });

  it('serves calls again as soon as the server is back', async () => {
    await using client = clientThroughProxy({
      retry: { initialDelayMs: 50, maxAttempts: 100 },
      deadlines: { operationMs: 60_000 },
    });
    const key = await keyOf(client);
    proxy.isDown = true;
    proxy.connections[0]?.cut();
    const waiting = client.encrypt(key.name, message);
    await expect.poll(() => proxy.accepted).toBeGreaterThan(2);
    proxy.isDown = false;
    expect(await waiting).toBeInstanceOf(Buffer);
  });

  it('looks before it creates a version again, when the connection broke in between', async () => {
    await using client = clientThroughProxy();
    const key = await signingKeyOf(client);
    emulator.faults.add({
      rpc: 'CreateCryptoKeyVersion',
      dropConnection: true,
      applyAfterExecution: true,
      times: 1,
    });
    await client.rotateKey(key.name);
    expect(await client.listKeyVersions(key.name)).toHaveLength(2);
    expect(emulator.requests.count('CreateCryptoKeyVersion')).toBe(1);
  });

  it('is the end of calls that wait for a place, when it is closed', async () => {
    const client = clientThroughProxy({ channels: { count: 1, maxConcurrentCalls: 1 } });
    const key = await keyOf(client);
    await client.encrypt(key.name, message);
    emulator.faults.add({ rpc: 'Encrypt', hang: true });
    const calls = [client.encrypt(key.name, message), client.encrypt(key.name, message)];
    const closed = calls.map((call) => expect(call).rejects.toMatchObject({ code: 'CLIENT_CLOSED' }));
    await expect.poll(() => emulator.requests.count('Encrypt')).toBe(2);
    await client.close();
    await Promise.all(closed);
  });

  it('is found by keepalive, while calls are under way', async () => {
    const [host = '', port] = proxy.endpoint.split(':');
    // It stands still, so that the watch over silent connections is not first.
    const clock = new ManualClock(Date.now());
    const connection = new KmsConnection({
      endpoint: { kind: 'emulator', host, port: Number(port) },
      channels: { count: 2, maxConcurrentCalls: 10 },
      clock,
      attemptMs: 60_000,
      keepalive: { intervalMs: 500, timeoutMs: 2_000 },
    });
    await connection.open();
    const operation = new Operation({ name: 'get', resource: 'x', timeoutMs: 60_000, clock });
    const get = async (): Promise<unknown> => {
      const lease = connection.lease();
      const channel = 'ready' in lease ? lease.ready : await lease.waiting;
      const name = 'projects/test-project/locations/global/keyRings/none';
      return connection
        .send(channel, 'getKeyRing', { name }, { routeBy: ['name', name], timeoutMs: 60_000, operation })
        .catch((error: unknown) => error)
        .finally(() => connection.release(channel));
    };
    const NOT_FOUND = 5;
    expect(await get()).toMatchObject({ code: NOT_FOUND });
    proxy.connections[0]?.silence();
    expect(await get()).toMatchObject({ code: 14 });
    // The next call does not go the way of the last.
    expect(await get()).toMatchObject({ code: NOT_FOUND });
    expect(connection.stats).toEqual({ channelsOpen: 1, callsInFlight: 0, queueDepth: 0 });
    await connection.close();
    expect(connection.stats.channelsOpen).toBe(0);
  });
});
