import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { KmsEmulator } from '../../src/emulator/index.js';
import {
  algorithmsOf,
  exportJwkSet,
  findAlgorithm,
  importJwkSet,
  type KeyAlgorithm,
  type KMSClient,
} from '../../src/index.js';
import { newClient, startTestEmulator } from '../support/emulator.js';
import { FastClock } from '../support/fast-clock.js';
import { MemoryPublicKeyArchive } from '../support/memory-archive.js';

const message = Buffer.from('pay 10 EUR to alice');
/** One of each kind of key; what a signature of SLH-DSA costs, the emulator's own tests pay. */
const ALGORITHMS = [
  'EC_SIGN_P256_SHA256',
  'EC_SIGN_P384_SHA384',
  'EC_SIGN_SECP256K1_SHA256',
  'EC_SIGN_ED25519',
  'RSA_SIGN_PSS_2048_SHA256',
  'RSA_SIGN_PKCS1_2048_SHA256',
  'RSA_SIGN_RAW_PKCS1_2048',
  'PQ_SIGN_ML_DSA_65',
] as const satisfies readonly KeyAlgorithm[];

let emulator: KmsEmulator;
let client: KMSClient;
let archive: MemoryPublicKeyArchive;
/** Signatures by versions that are destroyed. */
const relics = new Map<KeyAlgorithm, { readonly keyName: string; readonly signature: Buffer }>();

beforeAll(async () => {
  emulator = await startTestEmulator();
  archive = new MemoryPublicKeyArchive();
  client = newClient(emulator, { clock: new FastClock(), publicKeyArchive: archive });
  await client.initialize();
  for (const algorithm of [...ALGORITHMS, 'PQ_SIGN_SLH_DSA_SHA2_128S'] as const) {
    const levels = findAlgorithm(algorithm)?.protectionLevels ?? [];
    const { name: keyName } = await client.generateKey({
      name: algorithm,
      purpose: 'ASYMMETRIC_SIGN',
      algorithm,
      protectionLevel: levels.includes('HSM') ? 'HSM' : 'SOFTWARE',
    });
    if (algorithm !== 'PQ_SIGN_SLH_DSA_SHA2_128S')
      relics.set(algorithm, { keyName, signature: await client.sign(keyName, message) });
    await client.destroyKey(keyName);
  }
});
afterAll(async () => {
  await client.close();
  await emulator.close();
});

describe('an archive as a JWK Set', () => {
  it('has each key with its kid, its validity and what it is of, oldest first', async () => {
    const { keys } = await exportJwkSet(archive);
    expect(keys).toHaveLength(ALGORITHMS.length + 1);
    expect(keys.map(({ nbf }) => nbf)).toEqual(keys.map(({ nbf }) => nbf).toSorted((a, b) => a - b));
    for (const jwk of keys) {
      expect(jwk).toMatchObject({
        kid: expect.stringMatching(/^[A-Za-z0-9_-]{43}$/),
        use: 'sig',
        nbf: expect.any(Number),
        exp: expect.any(Number),
        a2a_key_version: expect.stringMatching(/\/cryptoKeyVersions\/1$/),
      });
      expect(jwk.exp ?? 0).toBeGreaterThanOrEqual(jwk.nbf);
      for (const secret of ['d', 'p', 'q', 'priv', 'k']) expect(jwk).not.toHaveProperty(secret);
    }
  });

  it.each(ALGORITHMS)(
    'is read again, and verifies what a destroyed version with %s signed',
    async (algorithm) => {
      const wire: unknown = JSON.parse(JSON.stringify(await exportJwkSet(archive)));
      const copy = new MemoryPublicKeyArchive();
      expect(await importJwkSet(copy, wire)).toBe(ALGORITHMS.length + 1);
      await using fresh = newClient(emulator, { publicKeyArchive: copy });
      const { keyName, signature } = relics.get(algorithm) ?? expect.fail('no relic');
      expect(await fresh.verify(keyName, message, signature)).toBe(true);
      expect(await fresh.verify(`${keyName}/cryptoKeyVersions/1`, message, signature)).toBe(true);
      expect(await fresh.verify(keyName, Buffer.from('pay 11 EUR'), signature)).toBe(false);
    },
  );

  it('comes out as it went in', async () => {
    const copy = new MemoryPublicKeyArchive();
    const set = await exportJwkSet(archive);
    await importJwkSet(copy, set);
    expect(await exportJwkSet(copy)).toEqual(set);
  });

  it('of one key has its versions only', async () => {
    const { keyName } = relics.get('EC_SIGN_ED25519') ?? expect.fail('no relic');
    const { keys } = await exportJwkSet(archive, keyName);
    expect(keys.map((jwk) => jwk.a2a_key_version)).toEqual([`${keyName}/cryptoKeyVersions/1`]);
  });
});

describe('a JWK Set that is not one of an archive', () => {
  it.each([
    ['nothing', undefined],
    ['a list', []],
    ['an object without keys', {}],
    ['keys that are no list', { keys: {} }],
  ])('such as %s is refused', async (_, set) => {
    await expect(importJwkSet(new MemoryPublicKeyArchive(), set)).rejects.toMatchObject({ code: 'ARCHIVE' });
  });

  it('with one bad entry changes nothing', async () => {
    const { keys } = await exportJwkSet(archive);
    const copy = new MemoryPublicKeyArchive();
    await expect(importJwkSet(copy, { keys: [...keys, { kty: 'EC' }] })).rejects.toMatchObject({
      code: 'ARCHIVE',
      resource: `keys[${keys.length}]`,
    });
    expect(copy.keys.size).toBe(0);
  });

  it.each<[string, string, Record<string, unknown>]>([
    ['a private key', 'EC_SIGN_P256_SHA256', { d: 'AAAA' }],
    ['a private post-quantum key', 'PQ_SIGN_ML_DSA_65', { priv: 'AAAA' }],
    ['a post-quantum key that is no base64url', 'PQ_SIGN_ML_DSA_65', { pub: '***' }],
    ['a post-quantum key that is too short', 'PQ_SIGN_ML_DSA_65', { pub: 'AAAA' }],
    [
      'a key of another post-quantum algorithm',
      'EC_SIGN_P256_SHA256',
      { kty: 'AKP', alg: 'ML-DSA-44', pub: 'A'.repeat(1_751) },
    ],
    ['a modulus of another size', 'RSA_SIGN_PSS_2048_SHA256', { a2a_algorithm: 'RSA_SIGN_PSS_3072_SHA256' }],
    ['another padding', 'RSA_SIGN_PSS_2048_SHA256', { a2a_algorithm: 'RSA_SIGN_PKCS1_2048_SHA256' }],
    ['no alg', 'EC_SIGN_P256_SHA256', { alg: undefined }],
    ['another key type', 'EC_SIGN_ED25519', { kty: 'EC' }],
  ])('with %s is refused', async (_, algorithm, change) => {
    const { keys } = await exportJwkSet(archive);
    const jwk = keys.find(({ a2a_algorithm }) => a2a_algorithm === algorithm);
    await expect(
      importJwkSet(new MemoryPublicKeyArchive(), { keys: [{ ...jwk, ...change }] }),
    ).rejects.toMatchObject({ code: 'ARCHIVE' });
  });
});

it('no signing algorithm is forgotten: each kind of key is above', () => {
  const kindOf = (algorithm: KeyAlgorithm): unknown => {
    const entry = findAlgorithm(algorithm);
    return entry !== undefined && 'key' in entry ? entry.key.kind : undefined;
  };
  expect(new Set(algorithmsOf('ASYMMETRIC_SIGN').map(kindOf))).toEqual(new Set(ALGORITHMS.map(kindOf)));
});
