import { constants, generateKeyPairSync, privateDecrypt, publicEncrypt, randomBytes } from 'node:crypto';
import { CompactEncrypt, compactDecrypt } from 'jose';
import { describe, expect, it } from 'vitest';
import {
  encryptCompactJwe,
  JWE_PLAINTEXT_MAX_BYTES,
  openJwe,
  parseCompactJwe,
} from '../../src/identity/jwe.js';
import { toPublicJwk } from '../../src/identity/jwk.js';

const context = { operation: 'test', resource: 'JWE' };
const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 3072 });
const small = generateKeyPairSync('rsa', { modulusLength: 2048 });
const ec = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
const jwk = toPublicJwk(publicKey, 'RSA_DECRYPT_OAEP_3072_SHA256');
const plaintext = Buffer.from('pay 10 EUR to alice');
const b64u = (value: string | Uint8Array): string => Buffer.from(value).toString('base64url');

const unwrap = (encryptedKey: Uint8Array): Buffer =>
  privateDecrypt(
    { key: privateKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' },
    encryptedKey,
  );
function open(jwe: string): Buffer {
  const parsed = parseCompactJwe(context, jwe);
  return openJwe(context, parsed, unwrap(parsed.encryptedKey));
}

describe('encrypting to a public key', () => {
  it.each([0, 1, 19, 100_000])('gives jose %i bytes back', async (sizeBytes) => {
    const bytes = randomBytes(sizeBytes);
    const jwe = encryptCompactJwe(jwk, bytes, { typ: 'a2a+jwe', cty: 'application/json' });
    const decrypted = await compactDecrypt(jwe, privateKey, {
      keyManagementAlgorithms: ['RSA-OAEP-256'],
      contentEncryptionAlgorithms: ['A256GCM'],
    });
    expect(Buffer.from(decrypted.plaintext)).toEqual(bytes);
    expect(decrypted.protectedHeader).toEqual({
      alg: 'RSA-OAEP-256',
      enc: 'A256GCM',
      kid: jwk.kid,
      typ: 'a2a+jwe',
      cty: 'application/json',
    });
  });

  it('never makes the same JWE twice', () => {
    const [first, second] = [encryptCompactJwe(jwk, plaintext), encryptCompactJwe(jwk, plaintext)];
    expect(first.split('.')[1]).not.toBe(second.split('.')[1]);
    expect(first.split('.')[2]).not.toBe(second.split('.')[2]);
  });

  it('takes a key of 2,048 bits that a peer has, without alg, under its own kid', async () => {
    const peer = { ...small.publicKey.export({ format: 'jwk' }), kid: 'peer-1' };
    const { protectedHeader } = await compactDecrypt(encryptCompactJwe(peer, plaintext), small.privateKey);
    expect(protectedHeader.kid).toBe('peer-1');
  });

  it.each([
    ['an EC key', ec.publicKey],
    ['a private key', privateKey],
    ['a key for signatures', { ...jwk, use: 'sig' }],
    ['a key for RSA-OAEP with SHA-1', { ...jwk, alg: 'RSA-OAEP' }],
    ['a key for RSA1_5', { ...jwk, alg: 'RSA1_5' }],
    ['a key that only signs', toPublicJwk(publicKey, 'RSA_SIGN_PSS_3072_SHA256')],
  ])('refuses %s', (_, key) => {
    expect(() => encryptCompactJwe(key, plaintext)).toThrow(expect.objectContaining({ code: 'INVALID_JWK' }));
  });

  it('refuses a string for a plaintext', () => {
    expect(() => encryptCompactJwe(jwk, JSON.parse('"text"'))).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    );
  });

  it('takes 16 MiB and reads it, and refuses a byte more', () => {
    const largest = Buffer.alloc(JWE_PLAINTEXT_MAX_BYTES, 7);
    expect(open(encryptCompactJwe(jwk, largest)).equals(largest)).toBe(true);
    expect(() => encryptCompactJwe(jwk, Buffer.alloc(JWE_PLAINTEXT_MAX_BYTES + 1))).toThrow(
      expect.objectContaining({ code: 'DATA_TOO_LARGE', limitBytes: 16_777_216 }),
    );
  });
});

describe('reading a JWE', () => {
  const good = encryptCompactJwe(jwk, plaintext);
  const [header = '', wrapped = '', iv = '', ciphertext = '', tag = ''] = good.split('.');
  const withHeader = (members: Record<string, unknown>): string =>
    [
      b64u(JSON.stringify({ alg: 'RSA-OAEP-256', enc: 'A256GCM', ...members })),
      wrapped,
      iv,
      ciphertext,
      tag,
    ].join('.');

  it('opens what jose made', async () => {
    const jwe = await new CompactEncrypt(plaintext)
      .setProtectedHeader({ alg: 'RSA-OAEP-256', enc: 'A256GCM', typ: 'x' })
      .encrypt(publicKey);
    expect(open(jwe)).toEqual(plaintext);
    expect(parseCompactJwe(context, jwe).kid).toBeUndefined();
  });

  const refused: readonly (readonly [string, string, string])[] = [
    ['nothing', '', 'format'],
    ['a JWS', 'a.b.c', 'format'],
    ['six parts', `${good}.x`, 'format'],
    ['no header', `.${wrapped}.${iv}.${ciphertext}.${tag}`, 'format'],
    ['more than the limit', `${good}${'A'.repeat(23_000_000)}`, 'size'],
    ['a header of megabytes', withHeader({ x: 'x'.repeat(10_000) }), 'size'],
    ['another alg', withHeader({ alg: 'RSA-OAEP' }), 'algorithm'],
    ['the alg RSA1_5', withHeader({ alg: 'RSA1_5' }), 'algorithm'],
    ['the alg dir', withHeader({ alg: 'dir' }), 'algorithm'],
    ['a password-based alg', withHeader({ alg: 'PBES2-HS512+A256KW', p2c: 1e9, p2s: 'x' }), 'algorithm'],
    ['no alg', withHeader({ alg: undefined }), 'algorithm'],
    ['another enc', withHeader({ enc: 'A128GCM' }), 'algorithm'],
    ['an enc that is CBC', withHeader({ enc: 'A256CBC-HS512' }), 'algorithm'],
    ['no enc', withHeader({ enc: undefined }), 'algorithm'],
    ['p2c', withHeader({ p2c: 1e9 }), 'algorithm'],
    ['epk', withHeader({ epk: {} }), 'algorithm'],
    ['iv in the header', withHeader({ iv: 'x' }), 'algorithm'],
    ['zip', withHeader({ zip: 'DEF' }), 'compression'],
    ['crit', withHeader({ crit: ['x'], x: 1 }), 'critical-header'],
    ['a kid that is a number', withHeader({ kid: 7 }), 'format'],
    ['a header that is not JSON', `${b64u('{')}.${wrapped}.${iv}.${ciphertext}.${tag}`, 'format'],
    ['a wrapped key with padding', `${header}.${wrapped}=.${iv}.${ciphertext}.${tag}`, 'format'],
    ['an IV with white space', `${header}.${wrapped}.${iv} .${ciphertext}.${tag}`, 'format'],
    ['an IV of 16 bytes', `${header}.${wrapped}.${b64u(Buffer.alloc(16))}.${ciphertext}.${tag}`, 'format'],
    ['a tag of 12 bytes', `${header}.${wrapped}.${iv}.${ciphertext}.${b64u(Buffer.alloc(12))}`, 'format'],
    ['an empty tag', `${header}.${wrapped}.${iv}.${ciphertext}.`, 'format'],
  ];
  it.each(refused)('refuses %s', (_, jwe, check) => {
    expect(() => parseCompactJwe(context, jwe)).toThrow(
      expect.objectContaining({ code: 'INVALID_JWE', check }),
    );
  });

  it('refuses what is not a string', () => {
    expect(() => parseCompactJwe(context, JSON.parse('{}'))).toThrow(
      expect.objectContaining({ check: 'format' }),
    );
  });

  it('refuses a change of header, IV, ciphertext or tag', () => {
    const change = (part: string): string => `${part[0] === 'A' ? 'B' : 'A'}${part.slice(1)}`;
    for (const jwe of [
      withHeader({ kid: jwk.kid, typ: 'x' }),
      [header, wrapped, change(iv), ciphertext, tag].join('.'),
      [header, wrapped, iv, change(ciphertext), tag].join('.'),
      [header, wrapped, iv, b64u(Buffer.from(ciphertext, 'base64url').subarray(0, -1)), tag].join('.'),
      [header, wrapped, iv, '', tag].join('.'),
      [header, wrapped, iv, ciphertext, change(tag)].join('.'),
    ]) {
      expect(() => open(jwe)).toThrow(expect.objectContaining({ code: 'DECRYPTION_FAILED' }));
    }
  });

  it.each([16, 24, 31, 33, 64])('refuses a content key of %i bytes like a wrong one', (sizeBytes) => {
    const wrong = publicEncrypt(
      { key: publicKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' },
      Buffer.alloc(sizeBytes, 1),
    );
    const messageOf = (jwe: string): string => {
      try {
        open(jwe);
        return 'opened';
      } catch (error) {
        return String(error);
      }
    };
    const wrongLength = messageOf([header, b64u(wrong), iv, ciphertext, tag].join('.'));
    const wrongTag = messageOf([header, wrapped, iv, ciphertext, b64u(Buffer.alloc(16))].join('.'));
    expect(wrongLength).toBe(wrongTag);
    expect(wrongLength).toContain('could not be decrypted');
  });
});
