import { createPublicKey, createSecretKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { ml_dsa44, ml_dsa65 } from '@noble/post-quantum/ml-dsa.js';
import { calculateJwkThumbprint, exportJWK } from 'jose';
import { describe, expect, it } from 'vitest';
import { jwkThumbprint, type PublicKeyInput, parsePublicKey, toPublicJwk } from '../../src/identity/jwk.js';
import type { KeyAlgorithm } from '../../src/keys/algorithm-types.js';
import { postQuantumSpki, toPem } from '../../src/keys/spki.js';
import thumbprints from '../vectors/identity/thumbprints.json' with { type: 'json' };

const context = { operation: 'test', resource: 'JWK' };
const pemOf = (key: KeyObject): string => key.export({ type: 'spki', format: 'pem' }).toString();

/** Node can from version 24 on. */
function holdsPostQuantumKeys(pem: string): boolean {
  try {
    return createPublicKey(pem).type === 'public';
  } catch {
    return false;
  }
}

const rsa2048 = generateKeyPairSync('rsa', { modulusLength: 2048 });
const p256 = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
const p384 = generateKeyPairSync('ec', { namedCurve: 'secp384r1' });
const k256 = generateKeyPairSync('ec', { namedCurve: 'secp256k1' });
const ed25519 = generateKeyPairSync('ed25519');

const cases: readonly (readonly [KeyAlgorithm, KeyObject, string, 'sig' | 'enc'])[] = [
  ['EC_SIGN_P256_SHA256', p256.publicKey, 'ES256', 'sig'],
  ['EC_SIGN_P384_SHA384', p384.publicKey, 'ES384', 'sig'],
  ['EC_SIGN_SECP256K1_SHA256', k256.publicKey, 'ES256K', 'sig'],
  ['EC_SIGN_ED25519', ed25519.publicKey, 'EdDSA', 'sig'],
  ['RSA_SIGN_PSS_2048_SHA256', rsa2048.publicKey, 'PS256', 'sig'],
  ['RSA_SIGN_PKCS1_2048_SHA256', rsa2048.publicKey, 'RS256', 'sig'],
  ['RSA_DECRYPT_OAEP_2048_SHA256', rsa2048.publicKey, 'RSA-OAEP-256', 'enc'],
];

describe('a public key as JWK', () => {
  it.each(cases)(
    'of %s has alg, use and the thumbprint as kid, from PEM and KeyObject alike',
    async (...row) => {
      const [algorithm, publicKey, alg, use] = row;
      const jwk = toPublicJwk(publicKey, algorithm);
      expect(jwk).toMatchObject({ alg, use, kid: await calculateJwkThumbprint(await exportJWK(publicKey)) });
      expect(toPublicJwk(pemOf(publicKey), algorithm)).toEqual(jwk);
      expect(toPublicJwk(Buffer.from(pemOf(publicKey)), algorithm)).toEqual(jwk);
    },
  );

  it.each(cases)('of %s is the same key when it is read', (algorithm, publicKey) => {
    const read = parsePublicKey(context, toPublicJwk(publicKey, algorithm));
    expect(read.algorithm.name).toBe(algorithm);
    expect(read.material.kind === 'key-object' && read.material.keyObject.equals(publicKey)).toBe(true);
    expect(read.thumbprint).toBe(read.jwk.kid);
    expect(parsePublicKey(context, read)).toBe(read);
  });

  it('calls Ed25519 by its fully specified name on request, and reads both', () => {
    const jwk = toPublicJwk(ed25519.publicKey, 'EC_SIGN_ED25519', { ed25519Name: 'Ed25519' });
    expect(jwk.alg).toBe('Ed25519');
    expect(parsePublicKey(context, jwk).algorithm.name).toBe('EC_SIGN_ED25519');
    expect(parsePublicKey(context, jwk, { algorithm: 'EdDSA' }).jwk.alg).toBe('Ed25519');
    expect(toPublicJwk(p256.publicKey, 'EC_SIGN_P256_SHA256', { ed25519Name: 'Ed25519' }).alg).toBe('ES256');
  });

  it('of ML-DSA is an AKP key, from PEM and back', () => {
    const { publicKey } = ml_dsa65.keygen(new Uint8Array(32));
    const jwk = toPublicJwk(
      toPem('PUBLIC KEY', postQuantumSpki('ml-dsa-65', publicKey)),
      'PQ_SIGN_ML_DSA_65',
    );
    expect(jwk).toMatchObject({ kty: 'AKP', alg: 'ML-DSA-65', use: 'sig' });
    const { material, thumbprint } = parsePublicKey(context, jwk);
    expect(material).toEqual({ kind: 'raw', parameterSet: 'ml-dsa-65', bytes: publicKey });
    expect(thumbprint).toBe(jwk.kid);
  });

  const mlDsaPem = toPem(
    'PUBLIC KEY',
    postQuantumSpki('ml-dsa-44', ml_dsa44.keygen(new Uint8Array(32)).publicKey),
  );
  it.skipIf(!holdsPostQuantumKeys(mlDsaPem))('of ML-DSA is the same from a KeyObject', () => {
    expect(toPublicJwk(createPublicKey(mlDsaPem), 'PQ_SIGN_ML_DSA_44')).toEqual(
      toPublicJwk(mlDsaPem, 'PQ_SIGN_ML_DSA_44'),
    );
  });

  it.each([
    ['another curve', p384.publicKey, 'EC_SIGN_P256_SHA256'],
    ['another type', ed25519.publicKey, 'EC_SIGN_P256_SHA256'],
    ['another size', rsa2048.publicKey, 'RSA_SIGN_PSS_3072_SHA256'],
  ] as const)('is refused for an algorithm of %s', (_, publicKey, algorithm) => {
    expect(() => toPublicJwk(publicKey, algorithm)).toThrow(expect.objectContaining({ code: 'INVALID_JWK' }));
  });

  it.each(['RSA_SIGN_RAW_PKCS1_2048', 'GOOGLE_SYMMETRIC_ENCRYPTION', 'PQ_SIGN_SLH_DSA_SHA2_128S'] as const)(
    'does not exist for %s, which JOSE has no name for',
    (algorithm) => {
      expect(() => toPublicJwk(rsa2048.publicKey, algorithm)).toThrow(/JOSE has no name/);
    },
  );
});

describe('the thumbprint', () => {
  it.each(thumbprints.map(({ source, ...vector }) => [source, vector] as const))(
    'is that of %s',
    (_, vector) => {
      expect(jwkThumbprint(vector.jwk)).toBe(vector.thumbprint);
    },
  );

  it.each([
    ['a member is not there', { kty: 'EC', crv: 'P-256', x: 'AA' }],
    ['the type is unknown', { kty: 'oct', k: 'AA' }],
    ['a member is not a string', { kty: 'OKP', crv: 'Ed25519', x: 1 }],
    ['there is no type', {}],
  ])('is refused when %s', (_, jwk) => {
    expect(() => jwkThumbprint(jwk)).toThrow(expect.objectContaining({ code: 'INVALID_JWK' }));
  });
});

describe('reading a public key of a stranger', () => {
  const ec = p256.publicKey.export({ format: 'jwk' });
  const rsa = rsa2048.publicKey.export({ format: 'jwk' });
  const okp = ed25519.publicKey.export({ format: 'jwk' });
  const smallExponent = generateKeyPairSync('rsa', { modulusLength: 2048, publicExponent: 3 });
  const rsa1024 = generateKeyPairSync('rsa', { modulusLength: 1024 });
  const p521 = generateKeyPairSync('ec', { namedCurve: 'secp521r1' });
  const x25519 = generateKeyPairSync('x25519');
  const rsaPss = generateKeyPairSync('rsa-pss', { modulusLength: 2048 });
  const flip = (text = ''): string => text.slice(0, 5) + (text[5] === 'A' ? 'B' : 'A') + text.slice(6);

  it('keeps the kid that its owner gave it, and tells the thumbprint apart from it', () => {
    const read = parsePublicKey(context, { ...ec, kid: 'key-1' });
    expect(read.jwk.kid).toBe('key-1');
    expect(read.thumbprint).toBe(jwkThumbprint(ec));
  });

  it('takes a key that permits verification among other operations', () => {
    expect(parsePublicKey(context, { ...ec, key_ops: ['verify', 'other'] }).jwk.alg).toBe('ES256');
  });

  it('wants to be told the algorithm of an RSA key that does not name it', () => {
    expect(() => parsePublicKey(context, rsa)).toThrow(/several algorithms/);
    expect(parsePublicKey(context, rsa, { use: 'sig', algorithm: 'PS256' }).jwk).toMatchObject({
      alg: 'PS256',
      use: 'sig',
    });
    expect(parsePublicKey(context, { ...rsa, alg: 'RS256' }).jwk.alg).toBe('RS256');
  });

  it('says that it is the algorithm asked for that does not fit, not the key', () => {
    const { jwk } = parsePublicKey(context, p384.publicKey);
    for (const key of [jwk, parsePublicKey(context, jwk)]) {
      expect(() => parsePublicKey(context, key, { algorithm: 'RS256', use: 'sig' })).toThrow(
        'it is a key for ES384, and one for "RS256" and "sig" was asked for. Check the algorithm',
      );
    }
    expect(() => parsePublicKey(context, { ...jwk, alg: 'RS256' })).toThrow(
      'its type and size is not one for "RS256" and "sig". Ask its owner',
    );
  });

  it('does not see what a JWK inherits', () => {
    expect(() => parsePublicKey(context, Object.create(ec))).toThrow(/kty/);
  });

  it('binds a key that was parsed before to its algorithm', () => {
    const read = parsePublicKey(context, ec);
    expect(() => parsePublicKey(context, read, { algorithm: 'ES384' })).toThrow(/ES384/);
    expect(() => parsePublicKey(context, read, { use: 'enc' })).toThrow(/enc/);
    expect(Object.isFrozen(read) && Object.isFrozen(read.jwk)).toBe(true);
  });

  const refused: readonly (readonly [string, unknown, RegExp])[] = [
    ['a private JWK', p256.privateKey.export({ format: 'jwk' }), /private/],
    ['a secret JWK', { kty: 'oct', k: 'AAAA' }, /secret/],
    ['a private KeyObject', p256.privateKey, /private/],
    ['a secret KeyObject', createSecretKey(Buffer.alloc(32)), /secret/],
    ['a private PEM', p256.privateKey.export({ type: 'pkcs8', format: 'pem' }), /PUBLIC KEY/],
    ['a PKCS#1 PEM', rsa2048.publicKey.export({ type: 'pkcs1', format: 'pem' }), /PUBLIC KEY/],
    ['a PEM of nothing', '-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----', /not a public key/],
    ['a PEM that is too long', `-----BEGIN PUBLIC KEY-----\n${'A'.repeat(20_000)}`, /PUBLIC KEY/],
    ['an unknown type', { kty: 'XYZ' }, /kty/],
    ['no type', {}, /kty/],
    ['nothing', undefined, /required/],
    ['null', null, /required/],
    ['a number', 5, /required/],
    ['a missing coordinate', { ...ec, y: undefined }, /y is not there/],
    ['a coordinate that is a number', { ...ec, x: 5 }, /x is not there/],
    ['a coordinate beyond all sizes', { ...ec, x: 'A'.repeat(20_000) }, /x is not there/],
    ['a point that is not on the curve', { ...ec, x: flip(ec.x) }, /damaged/],
    ['a coordinate with padding', { ...ec, x: `${ec.x}=` }, /canonical/],
    [
      'a coordinate with a zero byte before it',
      {
        ...ec,
        x: Buffer.concat([Buffer.alloc(1), Buffer.from(ec.x ?? '', 'base64url')]).toString('base64url'),
      },
      /canonical|damaged/,
    ],
    [
      'a modulus with a zero byte before it',
      {
        ...rsa,
        alg: 'PS256',
        n: Buffer.concat([Buffer.alloc(1), Buffer.from(rsa.n ?? '', 'base64url')]).toString('base64url'),
      },
      /canonical/,
    ],
    ['an Ed25519 key of 31 bytes', { ...okp, x: okp.x?.slice(0, -2) }, /damaged/],
    ['the curve P-521', p521.publicKey.export({ format: 'jwk' }), /P-521|secp521r1/],
    ['X25519', x25519.publicKey.export({ format: 'jwk' }), /x25519/],
    ['a key restricted to RSASSA-PSS', rsaPss.publicKey, /rsa-pss/],
    ['RSA of 1,024 bits', { ...rsa1024.publicKey.export({ format: 'jwk' }), alg: 'RS256' }, /size/],
    [
      'a public exponent of 3',
      { ...smallExponent.publicKey.export({ format: 'jwk' }), alg: 'RS256' },
      /exponent/,
    ],
    ['an algorithm of another curve', { ...ec, alg: 'ES384' }, /ES384/],
    ['the algorithm none', { ...ec, alg: 'none' }, /none/],
    ['an HMAC algorithm', { ...rsa, alg: 'HS256' }, /HS256/],
    ['an algorithm that is a number', { ...ec, alg: 7 }, /alg/],
    ['another use', { ...ec, use: 'enc' }, /enc/],
    ['a use that there is not', { ...ec, use: 'sign' }, /sign/],
    ['operations that permit neither', { ...ec, key_ops: ['sign'] }, /key_ops/],
    ['operations that are no list', { ...ec, key_ops: 'verify' }, /key_ops/],
    ['an empty kid', { ...ec, kid: '' }, /kid/],
    ['a kid that is too long', { ...ec, kid: 'k'.repeat(257) }, /kid/],
    ['an AKP key of unknown algorithm', { kty: 'AKP', alg: 'ML-DSA-99', pub: 'AA' }, /AKP/],
    ['an AKP key without alg', { kty: 'AKP', pub: 'AA' }, /AKP/],
    ['an AKP key of another size', { kty: 'AKP', alg: 'ML-DSA-44', pub: 'AAAA' }, /1312 bytes/],
    [
      'an AKP key with a private member',
      { kty: 'AKP', alg: 'ML-DSA-44', priv: 'AA', pub: 'AAAA' },
      /private/,
    ],
  ];
  it.each(refused)('refuses %s', (_, input, problem) => {
    // Typed as a key: what comes from a stranger is of any type.
    const parse = (): unknown => parsePublicKey(context, input as PublicKeyInput);
    expect(parse).toThrow(
      expect.objectContaining({ code: 'INVALID_JWK', message: expect.stringMatching(problem) }),
    );
  });

  it('has no trouble with a PEM that has white space around it', () => {
    const pem = `\n${createPublicKey(p256.privateKey).export({ type: 'spki', format: 'pem' })}\n`;
    expect(parsePublicKey(context, pem).jwk.alg).toBe('ES256');
  });
});
