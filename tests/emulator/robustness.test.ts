import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { KeyManagementServiceClient, protos } from '@google-cloud/kms';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type KmsEmulator, ManualClock, startKmsEmulator } from '../../src/emulator/index.js';
import { officialClient, startTestEmulator } from '../support/emulator.js';
import { rejectionOf } from '../support/rejection.js';

type ICryptoKey = protos.google.cloud.kms.v1.ICryptoKey;
type ISignRequest = protos.google.cloud.kms.v1.IAsymmetricSignRequest;

const LOCATION = 'projects/example.com:p/locations/global';
const RING = `${LOCATION}/keyRings/ring`;

const errors: string[] = [];
let clock: ManualClock;
let emulator: KmsEmulator;
let client: KeyManagementServiceClient;
let count = 0;

beforeAll(async () => {
  clock = new ManualClock();
  const logger = { warn() {}, error: (fields: object) => void errors.push(JSON.stringify(fields)) };
  emulator = await startTestEmulator({ clock, logger, hsmLatencyMs: 1 });
  client = officialClient(emulator);
  await client.createKeyRing({ parent: LOCATION, keyRingId: 'ring' });
});
afterAll(async () => {
  await client.close();
  await emulator.close();
});

/** Name of version 1 of a new key, which is there. */
async function newVersion(cryptoKey: ICryptoKey): Promise<string> {
  const cryptoKeyId = `key-${++count}`;
  const [{ name }] = await client.createCryptoKey({ parent: RING, cryptoKeyId, cryptoKey });
  clock.advance(1_000);
  return `${name}/cryptoKeyVersions/1`;
}
const signing = (
  algorithm: 'EC_SIGN_P256_SHA256' | 'EC_SIGN_ED25519' | 'RSA_SIGN_RAW_PKCS1_2048',
): ICryptoKey => ({
  purpose: 'ASYMMETRIC_SIGN',
  versionTemplate: { algorithm },
});

describe('the server', () => {
  it('answers INTERNAL to a defect of its own or of a rule, logs it, and goes on', async () => {
    const defect = (): boolean => {
      throw new TypeError('a rule that fails');
    };
    {
      using _ = emulator.faults.add({ rpc: 'GetKeyRing', when: defect });
      expect(await rejectionOf(client.getKeyRing({ name: RING }))).toMatchObject({
        code: 'INTERNAL',
        message: expect.stringContaining('a rule that fails'),
      });
    }
    expect(errors.join()).toContain('a rule that fails');
    await client.getKeyRing({ name: RING });
  });

  it.each([
    [undefined, 100],
    [7, 7],
  ])('announces its concurrent streams: %s gives %i', async (maxConcurrentStreams, expected) => {
    await using small = await startTestEmulator({ maxConcurrentStreams });
    const session = connect(`http://${small.endpoint}`);
    const settings = await new Promise<object>((resolve) => session.once('remoteSettings', resolve));
    session.destroy();
    expect(settings).toMatchObject({ maxConcurrentStreams: expected });
  });

  it('warns on standard error unless it is given a logger', async () => {
    const write = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    await (await startKmsEmulator()).close();
    const written = write.mock.calls.join();
    write.mockRestore();
    expect(written).toContain('no place for real keys');
  });

  it('makes operations with HSM keys as slow as it was told, and answers them', async () => {
    const name = await newVersion({
      purpose: 'ENCRYPT_DECRYPT',
      versionTemplate: { protectionLevel: 'HSM' },
    });
    const [{ protectionLevel }] = await client.encrypt({ name, plaintext: Buffer.from('x') });
    expect(protectionLevel).toBe('HSM');
  });
});

describe('quotas', () => {
  it('count calls that name their resource inside a body', async () => {
    await using tight = await startTestEmulator({ quota: { writePerMinute: 0 } });
    const limited = officialClient(tight);
    const call = limited.updateCryptoKey({
      cryptoKey: { name: `${RING}/cryptoKeys/k`, labels: {} },
      updateMask: { paths: ['labels'] },
    });
    expect(await rejectionOf(call)).toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      message: expect.stringContaining("for consumer 'project_number:example.com:p'"),
    });
    await limited.close();
  });
});

describe('AsymmetricSign', () => {
  const digest = { sha256: Buffer.alloc(32) };
  const tooLong = Buffer.alloc(65_537);
  it.each<[string, ISignRequest]>([
    ['neither a digest nor data', {}],
    ['a digest without a member', { digest: {} }],
    ['a checksum of data with a digest', { digest, dataCrc32c: { value: 0 } }],
    ['a checksum of a digest with data', { data: Buffer.from('x'), digestCrc32c: { value: 0 } }],
    ['more than 64 KiB of data', { data: tooLong }],
  ])('of a key that takes digests refuses %s', async (_, request) => {
    const name = await newVersion(signing('EC_SIGN_P256_SHA256'));
    expect(await rejectionOf(client.asymmetricSign({ name, ...request }))).toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  });

  it.each<[Parameters<typeof signing>[0], ISignRequest]>([
    ['EC_SIGN_ED25519', { digest }],
    ['EC_SIGN_ED25519', { data: tooLong }],
    ['RSA_SIGN_RAW_PKCS1_2048', { data: Buffer.alloc(256 - 10) }],
  ])('of %s refuses what the algorithm does not take', async (algorithm, request) => {
    const name = await newVersion(signing(algorithm));
    expect(await rejectionOf(client.asymmetricSign({ name, ...request }))).toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  });

  it('of RSA_SIGN_RAW_PKCS1 takes as much as the modulus holds', async () => {
    const name = await newVersion(signing('RSA_SIGN_RAW_PKCS1_2048'));
    const [{ signature }] = await client.asymmetricSign({ name, data: Buffer.alloc(256 - 11, 1) });
    expect(signature).toHaveLength(256);
  });
});

describe('MacSign', () => {
  it('takes 64 KiB and no more', async () => {
    const name = await newVersion({ purpose: 'MAC', versionTemplate: { algorithm: 'HMAC_SHA256' } });
    expect((await client.macSign({ name, data: Buffer.alloc(65_536) }))[0].mac).toHaveLength(32);
    expect(await rejectionOf(client.macSign({ name, data: Buffer.alloc(65_537) }))).toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  });
});

describe('Encrypt', () => {
  it('takes an empty plaintext, with the checksum 0 both ways', async () => {
    const version = await newVersion({ purpose: 'ENCRYPT_DECRYPT' });
    const name = version.slice(0, version.indexOf('/cryptoKeyVersions'));
    const plaintext = Buffer.alloc(0);
    const [encrypted] = await client.encrypt({ name, plaintext, plaintextCrc32c: { value: 0 } });
    expect(encrypted.verifiedPlaintextCrc32c).toBe(true);
    const [decrypted] = await client.decrypt({ name, ciphertext: encrypted.ciphertext ?? '' });
    expect([decrypted.plaintext, decrypted.plaintextCrc32c]).toEqual([plaintext, { value: '0' }]);
  });
});

describe('listings', () => {
  it('of keys are in ascending order of their names, also with a filter', async () => {
    await client.createKeyRing({ parent: LOCATION, keyRingId: 'sorted' });
    const parent = `${LOCATION}/keyRings/sorted`;
    for (const cryptoKeyId of ['b', 'a', 'C', '0'])
      await client.createCryptoKey({ parent, cryptoKeyId, cryptoKey: { purpose: 'ENCRYPT_DECRYPT' } });
    for (const filter of ['', 'purpose=ENCRYPT_DECRYPT', 'primary.state != DESTROYED']) {
      const [keys] = await client.listCryptoKeys({ parent, filter });
      expect(keys.map(({ name }) => name?.split('/').at(-1))).toEqual(['0', 'C', 'a', 'b']);
    }
  });
});

describe('the state file', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'a2a-kms-crash-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it('has every key that was acknowledged, at any moment', async () => {
    const stateFile = join(folder, 'keys.json');
    await using running = await startTestEmulator({ stateFile });
    const one = officialClient(running);
    await one.createKeyRing({ parent: LOCATION, keyRingId: 'ring' });
    const acknowledged: string[] = [];
    const create = async (cryptoKeyId: string) => {
      const cryptoKey: ICryptoKey = { purpose: 'ENCRYPT_DECRYPT' };
      const [{ name }] = await one.createCryptoKey({ parent: RING, cryptoKeyId, cryptoKey });
      acknowledged.push(name ?? '');
      // As if the process ended here.
      const crashed: string[] = JSON.parse(readFileSync(stateFile, 'utf8')).kms.cryptoKeys.map(
        (key: { name: string }) => key.name,
      );
      expect(crashed).toEqual(expect.arrayContaining(acknowledged));
    };
    await Promise.all(Array.from({ length: 20 }, (_, n) => create(`k${n}`)));

    const copy = join(folder, 'copy.json');
    copyFileSync(stateFile, copy);
    await using second = await startTestEmulator({ stateFile: copy });
    const two = officialClient(second);
    const [keys] = await two.listCryptoKeys({ parent: RING });
    expect(keys.map(({ name }) => name).sort()).toEqual(acknowledged.sort());
    await one.close();
    await two.close();
  });

  it('gives up an import that was under way, and says so', async () => {
    const stateFile = join(folder, 'import.json');
    const time = new ManualClock();
    const first = await startTestEmulator({ stateFile, clock: time });
    const one = officialClient(first);
    await one.createKeyRing({ parent: LOCATION, keyRingId: 'ring' });
    const [key] = await one.createCryptoKey({
      parent: RING,
      cryptoKeyId: 'k',
      cryptoKey: { purpose: 'ENCRYPT_DECRYPT', importOnly: true },
      skipInitialVersionCreation: true,
    });
    const [job] = await one.createImportJob({
      parent: RING,
      importJobId: 'job',
      importJob: { importMethod: 'RSA_OAEP_3072_SHA256', protectionLevel: 'SOFTWARE' },
    });
    time.advance(1_000);
    const [{ name }] = await one.importCryptoKeyVersion({
      parent: key.name ?? '',
      importJob: job.name ?? '',
      algorithm: 'GOOGLE_SYMMETRIC_ENCRYPTION',
      rsaAesWrappedKey: Buffer.from('wrapped'),
    });
    await one.close();
    await first.close();
    await using second = await startTestEmulator({ stateFile, clock: time });
    const two = officialClient(second);
    expect((await two.getCryptoKeyVersion({ name: name ?? '' }))[0]).toMatchObject({
      state: 'IMPORT_FAILED',
      importFailureReason: expect.stringContaining('stopped'),
    });
    await two.close();
  });

  it('with an algorithm that nobody knows is refused', async () => {
    const stateFile = join(folder, 'keys.json');
    const other = join(folder, 'other.json');
    writeFileSync(other, readFileSync(stateFile, 'utf8').replaceAll('GOOGLE_SYMMETRIC_ENCRYPTION', 'ROT13'));
    await expect(startTestEmulator({ stateFile: other })).rejects.toThrow('is not a state file');
  });
});

describe('an import', () => {
  it('of an algorithm that the level does not have is refused', async () => {
    const [key] = await client.createCryptoKey({
      parent: RING,
      cryptoKeyId: 'import-only',
      cryptoKey: { ...signing('EC_SIGN_P256_SHA256'), importOnly: true },
      skipInitialVersionCreation: true,
    });
    const [job] = await client.createImportJob({
      parent: RING,
      importJobId: 'job',
      importJob: { importMethod: 'RSA_OAEP_3072_SHA256', protectionLevel: 'SOFTWARE' },
    });
    const request = {
      parent: key.name ?? '',
      importJob: job.name ?? '',
      algorithm: 'EC_SIGN_SECP256K1_SHA256',
      wrappedKey: Buffer.from('wrapped'),
    } as const;
    expect(await rejectionOf(client.importCryptoKeyVersion(request))).toMatchObject({
      code: 'FAILED_PRECONDITION',
      message: expect.stringContaining('PENDING_GENERATION'),
    });
    clock.advance(1_000);
    expect(await rejectionOf(client.importCryptoKeyVersion(request))).toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  });
});
