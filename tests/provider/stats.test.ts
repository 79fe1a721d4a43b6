/** What providers and exchanges have counted. */

import { describe, expect, it, onTestFinished } from 'vitest';
import { FilePublicKeyArchive } from '../../src/index.js';
import { CallCounts } from '../../src/provider/stats.js';
import { newClient, newExchange, startTestEmulator } from '../support/emulator.js';
import { STORE_KEY, softwareProvider, storeDirectory } from '../support/software-provider.js';

const message = Buffer.from('pay 10 EUR to alice');
const spec = { name: 'key', purpose: 'ASYMMETRIC_SIGN', algorithm: 'EC_SIGN_P256_SHA256' } as const;

describe('stats of a client', () => {
  it('count calls by outcome and code, cache hits, and the connection', async () => {
    const emulator = await startTestEmulator();
    const keys = newClient(emulator);
    onTestFinished(async () => {
      await keys.close();
      await emulator.close();
    });
    expect(keys.stats()).toEqual({
      provider: 'kms',
      keyRing: keys.keyRing,
      operations: {},
      inFlight: 0,
      caches: {
        keyVersions: { hits: 0, misses: 0, size: 0 },
        publicKeys: { hits: 0, misses: 0, size: 0 },
      },
      connection: { channelsOpen: 0, callsInFlight: 0, queueDepth: 0 },
      endpoint: { kind: 'emulator', address: emulator.host, port: emulator.port },
      quota: { callsWaiting: 0, kinds: {} },
    });
    await keys.initialize();
    await keys.generateKey({ ...spec, protectionLevel: 'HSM' });
    const signature = await keys.sign('key', message);
    await keys.verify('key', message, signature);
    const cold = keys.stats();
    await keys.verify('key', message, signature);
    await expect(keys.sign('missing', message)).rejects.toThrow();
    await expect(keys.sign('no/key', message)).rejects.toThrow();
    const warm = keys.stats();
    expect(warm.operations['sign']).toEqual({
      started: 3,
      succeeded: 1,
      failed: 2,
      errors: { NOT_FOUND: 1, INVALID_ARGUMENT: 1 },
    });
    expect(warm.operations['verify']).toEqual({ started: 2, succeeded: 2, failed: 0, errors: {} });
    expect(warm.caches.publicKeys.hits).toBe(cold.caches.publicKeys.hits + 1);
    expect(warm.caches.publicKeys).toMatchObject({ misses: 1, size: 1 });
    expect(warm.caches.keyVersions.misses).toBe(cold.caches.keyVersions.misses + 1);
    expect(warm.connection).toEqual({ channelsOpen: 1, callsInFlight: 0, queueDepth: 0 });
    expect(warm.quota).toMatchObject({
      callsWaiting: 0,
      // A P-256 signature costs 4,500 tokens.
      kinds: { hsm: { tokensLastMinute: 4_500, callsWaiting: 0 } },
    });
    const pending = keys.sign('key', message);
    expect(keys.stats().inFlight).toBe(1);
    await pending;
    expect(keys.stats().inFlight).toBe(0);
  });

  it('are frozen in all their depth and stay as they were', async () => {
    const keys = softwareProvider();
    await keys.generateKey({ ...spec, protectionLevel: 'SOFTWARE' });
    const stats = keys.stats();
    expect(Object.isFrozen(stats) && Object.isFrozen(stats.operations['generateKey']?.errors)).toBe(true);
    await keys.sign('key', message);
    expect(stats.operations['sign']).toBeUndefined();
  });

  it('of software keys count keys that were ready to use', async () => {
    const keys = softwareProvider();
    await keys.generateKey({ ...spec, protectionLevel: 'SOFTWARE' });
    const signature = await keys.sign('key', message);
    await keys.sign('key', message);
    await keys.verify('key', message, signature);
    await keys.verify('key', message, signature);
    expect(keys.stats().caches).toEqual({
      secretKeys: { hits: 1, misses: 1, size: 1 },
      publicKeys: { hits: 1, misses: 1, size: 1 },
    });
    expect(keys.stats()).toMatchObject({ provider: 'software', operations: { sign: { succeeded: 2 } } });
  });

  it('count what is no error of this library as unexpected', async () => {
    const counts = new CallCounts();
    await expect(counts.count('sign', () => Promise.reject(new Error('odd')))).rejects.toThrow('odd');
    expect(counts.stats().operations['sign']?.errors).toEqual({ UNEXPECTED: 1 });
  });
});

describe('stats of an exchange', () => {
  it('hold its providers, the agents it knows and its ciphers, closed ones too', async () => {
    const emulator = await startTestEmulator();
    const exchange = newExchange(emulator, { hierarchy: {} });
    onTestFinished(async () => {
      await exchange.close();
      await emulator.close();
    });
    await exchange.initialize();
    await exchange.generateAgentKey('alice');
    await exchange.signMessage('alice', message);
    await expect(exchange.signMessage('bob', message)).rejects.toThrow();
    const cipher = exchange.envelope();
    const ciphertext = await cipher.encrypt(message);
    await cipher.encrypt(message);
    await cipher.decrypt(ciphertext);
    expect(cipher.stats()).toEqual({
      dataKeys: { hits: 1, misses: 1, size: 1 },
      unwrappedKeys: { hits: 1, misses: 0, size: 1 },
    });
    await cipher.close();
    const { providers, caches, locations } = exchange.stats();
    expect(providers).toMatchObject([{ provider: 'kms', operations: { signDetailed: { succeeded: 1 } } }]);
    expect(caches).toEqual({
      agents: { hits: 1, misses: 1, size: 1 },
      envelopeDataKeys: { hits: 1, misses: 1, size: 0 },
      envelopeUnwrappedKeys: { hits: 1, misses: 0, size: 0 },
    });
    expect(locations).toEqual([]);
  });

  it('of a migration hold both providers', async () => {
    const emulator = await startTestEmulator();
    const exchange = newExchange(emulator, {
      useSoftwareKeys: true,
      publicKeyArchive: new FilePublicKeyArchive({ directory: storeDirectory() }),
      softwareKeyStore: { type: 'file', path: storeDirectory(), key: STORE_KEY },
    });
    onTestFinished(async () => {
      await exchange.close();
      await emulator.close();
    });
    expect(
      exchange
        .stats()
        .providers.map(({ provider }) => provider)
        .sort(),
    ).toEqual(['kms', 'software']);
  });
});
