import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  type Corruption,
  type KmsEmulator,
  ManualClock,
  type RpcName,
  type StatusName,
} from '../../src/emulator/index.js';
import { A2AKmsError, type KeyMetadata, type KMSClient } from '../../src/index.js';
import { newClient, silentLogger, startTestEmulator } from '../support/emulator.js';

const message = Buffer.from('pay 10 EUR to alice');
/** Repeats follow each other closely, so that tests do not wait for them; injected quota answers hold nothing else up. */
const QUICK = { retry: { initialDelayMs: 1, maxDelayMs: 2 }, quota: { mode: 'off' } } as const;

let emulator: KmsEmulator;
let client: KMSClient;
let signing: KeyMetadata;
let symmetric: KeyMetadata;
let decryption: KeyMetadata;

beforeAll(async () => {
  emulator = await startTestEmulator();
  client = newClient(emulator, QUICK);
  await client.initialize();
  signing = await client.generateKey({
    name: 'sign',
    purpose: 'ASYMMETRIC_SIGN',
    algorithm: 'EC_SIGN_P256_SHA256',
  });
  symmetric = await client.generateKey({
    name: 'aes',
    purpose: 'ENCRYPT_DECRYPT',
    algorithm: 'GOOGLE_SYMMETRIC_ENCRYPTION',
  });
  decryption = await client.generateKey({
    name: 'oaep',
    purpose: 'ASYMMETRIC_DECRYPT',
    algorithm: 'RSA_DECRYPT_OAEP_2048_SHA256',
  });
  await client.sign(signing.name, message);
});
afterAll(async () => {
  await client.close();
  await emulator.close();
});
beforeEach(() => {
  emulator.faults.clear();
  emulator.requests.clear();
});

describe('status codes', () => {
  const REPEATED = ['UNAVAILABLE', 'DEADLINE_EXCEEDED', 'RESOURCE_EXHAUSTED', 'INTERNAL'] as const;

  it.each(REPEATED)('%s is repeated and then succeeds (P6)', async (code) => {
    emulator.faults.add({ rpc: 'AsymmetricSign', status: { code }, times: 2 });
    const signature = await client.sign(signing.name, message);
    expect(await client.verify(signing.name, message, signature)).toBe(true);
    expect(emulator.requests.count('AsymmetricSign')).toBe(3);
  });

  it.each([
    ['UNAVAILABLE', 'UNAVAILABLE', 5],
    ['RESOURCE_EXHAUSTED', 'RESOURCE_EXHAUSTED', 5],
    ['DEADLINE_EXCEEDED', 'DEADLINE_EXCEEDED', 5],
    ['INTERNAL', 'SERVICE_ERROR', 5],
    ['CANCELLED', 'UNAVAILABLE', 5],
    ['PERMISSION_DENIED', 'PERMISSION_DENIED', 1],
    ['UNAUTHENTICATED', 'UNAUTHENTICATED', 1],
    ['INVALID_ARGUMENT', 'INVALID_ARGUMENT', 1],
    ['ALREADY_EXISTS', 'ALREADY_EXISTS', 1],
    ['UNIMPLEMENTED', 'SERVICE_ERROR', 1],
    ['UNKNOWN', 'SERVICE_ERROR', 1],
    ['DATA_LOSS', 'SERVICE_ERROR', 1],
  ] as const satisfies readonly (readonly [StatusName, string, number])[])(
    '%s ends as %s after %i attempt(s)',
    async (code, expected, attempts) => {
      emulator.faults.add({ rpc: 'AsymmetricSign', status: { code, message: 'injected' } });
      const error = await client.sign(signing.primary ?? '', message).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(A2AKmsError);
      expect(error).toMatchObject({
        code: expected,
        attempts,
        operation: 'sign',
        resource: signing.primary,
        cause: expect.any(Error),
      });
    },
  );

  describe('that are got over leave a line at level debug', () => {
    async function linesOf(rpc: RpcName, call: (own: KMSClient) => Promise<unknown>): Promise<object[]> {
      const lines: object[] = [];
      const logger = {
        ...silentLogger,
        debug: (fields: object) => {
          if ('attempt' in fields) lines.push(fields);
        },
      };
      await using own = newClient(emulator, { ...QUICK, logger });
      emulator.faults.add({ rpc, status: { code: 'UNAVAILABLE', message: 'pay 10 EUR' }, times: 2 });
      await call(own);
      return lines;
    }

    it('for each repeat, with what was called and how long it waited', async () => {
      const lines = await linesOf('AsymmetricSign', (own) => own.sign(signing.name, message));
      const line = {
        operation: 'sign',
        rpc: 'asymmetricSign',
        status: 'UNAVAILABLE',
        delayMs: expect.any(Number),
      };
      expect(lines).toEqual([
        { ...line, attempt: 1 },
        { ...line, attempt: 2 },
      ]);
    });

    it('also where it is looked up what became of the call', async () => {
      const lines = await linesOf('CreateCryptoKeyVersion', (own) => own.rotateKey(symmetric.name));
      expect(lines).toHaveLength(2);
      expect(lines[0]).toMatchObject({ operation: 'rotateKey', status: 'UNAVAILABLE' });
    });
  });

  it('waits as long as the server says before it repeats', async () => {
    const details = [{ type: 'google.rpc.RetryInfo' as const, value: { retryDelay: { seconds: 3_600 } } }];
    emulator.faults.add({
      rpc: 'AsymmetricSign',
      status: { code: 'RESOURCE_EXHAUSTED', message: 'quota', details },
    });
    // An hour does not fit into the deadline, so the quota answer is given to the caller at once.
    await expect(client.sign(signing.name, message)).rejects.toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      retryAfterMs: 3_600_000,
      attempts: 1,
    });
  });

  it('names the permission and a role that grants it', async () => {
    emulator.faults.add({ rpc: 'Decrypt', status: { code: 'PERMISSION_DENIED' } });
    const ciphertext = await client.encrypt(symmetric.name, message);
    await expect(client.decrypt(symmetric.name, ciphertext)).rejects.toMatchObject({
      permission: 'cloudkms.cryptoKeyVersions.useToDecrypt',
      role: 'roles/cloudkms.cryptoKeyDecrypter',
      message: expect.stringMatching(/useToDecrypt.*cryptoKeyDecrypter/),
    });
  });
});

describe('a permission that is missing', () => {
  it.each<[string, RpcName, () => Promise<unknown>, RegExp]>([
    [
      'for which there is a small predefined role',
      'AsymmetricSign',
      () => client.sign(signing.name, message),
      /^sign on \S+: permission cloudkms\.cryptoKeyVersions\.useToSign is missing.* of the predefined ones roles\/cloudkms\.signer does\./,
    ],
    [
      'that of the predefined roles only the administrator has',
      'CreateCryptoKeyVersion',
      () => client.rotateKey(signing.name),
      /permission cloudkms\.cryptoKeyVersions\.create is missing.*only roles\/cloudkms\.admin does, which may do far more/,
    ],
  ])('%s is named with the roles of this package', async (_, rpc, call, expected) => {
    emulator.faults.add({ rpc, status: { code: 'PERMISSION_DENIED' } });
    await expect(call()).rejects.toThrow(expected);
    await expect(call()).rejects.toThrow(/docs\/access\.md \(a2aSigner, a2aRotator.*preflight/);
  });
});

describe('integrity', () => {
  const operations: readonly (readonly [string, RpcName, () => Promise<unknown>])[] = [
    ['sign', 'AsymmetricSign', () => client.sign(signing.name, message)],
    ['encrypt', 'Encrypt', () => client.encrypt(symmetric.name, message)],
  ];
  const decryptions: readonly (readonly [string, RpcName, () => Promise<unknown>])[] = [
    [
      'decrypt',
      'Decrypt',
      async () => client.decrypt(symmetric.name, await client.encrypt(symmetric.name, message)),
    ],
    [
      'decrypt with a private key',
      'AsymmetricDecrypt',
      async () => client.decrypt(decryption.name, await client.encrypt(decryption.name, message)),
    ],
  ];
  const publicKey: readonly (readonly [string, RpcName, () => Promise<unknown>])[] = [
    [
      'getPublicKey',
      'GetPublicKey',
      async () => {
        await using fresh = newClient(emulator, QUICK);
        return await fresh.getPublicKey(signing.name);
      },
    ],
  ];
  const ALWAYS: readonly Corruption[] = [
    'response-data',
    'response-crc',
    'missing-crc',
    'missing-data',
    'protection-level',
  ];
  const cases = [
    ...[...operations, ...decryptions, ...publicKey].flatMap((operation) =>
      ALWAYS.map((corrupt) => [...operation, corrupt] as const),
    ),
    ...[...operations, ...publicKey].map((operation) => [...operation, 'name'] as const),
    ...operations.map((operation) => [...operation, 'verified'] as const),
    ...[...operations, ...decryptions].map((operation) => [...operation, 'request'] as const),
  ];

  it.each(cases)('%s (%s) once damaged is made again', async (_, rpc, call, corrupt) => {
    emulator.faults.add({ rpc, corrupt, times: 1 });
    await call();
    expect(emulator.requests.count(rpc)).toBe(2);
  });

  it.each(cases)('%s (%s) damaged twice is an IntegrityError (D6, D7, D8)', async (_, rpc, call, corrupt) => {
    emulator.faults.add({ rpc, corrupt });
    await expect(call()).rejects.toMatchObject({ code: 'INTEGRITY' });
    expect(emulator.requests.count(rpc)).toBe(2);
  });

  it.each(['GetCryptoKey', 'GetCryptoKeyVersion'] as const)(
    'does not believe another name in the answer of %s',
    async (rpc) => {
      emulator.faults.add({ rpc, corrupt: 'name' });
      await using fresh = newClient(emulator, QUICK);
      const id = rpc === 'GetCryptoKey' ? signing.name : (signing.primary ?? '');
      await expect(fresh.sign(id, message)).rejects.toMatchObject({
        code: 'INTEGRITY',
        check: expect.stringContaining('asked for'),
      });
    },
  );
});

describe('deadlines and lost connections', () => {
  it('keeps the deadline with a server that never answers (P4)', async () => {
    emulator.faults.add({ rpc: 'AsymmetricSign', hang: true });
    await expect(client.sign(signing.name, message, { timeoutMs: 150 })).rejects.toMatchObject({
      code: 'DEADLINE_EXCEEDED',
      timeoutMs: 150,
      operation: 'sign',
    });
  });

  it('gives up on an attempt that hangs and tries again within the deadline', async () => {
    const deadlines = { operationMs: 60_000, attemptMs: 2_000 };
    await using impatient = newClient(emulator, { ...QUICK, deadlines });
    const fault = emulator.faults.add({ rpc: 'AsymmetricSign', hang: true, times: 1 });
    await impatient.sign(signing.name, message);
    expect(fault.hits).toBe(1);
    // On a busy machine the answer to the second may be too late as well.
    expect(emulator.requests.count('AsymmetricSign')).toBeGreaterThanOrEqual(2);
  });

  it('aborts a call under way, also on the wire (D11)', async () => {
    emulator.faults.add({ rpc: 'AsymmetricSign', hang: true });
    const controller = new AbortController();
    const call = client.sign(signing.name, message, { signal: controller.signal });
    await expect.poll(() => emulator.requests.count('AsymmetricSign')).toBe(1);
    controller.abort();
    await expect(call).rejects.toMatchObject({ code: 'ABORTED' });
  });

  it('survives a connection that is cut in the middle of a call', async () => {
    emulator.faults.add({ rpc: 'AsymmetricSign', dropConnection: true, times: 1 });
    const signature = await client.sign(signing.name, message);
    expect(await client.verify(signing.name, message, signature)).toBe(true);
  });

  it('says that nobody is there', async () => {
    const gone = await startTestEmulator();
    await using orphan = newClient(gone, { ...QUICK, retry: { maxAttempts: 2, initialDelayMs: 1 } });
    await gone.close();
    await expect(orphan.initialize()).rejects.toMatchObject({ code: 'UNAVAILABLE', attempts: 2 });
  });

  it('lets 2,000 calls wait for their turn without failing by their deadlines (P5)', async () => {
    await using slow = await startTestEmulator({ hsmLatencyMs: 20 });
    // A tenth of a second for each answer: ten times the deadline for all of them, a quarter of it for those under way.
    const clock = new ManualClock();
    await using busy = newClient(slow, {
      clock,
      channels: { count: 1, maxConcurrentCalls: 50 },
      deadlines: { operationMs: 20_000, attemptMs: 60_000, queueMs: 600_000 },
    });
    await busy.initialize();
    const key = await busy.generateKey({
      name: 'k',
      purpose: 'ENCRYPT_DECRYPT',
      algorithm: 'GOOGLE_SYMMETRIC_ENCRYPTION',
    });
    const results = await Promise.allSettled(
      Array.from({ length: 2_000 }, () => busy.encrypt(key.name, message).finally(() => clock.advance(100))),
    );
    expect(results.filter(({ status }) => status === 'rejected')).toEqual([]);
  });

  it('says that it was the queue whose time was over', async () => {
    await using narrow = newClient(emulator, {
      channels: { count: 1, maxConcurrentCalls: 1 },
      deadlines: { queueMs: 50 },
    });
    await narrow.initialize();
    await narrow.sign(signing.name, message);
    emulator.faults.add({ rpc: 'AsymmetricSign', hang: true, times: 1 });
    const controller = new AbortController();
    const first = narrow.sign(signing.name, message, { signal: controller.signal });
    const second = narrow.sign(signing.name, message);
    await expect(second).rejects.toMatchObject({
      code: 'DEADLINE_EXCEEDED',
      message: expect.stringContaining('queue'),
      attempts: 0,
    });
    controller.abort();
    await expect(first).rejects.toMatchObject({ code: 'ABORTED' });
    await narrow.sign(signing.name, message);
  });

  it('lets a caller leave the queue without taking its place along', async () => {
    await using narrow = newClient(emulator, { channels: { count: 1, maxConcurrentCalls: 1 } });
    await narrow.sign(signing.name, message);
    emulator.faults.add({ rpc: 'AsymmetricSign', hang: true, times: 1 });
    const [holder, waiter] = [new AbortController(), new AbortController()];
    const first = narrow.sign(signing.name, message, { signal: holder.signal });
    const second = narrow.sign(signing.name, message, { signal: waiter.signal });
    waiter.abort();
    await expect(second).rejects.toMatchObject({ code: 'ABORTED' });
    holder.abort();
    await expect(first).rejects.toMatchObject({ code: 'ABORTED' });
    await narrow.sign(signing.name, message);
  });

  it('opens further connections when the first is full, and no more than allowed', async () => {
    await using slow = await startTestEmulator({ hsmLatencyMs: 30 });
    await using wide = newClient(slow, { channels: { count: 3, maxConcurrentCalls: 10 } });
    await wide.initialize();
    const key = await wide.generateKey({
      name: 'k',
      purpose: 'ENCRYPT_DECRYPT',
      algorithm: 'GOOGLE_SYMMETRIC_ENCRYPTION',
    });
    const channelsOpen = (): number => wide.stats().connection.channelsOpen;
    expect(channelsOpen()).toBe(1);
    const calls = Promise.all(Array.from({ length: 200 }, () => wide.encrypt(key.name, message)));
    await expect.poll(channelsOpen, { interval: 1 }).toBe(3);
    await calls;
    expect(channelsOpen()).toBe(3);
    expect(slow.requests.count('Encrypt')).toBe(200);
  });
});

describe('secrets', () => {
  it('are in no error, whatever fails', async () => {
    const secret = Buffer.from('correct horse battery staple');
    const options = { additionalAuthenticatedData: secret };
    emulator.faults.add({ rpc: '*', status: { code: 'INTERNAL', message: 'injected' } });
    const calls = [
      client.encrypt(symmetric.name, secret, options),
      client.decrypt(symmetric.name, secret, options),
      client.sign(signing.name, secret),
    ];
    for (const result of await Promise.allSettled(calls)) {
      if (result.status === 'fulfilled') throw new Error('expected a failure');
      const { inspect } = await import('node:util');
      const text = inspect(result.reason, { depth: 20, showHidden: true });
      expect(text).not.toContain('correct horse');
      expect(text).not.toContain(secret.toString('base64'));
      expect(text).not.toContain(secret.toString('hex'));
    }
  });
});
