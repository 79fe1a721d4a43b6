import { createPrivateKey, createPublicKey, createSign, generateKeyPairSync, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { systemClock } from '../../src/clock.js';
import { type KmsEmulator, ManualClock } from '../../src/emulator/index.js';
import type { KeySpec, KMSClient } from '../../src/index.js';
import { wrapForImport } from '../../src/kms/import-wrapping.js';
import { RpcCaller } from '../../src/kms/rpc-caller.js';
import { KEY_RING, newClient, officialClient, startTestEmulator } from '../support/emulator.js';
import { CalendarClock } from '../support/lifecycle.js';

vi.mock('../../src/kms/import-wrapping.js', async (original) => {
  const actual = await original<typeof import('../../src/kms/import-wrapping.js')>();
  return { ...actual, wrapForImport: vi.fn(actual.wrapForImport) };
});

const message = Buffer.from('pay 10 EUR to alice');
const parent = `projects/${KEY_RING.projectId}/locations/${KEY_RING.locationId}/keyRings/${KEY_RING.keyRingId}`;
const retry = { initialDelayMs: 1, maxDelayMs: 2 };

const clock = new CalendarClock();
let emulator: KmsEmulator;
let client: KMSClient;

beforeAll(async () => {
  emulator = await startTestEmulator({ clock });
  client = newClient(emulator, { clock, retry });
  await client.initialize();
});
afterAll(async () => {
  await client.close();
  await emulator.close();
});

const newKey = (namedCurve = 'P-256'): Buffer =>
  generateKeyPairSync('ec', { namedCurve }).privateKey.export({ type: 'pkcs8', format: 'der' });
const spec = (rest: Partial<KeySpec> = {}): KeySpec => ({
  name: `imported-${randomUUID()}`,
  purpose: 'ASYMMETRIC_SIGN',
  algorithm: 'EC_SIGN_P256_SHA256',
  ...rest,
});
const publicPem = (pkcs8: Buffer): string =>
  createPublicKey(createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' }))
    .export({ type: 'spki', format: 'pem' })
    .toString();
const pemOf = async (keyId: string): Promise<string> =>
  createPublicKey(await client.getPublicKey(keyId))
    .export({ type: 'spki', format: 'pem' })
    .toString();

describe('a private key that is imported', () => {
  it.each([
    ['EC_SIGN_P256_SHA256', newKey('P-256')],
    ['EC_SIGN_P384_SHA384', newKey('P-384')],
    [
      'RSA_SIGN_PSS_2048_SHA256',
      generateKeyPairSync('rsa', { modulusLength: 2_048 }).privateKey.export({
        type: 'pkcs8',
        format: 'der',
      }),
    ],
  ] as const)('signs in the HSM as %s with the same public key', async (algorithm, pkcs8) => {
    const key = await client.importKey(spec({ algorithm }), pkcs8);
    expect(key).toMatchObject({ protectionLevel: 'HSM', algorithm });
    expect(await pemOf(key.name)).toBe(publicPem(pkcs8));
    const signed = await client.signDetailed(key.name, message);
    expect(signed.protectionLevel).toBe('HSM');
    expect(await client.verify(key.name, message, signed.signature)).toBe(true);
  });

  it('is marked with its import job and the time for ever, and can be rotated to a key born in the HSM', async () => {
    const key = await client.importKey(spec(), newKey());
    const rotated = await client.rotateKey(key.name);
    const versions = await client.listKeyVersions(key.name);
    expect(versions.map(({ importJob, importTime }) => [importJob, importTime])).toEqual([
      [expect.stringMatching(/importJobs\/a2a-import-hsm-[0-9]{8}$/), expect.any(Date)],
      [undefined, undefined],
    ]);
    expect(rotated.primary).toBe(versions[1]?.name);
  });

  it('decrypts what was encrypted to it before', async () => {
    const pkcs8 = generateKeyPairSync('rsa', { modulusLength: 2_048 }).privateKey.export({
      type: 'pkcs8',
      format: 'der',
    });
    const wanted = spec({ purpose: 'ASYMMETRIC_DECRYPT', algorithm: 'RSA_DECRYPT_OAEP_2048_SHA256' });
    const { name } = await client.importKey(wanted, pkcs8);
    expect(await client.decrypt(name, await client.encrypt(name, message))).toEqual(message);
    expect(await pemOf(name)).toBe(publicPem(pkcs8));
  });

  it('is adopted by a repeated import, with one version only (P2, D1)', async () => {
    const [wanted, pkcs8] = [spec(), newKey()];
    const first = await client.importKey(wanted, pkcs8);
    expect((await client.importKey(wanted, pkcs8)).primary).toBe(first.primary);
    expect(await client.listKeyVersions(first.name)).toHaveLength(1);
  });

  it('is not mistaken for another key of that name', async () => {
    const wanted = spec();
    await client.importKey(wanted, newKey());
    await expect(client.importKey(wanted, newKey())).rejects.toMatchObject({
      code: 'KEY_SPEC_MISMATCH',
      differences: [expect.objectContaining({ field: 'key material' })],
    });
  });

  it('is not imported over a key whose versions were disabled on purpose', async () => {
    const [wanted, pkcs8] = [spec(), newKey()];
    const { name } = await client.importKey(wanted, pkcs8);
    const official = officialClient(emulator);
    onTestFinished(() => official.close());
    await official.updateCryptoKeyVersion({
      cryptoKeyVersion: { name: `${name}/cryptoKeyVersions/1`, state: 'DISABLED' },
      updateMask: { paths: ['state'] },
    });
    await expect(client.importKey(wanted, pkcs8)).rejects.toMatchObject({ code: 'NO_USABLE_VERSION' });
  });

  it('stays the caller’s: the buffer comes back as it was', async () => {
    const pkcs8 = newKey();
    const copy = Buffer.from(pkcs8);
    await client.importKey(spec(), pkcs8);
    expect(pkcs8).toEqual(copy);
  });
});

describe('an import that goes wrong', () => {
  it('is not made twice when the answer is lost (look first)', async () => {
    const wanted = spec();
    const fault = emulator.faults.add({
      rpc: 'ImportCryptoKeyVersion',
      applyAfterExecution: true,
      status: { code: 'UNAVAILABLE' },
      times: 1,
    });
    const { name } = await client.importKey(wanted, newKey());
    expect(fault.hits).toBe(1);
    expect(await client.listKeyVersions(name)).toHaveLength(1);
  });

  it('is made again when it had no effect', async () => {
    using _fault = emulator.faults.add({
      rpc: 'ImportCryptoKeyVersion',
      status: { code: 'UNAVAILABLE' },
      times: 1,
    });
    const { name } = await client.importKey(spec(), newKey());
    expect(await client.listKeyVersions(name)).toHaveLength(1);
  });

  it('takes a copy before it returns, so that the key can be wiped at once', async () => {
    const observer = { begin: async () => ({ end: () => {} }) };
    await using observed = newClient(emulator, { retry, observers: [observer] });
    for (const own of [client, observed]) {
      for (const importing of ['importKey', 'importKeyVersion'] as const) {
        const [wanted, pkcs8] = [spec(), newKey()];
        const expected = publicPem(pkcs8);
        const imported = own[importing](wanted, pkcs8);
        pkcs8.fill(0);
        await imported;
        expect(await pemOf(wanted.name)).toBe(expected);
      }
    }
  });

  it('that failed does not stand in the way of a key that is born in the HSM', async () => {
    const [wanted, pkcs8] = [spec(), newKey()];
    vi.mocked(wrapForImport).mockImplementationOnce(() => Buffer.alloc(440));
    await expect(client.importKey(wanted, pkcs8)).rejects.toMatchObject({ code: 'KEY_IMPORT_FAILED' });
    const { name, primary } = await client.generateKey(wanted);
    expect(primary).toBe(`${name}/cryptoKeyVersions/2`);
    const states = (await client.listKeyVersions(name)).map(({ state, importJob }) => [state, importJob]);
    expect(states).toEqual([
      ['IMPORT_FAILED', expect.any(String)],
      ['ENABLED', undefined],
    ]);
  });

  it('that is under way is waited for by who wants the key to be there', async () => {
    const manual = new ManualClock(Date.now());
    await using still = await startTestEmulator({ clock: manual });
    await using own = newClient(still, { retry });
    await own.initialize();
    const asked = (rpc: string): Promise<void> =>
      expect.poll(() => still.requests.count(rpc), { timeout: 20_000 }).toBeGreaterThan(0);
    const wanted = spec();
    // The job is ready as soon as somebody asks for it; the import is not.
    still.faults.add({
      rpc: 'GetImportJob',
      status: { code: 'UNAVAILABLE' },
      when: () => {
        manual.advance(1_000);
        return false;
      },
    });
    const importing = own.importKey(wanted, newKey());
    await asked('ImportCryptoKeyVersion');
    still.requests.clear();
    const generating = own.generateKey(wanted);
    await asked('ListCryptoKeyVersions');
    await asked('GetCryptoKeyVersion');
    expect((await own.listKeyVersions(wanted.name)).map(({ state }) => state)).toEqual(['PENDING_IMPORT']);
    manual.advance(1_000);
    expect((await generating).primary).toBe((await importing).primary);
    expect(await own.listKeyVersions(wanted.name)).toHaveLength(1);
  });

  it.each(['importKey', 'importKeyVersion'] as const)(
    'of nothing is refused, as a rejection: %s',
    async (importing) => {
      const call = (...given: readonly unknown[]) => Reflect.apply(client[importing], client, given);
      await expect(call(undefined, newKey())).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
      await expect(call(spec(), undefined)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    },
  );

  it('tells why Cloud KMS did not take the key, and the next call uses the same version', async () => {
    const [wanted, pkcs8] = [spec(), newKey()];
    vi.mocked(wrapForImport).mockImplementationOnce(() => Buffer.alloc(440));
    await expect(client.importKey(wanted, pkcs8)).rejects.toMatchObject({
      code: 'KEY_IMPORT_FAILED',
      reason: expect.stringMatching(/./),
    });
    using _lost = emulator.faults.add({
      rpc: 'ImportCryptoKeyVersion',
      applyAfterExecution: true,
      status: { code: 'UNAVAILABLE' },
      times: 1,
    });
    const { name } = await client.importKey(wanted, pkcs8);
    expect(await client.listKeyVersions(name)).toMatchObject([{ version: 1, state: 'ENABLED' }]);
    expect(await pemOf(name)).toBe(publicPem(pkcs8));
  });

  it.each([
    ['nothing', Buffer.alloc(0)],
    ['garbage', Buffer.from('not a key')],
    ['a key of another curve', newKey('P-384')],
    [
      'a key of another type',
      generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'der' }),
    ],
  ])('is refused before any call for %s', async (_what, pkcs8) => {
    const error = await client.importKey(spec(), pkcs8).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', attempts: 0 });
    // What OpenSSL says of a key it cannot read is not passed on.
    expect(error).not.toHaveProperty('cause');
  });

  it('is refused before any call for a string in place of bytes', async () => {
    const key: unknown = 'MIGH';
    await expect(Reflect.apply(client.importKey, client, [spec(), key])).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      attempts: 0,
    });
  });

  it.each(['GOOGLE_SYMMETRIC_ENCRYPTION', 'PQ_SIGN_ML_DSA_65'] as const)(
    'is refused before any call for %s',
    async (algorithm) => {
      const purpose = algorithm.startsWith('PQ') ? 'ASYMMETRIC_SIGN' : 'ENCRYPT_DECRYPT';
      await expect(
        client.importKey(spec({ algorithm, purpose, protectionLevel: 'SOFTWARE' }), newKey()),
      ).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', attempts: 0 });
    },
  );

  it.each([
    ['names another job', { name: `${parent}/importJobs/other` }],
    ['is for another method', { importMethod: 'RSA_OAEP_3072_SHA1_AES_256' }],
    ['is of another protection level', { protectionLevel: 'SOFTWARE' }],
    ['has no wrapping key', { publicKey: null }],
    ['has a damaged wrapping key', { publicKey: { pem: 'damaged' } }],
    ['has a wrapping key of another kind', { publicKey: { pem: publicPem(newKey()) } }],
  ])('wraps nothing for a job whose answer %s (D7)', async (_what, change) => {
    const { call } = RpcCaller.prototype;
    const spy = vi.spyOn(RpcCaller.prototype, 'call').mockImplementation(async function (
      this: RpcCaller,
      operation,
      request,
    ) {
      const answer = await call.call(this, operation, request);
      return request.rpc === 'getImportJob' ? Object.assign(answer, change) : answer;
    });
    onTestFinished(() => spy.mockRestore());
    await expect(client.importKey(spec(), newKey())).rejects.toMatchObject({ code: 'INTEGRITY' });
  });

  it('does not take a version for imported that holds another key', async () => {
    const other = newKey();
    const wrap = vi.mocked(wrapForImport).getMockImplementation();
    vi.mocked(wrapForImport).mockImplementationOnce((key) => wrap?.(key, other) ?? Buffer.alloc(0));
    await expect(client.importKey(spec(), newKey())).rejects.toMatchObject({ code: 'INTEGRITY' });
  });

  it.each([
    ['GetImportJob', 'get'],
    ['CreateImportJob', 'create'],
  ] as const)('names the role that importing needs when %s is refused', async (rpc, permission) => {
    clock.advanceDays(1);
    using _fault = emulator.faults.add({ rpc, status: { code: 'PERMISSION_DENIED' } });
    await expect(client.importKey(spec(), newKey())).rejects.toMatchObject({
      permission: `cloudkms.importJobs.${permission}`,
      role: 'roles/cloudkms.importer',
    });
  });
});

describe('import jobs', () => {
  it('are shared by all processes of one day', async () => {
    clock.advanceDays(10);
    const other = newClient(emulator, { clock, retry });
    onTestFinished(() => other.close());
    await Promise.all([client, other].map((each) => each.importKey(spec(), newKey())));
    const official = officialClient(emulator);
    onTestFinished(() => official.close());
    const [jobs] = await official.listImportJobs({ parent });
    const day = new Date(clock.now()).toISOString().slice(0, 10).replaceAll('-', '');
    expect(jobs.filter(({ name }) => name?.includes(day))).toHaveLength(1);
  });

  it('that have expired make room for another one', async () => {
    clock.advanceDays(5);
    const wanted = new Date(clock.now()).toISOString().slice(0, 10).replaceAll('-', '');
    const official = officialClient(emulator);
    onTestFinished(() => official.close());
    const importJob = { importMethod: 'RSA_OAEP_3072_SHA256_AES_256', protectionLevel: 'HSM' } as const;
    // The clock of this process lags four days behind the one of the service.
    await official.createImportJob({ parent, importJobId: `a2a-import-hsm-${wanted}`, importJob });
    clock.advanceDays(4);
    const lagging = newClient(emulator, {
      retry,
      clock: { ...systemClock, now: () => clock.now() - 4 * 86_400_000 },
    });
    onTestFinished(() => lagging.close());
    const { name } = await lagging.importKey(spec(), newKey());
    const [version] = await lagging.listKeyVersions(name);
    expect(version?.importJob).toMatch(new RegExp(`a2a-import-hsm-${wanted}-2$`));
  });
});

describe('wrapping', () => {
  it('takes OAEP of a key and a key wrap with padding', () => {
    const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 3_072 });
    const wrapped = wrapForImport(publicKey, newKey());
    // 384 bytes of OAEP, then the material padded to 8 bytes and one block more (RFC 5649 section 4.1).
    expect(wrapped.length).toBe(384 + Math.ceil(newKey().length / 8) * 8 + 8);
  });
});

describe('a private key that is imported beside a version in use', () => {
  it('leaves that one in use, and no rotation leads to it or disposes of it', async () => {
    const wanted = spec({ algorithm: 'EC_SIGN_P384_SHA384' });
    const pkcs8 = newKey('P-384');
    const { name, primary } = await client.generateKey(wanted);
    const imported = await client.importKeyVersion(wanted, pkcs8);
    expect(imported.name).toBe(`${name}/cryptoKeyVersions/2`);
    expect((await client.getKey(name)).primary).toBe(primary);
    expect((await client.importKeyVersion(wanted, pkcs8)).name).toBe(imported.name);
    const rotated = await client.rotateKey(name);
    expect(rotated).toMatchObject({ primary: `${name}/cryptoKeyVersions/3`, disposed: [] });
    const signature = createSign('sha384')
      .update(message)
      .sign(createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' }));
    expect(await client.verify(name, message, signature)).toBe(true);
  });
});
