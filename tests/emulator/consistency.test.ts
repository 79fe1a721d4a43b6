import { createPublicKey, randomBytes } from 'node:crypto';
import type { KeyManagementServiceClient, protos } from '@google-cloud/kms';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type KmsEmulator, ManualClock } from '../../src/emulator/index.js';
import { officialClient, startTestEmulator } from '../support/emulator.js';
import { rejectionOf } from '../support/rejection.js';
import { wrapWithEphemeralKey } from '../support/wrap-for-import.js';

type ICryptoKey = protos.google.cloud.kms.v1.ICryptoKey;

const LOCATION = 'projects/p/locations/us-east1';
const RING = `${LOCATION}/keyRings/ring`;
const AES: ICryptoKey = { purpose: 'ENCRYPT_DECRYPT' };

let clock: ManualClock;
let emulator: KmsEmulator;
let client: KeyManagementServiceClient;
let count = 0;

beforeAll(async () => {
  clock = new ManualClock();
  emulator = await startTestEmulator({ clock });
  client = officialClient(emulator);
  await client.createKeyRing({ parent: LOCATION, keyRingId: 'ring' });
});
afterAll(async () => {
  await client.close();
  await emulator.close();
});

async function newKey(cryptoKey: ICryptoKey = AES, rest: object = {}): Promise<string> {
  const cryptoKeyId = `key-${++count}`;
  const [{ name }] = await client.createCryptoKey({ parent: RING, cryptoKeyId, cryptoKey, ...rest });
  return name ?? '';
}

describe('calls at once', () => {
  it('that create the same key make one, and the others are told that it exists', async () => {
    const create = () => client.createCryptoKey({ parent: RING, cryptoKeyId: 'contested', cryptoKey: AES });
    const outcomes = await Promise.allSettled(Array.from({ length: 20 }, create));
    const made = outcomes.filter(({ status }) => status === 'fulfilled');
    const codes = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason.code] : []));
    expect([made.length, ...new Set(codes)]).toEqual([1, 6]);
    const [{ primary }] = await client.getCryptoKey({ name: `${RING}/cryptoKeys/contested` });
    expect(primary).toMatchObject({ state: 'ENABLED' });
  });

  it('that create versions get a number each, and symmetric versions are never seen unfinished', async () => {
    const parent = await newKey();
    const made = await Promise.all(
      Array.from({ length: 10 }, () =>
        client.createCryptoKeyVersion({ parent }).then(([version]) => version),
      ),
    );
    expect(new Set(made.map(({ name }) => name)).size).toBe(10);
    expect(new Set(made.map(({ state }) => state))).toEqual(new Set(['ENABLED']));
  });

  it('on a key that is due rotate it once', async () => {
    const key = await newKey({
      ...AES,
      rotationPeriod: { seconds: 86_400 },
      nextRotationTime: { seconds: clock.now() / 1_000 + 86_400 },
    });
    clock.advance(86_400_000);
    await Promise.all(Array.from({ length: 10 }, () => client.getCryptoKey({ name: key })));
    const [versions] = await client.listCryptoKeyVersions({ parent: key });
    expect(versions).toHaveLength(2);
  });
});

describe('a rotation that is due', () => {
  it('is seen by a call that names only the new version', async () => {
    const key = await newKey({ ...AES, nextRotationTime: { seconds: clock.now() / 1_000 + 60 } });
    clock.advance(60_000);
    const [version] = await client.getCryptoKeyVersion({ name: `${key}/cryptoKeyVersions/2` });
    expect(version.state).toBe('ENABLED');
  });
});

describe('names and fields', () => {
  it.each(['01', '0', '4294967296'])('version %s of a key with version 1 is NOT_FOUND', async (id) => {
    const key = await newKey();
    expect(await rejectionOf(client.getCryptoKeyVersion({ name: `${key}/cryptoKeyVersions/${id}` }))).toEqual(
      expect.objectContaining({ code: 'NOT_FOUND' }),
    );
  });

  it('a listing of all locations at once is malformed', async () => {
    const parent = 'projects/p/locations/-';
    expect(await rejectionOf(client.listKeyRings({ parent }))).toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  it('a mask in camelCase is refused, because the wire has proto names', async () => {
    const cryptoKey = { name: await newKey(), nextRotationTime: null };
    const call = client.updateCryptoKey({ cryptoKey, updateMask: { paths: ['nextRotationTime'] } });
    expect(await rejectionOf(call)).toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  it('a time that was set is given back to the microsecond', async () => {
    const nextRotationTime = { seconds: clock.now() / 1_000 + 86_400, nanos: 123_456_789 };
    const [key] = await client.getCryptoKey({ name: await newKey({ ...AES, nextRotationTime }) });
    expect(key.nextRotationTime?.nanos).toBe(123_456_000);
  });

  it.each([
    ['AES_WRAPPING', undefined, undefined, 'INVALID_ARGUMENT'],
    ['ENCRYPT_DECRYPT', 'HSM_SINGLE_TENANT', undefined, 'INVALID_ARGUMENT'],
    [
      'ENCRYPT_DECRYPT',
      'HSM_SINGLE_TENANT',
      'projects/p/locations/us-east1/singleTenantHsmInstances/i',
      'UNIMPLEMENTED',
    ],
    ['ENCRYPT_DECRYPT', 'EXTERNAL', undefined, 'UNIMPLEMENTED'],
  ] as const)(
    'a key for %s in level %s with backend %s is %s',
    async (purpose, protectionLevel, backend, code) => {
      const cryptoKey: ICryptoKey = {
        purpose,
        versionTemplate: {
          algorithm: 'GOOGLE_SYMMETRIC_ENCRYPTION',
          protectionLevel: protectionLevel ?? null,
        },
        cryptoKeyBackend: backend ?? null,
      };
      expect(await rejectionOf(newKey(cryptoKey))).toMatchObject({ code });
    },
  );
});

describe('symmetric material that was imported', () => {
  it('may come back after its destruction, and no other', async () => {
    const importOnly = { importOnly: true, destroyScheduledDuration: { seconds: 0 } };
    const parent = await newKey({ ...AES, ...importOnly }, { skipInitialVersionCreation: true });
    const [job] = await client.createImportJob({
      parent: RING,
      importJobId: 'job',
      importJob: { importMethod: 'RSA_OAEP_3072_SHA256_AES_256', protectionLevel: 'SOFTWARE' },
    });
    const importJob = job.name ?? '';
    clock.advance(1_000);
    const [{ publicKey }] = await client.getImportJob({ name: importJob });
    const wrapping = createPublicKey(publicKey?.pem ?? '');
    const importInto = async (material: Buffer, rest: object = {}): Promise<string> => {
      const wrappedKey = wrapWithEphemeralKey(wrapping, 'sha256', { material });
      const algorithm = 'GOOGLE_SYMMETRIC_ENCRYPTION' as const;
      const [{ name }] = await client.importCryptoKeyVersion({
        parent,
        algorithm,
        importJob,
        wrappedKey,
        ...rest,
      });
      clock.advance(1_000);
      return name ?? '';
    };
    const stateOf = async (name: string) => (await client.getCryptoKeyVersion({ name }))[0].state;
    const material = randomBytes(32);

    const name = await importInto(material);
    const [{ ciphertext }] = await client.encrypt({ name, plaintext: Buffer.from('secret') });
    await client.destroyCryptoKeyVersion({ name });
    await importInto(randomBytes(32), { cryptoKeyVersion: name });
    expect(await stateOf(name)).toBe('IMPORT_FAILED');
    await importInto(material, { cryptoKeyVersion: name });
    expect(await stateOf(name)).toBe('ENABLED');
    const [{ plaintext }] = await client.decrypt({ name: parent, ciphertext: ciphertext ?? '' });
    expect(Buffer.from(plaintext ?? '').toString()).toBe('secret');
  });
});

describe('a page token', () => {
  it('still leads on when the version it stands at was deleted', async () => {
    const parent = await newKey({ ...AES, destroyScheduledDuration: { seconds: 86_400 } });
    for (let n = 0; n < 3; n += 1) await client.createCryptoKeyVersion({ parent });
    const page = { autoPaginate: false } as const;
    const [first, , { nextPageToken }] = await client.listCryptoKeyVersions({ parent, pageSize: 2 }, page);
    const last = first.at(-1)?.name ?? '';
    await client.destroyCryptoKeyVersion({ name: last });
    clock.advance(86_400_000);
    await client.deleteCryptoKeyVersion({ name: last });
    const [rest] = await client.listCryptoKeyVersions(
      { parent, pageSize: 2, pageToken: nextPageToken ?? '' },
      page,
    );
    expect(rest.map(({ name }) => name)).toEqual([3, 4].map((n) => `${parent}/cryptoKeyVersions/${n}`));
  });
});
