/** Attestation of keys in the emulator's HSM, and what is refused when it is required. */

import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EMULATOR_ATTESTATION_ROOTS, type KmsEmulator } from '../../src/emulator/index.js';
import {
  attestedKeyOf,
  type KeyAttestation,
  type KeySpec,
  KMSClient,
  type KMSConfig,
  verifyAttestation,
} from '../../src/index.js';
import { clientConfig, startTestEmulator } from '../support/emulator.js';

let emulator: KmsEmulator;
let kms: KMSClient;
let strict: KMSClient;
const config = (): KMSConfig => clientConfig(emulator, { attestationRoots: EMULATOR_ATTESTATION_ROOTS });

beforeAll(async () => {
  emulator = await startTestEmulator();
  kms = new KMSClient(config());
  strict = new KMSClient({ ...config(), requireAttestation: true });
  await kms.initialize();
});
afterAll(async () => {
  await Promise.all([kms.close(), strict.close()]);
  await emulator.close();
});

let count = 0;
const newKey = async (spec: Pick<KeySpec, 'purpose' | 'algorithm' | 'protectionLevel'>): Promise<string> =>
  (await kms.generateKey({ name: `key-${++count}`, ...spec })).name;
const SIGN = { purpose: 'ASYMMETRIC_SIGN', algorithm: 'EC_SIGN_P256_SHA256' } as const;
const AES = { purpose: 'ENCRYPT_DECRYPT', algorithm: 'GOOGLE_SYMMETRIC_ENCRYPTION' } as const;

const failedChecks = ({ checks }: KeyAttestation): readonly string[] =>
  checks.filter(({ outcome }) => outcome === 'failed').map(({ name }) => name);

describe('attestation of a key', () => {
  it.each<[string, Pick<KeySpec, 'purpose' | 'algorithm'>]>([
    ['P-256', SIGN],
    ['P-384', { purpose: 'ASYMMETRIC_SIGN', algorithm: 'EC_SIGN_P384_SHA384' }],
    ['secp256k1', { purpose: 'ASYMMETRIC_SIGN', algorithm: 'EC_SIGN_SECP256K1_SHA256' }],
    ['RSA', { purpose: 'ASYMMETRIC_DECRYPT', algorithm: 'RSA_DECRYPT_OAEP_2048_SHA256' }],
  ])('of type %s made in the HSM is valid, every check passed', async (_, spec) => {
    const attested = await kms.attestKey(await newKey(spec));
    expect(attested).toMatchObject({ verdict: 'valid', algorithm: spec.algorithm, protectionLevel: 'HSM' });
    expect(attested.checks.map(({ outcome }) => outcome)).toEqual(attested.checks.map(() => 'passed'));
  });

  it('that is symmetric is valid, and says that nobody outside can compare its check value', async () => {
    const attested = await kms.attestKey(await newKey(AES));
    expect(attested.verdict).toBe('valid');
    expect(attested.checks.filter(({ outcome }) => outcome !== 'passed')).toEqual([
      expect.objectContaining({ name: 'key', outcome: 'not-checked' }),
    ]);
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
  it('attested keys sign, encrypt and decrypt, and each version is asked for once', async () => {
    const signing = await newKey(SIGN);
    const message = Buffer.from('pay');
    const signatures = await Promise.all([1, 2, 3].map(() => strict.sign(signing, message)));
    expect(await strict.verify(signing, message, signatures[0] ?? message)).toBe(true);
    const symmetric = await newKey(AES);
    const earlier = await kms.encrypt(symmetric, message);
    await kms.rotateKey(symmetric);
    expect(await strict.decrypt(symmetric, earlier)).toEqual(message);
    expect(await strict.decrypt(symmetric, await strict.encrypt(symmetric, message))).toEqual(message);
    const oaep = await newKey({ purpose: 'ASYMMETRIC_DECRYPT', algorithm: 'RSA_DECRYPT_OAEP_2048_SHA256' });
    expect(await strict.decrypt(oaep, await strict.encrypt(oaep, message))).toEqual(message);
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
