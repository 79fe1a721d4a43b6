/**
 * The order in which requests for an operation with a key version are checked: the name, whether it exists, the key's
 * purpose, the version's state, and only then what is to be processed.
 */

import type { KeyManagementServiceClient } from '@google-cloud/kms';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type KmsEmulator, ManualClock } from '../../src/emulator/index.js';
import { officialClient, startTestEmulator } from '../support/emulator.js';
import { rejectionOf } from '../support/rejection.js';

const DAY_MS = 86_400_000;
const LOCATION = 'projects/p/locations/us-central1';
const RING = `${LOCATION}/keyRings/ring`;
const data = Buffer.from('neither a ciphertext nor a MAC');
/** Of nothing that is sent below. */
const wrong = { value: 1 };

let clock: ManualClock;
let emulator: KmsEmulator;
let client: KeyManagementServiceClient;
let count = 0;

beforeAll(async () => {
  clock = new ManualClock();
  emulator = await startTestEmulator({ clock, asymmetricGenerationMs: 100, hsmGenerationMs: 100 });
  client = officialClient(emulator);
  await client.createKeyRing({ parent: LOCATION, keyRingId: 'ring' });
});
afterAll(async () => {
  await client.close();
  await emulator.close();
});

interface Operation {
  readonly rpc: string;
  readonly purpose: string;
  readonly algorithm: string;
  /** With a payload that is refused, if it is looked at. */
  readonly call: (name: string) => Promise<unknown>;
}

const OPERATIONS: readonly Operation[] = [
  {
    rpc: 'Encrypt',
    purpose: 'ENCRYPT_DECRYPT',
    algorithm: 'GOOGLE_SYMMETRIC_ENCRYPTION',
    call: (name) => client.encrypt({ name, plaintext: data, plaintextCrc32c: wrong }),
  },
  {
    rpc: 'RawEncrypt',
    purpose: 'RAW_ENCRYPT_DECRYPT',
    algorithm: 'AES_256_GCM',
    call: (name) => client.rawEncrypt({ name, plaintext: data, initializationVector: data }),
  },
  {
    rpc: 'RawDecrypt',
    purpose: 'RAW_ENCRYPT_DECRYPT',
    algorithm: 'AES_128_CBC',
    call: (name) => client.rawDecrypt({ name, ciphertext: data, initializationVector: data }),
  },
  {
    rpc: 'AsymmetricSign',
    purpose: 'ASYMMETRIC_SIGN',
    algorithm: 'EC_SIGN_P384_SHA384',
    call: (name) => client.asymmetricSign({ name }),
  },
  {
    rpc: 'AsymmetricDecrypt',
    purpose: 'ASYMMETRIC_DECRYPT',
    algorithm: 'RSA_DECRYPT_OAEP_2048_SHA256',
    call: (name) => client.asymmetricDecrypt({ name, ciphertext: data }),
  },
  {
    rpc: 'MacSign',
    purpose: 'MAC',
    algorithm: 'HMAC_SHA256',
    call: (name) => client.macSign({ name, data, dataCrc32c: wrong }),
  },
  {
    rpc: 'MacVerify',
    purpose: 'MAC',
    algorithm: 'HMAC_SHA256',
    call: (name) => client.macVerify({ name, data, mac: data }),
  },
  {
    rpc: 'Decapsulate',
    purpose: 'KEY_ENCAPSULATION',
    algorithm: 'ML_KEM_768',
    call: (name) => client.decapsulate({ name, ciphertext: data }),
  },
  {
    rpc: 'GetPublicKey',
    purpose: 'ASYMMETRIC_SIGN',
    algorithm: 'EC_SIGN_P256_SHA256',
    call: (name) => client.getPublicKey({ name, publicKeyFormat: 'NIST_PQC' }),
  },
];

/** The first version of a new key, which is still pending if it is to be a key pair. */
async function newVersion(purpose: string, algorithm: string): Promise<string> {
  const cryptoKey = JSON.parse(
    JSON.stringify({
      purpose,
      versionTemplate: { algorithm },
      destroyScheduledDuration: { seconds: 86_400 },
    }),
  );
  const [key] = await client.createCryptoKey({ parent: RING, cryptoKeyId: `key-${++count}`, cryptoKey });
  return `${key.name}/cryptoKeyVersions/1`;
}

async function enabledVersion({ purpose, algorithm }: Operation): Promise<string> {
  const name = await newVersion(purpose, algorithm);
  clock.advance(100);
  return name;
}

const notEnabled = (name: string, state: string) => ({
  code: 'FAILED_PRECONDITION',
  message: expect.stringContaining(`${name} is not enabled, current state is: ${state}.`),
  details: [
    expect.objectContaining({
      violations: [expect.objectContaining({ type: `KEY_${state}`, subject: name })],
    }),
  ],
});

describe.each(OPERATIONS)('$rpc', (operation) => {
  it.each([
    'malformed name',
    '',
    `${RING}/cryptoKeys/key`,
    `${RING}/cryptoKeys/a b/cryptoKeyVersions/1`,
    `${RING}/cryptoKeys/key/cryptoKeyVersions/one`,
    `/${RING}/cryptoKeys/key/cryptoKeyVersions/1`,
    `${RING}/cryptoKeys/key/cryptoKeyVersions/1/publicKey`,
    `${RING}/cryptoKeys/${'k'.repeat(64)}/cryptoKeyVersions/1`,
  ])('of the malformed name %j is INVALID_ARGUMENT', async (name) => {
    // Encrypt takes the name of a key too.
    const code =
      operation.rpc === 'Encrypt' && name.endsWith('/cryptoKeys/key') ? 'NOT_FOUND' : 'INVALID_ARGUMENT';
    expect(await rejectionOf(operation.call(name))).toMatchObject({ code });
  });

  it('of a missing ring, key or version is NOT_FOUND', async () => {
    const there = await enabledVersion(operation);
    for (const name of [
      `${LOCATION}/keyRings/none/cryptoKeys/none/cryptoKeyVersions/1`,
      `${RING}/cryptoKeys/none/cryptoKeyVersions/1`,
      there.replace(/1$/, '2'),
    ])
      expect(await rejectionOf(operation.call(name))).toMatchObject({ code: 'NOT_FOUND' });
  });

  it('of a key of another purpose is FAILED_PRECONDITION', async () => {
    const other =
      operation.purpose === 'ENCRYPT_DECRYPT'
        ? await newVersion('MAC', 'HMAC_SHA256')
        : await newVersion('ENCRYPT_DECRYPT', 'GOOGLE_SYMMETRIC_ENCRYPTION');
    expect(await rejectionOf(operation.call(other))).toMatchObject({ code: 'FAILED_PRECONDITION' });
  });

  it('of a version that is not ENABLED is FAILED_PRECONDITION and says in which state it is', async () => {
    const name = await newVersion(operation.purpose, operation.algorithm);
    const [{ state }] = await client.getCryptoKeyVersion({ name });
    const isKeyPair = !['ENCRYPT_DECRYPT', 'RAW_ENCRYPT_DECRYPT', 'MAC'].includes(operation.purpose);
    expect(state).toBe(isKeyPair ? 'PENDING_GENERATION' : 'ENABLED');
    if (isKeyPair)
      expect(await rejectionOf(operation.call(name))).toMatchObject(notEnabled(name, 'PENDING_GENERATION'));
    clock.advance(100);

    const cryptoKeyVersion = { name, state: 'DISABLED' } as const;
    await client.updateCryptoKeyVersion({ cryptoKeyVersion, updateMask: { paths: ['state'] } });
    expect(await rejectionOf(operation.call(name))).toMatchObject(notEnabled(name, 'DISABLED'));
    await client.destroyCryptoKeyVersion({ name });
    expect(await rejectionOf(operation.call(name))).toMatchObject(notEnabled(name, 'DESTROY_SCHEDULED'));
    clock.advance(DAY_MS);
    expect(await rejectionOf(operation.call(name))).toMatchObject(notEnabled(name, 'DESTROYED'));
  });

  it('of an ENABLED version looks at the payload, which is INVALID_ARGUMENT', async () => {
    expect(await rejectionOf(operation.call(await enabledVersion(operation)))).toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  });
});

describe('Decrypt', () => {
  it.each([
    ['malformed name', 'INVALID_ARGUMENT'],
    [`${RING}/cryptoKeys/none`, 'NOT_FOUND'],
    [`${RING}/cryptoKeys/none/cryptoKeyVersions/1`, 'INVALID_ARGUMENT'],
  ])('with %j is %s', async (name, code) => {
    expect(await rejectionOf(client.decrypt({ name, ciphertext: data }))).toMatchObject({ code });
  });

  it('refuses a key of another purpose before it looks at the ciphertext', async () => {
    const [name = ''] = (await newVersion('MAC', 'HMAC_SHA256')).split('/cryptoKeyVersions/');
    expect(await rejectionOf(client.decrypt({ name, ciphertext: data }))).toMatchObject({
      code: 'FAILED_PRECONDITION',
    });
  });
});

describe('resources', () => {
  it.each<[string, () => Promise<unknown>]>([
    ['CreateKeyRing', () => client.createKeyRing({ parent: 'locations/foo', keyRingId: 'bar' })],
    [
      'CreateCryptoKey',
      () =>
        client.createCryptoKey({
          parent: 'locations/foo',
          cryptoKeyId: 'bar',
          cryptoKey: { purpose: 'ENCRYPT_DECRYPT' },
        }),
    ],
    ['CreateCryptoKeyVersion', () => client.createCryptoKeyVersion({ parent: 'locations/foo' })],
    ['CreateImportJob', () => client.createImportJob({ parent: 'locations/foo', importJobId: 'bar' })],
    ['ImportCryptoKeyVersion', () => client.importCryptoKeyVersion({ parent: 'locations/foo' })],
    ['ListKeyRings', () => client.listKeyRings({ parent: 'locations/foo' })],
    ['ListCryptoKeys', () => client.listCryptoKeys({ parent: 'locations/foo' })],
    ['ListCryptoKeyVersions', () => client.listCryptoKeyVersions({ parent: 'locations/foo' })],
    ['ListImportJobs', () => client.listImportJobs({ parent: 'locations/foo' })],
    ['ListRetiredResources', () => client.listRetiredResources({ parent: 'locations/foo' })],
    ['GetKeyRing', () => client.getKeyRing({ name: 'malformed name' })],
    ['GetCryptoKey', () => client.getCryptoKey({ name: 'malformed name' })],
    ['GetCryptoKeyVersion', () => client.getCryptoKeyVersion({ name: 'malformed name' })],
    ['GetImportJob', () => client.getImportJob({ name: 'malformed name' })],
    [
      'UpdateCryptoKey',
      () => client.updateCryptoKey({ cryptoKey: { name: 'updated' }, updateMask: { paths: ['name'] } }),
    ],
    [
      'UpdateCryptoKeyVersion',
      () =>
        client.updateCryptoKeyVersion({
          cryptoKeyVersion: { name: 'updated' },
          updateMask: { paths: ['name'] },
        }),
    ],
    [
      'UpdateCryptoKeyPrimaryVersion',
      () => client.updateCryptoKeyPrimaryVersion({ name: 'malformed name', cryptoKeyVersionId: '1' }),
    ],
    ['DestroyCryptoKeyVersion', () => client.destroyCryptoKeyVersion({ name: 'malformed name' })],
    ['RestoreCryptoKeyVersion', () => client.restoreCryptoKeyVersion({ name: 'malformed name' })],
    ['DeleteCryptoKey', () => client.deleteCryptoKey({ name: 'malformed name' })],
    ['DeleteCryptoKeyVersion', () => client.deleteCryptoKeyVersion({ name: 'malformed name' })],
    [
      'GenerateRandomBytes',
      () =>
        client.generateRandomBytes({
          location: 'malformed location',
          protectionLevel: 'HSM',
          lengthBytes: 32,
        }),
    ],
  ])('%s of a malformed name is INVALID_ARGUMENT', async (_, call) => {
    expect(await rejectionOf(call())).toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  const key = `${RING}/cryptoKeys/none`;
  const version = `${key}/cryptoKeyVersions/1`;
  const missingRing = `${LOCATION}/keyRings/none`;
  it.each<[string, () => Promise<unknown>]>([
    ['CreateCryptoKeyVersion', () => client.createCryptoKeyVersion({ parent: key })],
    ['ListCryptoKeys', () => client.listCryptoKeys({ parent: missingRing })],
    ['ListImportJobs', () => client.listImportJobs({ parent: missingRing })],
    ['GetImportJob', () => client.getImportJob({ name: `${RING}/importJobs/none` })],
    ['UpdateCryptoKey', () => client.updateCryptoKey({ cryptoKey: { name: key } })],
    ['UpdateCryptoKeyVersion', () => client.updateCryptoKeyVersion({ cryptoKeyVersion: { name: version } })],
    [
      'UpdateCryptoKeyPrimaryVersion',
      () => client.updateCryptoKeyPrimaryVersion({ name: key, cryptoKeyVersionId: 'one' }),
    ],
    ['DestroyCryptoKeyVersion', () => client.destroyCryptoKeyVersion({ name: version })],
    ['RestoreCryptoKeyVersion', () => client.restoreCryptoKeyVersion({ name: version })],
    ['DeleteCryptoKey', () => client.deleteCryptoKey({ name: key })],
    ['DeleteCryptoKeyVersion', () => client.deleteCryptoKeyVersion({ name: version })],
  ])('%s of what is not there is NOT_FOUND, also with nothing else that is right', async (_, call) => {
    expect(await rejectionOf(call())).toMatchObject({ code: 'NOT_FOUND' });
  });

  it('a version that is being generated cannot be changed, destroyed, restored or deleted', async () => {
    const name = await newVersion('ASYMMETRIC_SIGN', 'EC_SIGN_P256_SHA256');
    const cryptoKeyVersion = { name, state: 'DISABLED' } as const;
    for (const call of [
      client.updateCryptoKeyVersion({ cryptoKeyVersion, updateMask: { paths: ['state'] } }),
      client.destroyCryptoKeyVersion({ name }),
      client.restoreCryptoKeyVersion({ name }),
      client.deleteCryptoKeyVersion({ name }),
    ])
      expect(await rejectionOf(call)).toMatchObject({
        code: 'FAILED_PRECONDITION',
        message: expect.stringContaining(
          `${name} has value PENDING_GENERATION in field crypto_key_version.state.`,
        ),
      });
  });
});
