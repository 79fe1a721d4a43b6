import { createHash } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Clock, systemClock } from '../../src/clock.js';
import { type KmsEmulator, ManualClock } from '../../src/emulator/index.js';
import { type KeyMetadata, KMSClient, type KMSConfig } from '../../src/index.js';
import {
  clientConfig,
  KEY_RING,
  newClient,
  officialClient,
  silentLogger,
  startTestEmulator,
  UNHURRIED,
} from '../support/emulator.js';

const message = Buffer.from('pay 10 EUR to alice');
const P256 = { purpose: 'ASYMMETRIC_SIGN', algorithm: 'EC_SIGN_P256_SHA256' } as const;
const SYMMETRIC = { purpose: 'ENCRYPT_DECRYPT', algorithm: 'GOOGLE_SYMMETRIC_ENCRYPTION' } as const;

let emulator: KmsEmulator;
let keys = 0;
const newKeyId = (): string => `key-${++keys}`;

beforeAll(async () => {
  emulator = await startTestEmulator();
  await using client = newClient(emulator);
  await client.initialize();
});
afterAll(() => emulator.close());
beforeEach(() => {
  emulator.faults.clear();
  emulator.requests.clear();
});

async function signingKey(client: KMSClient): Promise<KeyMetadata> {
  return client.generateKey({ name: newKeyId(), ...P256 });
}

describe('initialize', () => {
  it('is safe when several processes race on a new key ring', async () => {
    const clients = Array.from({ length: 5 }, () => newClient(emulator, { keyRingId: 'raced' }));
    await Promise.all(clients.map((client) => client.initialize()));
    await Promise.all(clients.map((client) => client.close()));
    expect(emulator.requests.count('CreateKeyRing')).toBeGreaterThan(0);
  });

  it('needs no permission to create where the key ring exists', async () => {
    await using client = newClient(emulator);
    await client.initialize();
    expect(emulator.requests.count('CreateKeyRing')).toBe(0);
  });

  it('passes a refusal on', async () => {
    emulator.faults.add({ rpc: 'GetKeyRing', status: { code: 'PERMISSION_DENIED' } });
    await using client = newClient(emulator);
    await expect(client.initialize()).rejects.toMatchObject({
      code: 'PERMISSION_DENIED',
      permission: 'cloudkms.keyRings.get',
      role: 'roles/cloudkms.viewer',
    });
  });
});

describe('what is sent', () => {
  it('hashes with the digest of the algorithm and sends its CRC32C', async () => {
    await using client = newClient(emulator);
    const key = await client.generateKey({
      name: newKeyId(),
      purpose: 'ASYMMETRIC_SIGN',
      algorithm: 'EC_SIGN_P384_SHA384',
    });
    await client.sign(key.name, message);
    const request = emulator.requests.entries.at(-1)?.request;
    expect(request).toMatchObject({
      name: key.primary,
      digest: { sha384: createHash('sha384').update(message).digest() },
    });
    expect(request?.['digestCrc32c']).toEqual({ value: expect.any(Number) });
  });

  it('sends the checksum of empty additional data too, which is 0 (P18)', async () => {
    await using client = newClient(emulator);
    const key = await client.generateKey({ name: newKeyId(), ...SYMMETRIC });
    await client.encrypt(key.name, message);
    const request = emulator.requests.entries.at(-1)?.request;
    expect(request?.['additionalAuthenticatedDataCrc32c']).toEqual({ value: 0 });
  });

  it('creates HSM keys with a destruction delay of 30 days unless told otherwise (D9)', async () => {
    await using client = newClient(emulator);
    const key = await client.generateKey({ name: newKeyId(), ...P256 });
    expect(key).toMatchObject({ protectionLevel: 'HSM', destroyScheduledDurationSeconds: 2_592_000 });
  });

  it('routes by the resource', async () => {
    await using client = newClient(emulator);
    const key = await signingKey(client);
    expect(emulator.requests.entries.at(-1)?.metadata.get('x-goog-request-params')).toMatch(
      /^(?:name|parent)=projects%2F/,
    );
    await client.rotateKey(key.name);
    const update = emulator.requests.entries.find(({ rpc }) => rpc === 'UpdateCryptoKey');
    expect(update?.metadata.get('x-goog-request-params')).toBe(
      `crypto_key.name=${encodeURIComponent(key.name)}`,
    );
  });
});

describe('refused before any call', () => {
  const refused = [
    [
      'a key in another key ring',
      (client: KMSClient) => client.sign('projects/p/locations/l/keyRings/r/cryptoKeys/k', message),
    ],
    [
      'an algorithm without an HSM form',
      (client: KMSClient) =>
        client.generateKey({ name: 'k', purpose: 'ASYMMETRIC_SIGN', algorithm: 'EC_SIGN_ED25519' }),
    ],
    [
      'an unknown algorithm',
      (client: KMSClient) =>
        client.generateKey(JSON.parse('{"name":"k","purpose":"ASYMMETRIC_SIGN","algorithm":"ROT13"}')),
    ],
    [
      'a spec with fields that there are not',
      (client: KMSClient) => client.generateKey(JSON.parse('{"name":"k","purpose":"MAC","algoritm":"x"}')),
    ],
    [
      'a version name for a new key',
      (client: KMSClient) =>
        client.generateKey({ name: `${client.keyRing}/cryptoKeys/k/cryptoKeyVersions/1`, ...P256 }),
    ],
    ['a key id that is none', (client: KMSClient) => client.generateKey({ name: 'a b', ...P256 })],
    [
      'a label that is none',
      (client: KMSClient) => client.generateKey({ name: 'k', ...P256, labels: { Team: 'x' } }),
    ],
    [
      'a destruction delay of an hour',
      (client: KMSClient) =>
        client.generateKey({ name: 'k', ...P256, destroyScheduledDurationSeconds: 3_600 }),
    ],
    [
      'an option that there is not',
      (client: KMSClient) => client.sign('k', message, JSON.parse('{"timeout":5}')),
    ],
    ['a timeout of 0', (client: KMSClient) => client.sign('k', message, { timeoutMs: 0 })],
    [
      'a signal that is none',
      (client: KMSClient) => client.verify('k', message, message, JSON.parse('{"signal":7}')),
    ],
    ['a fraction of a second', (client: KMSClient) => client.destroyKey('k', 0.5)],
    ['a signature as text', (client: KMSClient) => client.verify('k', message, JSON.parse('"MEUCIQ"'))],
    ['null for a plaintext', (client: KMSClient) => client.encrypt('k', JSON.parse('null'))],
  ] as const;

  it.each(refused)('%s', async (_, call) => {
    await using client = newClient(emulator);
    await expect(call(client)).rejects.toMatchObject({
      code: expect.stringMatching(/^(?:INVALID_ARGUMENT|UNSUPPORTED_ALGORITHM)$/),
      attempts: 0,
    });
    expect(emulator.requests.count()).toBe(0);
  });

  it('more than an HSM key may encrypt, naming the limit and envelope encryption', async () => {
    await using client = newClient(emulator);
    const key = await client.generateKey({ name: newKeyId(), ...SYMMETRIC });
    emulator.requests.clear();
    const options = { additionalAuthenticatedData: Buffer.alloc(1) };
    await client.encrypt(key.name, Buffer.alloc(8_191), options);
    await expect(client.encrypt(key.name, Buffer.alloc(8_192), options)).rejects.toMatchObject({
      code: 'DATA_TOO_LARGE',
      limitBytes: 8_192,
      sizeBytes: 8_193,
      message: expect.stringMatching(/EnvelopeCipher/),
    });
    expect(emulator.requests.count('Encrypt')).toBe(1);
  });

  it('more than a key for raw messages may sign', async () => {
    await using client = newClient(emulator);
    const key = await client.generateKey({
      name: newKeyId(),
      purpose: 'ASYMMETRIC_SIGN',
      algorithm: 'RSA_SIGN_RAW_PKCS1_2048',
    });
    await expect(client.sign(key.name, Buffer.alloc(246))).rejects.toMatchObject({
      code: 'DATA_TOO_LARGE',
      limitBytes: 245,
    });
    await expect(client.signDigest(key.name, Buffer.alloc(32))).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  });
});

describe('version resolution', () => {
  it('makes one lookup for 1,000 calls on a cold cache (P9, P15)', async () => {
    await using client = newClient(emulator);
    const key = await signingKey(client);
    await using cold = newClient(emulator, { channels: { count: 4 }, deadlines: UNHURRIED });
    emulator.requests.clear();
    await Promise.all(Array.from({ length: 1_000 }, () => cold.sign(key.name, message)));
    expect(emulator.requests.count('GetCryptoKey')).toBe(1);
    expect(emulator.requests.count('ListCryptoKeyVersions')).toBe(1);
    expect(emulator.requests.count('AsymmetricSign')).toBe(1_000);
  });

  it('makes no lookup at all for a version that the configuration pins (P11)', async () => {
    await using client = newClient(emulator);
    const key = await signingKey(client);
    const pinnedVersions = [{ name: key.primary ?? '', algorithm: 'EC_SIGN_P256_SHA256' as const }];
    await using signer = newClient(emulator, { pinnedVersions });
    emulator.requests.clear();
    await signer.sign(key.name, message);
    await signer.sign(key.primary ?? '', message);
    expect(emulator.requests.count()).toBe(emulator.requests.count('AsymmetricSign'));
    expect(emulator.requests.count()).toBe(2);
  });

  it('sends nothing for a call whose client was closed while it connected, and leaves no connection', async () => {
    await using client = newClient(emulator);
    const key = await signingKey(client);
    const pinnedVersions = [{ name: key.primary ?? '', algorithm: 'EC_SIGN_P256_SHA256' as const }];
    const signer = newClient(emulator, { pinnedVersions });
    emulator.requests.clear();
    const refused = expect(signer.sign(key.name, message)).rejects.toMatchObject({ code: 'CLIENT_CLOSED' });
    await signer.close();
    await refused;
    expect(emulator.requests.count()).toBe(0);
    expect(signer.stats().connection).toEqual({ channelsOpen: 0, callsInFlight: 0, queueDepth: 0 });
  });

  it('verifies with the pinned version alone, and with one public key', async () => {
    await using client = newClient(emulator);
    const key = await signingKey(client);
    const old = await client.sign(key.name, message);
    await client.rotateKey(key.name);
    const current = await client.sign(key.name, message);
    // It has looked again whether the rotation holds.
    await client.close();
    const pinnedVersions = [2, 1].map((version) => ({
      name: `${key.name}/cryptoKeyVersions/${version}`,
      algorithm: 'EC_SIGN_P256_SHA256' as const,
    }));
    await using pinned = newClient(emulator, { pinnedVersions });
    emulator.requests.clear();
    expect(await pinned.verify(key.name, message, current)).toBe(true);
    expect(await pinned.verify(key.name, message, old)).toBe(false);
    expect(await pinned.verify(key.primary ?? '', message, old)).toBe(true);
    expect(emulator.requests.count()).toBe(2);
    expect(emulator.requests.count('GetPublicKey')).toBe(2);
  });

  it('refuses a pinned version that is not in the key ring, in the constructor', () => {
    const pinnedVersions = [{ name: 'my-key', algorithm: 'EC_SIGN_P256_SHA256' as const }];
    expect(() => newClient(emulator, { pinnedVersions })).toThrow(/pinnedVersions\.0\.name/);
  });

  it('finds the new version at once when the cached one was disabled in between (D5)', async () => {
    await using client = newClient(emulator);
    const key = await signingKey(client);
    await client.sign(key.name, message);
    await using other = newClient(emulator);
    await other.rotateKey(key.name);
    await other.destroyKey(key.primary ?? '');
    expect((await client.signDetailed(key.name, message)).keyVersion).toBe(`${key.name}/cryptoKeyVersions/2`);
  });

  it('tries once more only, and never for a pinned version', async () => {
    await using client = newClient(emulator);
    const key = await signingKey(client);
    await client.sign(key.name, message);
    emulator.faults.add({
      rpc: 'AsymmetricSign',
      status: { code: 'FAILED_PRECONDITION', message: 'disabled' },
    });
    emulator.requests.clear();
    await expect(client.sign(key.name, message)).rejects.toMatchObject({ code: 'FAILED_PRECONDITION' });
    expect(emulator.requests.count('AsymmetricSign')).toBe(2);
    await expect(client.sign(key.primary ?? '', message)).rejects.toMatchObject({
      code: 'FAILED_PRECONDITION',
    });
    expect(emulator.requests.count('AsymmetricSign')).toBe(3);
  });

  it('follows the pointer label instead of the highest version', async () => {
    await using client = newClient(emulator);
    const key = await signingKey(client);
    await client.rotateKey(key.name);
    emulator.faults.add({ rpc: 'UpdateCryptoKey', status: { code: 'PERMISSION_DENIED' } });
    await expect(client.rotateKey(key.name)).rejects.toMatchObject({ code: 'PERMISSION_DENIED' });
    await using fresh = newClient(emulator);
    expect((await fresh.signDetailed(key.name, message)).keyVersion).toBe(`${key.name}/cryptoKeyVersions/2`);
  });

  it('looks again in the background when half of the time is over, and not before', async () => {
    const clock = new ManualClock(Date.now());
    await using client = newClient(emulator);
    const key = await signingKey(client);
    await using timed = newClient(emulator, { clock, deadlines: UNHURRIED });
    await timed.sign(key.name, message);
    emulator.requests.clear();
    clock.advance(29_000);
    await timed.sign(key.name, message);
    expect(emulator.requests.count('GetCryptoKey')).toBe(0);
    clock.advance(2_000);
    await timed.sign(key.name, message);
    await expect.poll(() => emulator.requests.count('ListCryptoKeyVersions')).toBe(1);
  });
});

describe('verification', () => {
  it('keeps the cache whatever the signature, so that a valid one makes no call when warm (D4)', async () => {
    await using client = newClient(emulator);
    const key = await signingKey(client);
    const signature = await client.sign(key.name, message);
    await client.verify(key.name, message, signature);
    for (let forged = 0; forged < 50; forged++) {
      expect(await client.verify(key.name, Buffer.from(`forged ${forged}`), signature)).toBe(false);
    }
    emulator.requests.clear();
    expect(await client.verify(key.name, message, signature)).toBe(true);
    expect(emulator.requests.count()).toBe(0);
  });

  it('fetches older public keys only when the signature is not by the version in use', async () => {
    await using client = newClient(emulator);
    const key = await signingKey(client);
    const old = await client.sign(key.name, message);
    await client.rotateKey(key.name);
    const current = await client.sign(key.name, message);
    await using verifier = newClient(emulator);
    emulator.requests.clear();
    await verifier.verify(key.name, message, current);
    expect(emulator.requests.count('GetPublicKey')).toBe(1);
    expect(await verifier.verify(key.name, message, old)).toBe(true);
    expect(emulator.requests.count('GetPublicKey')).toBe(2);
  });

  it('verifies with the cached key of a version that was disabled since', async () => {
    await using client = newClient(emulator);
    const key = await signingKey(client);
    const old = await client.sign(key.name, message);
    await client.verify(key.name, message, old);
    await client.rotateKey(key.name);
    await client.destroyKey(key.primary ?? '');
    expect(await client.verify(key.name, message, old)).toBe(true);
  });

  it('says so when no public key can be read', async () => {
    await using client = newClient(emulator);
    const key = await signingKey(client);
    const signature = await client.sign(key.name, message);
    await client.destroyKey(key.name);
    await using fresh = newClient(emulator);
    await expect(fresh.verify(key.name, message, signature)).rejects.toMatchObject({
      code: 'NO_USABLE_VERSION',
    });
  });

  it('refuses a key that does not sign', async () => {
    await using client = newClient(emulator);
    const key = await client.generateKey({ name: newKeyId(), ...SYMMETRIC });
    await expect(client.verify(key.primary ?? '', message, message)).rejects.toMatchObject({
      code: 'UNSUPPORTED_ALGORITHM',
    });
  });
});

describe('generateKey', () => {
  it('waits until an HSM that takes its time has made the key (P1)', async () => {
    const time = new ManualClock(Date.now());
    await using slow = await startTestEmulator({ clock: time, hsmGenerationMs: 700 });
    // The HSM's time passes while the client waits on purpose, and only then.
    const clock: Clock = {
      ...systemClock,
      setTimer(delayMs, callback, options) {
        const isAwaited = options?.kind !== 'background' && delayMs <= 2_500;
        if (!isAwaited) return systemClock.setTimer(delayMs, callback, options);
        time.advance(delayMs);
        return systemClock.setTimer(0, callback, options);
      },
    };
    await using client = newClient(slow, { clock });
    await client.initialize();
    const key = await signingKey(client);
    expect((await client.listKeyVersions(key.name))[0]?.state).toBe('ENABLED');
    expect(slow.requests.count('GetCryptoKeyVersion')).toBeGreaterThan(1);
    // Growing delays: a fixed 100 ms would have asked seven times and more.
    expect(slow.requests.count('GetCryptoKeyVersion')).toBeLessThan(7);
  });

  it('ends by its deadline when the key is never made', async () => {
    await using slow = await startTestEmulator({ hsmGenerationMs: 3_600_000 });
    await using client = newClient(slow);
    await client.initialize();
    await expect(client.generateKey({ name: 'k', ...P256 }, { timeoutMs: 400 })).rejects.toMatchObject({
      code: 'DEADLINE_EXCEEDED',
      timeoutMs: 400,
    });
  });

  it('can be aborted while it waits', async () => {
    await using slow = await startTestEmulator({ hsmGenerationMs: 3_600_000 });
    await using client = newClient(slow);
    await client.initialize();
    const controller = new AbortController();
    const waiting = client.generateKey({ name: 'k', ...P256 }, { signal: controller.signal });
    await expect.poll(() => slow.requests.count('GetCryptoKeyVersion')).toBeGreaterThan(0);
    controller.abort(new Error('shutting down'));
    await expect(waiting).rejects.toMatchObject({
      code: 'ABORTED',
      cause: expect.objectContaining({ message: 'shutting down' }),
    });
  });

  it('carries the reason of a failed generation, and makes a new version when called again (D1, P2)', async () => {
    await using client = newClient(emulator);
    const spec = { name: newKeyId(), ...P256 };
    emulator.failGeneration('HSM out of capacity');
    await expect(client.generateKey(spec)).rejects.toMatchObject({
      code: 'KEY_GENERATION_FAILED',
      reason: 'HSM out of capacity',
    });
    emulator.failGeneration(undefined);
    const key = await client.generateKey(spec);
    expect(key.primary).toMatch(/\/cryptoKeyVersions\/2$/);
  });

  it('gives the reason too when generation has failed before anybody looked', async () => {
    await using instant = await startTestEmulator({ hsmGenerationMs: 0 });
    await using client = newClient(instant);
    await client.initialize();
    instant.failGeneration('HSM out of capacity');
    await expect(client.generateKey({ name: 'k', ...P256 })).rejects.toMatchObject({
      code: 'KEY_GENERATION_FAILED',
      reason: 'HSM out of capacity',
    });
    instant.failGeneration(undefined);
    expect((await client.generateKey({ name: 'k', ...P256 })).primary).toMatch(/\/cryptoKeyVersions\/2$/);
  });

  it('does not hand out a symmetric key that somebody made without a version', async () => {
    await using client = newClient(emulator);
    const raw = officialClient(emulator);
    await raw.createCryptoKey({
      parent: client.keyRing,
      cryptoKeyId: 'empty',
      cryptoKey: { purpose: 'ENCRYPT_DECRYPT', versionTemplate: { protectionLevel: 'HSM' } },
      skipInitialVersionCreation: true,
    });
    await raw.close();
    await expect(client.generateKey({ name: 'empty', ...SYMMETRIC })).rejects.toMatchObject({
      code: 'NO_USABLE_VERSION',
    });
    expect((await client.rotateKey('empty')).primary).toMatch(/\/cryptoKeyVersions\/1$/);
  });

  it('adopts the key whose creation succeeded although its answer was lost (P3)', async () => {
    await using client = newClient(emulator);
    emulator.faults.add({
      rpc: 'CreateCryptoKey',
      status: { code: 'UNAVAILABLE' },
      applyAfterExecution: true,
      times: 1,
    });
    const key = await signingKey(client);
    expect(await client.listKeyVersions(key.name)).toHaveLength(1);
  });

  it('does not revive a key that was destroyed on purpose', async () => {
    await using client = newClient(emulator);
    const spec = { name: newKeyId(), ...P256 };
    const key = await client.generateKey(spec);
    await client.destroyKey(key.name);
    await expect(client.generateKey(spec)).rejects.toMatchObject({ code: 'NO_USABLE_VERSION' });
  });
});

describe('calls that must not be repeated blindly', () => {
  it('takes the version whose creation succeeded although its answer was lost', async () => {
    await using client = newClient(emulator);
    const key = await signingKey(client);
    emulator.faults.add({
      rpc: 'CreateCryptoKeyVersion',
      status: { code: 'UNAVAILABLE' },
      applyAfterExecution: true,
      times: 1,
    });
    const rotated = await client.rotateKey(key.name);
    expect(rotated.primary).toBe(`${key.name}/cryptoKeyVersions/2`);
    expect(await client.listKeyVersions(key.name)).toHaveLength(2);
  });

  it('creates the version after all when the failed call did not', async () => {
    await using client = newClient(emulator);
    const key = await signingKey(client);
    emulator.faults.add({ rpc: 'CreateCryptoKeyVersion', status: { code: 'UNAVAILABLE' }, times: 1 });
    expect((await client.rotateKey(key.name)).primary).toBe(`${key.name}/cryptoKeyVersions/2`);
  });

  it.each([true, false])(
    'destroys and restores once when an answer is lost (after taking effect: %s)',
    async (applyAfterExecution) => {
      await using client = newClient(emulator);
      const key = await signingKey(client);
      const lost = { status: { code: 'UNAVAILABLE' as const }, applyAfterExecution, times: 1 };
      emulator.faults.add({ rpc: 'DestroyCryptoKeyVersion', ...lost });
      expect((await client.destroyKey(key.name)).versions).toHaveLength(1);
      emulator.faults.add({ rpc: 'RestoreCryptoKeyVersion', ...lost });
      expect((await client.restoreKey(key.name)).primary).toBe(key.primary);
    },
  );

  it('repeats them when a quota refused them, since nothing happened then', async () => {
    await using client = newClient(emulator);
    const key = await signingKey(client);
    emulator.faults.add({ rpc: 'CreateCryptoKeyVersion', status: { code: 'RESOURCE_EXHAUSTED' }, times: 1 });
    expect((await client.rotateKey(key.name)).primary).toBe(`${key.name}/cryptoKeyVersions/2`);
  });
});

describe('a version that stays PENDING_GENERATION', () => {
  it('is what the deadline is said to have passed for, and is waited for by the next call', async () => {
    await using slow = await startTestEmulator({ asymmetricGenerationMs: 3_600_000 });
    const clock = new ManualClock();
    await using client = newClient(slow, { clock });
    await client.initialize();
    const spec = { name: 'k', purpose: 'ASYMMETRIC_SIGN', algorithm: 'EC_SIGN_P256_SHA256' } as const;
    for (const _ of ['first', 'second']) {
      slow.requests.clear();
      const rejected = expect(client.generateKey({ ...spec, protectionLevel: 'SOFTWARE' })).rejects.toThrow(
        /of 60000 ms passed after \d+ attempt\(s\), while version 1 was still PENDING_GENERATION\. Call again, which goes on/,
      );
      await expect
        .poll(() => {
          // A pause between two looks is over long before the deadline, however slow this process is.
          clock.advance(20);
          return slow.requests.count('GetCryptoKeyVersion');
        })
        .toBeGreaterThan(0);
      clock.advance(60_000);
      await rejected;
    }
    expect(await client.listKeyVersions('k')).toHaveLength(1);
  });
});

describe('closing', () => {
  it('refuses calls after it', async () => {
    const client = newClient(emulator);
    await client.initialize();
    await client.close();
    await expect(client.getKey('k')).rejects.toMatchObject({ code: 'CLIENT_CLOSED' });
    await client.close();
  });

  it('ends a call that is under way', async () => {
    const client = newClient(emulator);
    const key = await signingKey(client);
    await client.sign(key.name, message);
    emulator.requests.clear();
    emulator.faults.add({ rpc: 'AsymmetricSign', hang: true });
    const call = client.sign(key.name, message);
    await expect.poll(() => emulator.requests.count('AsymmetricSign')).toBe(1);
    // Watched before the client is closed, so that the rejection is never unhandled.
    const rejected = expect(call).rejects.toMatchObject({ code: 'CLIENT_CLOSED' });
    await client.close();
    await rejected;
  });

  it('says of a call under way that it may still take effect, as it does', async () => {
    const client = newClient(emulator);
    const key = await signingKey(client);
    emulator.requests.clear();
    let hangs: () => void = () => {};
    const isHanging = new Promise<void>((resolve) => {
      hangs = resolve;
    });
    // The version is there, and is about to be put to use.
    const isCreated = (): boolean => emulator.requests.count('CreateCryptoKeyVersion') > 0;
    const when = (): boolean => {
      if (isCreated()) hangs();
      return isCreated();
    };
    using _fault = emulator.faults.add({ rpc: 'UpdateCryptoKey', hang: true, when });
    const call = client.rotateKey(key.name);
    await isHanging;
    const rejected = expect(call).rejects.toMatchObject({
      code: 'CLIENT_CLOSED',
      attempts: expect.toSatisfy((attempts: number) => attempts > 0),
      message: expect.stringContaining('What it had started may still take effect'),
    });
    await client.close();
    await rejected;
    await using other = newClient(emulator);
    expect(await other.listKeyVersions(key.name)).toHaveLength(2);
    await expect(client.rotateKey(key.name)).rejects.toMatchObject({
      attempts: 0,
      message: expect.stringContaining('the client is closed. Make a new one.'),
    });
  });

  it('closes a client that never made a call', async () => {
    await newClient(emulator).close();
  });
});

describe('the emulator as a target', () => {
  it('is warned of', () => {
    const warnings: string[] = [];
    const logger = { ...silentLogger, warn: (_fields: object, text: string) => void warnings.push(text) };
    new KMSClient({ ...clientConfig(emulator), logger } satisfies KMSConfig);
    expect(warnings).toEqual([expect.stringContaining('protects nothing')]);
  });

  it('works in location global and in a region', async () => {
    for (const locationId of ['global', 'europe-west3']) {
      await using client = new KMSClient({
        ...KEY_RING,
        locationId,
        emulatorHost: emulator.endpoint,
        logger: silentLogger,
      });
      await client.initialize();
      const key = await signingKey(client);
      expect(await client.verify(key.name, message, await client.sign(key.name, message))).toBe(true);
    }
  });
});
