import { generateKeyPairSync, type KeyObject, sign, verify } from 'node:crypto';
import { ml_dsa44 } from '@noble/post-quantum/ml-dsa.js';
import { CompactSign, compactVerify } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { KmsEmulator } from '../../src/emulator/index.js';
import { jwkThumbprint, parsePublicKey, toPublicJwk } from '../../src/identity/jwk.js';
import { type JwsSigner, peekJwsHeader, signCompactJws, verifyCompactJws } from '../../src/identity/jws.js';
import type { KMSClient, SigningAlgorithm } from '../../src/index.js';
import { newClient, startTestEmulator } from '../support/emulator.js';

const payload = Buffer.from('{"pay":"10 EUR"}');
const b64u = (text: string | Uint8Array): string => Buffer.from(text).toString('base64url');

const SIGNERS = [
  ['ES256', 'EC_SIGN_P256_SHA256', 'HSM'],
  ['ES384', 'EC_SIGN_P384_SHA384', 'HSM'],
  ['PS256', 'RSA_SIGN_PSS_2048_SHA256', 'HSM'],
  ['RS256', 'RSA_SIGN_PKCS1_2048_SHA256', 'HSM'],
  ['EdDSA', 'EC_SIGN_ED25519', 'SOFTWARE'],
] as const satisfies readonly (readonly [string, SigningAlgorithm, 'HSM' | 'SOFTWARE'])[];

describe('signing compact JWS with a key in Cloud KMS', () => {
  let emulator: KmsEmulator;
  let client: KMSClient;
  beforeAll(async () => {
    emulator = await startTestEmulator();
    client = newClient(emulator);
    await client.initialize();
  });
  afterAll(async () => {
    await client.close();
    await emulator.close();
  });

  const newKey = async (
    algorithm: SigningAlgorithm,
    protectionLevel: 'HSM' | 'SOFTWARE' = 'HSM',
  ): Promise<string> =>
    (
      await client.generateKey({
        name: `jws-${algorithm}-${Math.random().toString(36).slice(2)}`,
        purpose: 'ASYMMETRIC_SIGN',
        algorithm,
        protectionLevel,
      })
    ).name;

  it.each(SIGNERS)('%s verifies with jose', async (alg, algorithm, protectionLevel) => {
    const name = await newKey(algorithm, protectionLevel);
    const jwk = toPublicJwk(await client.getPublicKey(name), algorithm);
    const jws = await signCompactJws(client, name, payload, { typ: 'JWT' });
    const verified = await compactVerify(jws, { ...jwk }, { algorithms: [alg] });
    expect(Buffer.from(verified.payload)).toEqual(payload);
    expect(verified.protectedHeader).toEqual({ typ: 'JWT', alg, kid: jwkThumbprint(jwk) });
    const own = await verifyCompactJws(jws, jwk, { algorithm: alg, typ: 'JWT' });
    expect(own.payload).toEqual(payload);
  });

  it('ES256K verifies with node:crypto, as R || S', async () => {
    const name = await newKey('EC_SIGN_SECP256K1_SHA256');
    const pem = await client.getPublicKey(name);
    const jws = await signCompactJws(client, name, payload);
    const [header = '', body = '', signature = ''] = jws.split('.');
    const raw = Buffer.from(signature, 'base64url');
    expect(raw).toHaveLength(64);
    const key = { key: pem, dsaEncoding: 'ieee-p1363' } as const;
    expect(verify('sha256', Buffer.from(`${header}.${body}`), key, raw)).toBe(true);
    expect((await verifyCompactJws(jws, pem, { algorithm: 'ES256K' })).payload).toEqual(payload);
  });

  it('ML-DSA-65 verifies here, as an AKP key', async () => {
    const name = await newKey('PQ_SIGN_ML_DSA_65', 'SOFTWARE');
    const jwk = toPublicJwk(await client.getPublicKey(name), 'PQ_SIGN_ML_DSA_65');
    const jws = await signCompactJws(client, name, payload);
    expect((await verifyCompactJws(jws, jwk, { algorithm: 'ML-DSA-65' })).payload).toEqual(payload);
  });

  it('takes one call when the key is known', async () => {
    const name = await newKey('EC_SIGN_P256_SHA256');
    await signCompactJws(client, name, payload);
    emulator.requests.clear();
    await signCompactJws(client, name, payload);
    expect(emulator.requests.count()).toBe(1);
    expect(emulator.requests.count('AsymmetricSign')).toBe(1);
  });

  it('needs no public key when the caller names the kid', async () => {
    const name = await newKey('EC_SIGN_P256_SHA256');
    emulator.requests.clear();
    const jws = await signCompactJws(client, name, payload, { kid: 'mine' });
    expect(peekJwsHeader(jws)).toMatchObject({ alg: 'ES256', kid: 'mine' });
    expect(emulator.requests.count('GetPublicKey')).toBe(0);
  });

  it('names the version that signs when another process rotates the key in between', async () => {
    await using other = newClient(emulator);
    const name = await newKey('EC_SIGN_P256_SHA256');
    await signCompactJws(client, name, payload);
    const { primary } = await other.rotateKey(name);
    await other.destroyKey(`${name}/cryptoKeyVersions/1`);
    const jws = await signCompactJws(client, name, payload);
    const jwk = toPublicJwk(await other.getPublicKey(primary ?? ''), 'EC_SIGN_P256_SHA256');
    expect(peekJwsHeader(jws)['kid']).toBe(jwk.kid);
    expect((await verifyCompactJws(jws, jwk, { algorithm: 'ES256' })).payload).toEqual(payload);
  });

  it('asks for the version that signed, and names that one, when it is not the one that was expected', async () => {
    const name = await newKey('EC_SIGN_P256_SHA256');
    const signers: string[] = [];
    const surprising: JwsSigner = {
      resolveKeyVersion: async () => ({
        keyVersion: `${name}/cryptoKeyVersions/7`,
        algorithm: 'EC_SIGN_P384_SHA384',
        protectionLevel: 'HSM',
      }),
      getPublicKey: client.getPublicKey.bind(client),
      signDetailed: (keyId, data, options) => {
        signers.push(keyId);
        return client.signDetailed(keyId, data, options);
      },
    };
    const jws = await signCompactJws(surprising, name, payload, { kid: 'k' });
    expect(signers).toEqual([name, `${name}/cryptoKeyVersions/1`]);
    const jwk = toPublicJwk(await client.getPublicKey(name), 'EC_SIGN_P256_SHA256');
    expect((await verifyCompactJws(jws, jwk, { algorithm: 'ES256' })).payload).toEqual(payload);
  });

  it('does not repair a signature that is not strict DER', async () => {
    const name = await newKey('EC_SIGN_P256_SHA256');
    const padded = {
      resolveKeyVersion: client.resolveKeyVersion.bind(client),
      getPublicKey: client.getPublicKey.bind(client),
      signDetailed: async (...call: Parameters<typeof client.signDetailed>) => {
        const signed = await client.signDetailed(...call);
        return { ...signed, signature: Buffer.concat([signed.signature, Buffer.alloc(1)]) };
      },
    };
    await expect(signCompactJws(padded, name, payload)).rejects.toMatchObject({
      code: 'INTEGRITY',
      message: expect.stringContaining('DER'),
    });
  });

  it('calls Ed25519 by its fully specified name on request', async () => {
    const name = await newKey('EC_SIGN_ED25519', 'SOFTWARE');
    const jws = await signCompactJws(client, name, payload, {}, { ed25519Name: 'Ed25519' });
    expect(peekJwsHeader(jws)['alg']).toBe('Ed25519');
    const pem = await client.getPublicKey(name);
    for (const algorithm of ['EdDSA', 'Ed25519']) {
      expect((await verifyCompactJws(jws, pem, { algorithm })).payload).toEqual(payload);
    }
  });

  it.each(['alg', 'crit', 'b64', 'zip'])('refuses %s from the caller before any call', async (member) => {
    const name = await newKey('EC_SIGN_P256_SHA256');
    emulator.requests.clear();
    await expect(signCompactJws(client, name, payload, { [member]: ['x'] })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
    expect(emulator.requests.count()).toBe(0);
  });

  it('refuses a key whose algorithm JOSE has no name for', async () => {
    const name = await newKey('RSA_SIGN_RAW_PKCS1_2048');
    await expect(signCompactJws(client, name, payload)).rejects.toMatchObject({
      code: 'UNSUPPORTED_ALGORITHM',
      alternatives: expect.arrayContaining(['EC_SIGN_P384_SHA384']),
    });
  });
});

const p256 = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
const p384 = generateKeyPairSync('ec', { namedCurve: 'secp384r1' });
const k256 = generateKeyPairSync('ec', { namedCurve: 'secp256k1' });
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const ed25519 = generateKeyPairSync('ed25519');

/** A JWS over any header, signed right with P-256. */
function signed(header: unknown, body: string = b64u(payload)): string {
  const encoded = typeof header === 'string' ? header : b64u(JSON.stringify(header));
  const input = Buffer.from(`${encoded}.${body}`);
  return `${input}.${b64u(sign('sha256', input, { key: p256.privateKey, dsaEncoding: 'ieee-p1363' }))}`;
}

describe('verifying compact JWS', () => {
  it.each([
    ['ES256', p256],
    ['ES384', p384],
    ['PS256', rsa],
    ['RS256', rsa],
    ['EdDSA', ed25519],
  ] as const)('accepts %s by jose', async (alg, { privateKey, publicKey }) => {
    const jws = await new CompactSign(payload).setProtectedHeader({ alg }).sign(privateKey);
    const { payload: read, header } = await verifyCompactJws(jws, publicKey, { algorithm: alg });
    expect([read, header]).toEqual([payload, { alg }]);
  });

  it('accepts ES256K by node:crypto', async () => {
    const input = `${b64u('{"alg":"ES256K"}')}.${b64u(payload)}`;
    const key = { key: k256.privateKey, dsaEncoding: 'ieee-p1363' } as const;
    const jws = `${input}.${b64u(sign('sha256', Buffer.from(input), key))}`;
    expect((await verifyCompactJws(jws, k256.publicKey, { algorithm: 'ES256K' })).payload).toEqual(payload);
  });

  it('accepts ML-DSA', async () => {
    const { secretKey, publicKey } = ml_dsa44.keygen(new Uint8Array(32));
    const input = `${b64u('{"alg":"ML-DSA-44"}')}.${b64u(payload)}`;
    const jws = `${input}.${b64u(ml_dsa44.sign(Buffer.from(input), secretKey))}`;
    const jwk = { kty: 'AKP', alg: 'ML-DSA-44', pub: b64u(publicKey) };
    expect((await verifyCompactJws(jws, jwk, { algorithm: 'ML-DSA-44' })).payload).toEqual(payload);
  });

  it.each([
    ['jwt', 'JWT'],
    ['application/jwt', 'JWT'],
    ['a2a-endorsement+jwt', 'application/a2a-endorsement+jwt'],
  ])('takes typ %s for %s', async (typ, expected) => {
    const jws = signed({ alg: 'ES256', typ });
    await expect(
      verifyCompactJws(jws, p256.publicKey, { algorithm: 'ES256', typ: expected }),
    ).resolves.toMatchObject({ header: { typ } });
  });

  it('accepts a critical extension that the caller implements', async () => {
    const jws = signed({ alg: 'ES256', crit: ['exp'], exp: 1 });
    const options = { algorithm: 'ES256', understoodCritical: ['exp'] };
    expect((await verifyCompactJws(jws, p256.publicKey, options)).header['exp']).toBe(1);
  });

  it('accepts an empty payload', async () => {
    const { payload: read } = await verifyCompactJws(signed({ alg: 'ES256' }, ''), p256.publicKey, {
      algorithm: 'ES256',
    });
    expect(read).toHaveLength(0);
  });

  const good = signed({ alg: 'ES256' });
  const [head = '', body = '', mac = ''] = good.split('.');
  const der = sign('sha256', Buffer.from(`${head}.${body}`), p256.privateKey);
  const raw = Buffer.from(mac, 'base64url');
  const zeros = Buffer.alloc(64);
  const refused: readonly (readonly [string, string, string])[] = [
    ['no parts', '', 'format'],
    ['two parts', `${head}.${body}`, 'format'],
    ['four parts', `${good}.`, 'format'],
    ['a header that is not base64url', `*.${body}.${mac}`, 'format'],
    ['a header with padding', `${b64u('{"alg":"ES256" }')}==.${body}.${mac}`, 'format'],
    ['a header that is not JSON', signed(b64u('{alg')), 'format'],
    ['a header that is a list', signed(b64u('[]')), 'format'],
    ['a header that is null', signed(b64u('null')), 'format'],
    ['a header that is not UTF-8', signed(b64u(Buffer.from([0x7b, 0xff, 0x7d]))), 'format'],
    ['a header with a byte order mark', signed(b64u('\ufeff{"alg":"ES256"}')), 'format'],
    ['an empty header', signed('', body), 'format'],
    ['a header of megabytes', signed({ alg: 'ES256', x: 'x'.repeat(10_000) }), 'size'],
    ['a payload with line breaks', `${head}.${body}\n.${mac}`, 'format'],
    ['a signature with spare bits', `${head}.${body}.${mac.slice(0, -1)}B`, 'format'],
    ['the algorithm none', `${b64u('{"alg":"none"}')}.${body}.`, 'algorithm'],
    ['an HMAC with the public key', `${b64u('{"alg":"HS256"}')}.${body}.${mac}`, 'algorithm'],
    ['no algorithm', signed({ typ: 'JWT' }), 'algorithm'],
    ['an inherited algorithm', signed(b64u('{"__proto__":{"alg":"ES256"}}')), 'algorithm'],
    ['the algorithm in other letters', signed({ alg: 'es256' }), 'algorithm'],
    ['another algorithm of the same curve type', signed({ alg: 'ES384' }), 'algorithm'],
    ['an unknown critical extension', signed({ alg: 'ES256', crit: ['exp'], exp: 1 }), 'critical-header'],
    ['an empty crit', signed({ alg: 'ES256', crit: [] }), 'critical-header'],
    ['a crit that is a string', signed({ alg: 'ES256', crit: 'exp' }), 'critical-header'],
    ['a crit of null', signed({ alg: 'ES256', crit: [null] }), 'critical-header'],
    ['a payload that is not base64url', signed({ alg: 'ES256', b64: false }), 'critical-header'],
    ['b64 as critical extension', signed({ alg: 'ES256', b64: false, crit: ['b64'] }), 'critical-header'],
    ['a DER signature', `${head}.${body}.${b64u(der)}`, 'signature'],
    ['an empty signature', `${head}.${body}.`, 'signature'],
    ['a signature of zeros', `${head}.${body}.${b64u(zeros)}`, 'signature'],
    [
      'a signature with a byte more',
      `${head}.${body}.${b64u(Buffer.concat([raw, Buffer.alloc(1)]))}`,
      'signature',
    ],
    ['another payload', `${head}.${b64u('other')}.${mac}`, 'signature'],
    ['another header', `${b64u('{"alg":"ES256","a":1}')}.${body}.${mac}`, 'signature'],
  ];
  it.each(refused)('refuses %s', async (_, jws, check) => {
    await expect(verifyCompactJws(jws, p256.publicKey, { algorithm: 'ES256' })).rejects.toMatchObject({
      code: 'JWS_VERIFICATION_FAILED',
      check,
    });
  });

  it.each([
    ['a critical extension that is not in the header', { alg: 'ES256', crit: ['exp'] }],
    ['a critical extension that is named twice', { alg: 'ES256', crit: ['exp', 'exp'], exp: 1 }],
    ['a standard name as critical extension', { alg: 'ES256', crit: ['alg'] }],
  ])('refuses %s even if the caller implements it', async (_, header) => {
    const options = { algorithm: 'ES256', understoodCritical: ['exp', 'alg'] };
    await expect(verifyCompactJws(signed(header), p256.publicKey, options)).rejects.toMatchObject({
      check: 'critical-header',
    });
  });

  it.each([['other'], [undefined], [7]])('refuses typ %j where another one is expected', async (typ) => {
    await expect(
      verifyCompactJws(signed({ alg: 'ES256', typ }), p256.publicKey, { algorithm: 'ES256', typ: 'JWT' }),
    ).rejects.toMatchObject({ check: 'type' });
  });

  it('refuses what is longer than the caller allows', async () => {
    const limit = { limitCharacters: good.length - 1 };
    const options = { algorithm: 'ES256', ...limit };
    await expect(verifyCompactJws(good, p256.publicKey, options)).rejects.toMatchObject({ check: 'size' });
    expect(() => peekJwsHeader(good, limit)).toThrow(expect.objectContaining({ check: 'size' }));
    expect(() => peekJwsHeader(good, options)).toThrow('options.algorithm is not an option');
  });

  it('refuses what is not a string', async () => {
    await expect(
      verifyCompactJws(JSON.parse('{}'), p256.publicKey, { algorithm: 'ES256' }),
    ).rejects.toMatchObject({ check: 'format' });
  });

  it('wants to be told the algorithm', async () => {
    await expect(verifyCompactJws(good, p256.publicKey, JSON.parse('{}'))).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  });

  it('refuses a key for another algorithm than the one that is expected', async () => {
    for (const key of [p384.publicKey, ed25519.publicKey, rsa.publicKey]) {
      await expect(verifyCompactJws(good, key, { algorithm: 'ES256' })).rejects.toMatchObject({
        code: 'INVALID_JWK',
      });
    }
    const jwk = { ...p256.publicKey.export({ format: 'jwk' }), alg: 'ES384' };
    await expect(verifyCompactJws(good, jwk, { algorithm: 'ES256' })).rejects.toMatchObject({
      code: 'INVALID_JWK',
    });
  });

  it('refuses a key that is for encryption', async () => {
    const key = parsePublicKey({ operation: 'test', resource: 'JWK' }, rsa.publicKey, {
      algorithm: 'RSA-OAEP-256',
    });
    await expect(verifyCompactJws(good, key, { algorithm: 'RSA-OAEP-256' })).rejects.toMatchObject({
      code: 'INVALID_JWK',
    });
  });

  it('refuses the right signature by another key', async () => {
    const other: KeyObject = generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).publicKey;
    await expect(verifyCompactJws(good, other, { algorithm: 'ES256' })).rejects.toMatchObject({
      check: 'signature',
    });
  });

  it('accepts the example of RFC 7515 appendix A.3', async () => {
    const jws =
      'eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q';
    const jwk = {
      kty: 'EC',
      crv: 'P-256',
      x: 'f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU',
      y: 'x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0',
    };
    const { payload: read } = await verifyCompactJws(jws, jwk, { algorithm: 'ES256' });
    expect(JSON.parse(read.toString())).toMatchObject({ iss: 'joe' });
  });

  it('accepts the example of RFC 8037 appendix A.4', async () => {
    const jws =
      'eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg';
    const jwk = { kty: 'OKP', crv: 'Ed25519', x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo' };
    const { payload: read } = await verifyCompactJws(jws, jwk, { algorithm: 'EdDSA' });
    expect(read.toString()).toBe('Example of Ed25519 signing');
  });
});
