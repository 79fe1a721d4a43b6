import {
  createHash,
  createPublicKey,
  createVerify,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  verify,
} from 'node:crypto';
import type { KeyManagementServiceClient } from '@google-cloud/kms';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { crc32c } from '../../src/crc32c.js';
import { type KmsEmulator, ManualClock } from '../../src/emulator/index.js';
import { officialClient, startTestEmulator } from '../support/emulator.js';
import { rejectionOf } from '../support/rejection.js';
import { wrapWithEphemeralKey } from '../support/wrap-for-import.js';

const LOCATION = 'projects/p/locations/europe-west3';
const RING = `${LOCATION}/keyRings/ring`;
const data = Buffer.from('the quick brown fox');
const sha256 = createHash('sha256').update(data).digest();
const bad = { value: 1 };

let clock: ManualClock;
let emulator: KmsEmulator;
let client: KeyManagementServiceClient;

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

let count = 0;
async function newKey(purpose: string, algorithm: string, protectionLevel = 'SOFTWARE'): Promise<string> {
  const cryptoKey = JSON.parse(JSON.stringify({ purpose, versionTemplate: { algorithm, protectionLevel } }));
  const [key] = await client.createCryptoKey({ parent: RING, cryptoKeyId: `key-${++count}`, cryptoKey });
  clock.advance(100);
  return key.name ?? '';
}
const versionOf = (key: string, number = 1): string => `${key}/cryptoKeyVersions/${number}`;
const disable = (name: string) =>
  client.updateCryptoKeyVersion({
    cryptoKeyVersion: { name, state: 'DISABLED' },
    updateMask: { paths: ['state'] },
  });
const bytesOf = (value: Uint8Array | string | null | undefined): Buffer =>
  value instanceof Uint8Array ? Buffer.from(value) : Buffer.alloc(0);
/** A value of a wrapper type, whichever way the client gives int64. */
const int64Of = (wrapper: { value?: unknown } | null | undefined): number => Number(wrapper?.value);

describe('Encrypt and Decrypt', () => {
  it('honour additional authenticated data and name the version', async () => {
    const key = await newKey('ENCRYPT_DECRYPT', 'GOOGLE_SYMMETRIC_ENCRYPTION', 'HSM');
    const [encrypted] = await client.encrypt({
      name: key,
      plaintext: data,
      additionalAuthenticatedData: Buffer.from('a'),
    });
    expect(encrypted).toMatchObject({
      name: versionOf(key),
      protectionLevel: 'HSM',
      verifiedPlaintextCrc32c: false,
      verifiedAdditionalAuthenticatedDataCrc32c: false,
    });
    expect(int64Of(encrypted.ciphertextCrc32c)).toBe(crc32c(bytesOf(encrypted.ciphertext)));
    const ciphertext = bytesOf(encrypted.ciphertext);
    const [decrypted] = await client.decrypt({
      name: key,
      ciphertext,
      additionalAuthenticatedData: Buffer.from('a'),
    });
    expect(decrypted).toMatchObject({ plaintext: data, usedPrimary: true, protectionLevel: 'HSM' });
    expect(int64Of(decrypted.plaintextCrc32c)).toBe(crc32c(data));
    expect(await rejectionOf(client.decrypt({ name: key, ciphertext }))).toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringContaining('Decryption failed: the ciphertext is invalid.'),
    });
  });

  it('encrypt with a version that is named, and decrypt with any version of the key', async () => {
    const key = await newKey('ENCRYPT_DECRYPT', 'GOOGLE_SYMMETRIC_ENCRYPTION');
    await client.createCryptoKeyVersion({ parent: key });
    const [{ name, ciphertext }] = await client.encrypt({ name: versionOf(key, 2), plaintext: data });
    expect(name).toBe(versionOf(key, 2));
    expect((await client.decrypt({ name: key, ciphertext: bytesOf(ciphertext) }))[0]).toMatchObject({
      plaintext: data,
      usedPrimary: false,
    });
  });

  it('tell garbage from the ciphertext of another key, and a disabled version from both', async () => {
    const [a, b] = [
      await newKey('ENCRYPT_DECRYPT', 'GOOGLE_SYMMETRIC_ENCRYPTION'),
      await newKey('ENCRYPT_DECRYPT', 'GOOGLE_SYMMETRIC_ENCRYPTION'),
    ];
    const [encrypted] = await client.encrypt({ name: a, plaintext: data });
    const ciphertext = bytesOf(encrypted.ciphertext);
    expect((await rejectionOf(client.decrypt({ name: b, ciphertext }))).message).toContain(
      "verify that 'name' refers to the correct CryptoKey",
    );
    expect((await rejectionOf(client.decrypt({ name: b, ciphertext: randomBytes(80) }))).message).toContain(
      'the ciphertext is invalid',
    );
    await disable(versionOf(a));
    const refused = {
      code: 'FAILED_PRECONDITION',
      message: expect.stringContaining(`${versionOf(a)} is not enabled, current state is: DISABLED.`),
    };
    expect(await rejectionOf(client.decrypt({ name: a, ciphertext }))).toMatchObject(refused);
    expect(await rejectionOf(client.encrypt({ name: a, plaintext: data }))).toMatchObject(refused);
  });

  it('check names, purposes and sizes in that order', async () => {
    const software = await newKey('ENCRYPT_DECRYPT', 'GOOGLE_SYMMETRIC_ENCRYPTION');
    const hsm = await newKey('ENCRYPT_DECRYPT', 'GOOGLE_SYMMETRIC_ENCRYPTION', 'HSM');
    const signing = await newKey('ASYMMETRIC_SIGN', 'EC_SIGN_P256_SHA256');
    const large = Buffer.alloc(65_537);
    expect(await rejectionOf(client.encrypt({ name: 'x', plaintext: large }))).toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
    expect(
      await rejectionOf(client.encrypt({ name: `${RING}/cryptoKeys/none`, plaintext: large })),
    ).toMatchObject({ code: 'NOT_FOUND' });
    expect(await rejectionOf(client.encrypt({ name: signing, plaintext: large }))).toMatchObject({
      code: 'FAILED_PRECONDITION',
    });
    expect(await rejectionOf(client.encrypt({ name: versionOf(signing), plaintext: large }))).toMatchObject({
      code: 'FAILED_PRECONDITION',
    });
    expect(await rejectionOf(client.decrypt({ name: signing, ciphertext: data }))).toMatchObject({
      code: 'FAILED_PRECONDITION',
    });
    expect(await rejectionOf(client.decrypt({ name: versionOf(software), ciphertext: data }))).toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
    expect(await rejectionOf(client.encrypt({ name: software, plaintext: large }))).toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
    expect(
      await rejectionOf(
        client.encrypt({ name: software, plaintext: data, additionalAuthenticatedData: large }),
      ),
    ).toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(
      await rejectionOf(
        client.encrypt({ name: hsm, plaintext: Buffer.alloc(8_192), additionalAuthenticatedData: data }),
      ),
    ).toMatchObject({ code: 'INVALID_ARGUMENT' });
    await client.encrypt({ name: hsm, plaintext: Buffer.alloc(8_192) });
    const empty = await client.createCryptoKey({
      parent: RING,
      cryptoKeyId: 'no-primary',
      cryptoKey: { purpose: 'ENCRYPT_DECRYPT' },
      skipInitialVersionCreation: true,
    });
    expect(await rejectionOf(client.encrypt({ name: empty[0].name ?? '', plaintext: data }))).toMatchObject({
      code: 'FAILED_PRECONDITION',
    });
  });
});

describe('checksums', () => {
  it('are verified when they were sent, also when they are 0, and not claimed otherwise', async () => {
    const key = await newKey('ENCRYPT_DECRYPT', 'GOOGLE_SYMMETRIC_ENCRYPTION');
    const [encrypted] = await client.encrypt({
      name: key,
      plaintext: data,
      plaintextCrc32c: { value: crc32c(data) },
      additionalAuthenticatedDataCrc32c: { value: 0 },
    });
    expect(encrypted).toMatchObject({
      verifiedPlaintextCrc32c: true,
      verifiedAdditionalAuthenticatedDataCrc32c: true,
    });
  });

  it('that do not match are refused by the name of the field', async () => {
    const aes = await newKey('ENCRYPT_DECRYPT', 'GOOGLE_SYMMETRIC_ENCRYPTION');
    const raw = await newKey('RAW_ENCRYPT_DECRYPT', 'AES_256_GCM');
    const signing = await newKey('ASYMMETRIC_SIGN', 'EC_SIGN_P256_SHA256');
    const rsa = await newKey('ASYMMETRIC_DECRYPT', 'RSA_DECRYPT_OAEP_2048_SHA256');
    const mac = await newKey('MAC', 'HMAC_SHA256');
    const calls: readonly (readonly [string, Promise<unknown>])[] = [
      ['plaintext_crc32c', client.encrypt({ name: aes, plaintext: data, plaintextCrc32c: bad })],
      [
        'additional_authenticated_data_crc32c',
        client.encrypt({ name: aes, plaintext: data, additionalAuthenticatedDataCrc32c: bad }),
      ],
      ['ciphertext_crc32c', client.decrypt({ name: aes, ciphertext: data, ciphertextCrc32c: bad })],
      [
        'initialization_vector_crc32c',
        client.rawEncrypt({ name: versionOf(raw), plaintext: data, initializationVectorCrc32c: bad }),
      ],
      [
        'ciphertext_crc32c',
        client.rawDecrypt({ name: versionOf(raw), ciphertext: data, ciphertextCrc32c: bad }),
      ],
      [
        'digest_crc32c',
        client.asymmetricSign({ name: versionOf(signing), digest: { sha256 }, digestCrc32c: bad }),
      ],
      ['data_crc32c', client.asymmetricSign({ name: versionOf(signing), data, dataCrc32c: bad })],
      [
        'ciphertext_crc32c',
        client.asymmetricDecrypt({ name: versionOf(rsa), ciphertext: data, ciphertextCrc32c: bad }),
      ],
      ['data_crc32c', client.macSign({ name: versionOf(mac), data, dataCrc32c: bad })],
      ['mac_crc32c', client.macVerify({ name: versionOf(mac), data, mac: Buffer.alloc(32), macCrc32c: bad })],
    ];
    const rejections = await Promise.all(calls.map(([, call]) => rejectionOf(call)));
    expect(rejections.map(({ code }) => code)).toEqual(calls.map(() => 'INVALID_ARGUMENT'));
    calls.forEach(([field], index) => {
      expect(rejections[index]?.message).toContain(`The checksum in field ${field} did not match`);
    });
  });
});

describe('AsymmetricSign', () => {
  it('signs the digest it is given, not a digest of it', async () => {
    const name = versionOf(await newKey('ASYMMETRIC_SIGN', 'EC_SIGN_P256_SHA256', 'HSM'));
    const [signed] = await client.asymmetricSign({
      name,
      digest: { sha256 },
      digestCrc32c: { value: crc32c(sha256) },
    });
    expect(signed).toMatchObject({
      name,
      protectionLevel: 'HSM',
      verifiedDigestCrc32c: true,
      verifiedDataCrc32c: false,
    });
    expect(int64Of(signed.signatureCrc32c)).toBe(crc32c(bytesOf(signed.signature)));
    const [{ pem, pemCrc32c }] = await client.getPublicKey({ name });
    expect(int64Of(pemCrc32c)).toBe(crc32c(Buffer.from(pem ?? '')));
    expect(
      createVerify('sha256')
        .update(data)
        .verify(pem ?? '', bytesOf(signed.signature)),
    ).toBe(true);
    expect(
      createVerify('sha256')
        .update(sha256)
        .verify(pem ?? '', bytesOf(signed.signature)),
    ).toBe(false);
  });

  it('takes data too, and hashes it itself', async () => {
    const name = versionOf(await newKey('ASYMMETRIC_SIGN', 'EC_SIGN_P384_SHA384'));
    const [signed] = await client.asymmetricSign({ name, data, dataCrc32c: { value: crc32c(data) } });
    expect(signed).toMatchObject({ verifiedDataCrc32c: true, verifiedDigestCrc32c: false });
    const [{ pem }] = await client.getPublicKey({ name });
    expect(verify('sha384', data, createPublicKey(pem ?? ''), bytesOf(signed.signature))).toBe(true);
  });

  it('refuses what does not fit the algorithm', async () => {
    const ec = versionOf(await newKey('ASYMMETRIC_SIGN', 'EC_SIGN_P256_SHA256'));
    const raw = versionOf(await newKey('ASYMMETRIC_SIGN', 'RSA_SIGN_RAW_PKCS1_2048'));
    const calls = [
      client.asymmetricSign({ name: ec }),
      client.asymmetricSign({ name: ec, digest: {} }),
      client.asymmetricSign({ name: ec, digest: { sha256 }, data }),
      client.asymmetricSign({ name: ec, digest: { sha384: Buffer.alloc(48) } }),
      client.asymmetricSign({ name: ec, digest: { sha256: Buffer.alloc(31) } }),
      client.asymmetricSign({ name: ec, digest: { sha256 }, dataCrc32c: { value: 0 } }),
      client.asymmetricSign({ name: ec, data, digestCrc32c: { value: 0 } }),
      client.asymmetricSign({ name: ec, data: Buffer.alloc(65_537) }),
      client.asymmetricSign({ name: raw, digest: { sha256 } }),
      client.asymmetricSign({ name: raw, data: Buffer.alloc(246) }),
    ];
    const rejections = await Promise.all(calls.map(rejectionOf));
    expect(rejections.map(({ code }) => code)).toEqual(calls.map(() => 'INVALID_ARGUMENT'));
    const aes = await newKey('ENCRYPT_DECRYPT', 'GOOGLE_SYMMETRIC_ENCRYPTION');
    expect(
      await rejectionOf(client.asymmetricSign({ name: versionOf(aes), digest: { sha256 } })),
    ).toMatchObject({ code: 'FAILED_PRECONDITION' });
    await disable(ec);
    expect(await rejectionOf(client.asymmetricSign({ name: ec }))).toMatchObject({
      code: 'FAILED_PRECONDITION',
    });
  });
});

describe('GetPublicKey', () => {
  it('gives the format that was asked for in a field of its own', async () => {
    const name = versionOf(await newKey('ASYMMETRIC_SIGN', 'EC_SIGN_P256_SHA256'));
    const [answer] = await client.getPublicKey({ name, publicKeyFormat: 'PEM' });
    expect(answer).toMatchObject({ publicKeyFormat: 'PEM', pem: '' });
    expect(bytesOf(answer.publicKey?.data).toString()).toContain('BEGIN PUBLIC KEY');
    expect(await rejectionOf(client.getPublicKey({ name, publicKeyFormat: 'NIST_PQC' }))).toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  });

  it('needs a format for post-quantum keys, and refuses symmetric ones', async () => {
    const name = versionOf(await newKey('ASYMMETRIC_SIGN', 'PQ_SIGN_ML_DSA_65'));
    expect(await rejectionOf(client.getPublicKey({ name }))).toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(
      bytesOf((await client.getPublicKey({ name, publicKeyFormat: 'NIST_PQC' }))[0].publicKey?.data),
    ).toHaveLength(1_952);
    const aes = versionOf(await newKey('ENCRYPT_DECRYPT', 'GOOGLE_SYMMETRIC_ENCRYPTION'));
    expect(await rejectionOf(client.getPublicKey({ name: aes }))).toMatchObject({
      code: 'FAILED_PRECONDITION',
    });
  });
});

describe('raw encryption', () => {
  it('with GCM makes its own IV and binds the additional data', async () => {
    const name = versionOf(await newKey('RAW_ENCRYPT_DECRYPT', 'AES_256_GCM'));
    const aad = Buffer.from('aad');
    const [encrypted] = await client.rawEncrypt({
      name,
      plaintext: data,
      additionalAuthenticatedData: aad,
      plaintextCrc32c: { value: crc32c(data) },
    });
    expect(encrypted).toMatchObject({ name, tagLength: 16, verifiedPlaintextCrc32c: true });
    const { ciphertext, initializationVector, tagLength } = encrypted;
    const request = {
      name,
      ciphertext: bytesOf(ciphertext),
      initializationVector: bytesOf(initializationVector),
      tagLength: tagLength ?? 0,
    };
    expect(
      bytesOf((await client.rawDecrypt({ ...request, additionalAuthenticatedData: aad }))[0].plaintext),
    ).toEqual(data);
    expect(await rejectionOf(client.rawDecrypt(request))).toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(
      await rejectionOf(client.rawEncrypt({ name, plaintext: data, initializationVector: Buffer.alloc(12) })),
    ).toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  it.each(['AES_128_CBC', 'AES_256_CTR'])(
    'with %s takes an IV of 16 bytes and no additional data',
    async (algorithm) => {
      const name = versionOf(await newKey('RAW_ENCRYPT_DECRYPT', algorithm));
      const plaintext = Buffer.alloc(32, 7);
      const initializationVector = randomBytes(16);
      const [{ ciphertext, tagLength }] = await client.rawEncrypt({ name, plaintext, initializationVector });
      expect(tagLength).toBe(0);
      expect(
        bytesOf(
          (await client.rawDecrypt({ name, ciphertext: bytesOf(ciphertext), initializationVector }))[0]
            .plaintext,
        ),
      ).toEqual(plaintext);
      expect(
        await rejectionOf(client.rawEncrypt({ name, plaintext, additionalAuthenticatedData: data })),
      ).toMatchObject({ code: 'INVALID_ARGUMENT' });
      expect(
        await rejectionOf(
          client.rawDecrypt({ name, ciphertext: bytesOf(ciphertext), initializationVector: Buffer.alloc(8) }),
        ),
      ).toMatchObject({ code: 'INVALID_ARGUMENT' });
    },
  );

  it('is for keys of its purpose', async () => {
    const aes = versionOf(await newKey('ENCRYPT_DECRYPT', 'GOOGLE_SYMMETRIC_ENCRYPTION'));
    expect(await rejectionOf(client.rawEncrypt({ name: aes, plaintext: data }))).toMatchObject({
      code: 'FAILED_PRECONDITION',
    });
  });
});

describe('MacSign and MacVerify', () => {
  it('agree, and a wrong MAC is an answer while one of a wrong length is an error', async () => {
    const name = versionOf(await newKey('MAC', 'HMAC_SHA384', 'HSM'));
    const [signed] = await client.macSign({ name, data, dataCrc32c: { value: crc32c(data) } });
    expect(signed).toMatchObject({ name, protectionLevel: 'HSM', verifiedDataCrc32c: true });
    const mac = bytesOf(signed.mac);
    expect((await client.macVerify({ name, data, mac }))[0]).toMatchObject({
      success: true,
      verifiedSuccessIntegrity: true,
    });
    mac[0] = (mac[0] ?? 0) ^ 1;
    expect((await client.macVerify({ name, data, mac }))[0]).toMatchObject({
      success: false,
      verifiedSuccessIntegrity: false,
    });
    expect(await rejectionOf(client.macVerify({ name, data, mac: mac.subarray(1) }))).toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
    expect(await rejectionOf(client.macSign({ name, data: Buffer.alloc(65_537) }))).toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
    const aes = versionOf(await newKey('ENCRYPT_DECRYPT', 'GOOGLE_SYMMETRIC_ENCRYPTION'));
    expect(await rejectionOf(client.macSign({ name: aes, data }))).toMatchObject({
      code: 'FAILED_PRECONDITION',
    });
  });
});

describe('Decapsulate', () => {
  it('gives the secret of the capsule', async () => {
    const name = versionOf(await newKey('KEY_ENCAPSULATION', 'ML_KEM_768'));
    const { ml_kem768 } = await import('@noble/post-quantum/ml-kem.js');
    const [{ publicKey }] = await client.getPublicKey({ name, publicKeyFormat: 'NIST_PQC' });
    const { cipherText, sharedSecret } = ml_kem768.encapsulate(bytesOf(publicKey?.data));
    const [opened] = await client.decapsulate({ name, ciphertext: cipherText });
    expect(bytesOf(opened.sharedSecret)).toEqual(Buffer.from(sharedSecret));
    expect(Number(opened.sharedSecretCrc32c)).toBe(crc32c(sharedSecret));
    expect(await rejectionOf(client.decapsulate({ name, ciphertext: data }))).toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
    const aes = versionOf(await newKey('ENCRYPT_DECRYPT', 'GOOGLE_SYMMETRIC_ENCRYPTION'));
    expect(await rejectionOf(client.decapsulate({ name: aes, ciphertext: data }))).toMatchObject({
      code: 'FAILED_PRECONDITION',
    });
  });
});

describe('GenerateRandomBytes', () => {
  it('gives 8 to 1,024 bytes from the HSM only', async () => {
    const [{ data: random, dataCrc32c }] = await client.generateRandomBytes({
      location: LOCATION,
      lengthBytes: 1_024,
      protectionLevel: 'HSM',
    });
    expect(bytesOf(random)).toHaveLength(1_024);
    expect(int64Of(dataCrc32c)).toBe(crc32c(bytesOf(random)));
    for (const lengthBytes of [7, 1_025]) {
      expect(
        await rejectionOf(
          client.generateRandomBytes({ location: LOCATION, lengthBytes, protectionLevel: 'HSM' }),
        ),
      ).toMatchObject({ code: 'INVALID_ARGUMENT' });
    }
    expect(
      await rejectionOf(
        client.generateRandomBytes({ location: 'x', lengthBytes: 8, protectionLevel: 'HSM' }),
      ),
    ).toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(
      await rejectionOf(
        client.generateRandomBytes({ location: LOCATION, lengthBytes: 8, protectionLevel: 'SOFTWARE' }),
      ),
    ).toMatchObject({ code: 'UNIMPLEMENTED' });
  });
});

describe('AsymmetricDecrypt', () => {
  it('refuses keys of another purpose', async () => {
    const signing = versionOf(await newKey('ASYMMETRIC_SIGN', 'EC_SIGN_P256_SHA256'));
    expect(await rejectionOf(client.asymmetricDecrypt({ name: signing, ciphertext: data }))).toMatchObject({
      code: 'FAILED_PRECONDITION',
    });
  });
});

describe('import', () => {
  const METHOD = 'RSA_OAEP_3072_SHA256_AES_256';
  async function activeJob(protectionLevel: 'SOFTWARE' | 'HSM' = 'SOFTWARE') {
    const importJobId = `job-${++count}`;
    const [pending] = await client.createImportJob({
      parent: RING,
      importJobId,
      importJob: { importMethod: METHOD, protectionLevel },
    });
    expect(pending).toMatchObject({ state: 'PENDING_GENERATION', publicKey: null });
    clock.advance(100);
    const [job] = await client.getImportJob({ name: pending.name ?? '' });
    expect(job.state).toBe('ACTIVE');
    return { name: job.name ?? '', publicKey: createPublicKey(job.publicKey?.pem ?? '') };
  }
  async function importOnlyKey(): Promise<string> {
    const cryptoKey = {
      purpose: 'ASYMMETRIC_SIGN',
      versionTemplate: { algorithm: 'EC_SIGN_P256_SHA256' },
      importOnly: true,
    } as const;
    const [key] = await client.createCryptoKey({
      parent: RING,
      cryptoKeyId: `key-${++count}`,
      cryptoKey: { ...cryptoKey, destroyScheduledDuration: { seconds: 0 } },
      skipInitialVersionCreation: true,
    });
    return key.name ?? '';
  }
  const wrapFor = (publicKey: KeyObject, material: Uint8Array): Buffer =>
    wrapWithEphemeralKey(publicKey, 'sha256', { material });
  const newPair = () => generateKeyPairSync('ec', { namedCurve: 'prime256v1' });

  it('brings in a key that signs as it did outside', async () => {
    const [parent, job, pair] = [await importOnlyKey(), await activeJob(), newPair()];
    const wrappedKey = wrapFor(job.publicKey, pair.privateKey.export({ type: 'pkcs8', format: 'der' }));
    const request = { parent, algorithm: 'EC_SIGN_P256_SHA256', importJob: job.name, wrappedKey } as const;
    const [version] = await client.importCryptoKeyVersion(request);
    expect(version).toMatchObject({ state: 'PENDING_IMPORT', importJob: job.name });
    clock.advance(100);
    const name = version.name ?? '';
    expect((await client.getCryptoKeyVersion({ name }))[0]).toMatchObject({
      state: 'ENABLED',
      importTime: { seconds: expect.any(String) },
      generateTime: null,
    });
    const [{ signature }] = await client.asymmetricSign({ name, digest: { sha256 } });
    expect(verify('sha256', data, pair.publicKey, bytesOf(signature))).toBe(true);
    expect(await rejectionOf(client.createCryptoKeyVersion({ parent }))).toMatchObject({
      code: 'FAILED_PRECONDITION',
    });

    expect(
      await rejectionOf(client.importCryptoKeyVersion({ ...request, cryptoKeyVersion: name })),
    ).toMatchObject({ code: 'FAILED_PRECONDITION' });
    // With a delay of 0 it is destroyed at once, and the same material may come back.
    expect((await client.destroyCryptoKeyVersion({ name }))[0]).toMatchObject({
      state: 'DESTROYED',
      reimportEligible: true,
    });
    expect(await rejectionOf(client.deleteCryptoKeyVersion({ name }))).toMatchObject({
      code: 'FAILED_PRECONDITION',
    });
    const another = { ...request, algorithm: 'EC_SIGN_P384_SHA384', cryptoKeyVersion: name } as const;
    expect(await rejectionOf(client.importCryptoKeyVersion(another))).toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
    const other = wrapFor(job.publicKey, newPair().privateKey.export({ type: 'pkcs8', format: 'der' }));
    await client.importCryptoKeyVersion({ ...request, wrappedKey: other, cryptoKeyVersion: name });
    clock.advance(100);
    expect((await client.getCryptoKeyVersion({ name }))[0]).toMatchObject({
      state: 'IMPORT_FAILED',
      importFailureReason: expect.stringContaining('differs'),
    });
    await client.importCryptoKeyVersion({ ...request, cryptoKeyVersion: name });
    clock.advance(100);
    expect((await client.getCryptoKeyVersion({ name }))[0].state).toBe('ENABLED');
    expect(
      await rejectionOf(client.importCryptoKeyVersion({ ...request, cryptoKeyVersion: name })),
    ).toMatchObject({ code: 'FAILED_PRECONDITION' });
  });

  it('fails with the reason when the wrapping or the key is not right', async () => {
    const [parent, job] = [await importOnlyKey(), await activeJob()];
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({
      type: 'pkcs8',
      format: 'der',
    });
    for (const wrappedKey of [randomBytes(500), wrapFor(job.publicKey, rsa)]) {
      const [version] = await client.importCryptoKeyVersion({
        parent,
        algorithm: 'EC_SIGN_P256_SHA256',
        importJob: job.name,
        wrappedKey,
      });
      clock.advance(100);
      expect((await client.getCryptoKeyVersion({ name: version.name ?? '' }))[0]).toMatchObject({
        state: 'IMPORT_FAILED',
        importFailureReason: expect.stringMatching(/\w/),
      });
    }
  });

  it('refuses requests that cannot be right', async () => {
    const [parent, job, hsmJob] = [await importOnlyKey(), await activeJob(), await activeJob('HSM')];
    const request = {
      parent,
      algorithm: 'EC_SIGN_P256_SHA256',
      importJob: job.name,
      wrappedKey: data,
    } as const;
    const other = versionOf(await newKey('ASYMMETRIC_SIGN', 'EC_SIGN_P256_SHA256'));
    const calls: readonly (readonly [string, Promise<unknown>])[] = [
      ['FAILED_PRECONDITION', client.importCryptoKeyVersion({ ...request, importJob: hsmJob.name })],
      ['NOT_FOUND', client.importCryptoKeyVersion({ ...request, importJob: `${RING}/importJobs/none` })],
      ['INVALID_ARGUMENT', client.importCryptoKeyVersion({ ...request, importJob: 'none' })],
      ['INVALID_ARGUMENT', client.importCryptoKeyVersion({ ...request, algorithm: 'HMAC_SHA256' })],
      ['INVALID_ARGUMENT', client.importCryptoKeyVersion({ ...request, rsaAesWrappedKey: data })],
      ['INVALID_ARGUMENT', client.importCryptoKeyVersion({ ...request, wrappedKey: null })],
      ['INVALID_ARGUMENT', client.importCryptoKeyVersion({ ...request, trustedWrappingEnabled: true })],
      ['INVALID_ARGUMENT', client.importCryptoKeyVersion({ ...request, cryptoKeyVersion: other })],
    ];
    const rejections = await Promise.all(calls.map(([, call]) => rejectionOf(call)));
    expect(rejections.map(({ code }) => code)).toEqual(calls.map(([code]) => code));
  });

  it('needs a job that has not expired', async () => {
    const [parent, job] = [await importOnlyKey(), await activeJob()];
    clock.advance(3 * 86_400_000);
    expect((await client.getImportJob({ name: job.name }))[0]).toMatchObject({
      state: 'EXPIRED',
      publicKey: null,
      expireEventTime: { seconds: expect.any(String) },
    });
    expect(
      await rejectionOf(
        client.importCryptoKeyVersion({
          parent,
          algorithm: 'EC_SIGN_P256_SHA256',
          importJob: job.name,
          wrappedKey: data,
        }),
      ),
    ).toMatchObject({ code: 'FAILED_PRECONDITION' });
    expect((await client.listImportJobs({ parent: RING }))[0].map(({ name }) => name)).toContain(job.name);
  });

  it('gives the wrapping key in the format that was asked for', async () => {
    const { name, publicKey } = await activeJob();
    const der = publicKey.export({ type: 'spki', format: 'der' });
    const pem = publicKey.export({ type: 'spki', format: 'pem' });
    const [inDer] = await client.getImportJob({ name, publicKeyFormat: 'DER' });
    expect([inDer.publicKeyFormat, bytesOf(inDer.publicKey?.data)]).toEqual(['DER', der]);
    const [inPem] = await client.getImportJob({ name, publicKeyFormat: 'PEM' });
    expect(bytesOf(inPem.publicKey?.data).toString()).toBe(pem);
    expect(await rejectionOf(client.getImportJob({ name, publicKeyFormat: 'NIST_PQC' }))).toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
    const [{ name: pending }] = await client.createImportJob({
      parent: RING,
      importJobId: `job-${++count}`,
      importJob: { importMethod: METHOD, protectionLevel: 'SOFTWARE' },
    });
    expect((await client.getImportJob({ name: pending ?? '', publicKeyFormat: 'DER' }))[0]).toMatchObject({
      state: 'PENDING_GENERATION',
      publicKey: null,
    });
  });

  it('job creation checks its fields', async () => {
    const importJob = { importMethod: METHOD, protectionLevel: 'SOFTWARE' } as const;
    await client.createImportJob({ parent: RING, importJobId: 'twice', importJob });
    const calls: readonly (readonly [string, Promise<unknown>])[] = [
      ['ALREADY_EXISTS', client.createImportJob({ parent: RING, importJobId: 'twice', importJob })],
      ['INVALID_ARGUMENT', client.createImportJob({ parent: RING, importJobId: 'a b', importJob })],
      ['INVALID_ARGUMENT', client.createImportJob({ parent: RING, importJobId: 'x' })],
      [
        'INVALID_ARGUMENT',
        client.createImportJob({
          parent: RING,
          importJobId: 'x',
          importJob: { protectionLevel: 'SOFTWARE' },
        }),
      ],
      [
        'INVALID_ARGUMENT',
        client.createImportJob({ parent: RING, importJobId: 'x', importJob: { importMethod: METHOD } }),
      ],
      [
        'UNIMPLEMENTED',
        client.createImportJob({
          parent: RING,
          importJobId: 'x',
          importJob: {
            importMethod: 'HPKE_KEM_ML_KEM_768_HKDF_SHA256_AES_256_GCM',
            protectionLevel: 'SOFTWARE',
          },
        }),
      ],
      [
        'NOT_FOUND',
        client.createImportJob({ parent: `${LOCATION}/keyRings/none`, importJobId: 'x', importJob }),
      ],
    ];
    const rejections = await Promise.all(calls.map(([, call]) => rejectionOf(call)));
    expect(rejections.map(({ code }) => code)).toEqual(calls.map(([code]) => code));
  });
});
