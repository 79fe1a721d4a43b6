import type { KeyManagementServiceClient, protos } from '@google-cloud/kms';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type KmsEmulator, ManualClock } from '../../src/emulator/index.js';
import { officialClient, startTestEmulator } from '../support/emulator.js';
import { rejectionOf } from '../support/rejection.js';

type ICryptoKey = protos.google.cloud.kms.v1.ICryptoKey;

const DAY_MS = 86_400_000;
const LOCATION = 'projects/p/locations/us-east1';
const RING = `${LOCATION}/keyRings/ring`;
const SIGN: ICryptoKey = {
  purpose: 'ASYMMETRIC_SIGN',
  versionTemplate: { algorithm: 'EC_SIGN_P256_SHA256' },
};
const AES: ICryptoKey = { purpose: 'ENCRYPT_DECRYPT' };

let clock: ManualClock;
let emulator: KmsEmulator;
let client: KeyManagementServiceClient;
let count = 0;

beforeAll(async () => {
  clock = new ManualClock();
  emulator = await startTestEmulator({ clock, asymmetricGenerationMs: 1_000, hsmGenerationMs: 1_000 });
  client = officialClient(emulator);
  await client.createKeyRing({ parent: LOCATION, keyRingId: 'ring' });
});
afterAll(async () => {
  await client.close();
  await emulator.close();
});

/** A new key whose first version is there. */
async function newKey(cryptoKey: ICryptoKey = AES, rest: object = {}): Promise<string> {
  const [{ name }] = await client.createCryptoKey({
    parent: RING,
    cryptoKeyId: `key-${++count}`,
    cryptoKey,
    ...rest,
  });
  clock.advance(1_000);
  return name ?? '';
}
const stateOf = async (name: string): Promise<unknown> =>
  (await client.getCryptoKeyVersion({ name }))[0].state;

describe('key rings', () => {
  it.each([
    ['a malformed parent', { parent: 'projects/p', keyRingId: 'x' }, 'INVALID_ARGUMENT'],
    ['a malformed id', { parent: LOCATION, keyRingId: 'a b' }, 'INVALID_ARGUMENT'],
    ['a name that is taken', { parent: LOCATION, keyRingId: 'ring' }, 'ALREADY_EXISTS'],
  ])('cannot be created with %s', async (_, request, code) => {
    expect(await rejectionOf(client.createKeyRing(request))).toMatchObject({ code });
  });

  it('are read and listed as they were created', async () => {
    const [created] = await client.createKeyRing({ parent: LOCATION, keyRingId: 'listed' });
    expect((await client.getKeyRing({ name: created.name ?? '' }))[0]).toEqual(created);
    const [rings] = await client.listKeyRings({ parent: LOCATION });
    expect(rings.map(({ name }) => name)).toEqual([`${LOCATION}/keyRings/listed`, RING]);
  });

  it('are NOT_FOUND or malformed', async () => {
    expect(await rejectionOf(client.getKeyRing({ name: `${LOCATION}/keyRings/none` }))).toMatchObject({
      code: 'NOT_FOUND',
      message: expect.stringContaining(`KeyRing ${LOCATION}/keyRings/none not found.`),
    });
    expect(await rejectionOf(client.getKeyRing({ name: 'ring' }))).toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
    expect(await rejectionOf(client.listKeyRings({ parent: 'p' }))).toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  });
});

describe('creating a key', () => {
  it('defaults to software encryption with an enabled primary and 30 days to destruction', async () => {
    const [key] = await client.createCryptoKey({ parent: RING, cryptoKeyId: 'defaults', cryptoKey: AES });
    expect(key).toMatchObject({
      purpose: 'ENCRYPT_DECRYPT',
      versionTemplate: { algorithm: 'GOOGLE_SYMMETRIC_ENCRYPTION', protectionLevel: 'SOFTWARE' },
      destroyScheduledDuration: { seconds: '2592000' },
      primary: { name: `${RING}/cryptoKeys/defaults/cryptoKeyVersions/1`, state: 'ENABLED' },
    });
    expect((await client.getCryptoKey({ name: key.name ?? '' }))[0]).toEqual(key);
  });

  it('has no version when the initial one is skipped', async () => {
    const name = await newKey(AES, { skipInitialVersionCreation: true });
    expect((await client.getCryptoKey({ name }))[0].primary).toBeNull();
    expect((await client.listCryptoKeyVersions({ parent: name }))[0]).toEqual([]);
  });

  const template = (algorithm: string, protectionLevel = 'SOFTWARE'): ICryptoKey =>
    JSON.parse(JSON.stringify({ versionTemplate: { algorithm, protectionLevel } }));
  it.each<[string, object, string]>([
    ['a malformed parent', { parent: 'ring', cryptoKeyId: 'x', cryptoKey: AES }, 'INVALID_ARGUMENT'],
    ['a malformed id', { cryptoKeyId: 'a/b', cryptoKey: AES }, 'INVALID_ARGUMENT'],
    [
      'a key ring that is missing',
      { parent: `${LOCATION}/keyRings/none`, cryptoKeyId: 'x', cryptoKey: AES },
      'NOT_FOUND',
    ],
    ['no key', { cryptoKeyId: 'x' }, 'INVALID_ARGUMENT'],
    ['no purpose', { cryptoKeyId: 'x', cryptoKey: {} }, 'INVALID_ARGUMENT'],
    [
      'no algorithm to sign with',
      { cryptoKeyId: 'x', cryptoKey: { purpose: 'ASYMMETRIC_SIGN' } },
      'INVALID_ARGUMENT',
    ],
    [
      'an algorithm of another purpose',
      { cryptoKeyId: 'x', cryptoKey: { ...AES, ...template('EC_SIGN_P256_SHA256') } },
      'INVALID_ARGUMENT',
    ],
    [
      'Ed25519 in the HSM',
      { cryptoKeyId: 'x', cryptoKey: { ...SIGN, ...template('EC_SIGN_ED25519', 'HSM') } },
      'INVALID_ARGUMENT',
    ],
    [
      'secp256k1 in software',
      { cryptoKeyId: 'x', cryptoKey: { ...SIGN, ...template('EC_SIGN_SECP256K1_SHA256') } },
      'INVALID_ARGUMENT',
    ],
    [
      'a single-tenant HSM without a backend',
      {
        cryptoKeyId: 'x',
        cryptoKey: { ...AES, ...template('GOOGLE_SYMMETRIC_ENCRYPTION', 'HSM_SINGLE_TENANT') },
      },
      'INVALID_ARGUMENT',
    ],
    [
      'an external key',
      { cryptoKeyId: 'x', cryptoKey: { ...AES, ...template('EXTERNAL_SYMMETRIC_ENCRYPTION', 'EXTERNAL') } },
      'UNIMPLEMENTED',
    ],
    [
      'a rotation period for a signing key',
      {
        cryptoKeyId: 'x',
        cryptoKey: { ...SIGN, rotationPeriod: { seconds: 86_400 }, nextRotationTime: { seconds: 2e9 } },
      },
      'INVALID_ARGUMENT',
    ],
    [
      'a rotation period without a next time',
      { cryptoKeyId: 'x', cryptoKey: { ...AES, rotationPeriod: { seconds: 86_400 } } },
      'INVALID_ARGUMENT',
    ],
    [
      'a rotation period below a day',
      {
        cryptoKeyId: 'x',
        cryptoKey: { ...AES, rotationPeriod: { seconds: 86_399 }, nextRotationTime: { seconds: 2e9 } },
      },
      'INVALID_ARGUMENT',
    ],
    [
      'destruction after an hour',
      { cryptoKeyId: 'x', cryptoKey: { ...AES, destroyScheduledDuration: { seconds: 3_600 } } },
      'INVALID_ARGUMENT',
    ],
    [
      'destruction after 121 days',
      { cryptoKeyId: 'x', cryptoKey: { ...AES, destroyScheduledDuration: { seconds: 121 * 86_400 } } },
      'INVALID_ARGUMENT',
    ],
    [
      'a label in upper case',
      { cryptoKeyId: 'x', cryptoKey: { ...AES, labels: { Team: 'a' } } },
      'INVALID_ARGUMENT',
    ],
    [
      'a label value of 64 characters',
      { cryptoKeyId: 'x', cryptoKey: { ...AES, labels: { team: 'a'.repeat(64) } } },
      'INVALID_ARGUMENT',
    ],
    [
      '65 labels',
      {
        cryptoKeyId: 'x',
        cryptoKey: {
          ...AES,
          labels: Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`l${i}`, ''])),
        },
      },
      'INVALID_ARGUMENT',
    ],
    [
      'import only and a rotation schedule',
      {
        cryptoKeyId: 'x',
        cryptoKey: { ...AES, importOnly: true, nextRotationTime: { seconds: 4e9 } },
        skipInitialVersionCreation: true,
      },
      'INVALID_ARGUMENT',
    ],
    [
      'a backend in software',
      { cryptoKeyId: 'x', cryptoKey: { ...AES, cryptoKeyBackend: `${LOCATION}/ekmConnections/c` } },
      'INVALID_ARGUMENT',
    ],
    [
      'trusted wrapping in software',
      { cryptoKeyId: 'x', cryptoKey: AES, trustedWrappingEnabled: true },
      'INVALID_ARGUMENT',
    ],
    [
      'an algorithm that the emulator does not have',
      { cryptoKeyId: 'x', cryptoKey: { ...SIGN, ...template('PQ_SIGN_ML_DSA_65_EXTERNAL_MU') } },
      'UNIMPLEMENTED',
    ],
    [
      'an algorithm that nobody knows',
      { cryptoKeyId: 'x', cryptoKey: { ...AES, versionTemplate: { algorithm: 9_999 } } },
      'INVALID_ARGUMENT',
    ],
    [
      'import only and an initial version',
      { cryptoKeyId: 'x', cryptoKey: { ...AES, importOnly: true } },
      'INVALID_ARGUMENT',
    ],
    ['a name that is taken', { cryptoKeyId: 'taken', cryptoKey: AES }, 'ALREADY_EXISTS'],
  ])('is refused with %s', async (_, request, code) => {
    await client.createCryptoKey({ parent: RING, cryptoKeyId: 'taken', cryptoKey: AES }).catch(() => {});
    expect(await rejectionOf(client.createCryptoKey({ parent: RING, ...request }))).toMatchObject({ code });
  });
});

describe('updating a key', () => {
  it('changes what is in the mask, and clears what is in it but not set', async () => {
    const rotation = { rotationPeriod: { seconds: 86_400 * 2 }, nextRotationTime: { seconds: 2e9 } };
    const name = await newKey({ ...AES, labels: { a: '1' }, ...rotation });
    const [labelled] = await client.updateCryptoKey({
      cryptoKey: { name, labels: { b: '2' } },
      updateMask: { paths: ['labels'] },
    });
    expect(labelled).toMatchObject({ labels: { b: '2' }, rotationPeriod: { seconds: '172800' } });
    const [cleared] = await client.updateCryptoKey({
      cryptoKey: { name },
      updateMask: { paths: ['rotation_period', 'next_rotation_time'] },
    });
    expect(cleared).toMatchObject({ labels: { b: '2' }, nextRotationTime: null });
    expect(cleared.rotationPeriod ?? null).toBeNull();
  });

  it('keeps a policy of access justifications, and drops it when it is in the mask but not set', async () => {
    const allowing = (...allowedAccessReasons: string[]): ICryptoKey =>
      JSON.parse(JSON.stringify({ keyAccessJustificationsPolicy: { allowedAccessReasons } }));
    const name = await newKey({ ...AES, ...allowing() });
    expect((await client.getCryptoKey({ name }))[0]).toMatchObject(allowing());
    const [updated] = await client.updateCryptoKey({
      cryptoKey: { name, ...allowing('CUSTOMER_INITIATED_ACCESS') },
      updateMask: { paths: ['key_access_justifications_policy.allowed_access_reasons'] },
    });
    expect(updated).toMatchObject(allowing('CUSTOMER_INITIATED_ACCESS'));
    const [cleared] = await client.updateCryptoKey({
      cryptoKey: { name },
      updateMask: { paths: ['key_access_justifications_policy'] },
    });
    expect(cleared.keyAccessJustificationsPolicy).toBeNull();
  });

  it('moves signing from P-256 to RSA for the versions to come', async () => {
    const name = await newKey(SIGN);
    const versionTemplate = { algorithm: 'RSA_SIGN_PSS_2048_SHA256' } as const;
    await client.updateCryptoKey({
      cryptoKey: { name, versionTemplate },
      updateMask: { paths: ['version_template.algorithm'] },
    });
    const [version] = await client.createCryptoKeyVersion({ parent: name });
    expect(version).toMatchObject({
      name: `${name}/cryptoKeyVersions/2`,
      algorithm: 'RSA_SIGN_PSS_2048_SHA256',
      state: 'PENDING_GENERATION',
      generateTime: null,
    });
    expect((await client.getCryptoKeyVersion({ name: `${name}/cryptoKeyVersions/1` }))[0].algorithm).toBe(
      'EC_SIGN_P256_SHA256',
    );
  });

  it.each<[string, object]>([
    ['an empty mask', { updateMask: { paths: [] } }],
    ['no mask', {}],
    ['an immutable field', { updateMask: { paths: ['purpose'] } }],
    ['an unknown field', { updateMask: { paths: ['colour'] } }],
    [
      'an algorithm of another purpose',
      {
        cryptoKey: { versionTemplate: { algorithm: 'HMAC_SHA256' } },
        updateMask: { paths: ['version_template.algorithm'] },
      },
    ],
    [
      'another protection level',
      {
        cryptoKey: { versionTemplate: { algorithm: 'GOOGLE_SYMMETRIC_ENCRYPTION', protectionLevel: 'HSM' } },
        updateMask: { paths: ['version_template'] },
      },
    ],
    [
      'a period without a next time',
      { cryptoKey: { rotationPeriod: { seconds: 86_400 } }, updateMask: { paths: ['rotation_period'] } },
    ],
  ])('is refused with %s', async (_, request) => {
    const name = await newKey();
    const cryptoKey = { ...('cryptoKey' in request ? (request.cryptoKey ?? {}) : {}), name };
    expect(await rejectionOf(client.updateCryptoKey({ ...request, cryptoKey }))).toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  });
});

describe('versions', () => {
  it('of key pairs take their time, and nothing can be done with them before', async () => {
    const [{ name }] = await client.createCryptoKey({
      parent: RING,
      cryptoKeyId: `key-${++count}`,
      cryptoKey: SIGN,
    });
    const version = `${name}/cryptoKeyVersions/1`;
    expect(await stateOf(version)).toBe('PENDING_GENERATION');
    expect(await rejectionOf(client.getPublicKey({ name: version }))).toMatchObject({
      code: 'FAILED_PRECONDITION',
    });
    clock.advance(1_000);
    expect((await client.getCryptoKeyVersion({ name: version }))[0]).toMatchObject({
      state: 'ENABLED',
      generateTime: { seconds: expect.any(String) },
    });
  });

  it('that fail to be generated say why', async () => {
    emulator.failGeneration('no entropy');
    const name = await newKey(SIGN);
    emulator.failGeneration(undefined);
    expect((await client.getCryptoKeyVersion({ name: `${name}/cryptoKeyVersions/1` }))[0]).toMatchObject({
      state: 'GENERATION_FAILED',
      generationFailureReason: 'no entropy',
    });
  });

  it('are enabled and disabled, also twice', async () => {
    const name = `${await newKey()}/cryptoKeyVersions/1`;
    for (const state of ['DISABLED', 'DISABLED', 'ENABLED'] as const) {
      const [version] = await client.updateCryptoKeyVersion({
        cryptoKeyVersion: { name, state },
        updateMask: { paths: ['state'] },
      });
      expect(version.state).toBe(state);
    }
  });

  it.each<[string, object, object]>([
    ['another state', { state: 'DESTROYED' }, { paths: ['state'] }],
    ['an empty mask', { state: 'DISABLED' }, { paths: [] }],
    ['another path', { state: 'DISABLED' }, { paths: ['state', 'algorithm'] }],
  ])('are not updated with %s', async (_, change, updateMask) => {
    const name = `${await newKey()}/cryptoKeyVersions/1`;
    expect(
      await rejectionOf(client.updateCryptoKeyVersion({ cryptoKeyVersion: { name, ...change }, updateMask })),
    ).toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  it('are scheduled, restored to DISABLED, scheduled again and destroyed for good by the clock', async () => {
    const key = await newKey({ ...SIGN, destroyScheduledDuration: { seconds: 86_400 } });
    const name = `${key}/cryptoKeyVersions/1`;
    const [scheduled] = await client.destroyCryptoKeyVersion({ name });
    expect(scheduled).toMatchObject({
      state: 'DESTROY_SCHEDULED',
      destroyTime: { seconds: String(clock.now() / 1_000 + 86_400) },
    });
    expect(await rejectionOf(client.destroyCryptoKeyVersion({ name }))).toMatchObject({
      code: 'FAILED_PRECONDITION',
      message: expect.stringContaining(
        `The request cannot be fulfilled. Resource ${name} has value DESTROY_SCHEDULED in field crypto_key_version.state.`,
      ),
      details: [expect.objectContaining({ violations: expect.any(Array) })],
    });
    expect((await client.restoreCryptoKeyVersion({ name }))[0]).toMatchObject({
      state: 'DISABLED',
      destroyTime: null,
    });
    expect(await rejectionOf(client.restoreCryptoKeyVersion({ name }))).toMatchObject({
      code: 'FAILED_PRECONDITION',
    });
    await client.destroyCryptoKeyVersion({ name });
    clock.advance(DAY_MS - 1);
    expect(await stateOf(name)).toBe('DESTROY_SCHEDULED');
    clock.advance(1);
    expect((await client.getCryptoKeyVersion({ name }))[0]).toMatchObject({
      state: 'DESTROYED',
      destroyTime: null,
      destroyEventTime: { seconds: String(clock.now() / 1_000) },
    });
    expect(
      await rejectionOf(
        client.updateCryptoKeyVersion({
          cryptoKeyVersion: { name, state: 'ENABLED' },
          updateMask: { paths: ['state'] },
        }),
      ),
    ).toMatchObject({ code: 'FAILED_PRECONDITION' });
  });

  it('have numbers that are never used again', async () => {
    const key = await newKey({ ...AES, destroyScheduledDuration: { seconds: 86_400 } });
    await client.createCryptoKeyVersion({ parent: key });
    await client.destroyCryptoKeyVersion({ name: `${key}/cryptoKeyVersions/2` });
    clock.advance(DAY_MS);
    const [operation] = await client.deleteCryptoKeyVersion({ name: `${key}/cryptoKeyVersions/2` });
    await operation.promise();
    expect((await client.createCryptoKeyVersion({ parent: key }))[0].name).toBe(`${key}/cryptoKeyVersions/3`);
    expect((await client.getCryptoKey({ name: key }))[0].primary?.name).toBe(`${key}/cryptoKeyVersions/1`);
  });

  it('cannot be made for trusted wrapping, which keys of this level do not have', async () => {
    const cryptoKeyVersion = { trustedWrappingEnabled: true };
    const call = client.createCryptoKeyVersion({ parent: await newKey(), cryptoKeyVersion });
    expect(await rejectionOf(call)).toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  it('are listed in the order of their numbers', async () => {
    const key = await newKey();
    for (let version = 2; version <= 11; version++) await client.createCryptoKeyVersion({ parent: key });
    const [versions] = await client.listCryptoKeyVersions({ parent: key });
    expect(versions.map(({ name }) => Number(name?.split('/').at(-1)))).toEqual([
      1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11,
    ]);
    expect(
      await rejectionOf(client.listCryptoKeyVersions({ parent: `${RING}/cryptoKeys/none` })),
    ).toMatchObject({ code: 'NOT_FOUND' });
  });

  it('are malformed or NOT_FOUND', async () => {
    const key = await newKey();
    expect(
      await rejectionOf(client.getCryptoKeyVersion({ name: `${key}/cryptoKeyVersions/x` })),
    ).toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(
      await rejectionOf(client.getCryptoKeyVersion({ name: `${key}/cryptoKeyVersions/9` })),
    ).toMatchObject({ code: 'NOT_FOUND' });
    expect(await rejectionOf(client.getCryptoKey({ name: `${key}0` }))).toMatchObject({
      code: 'NOT_FOUND',
      message: expect.stringContaining(`CryptoKey ${key}0 not found.`),
    });
  });
});

describe('the primary version', () => {
  it('is set by its short id, and only for encryption keys', async () => {
    const key = await newKey();
    await client.createCryptoKeyVersion({ parent: key });
    expect(
      (await client.updateCryptoKeyPrimaryVersion({ name: key, cryptoKeyVersionId: '2' }))[0].primary?.name,
    ).toBe(`${key}/cryptoKeyVersions/2`);
    expect(
      await rejectionOf(client.updateCryptoKeyPrimaryVersion({ name: key, cryptoKeyVersionId: '7' })),
    ).toMatchObject({ code: 'NOT_FOUND' });
    expect(
      await rejectionOf(client.updateCryptoKeyPrimaryVersion({ name: key, cryptoKeyVersionId: 'two' })),
    ).toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(
      await rejectionOf(
        client.updateCryptoKeyPrimaryVersion({ name: await newKey(SIGN), cryptoKeyVersionId: '1' }),
      ),
    ).toMatchObject({ code: 'FAILED_PRECONDITION' });
  });

  it('may be one that is not ENABLED, with which nothing can be encrypted then', async () => {
    const key = await newKey();
    const [{ name: second }] = await client.createCryptoKeyVersion({ parent: key });
    await client.destroyCryptoKeyVersion({ name: second ?? '' });
    const [{ primary }] = await client.updateCryptoKeyPrimaryVersion({ name: key, cryptoKeyVersionId: '2' });
    expect(primary).toMatchObject({ name: second, state: 'DESTROY_SCHEDULED' });
    expect(await rejectionOf(client.encrypt({ name: key, plaintext: Buffer.from('x') }))).toMatchObject({
      code: 'FAILED_PRECONDITION',
      message: expect.stringContaining(`${second} is not enabled, current state is: DESTROY_SCHEDULED.`),
    });
  });

  it('is rotated by the clock, once for all the periods that passed', async () => {
    const nextRotationTime = { seconds: clock.now() / 1_000 + 86_400 };
    const key = await newKey({ ...AES, rotationPeriod: { seconds: 86_400 }, nextRotationTime });
    clock.advance(3 * DAY_MS + 5_000);
    const [rotated] = await client.getCryptoKey({ name: key });
    expect(rotated.primary?.name).toBe(`${key}/cryptoKeyVersions/2`);
    expect(Number(rotated.nextRotationTime?.seconds) * 1_000).toBeGreaterThan(clock.now());
  });
});

describe('an update of the version template', () => {
  it('without one leaves the only algorithm of the purpose', async () => {
    const name = await newKey();
    const [kept] = await client.updateCryptoKey({
      cryptoKey: { name },
      updateMask: { paths: ['version_template'] },
    });
    expect(kept.versionTemplate?.algorithm).toBe('GOOGLE_SYMMETRIC_ENCRYPTION');
  });
});

describe('a rotation without a period', () => {
  it('happens once', async () => {
    const key = await newKey({ ...AES, nextRotationTime: { seconds: clock.now() / 1_000 + 60 } });
    clock.advance(DAY_MS);
    const [rotated] = await client.getCryptoKey({ name: key });
    expect(rotated).toMatchObject({
      primary: { name: `${key}/cryptoKeyVersions/2` },
      nextRotationTime: null,
    });
    clock.advance(DAY_MS);
    expect((await client.listCryptoKeyVersions({ parent: key }))[0]).toHaveLength(2);
  });
});

describe('deletion', () => {
  it('needs a destroyed version, and a key without versions, whose name is never used again', async () => {
    const key = await newKey({ ...AES, destroyScheduledDuration: { seconds: 86_400 } });
    const version = `${key}/cryptoKeyVersions/1`;
    expect(await rejectionOf(client.deleteCryptoKeyVersion({ name: version }))).toMatchObject({
      code: 'FAILED_PRECONDITION',
    });
    expect(await rejectionOf(client.deleteCryptoKey({ name: key }))).toMatchObject({
      code: 'FAILED_PRECONDITION',
    });
    await client.destroyCryptoKeyVersion({ name: version });
    clock.advance(DAY_MS);
    const [versionOperation] = await client.deleteCryptoKeyVersion({ name: version });
    await versionOperation.promise();
    const [keyOperation] = await client.deleteCryptoKey({ name: key });
    const [, metadata] = await keyOperation.promise();
    expect(await rejectionOf(client.getCryptoKey({ name: key }))).toMatchObject({ code: 'NOT_FOUND' });
    const cryptoKeyId = key.split('/').at(-1) ?? '';
    expect(
      await rejectionOf(client.createCryptoKey({ parent: RING, cryptoKeyId, cryptoKey: AES })),
    ).toMatchObject({ code: 'ALREADY_EXISTS' });
    const [retired] = await client.listRetiredResources({ parent: LOCATION });
    expect(retired).toEqual([
      expect.objectContaining({
        originalResource: key,
        resourceType: 'cloudkms.googleapis.com/CryptoKey',
        name: metadata.retiredResource,
      }),
    ]);
    expect((await client.getRetiredResource({ name: metadata.retiredResource ?? '' }))[0]).toEqual(
      retired[0],
    );
    expect(
      await rejectionOf(client.getRetiredResource({ name: `${LOCATION}/retiredResources/none` })),
    ).toMatchObject({ code: 'NOT_FOUND' });
    expect(await rejectionOf(client.getRetiredResource({ name: 'none' }))).toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  });

  it('is refused while a rotation is scheduled', async () => {
    const key = await newKey(
      { ...AES, nextRotationTime: { seconds: 4e9 } },
      { skipInitialVersionCreation: true },
    );
    expect(await rejectionOf(client.deleteCryptoKey({ name: key }))).toMatchObject({
      code: 'FAILED_PRECONDITION',
    });
  });
});
