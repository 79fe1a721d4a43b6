/** Attestation of keys in the emulator's HSM, and what is refused when it is required. */

import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { EMULATOR_ATTESTATION_ROOTS, type KmsEmulator } from '../../src/emulator/index.js';
import {
  attestedKeyOf,
  type KeyAttestation,
  type KeySpec,
  KMSClient,
  type KMSConfig,
  verifyAttestation,
} from '../../src/index.js';
import { KeyReader } from '../../src/kms/key-reader.js';
import { clientConfig, startTestEmulator } from '../support/emulator.js';

let emulator: KmsEmulator;
let kms: KMSClient;
let strict: KMSClient;
let lenient: KMSClient;
const config = (): KMSConfig => clientConfig(emulator, { attestationRoots: EMULATOR_ATTESTATION_ROOTS });

beforeAll(async () => {
  emulator = await startTestEmulator();
  kms = new KMSClient(config());
  strict = new KMSClient({ ...config(), requireAttestation: true });
  lenient = new KMSClient({ ...config(), requireAttestation: true, unboundAttestation: 'accepted' });
  await kms.initialize();
});
afterAll(async () => {
  await Promise.all([kms, strict, lenient].map((client) => client.close()));
  await emulator.close();
});

let count = 0;
const newKey = async (spec: Pick<KeySpec, 'purpose' | 'algorithm' | 'protectionLevel'>): Promise<string> =>
  (await kms.generateKey({ name: `key-${++count}`, ...spec })).name;
const SIGN = { purpose: 'ASYMMETRIC_SIGN', algorithm: 'EC_SIGN_P256_SHA256' } as const;
const AES = { purpose: 'ENCRYPT_DECRYPT', algorithm: 'GOOGLE_SYMMETRIC_ENCRYPTION' } as const;

/** Those of the statement: the emulator's certificates never say that it is in FIPS mode. */
const failedChecks = ({ checks }: KeyAttestation): readonly string[] =>
  checks.filter(({ name, outcome }) => outcome === 'failed' && name !== 'fips-mode').map(({ name }) => name);

describe('attestation of a key', () => {
  it.each<[string, Pick<KeySpec, 'purpose' | 'algorithm'>]>([
    ['P-256', SIGN],
    ['P-384', { purpose: 'ASYMMETRIC_SIGN', algorithm: 'EC_SIGN_P384_SHA384' }],
    ['secp256k1', { purpose: 'ASYMMETRIC_SIGN', algorithm: 'EC_SIGN_SECP256K1_SHA256' }],
    ['RSA-3072', { purpose: 'ASYMMETRIC_DECRYPT', algorithm: 'RSA_DECRYPT_OAEP_3072_SHA256' }],
    ['RSA', { purpose: 'ASYMMETRIC_DECRYPT', algorithm: 'RSA_DECRYPT_OAEP_2048_SHA256' }],
  ])('of type %s made in the HSM is valid, every check passed but that of the mode', async (_, spec) => {
    const attested = await kms.attestKey(await newKey(spec));
    expect(attested).toMatchObject({ verdict: 'valid', algorithm: spec.algorithm, protectionLevel: 'HSM' });
    expect(attested.checks.filter(({ outcome }) => outcome !== 'passed')).toEqual([
      expect.objectContaining({ name: 'fips-mode', outcome: 'failed' }),
    ]);
    expect(attested.hsm).toEqual({ card: 'HSM:EMULATOR', partition: 'HSM:EMULATOR:PARTN:1' });
  });

  it('that is symmetric is valid-unbound: the key was not compared, only the name of the version', async () => {
    const attested = await kms.attestKey(await newKey(AES));
    expect(attested.verdict).toBe('valid-unbound');
    expect(attested.checks.filter(({ outcome }) => outcome === 'not-checked')).toEqual([
      expect.objectContaining({ name: 'key', detail: expect.stringContaining('not compared') }),
    ]);
    expect(attested.checks).toContainEqual(
      expect.objectContaining({ name: 'version-name', outcome: 'passed' }),
    );
    expect(attested.evidence.publicKey).toBeUndefined();
  });

  it.each([
    ['PQ_SIGN_SLH_DSA_SHA2_128S', 'which has no PEM'],
    ['PQ_SIGN_ML_DSA_65', 'which Node.js may not read'],
  ] as const)('of algorithm %s, %s, is invalid, and nothing is thrown', async (algorithm, _) => {
    const key = await newKey({ purpose: 'ASYMMETRIC_SIGN', algorithm, protectionLevel: 'SOFTWARE' });
    const attested = await kms.attestKey(key);
    expect([attested.verdict, attested.evidence.publicKey]).toEqual(['invalid', undefined]);
  });

  it.each([
    ['name', 'the name of the version'],
    ['protection-level', 'the protection level'],
  ] as const)('is refused when the answer is that of another version: %s', async (corrupt, check) => {
    const key = await newKey(AES);
    await kms.resolveKeyVersion(key);
    const fault = emulator.faults.add({ rpc: 'GetCryptoKeyVersion', corrupt });
    onTestFinished(() => fault.remove());
    await expect(kms.attestKey(key)).rejects.toMatchObject({
      code: 'INTEGRITY',
      check: expect.stringContaining(check),
    });
  });

  it('in software is invalid: there is no statement', async () => {
    const attested = await kms.attestKey(await newKey({ ...SIGN, protectionLevel: 'SOFTWARE' }));
    expect(attested).toMatchObject({ verdict: 'invalid', evidence: { format: '', content: '' } });
    expect(failedChecks(attested)).toContain('format');
  });

  it('that was imported is told apart', async () => {
    const attested = await kms.attestKey(await importedKey());
    expect([attested.verdict, failedChecks(attested)]).toEqual([
      'imported',
      ['local', 'never-extractable', 'always-sensitive'],
    ]);
  });

  it('from the emulator is invalid under the roots of Cloud HSM', async () => {
    const client = new KMSClient({ ...config(), attestationRoots: undefined });
    const attested = await client.attestKey(await newKey(SIGN));
    await client.close();
    expect(attested.verdict).toBe('invalid');
    expect(failedChecks(attested)).toEqual([
      'manufacturer-chain',
      'google-card-chain',
      'google-partition-chain',
    ]);
  });

  it('can be judged again from the filed evidence alone', async () => {
    const { evidence, verdict } = JSON.parse(JSON.stringify(await kms.attestKey(await newKey(SIGN))));
    const again = verifyAttestation({
      format: evidence.format,
      content: Buffer.from(evidence.content, 'base64'),
      certChains: evidence.certChains,
      key: attestedKeyOf(evidence.publicKey),
      roots: EMULATOR_ATTESTATION_ROOTS,
      at: new Date(),
    });
    expect([verdict, again.verdict]).toEqual(['valid', 'valid']);
    expect(createPublicKey(evidence.publicKey).asymmetricKeyType).toBe('ec');
  });
});

describe('with requireAttestation', () => {
  const message = Buffer.from('pay');

  it('attested key pairs sign and decrypt, and each version is asked for once', async () => {
    const signing = await newKey(SIGN);
    const before = emulator.requests.count('GetCryptoKeyVersion');
    const signatures = await Promise.all([1, 2, 3].map(() => strict.sign(signing, message)));
    expect(emulator.requests.count('GetCryptoKeyVersion')).toBe(before + 1);
    expect(await strict.verify(signing, message, signatures[0] ?? message)).toBe(true);
    const oaep = await newKey({ purpose: 'ASYMMETRIC_DECRYPT', algorithm: 'RSA_DECRYPT_OAEP_2048_SHA256' });
    expect(await strict.decrypt(oaep, await strict.encrypt(oaep, message))).toEqual(message);
  });

  it('a symmetric key is refused, and the refusal says how to accept it', async () => {
    const key = await newKey(AES);
    const refusal = {
      code: 'ATTESTATION_FAILED',
      verdict: 'valid-unbound',
      failedChecks: [],
      message: expect.stringContaining("Set unboundAttestation to 'accepted'"),
    };
    await expect(strict.encrypt(key, message)).rejects.toMatchObject(refusal);
    await expect(strict.decrypt(key, await kms.encrypt(key, message))).rejects.toMatchObject(refusal);
  });

  it('a symmetric key is used where unbound statements are accepted', async () => {
    const key = await newKey(AES);
    const earlier = await kms.encrypt(key, message);
    await kms.rotateKey(key);
    expect(await lenient.decrypt(key, earlier)).toEqual(message);
    expect(await lenient.decrypt(key, await lenient.encrypt(key, message))).toEqual(message);
  });

  it('versions are listed once for many decryptions, and again once another one is in use', async () => {
    const key = await newKey(AES);
    const client = new KMSClient({
      ...config(),
      requireAttestation: true,
      unboundAttestation: 'accepted',
    });
    onTestFinished(() => client.close());
    const ciphertext = await client.encrypt(key, message);
    const listings = (): number => emulator.requests.count('ListCryptoKeyVersions');
    const before = listings();
    for (let count = 0; count < 3; count++) await client.decrypt(key, ciphertext);
    expect(listings()).toBe(before + 1);
    await client.rotateKey(key);
    const rotated = await client.encrypt(key, message);
    const afterRotation = listings();
    for (let count = 0; count < 2; count++) expect(await client.decrypt(key, rotated)).toEqual(message);
    expect(listings()).toBe(afterRotation + 1);
  });

  it('nothing is decrypted while a version of unknown algorithm is ENABLED', async () => {
    const key = await newKey(AES);
    const ciphertext = await lenient.encrypt(key, message);
    const read = KeyReader.prototype.listVersions;
    const spy = vi.spyOn(KeyReader.prototype, 'listVersions').mockImplementation(async function (
      this: KeyReader,
      ...call
    ) {
      const versions = await read.apply(this, call);
      return versions.map((version) => ({
        ...version,
        metadata: { ...version.metadata, algorithm: 'GOOGLE_SYMMETRIC_ENCRYPTION_2' },
      }));
    });
    onTestFinished(() => spy.mockRestore());
    await expect(lenient.decrypt(key, ciphertext)).rejects.toMatchObject({ code: 'UNSUPPORTED_ALGORITHM' });
  });

  it('the public key of an encryption key is given out only if it is attested, that of a signing key always', async () => {
    const oaep = { purpose: 'ASYMMETRIC_DECRYPT', algorithm: 'RSA_DECRYPT_OAEP_2048_SHA256' } as const;
    expect((await strict.getPublicKey(await newKey(oaep))).toString()).toContain('PUBLIC KEY');
    const software = await newKey({ ...oaep, protectionLevel: 'SOFTWARE' });
    await expect(strict.getPublicKey(software)).rejects.toMatchObject({ code: 'ATTESTATION_FAILED' });
    const signing = await newKey({ ...SIGN, protectionLevel: 'SOFTWARE' });
    expect((await strict.getPublicKey(signing)).toString()).toContain('PUBLIC KEY');
  });

  it('a key in software is refused, and no signature was asked for', async () => {
    const key = await newKey({ ...SIGN, protectionLevel: 'SOFTWARE' });
    const before = emulator.requests.count('AsymmetricSign');
    await expect(strict.sign(key, Buffer.from('pay'))).rejects.toMatchObject({
      code: 'ATTESTATION_FAILED',
      keyVersion: `${key}/cryptoKeyVersions/1`,
      verdict: 'invalid',
    });
    expect(emulator.requests.count('AsymmetricSign')).toBe(before);
  });

  it('a symmetric key in software neither encrypts nor decrypts', async () => {
    const key = await newKey({ ...AES, protectionLevel: 'SOFTWARE' });
    const ciphertext = await kms.encrypt(key, Buffer.from('x'));
    const refusal = { code: 'ATTESTATION_FAILED' };
    await expect(strict.encrypt(key, Buffer.from('x'))).rejects.toMatchObject(refusal);
    await expect(strict.decrypt(key, ciphertext)).rejects.toMatchObject(refusal);
  });

  it('an imported key is refused by that word', async () => {
    await expect(strict.sign(await importedKey(), Buffer.from('pay'))).rejects.toMatchObject({
      code: 'ATTESTATION_FAILED',
      verdict: 'imported',
      failedChecks: ['local', 'never-extractable', 'always-sensitive'],
    });
  });
});

it('unbound statements cannot be accepted where none are required', () => {
  expect(() => new KMSClient({ ...config(), unboundAttestation: 'accepted' })).toThrow(
    expect.objectContaining({
      code: 'INVALID_CONFIG',
      problems: [expect.objectContaining({ field: 'unboundAttestation' })],
    }),
  );
});

it('roots that are no certificates are refused in the configuration', () => {
  const attestationRoots = { manufacturer: ['no certificate'], google: [] };
  expect(() => new KMSClient({ ...config(), attestationRoots })).toThrow(/attestationRoots/);
});

async function importedKey(): Promise<string> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const key = await kms.importKey(
    { name: `imported-${++count}`, ...SIGN, protectionLevel: 'HSM' },
    privateKey.export({ format: 'der', type: 'pkcs8' }),
  );
  return key.name;
}
