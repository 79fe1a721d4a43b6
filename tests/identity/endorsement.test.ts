import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { KmsEmulator } from '../../src/emulator/index.js';
import {
  ENDORSEMENT_TYPE,
  issueEndorsement,
  type VerifyEndorsementOptions,
  verifyEndorsement,
} from '../../src/identity/endorsement.js';
import { jwkThumbprint, toPublicJwk } from '../../src/identity/jwk.js';
import type { KMSClient } from '../../src/index.js';
import { newClient, startTestEmulator } from '../support/emulator.js';

const NOW_SECONDS = Date.UTC(2026, 5, 1) / 1_000;
const clockAt = (seconds: number) => ({ now: () => seconds * 1_000, setTimer: () => () => {} });
const b64u = (value: string | Uint8Array): string => Buffer.from(value).toString('base64url');

const root = generateKeyPairSync('ec', { namedCurve: 'secp384r1' });
const otherRoot = generateKeyPairSync('ec', { namedCurve: 'secp384r1' });
const agent = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const rootJwk = toPublicJwk(root.publicKey, 'EC_SIGN_P384_SHA384');
const key = toPublicJwk(agent.publicKey, 'EC_SIGN_P256_SHA256');
const keyVersion = 'projects/p/locations/global/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1';

const claims = {
  sub: 'invoice-bot',
  iat: NOW_SECONDS,
  nbf: NOW_SECONDS,
  exp: NOW_SECONDS + 3_600,
  cnf: { jkt: key.kid },
  key_version: keyVersion,
  key_alg: 'ES256',
  key_use: 'sig',
};

/** Signs anything as the root would: a root that is made to sign the wrong thing is one of the cases. */
function endorse(
  overrides: Record<string, unknown> = {},
  rest: {
    readonly header?: Record<string, unknown>;
    readonly by?: KeyObject;
    readonly payload?: string;
  } = {},
): string {
  const header = { typ: ENDORSEMENT_TYPE, alg: 'ES384', kid: rootJwk.kid, ...rest.header };
  const input = `${b64u(JSON.stringify(header))}.${b64u(rest.payload ?? JSON.stringify({ ...claims, ...overrides }))}`;
  const signer = { key: rest.by ?? root.privateKey, dsaEncoding: 'ieee-p1363' } as const;
  return `${input}.${b64u(sign('sha384', Buffer.from(input), signer))}`;
}

const right: VerifyEndorsementOptions = {
  rootPublicKey: rootJwk,
  agentId: 'invoice-bot',
  key,
  clock: clockAt(NOW_SECONDS + 60),
};

describe('verifying an endorsement offline', () => {
  it('tells what the root says', async () => {
    expect(await verifyEndorsement(endorse(), right)).toEqual({
      agentId: 'invoice-bot',
      keyThumbprint: jwkThumbprint(key),
      keyVersion,
      algorithm: 'ES256',
      use: 'sig',
      issuedAt: new Date(NOW_SECONDS * 1_000),
      notBefore: new Date(NOW_SECONDS * 1_000),
      expiresAt: new Date((NOW_SECONDS + 3_600) * 1_000),
      rootThumbprint: rootJwk.kid,
    });
  });

  it.each([
    [
      'PEM',
      root.publicKey.export({ type: 'spki', format: 'pem' }),
      agent.publicKey.export({ type: 'spki', format: 'pem' }),
    ],
    ['KeyObject', root.publicKey, agent.publicKey],
    [
      'a JWK without kid and alg',
      root.publicKey.export({ format: 'jwk' }),
      agent.publicKey.export({ format: 'jwk' }),
    ],
  ])('takes the keys as %s', async (_, rootPublicKey, agentKey) => {
    await expect(
      verifyEndorsement(endorse(), { ...right, rootPublicKey, key: agentKey }),
    ).resolves.toBeDefined();
  });

  it('takes the keys of several root versions and picks the one that signed', async () => {
    const rootPublicKey = [toPublicJwk(otherRoot.publicKey, 'EC_SIGN_P384_SHA384'), rootJwk];
    expect((await verifyEndorsement(endorse(), { ...right, rootPublicKey })).rootThumbprint).toBe(
      rootJwk.kid,
    );
  });

  it('takes a JWK Set, picks the key that signed, and passes over what cannot be a root key', async () => {
    const foreign = [
      { kty: 'oct', k: 'AA' },
      toPublicJwk(rsa.publicKey, 'RSA_DECRYPT_OAEP_2048_SHA256'),
      toPublicJwk(otherRoot.publicKey, 'EC_SIGN_P384_SHA384'),
    ];
    const rootPublicKey = { keys: [...foreign, rootJwk] };
    expect((await verifyEndorsement(endorse(), { ...right, rootPublicKey })).rootThumbprint).toBe(
      rootJwk.kid,
    );
    await expect(
      verifyEndorsement(endorse(), { ...right, rootPublicKey: { keys: foreign } }),
    ).rejects.toMatchObject({ check: 'root-key' });
  });

  it('takes a root key under the kid that its publisher gave it', async () => {
    const rootPublicKey = { ...rootJwk, kid: 'root-2026' };
    const endorsement = endorse({}, { header: { kid: 'root-2026' } });
    await expect(verifyEndorsement(endorsement, { ...right, rootPublicKey })).resolves.toBeDefined();
  });

  it.each([
    ['a minute early within the default skew', NOW_SECONDS - 59, undefined],
    ['five minutes early within the largest skew', NOW_SECONDS - 300, 300],
    ['at its last second', NOW_SECONDS + 3_599, 0],
    ['a minute late within the default skew', NOW_SECONDS + 3_659, undefined],
  ])('accepts it %s', async (_, now, clockSkewSeconds) => {
    await expect(
      verifyEndorsement(endorse(), { ...right, clock: clockAt(now), clockSkewSeconds }),
    ).resolves.toBeDefined();
  });

  it.each([
    ['before it is valid', NOW_SECONDS - 61, undefined, 'not-yet-valid'],
    ['before it is valid, without skew', NOW_SECONDS - 1, 0, 'not-yet-valid'],
    ['when it has expired', NOW_SECONDS + 3_660, undefined, 'expired'],
    ['at the second it expires, without skew', NOW_SECONDS + 3_600, 0, 'expired'],
  ])('refuses it %s', async (_, now, clockSkewSeconds, check) => {
    await expect(
      verifyEndorsement(endorse(), { ...right, clock: clockAt(now), clockSkewSeconds }),
    ).rejects.toMatchObject({ code: 'ENDORSEMENT_REJECTED', check });
  });

  const refused: readonly (readonly [string, string, string])[] = [
    ['of another agent', endorse({ sub: 'other-bot' }), 'agent'],
    ['of an agent whose id only begins the same', endorse({ sub: 'invoice-bot2' }), 'agent'],
    ['of another key', endorse({ cnf: { jkt: rootJwk.kid } }), 'key'],
    ['for another algorithm', endorse({ key_alg: 'ES384' }), 'key-algorithm'],
    ['for another use', endorse({ key_use: 'enc' }), 'key-algorithm'],
    ['issued in the future', endorse({ iat: NOW_SECONDS + 600 }), 'not-yet-valid'],
    ['without a subject', endorse({ sub: undefined }), 'format'],
    ['without an expiry', endorse({ exp: undefined }), 'format'],
    ['with an expiry that is a string', endorse({ exp: '2030' }), 'format'],
    ['with times in milliseconds and fractions', endorse({ exp: NOW_SECONDS + 0.5 }), 'format'],
    ['that expires before it begins', endorse({ exp: NOW_SECONDS - 1 }), 'format'],
    ['that is valid for years', endorse({ exp: NOW_SECONDS + 34_300_801 }), 'format'],
    ['that begins in a time no calendar has', endorse({ nbf: 9e15, exp: 9e15 + 5 }), 'not-yet-valid'],
    ['without a thumbprint', endorse({ cnf: {} }), 'format'],
    ['whose payload is not JSON', endorse({}, { payload: 'hello' }), 'format'],
    ['whose payload is a list', endorse({}, { payload: '[]' }), 'format'],
    ['of another type', endorse({}, { header: { typ: 'JWT' } }), 'type'],
    ['without a type', endorse({}, { header: { typ: undefined } }), 'type'],
    ['of another algorithm', endorse({}, { header: { alg: 'ES256' } }), 'algorithm'],
    ['of no algorithm', endorse({}, { header: { alg: 'none' } }), 'algorithm'],
    ['with a critical extension', endorse({}, { header: { crit: ['exp'], exp: 1 } }), 'critical-header'],
    ['by another root', endorse({}, { by: otherRoot.privateKey }), 'signature'],
    ['that names another root', endorse({}, { header: { kid: 'other' } }), 'root-key'],
    ['that names no root', endorse({}, { header: { kid: undefined } }), 'root-key'],
    ['that is cut off', endorse().slice(0, -4), 'signature'],
    ['that is not a JWS', 'endorsed', 'format'],
    ['that is too long', endorse({ more: 'x'.repeat(20_000) }), 'size'],
  ];
  it.each(refused)('refuses one %s', async (_, endorsement, check) => {
    await expect(verifyEndorsement(endorsement, right)).rejects.toMatchObject({
      code: 'ENDORSEMENT_REJECTED',
      check,
    });
  });

  it('refuses it when any character was changed', async () => {
    const endorsement = endorse();
    for (let at = 0; at < endorsement.length; at += 7) {
      const changed = `${endorsement.slice(0, at)}${endorsement[at] === 'A' ? 'B' : 'A'}${endorsement.slice(at + 1)}`;
      if (changed === endorsement) continue;
      await expect(verifyEndorsement(changed, right)).rejects.toMatchObject({ code: 'ENDORSEMENT_REJECTED' });
    }
  });

  it('refuses an RSA key for the other padding than the one that was endorsed', async () => {
    const pss = toPublicJwk(rsa.publicKey, 'RSA_SIGN_PSS_2048_SHA256');
    const endorsement = endorse({ cnf: { jkt: pss.kid }, key_alg: 'PS256' });
    await expect(verifyEndorsement(endorsement, { ...right, key: pss })).resolves.toBeDefined();
    await expect(
      verifyEndorsement(endorsement, { ...right, key: { ...pss, alg: 'RS256' } }),
    ).rejects.toMatchObject({ check: 'key-algorithm' });
  });

  it.each([
    ['a skew beyond five minutes', { clockSkewSeconds: 301 }, 'INVALID_ARGUMENT'],
    ['a negative skew', { clockSkewSeconds: -1 }, 'INVALID_ARGUMENT'],
    ['no root key', { rootPublicKey: [] }, 'INVALID_ARGUMENT'],
    ['an empty JWK Set', { rootPublicKey: { keys: [] } }, 'INVALID_ARGUMENT'],
    ['a JWK Set without a key that signs', { rootPublicKey: { keys: [{ kty: 'oct' }] } }, 'INVALID_JWK'],
    [
      'a root key that encrypts',
      { rootPublicKey: toPublicJwk(rsa.publicKey, 'RSA_DECRYPT_OAEP_2048_SHA256') },
      'INVALID_JWK',
    ],
    ['an RSA key of the agent that names no algorithm', { key: rsa.publicKey }, 'INVALID_JWK'],
  ])('refuses %s as an argument', async (_, overrides, code) => {
    await expect(verifyEndorsement(endorse(), { ...right, ...overrides })).rejects.toMatchObject({ code });
  });

  it('goes by the real clock when none is given', async () => {
    const { clock: _, ...options } = right;
    const now = Math.floor(Date.now() / 1_000);
    await expect(
      verifyEndorsement(endorse({ iat: now, nbf: now, exp: now + 60 }), options),
    ).resolves.toBeDefined();
    await expect(verifyEndorsement(endorse({ iat: 1, nbf: 1, exp: 2 }), options)).rejects.toMatchObject({
      check: 'expired',
    });
  });
});

describe('issuing an endorsement', () => {
  let emulator: KmsEmulator;
  let client: KMSClient;
  let rootKey: string;
  beforeAll(async () => {
    emulator = await startTestEmulator();
    client = newClient(emulator);
    await client.initialize();
    rootKey = (
      await client.generateKey({ name: 'root', purpose: 'ASYMMETRIC_SIGN', algorithm: 'EC_SIGN_P384_SHA384' })
    ).name;
  });
  afterAll(async () => {
    await client.close();
    await emulator.close();
  });

  it('makes one that verifies with the public key of the root alone', async () => {
    const endorsement = await issueEndorsement(client, rootKey, { agentId: 'invoice-bot', key, keyVersion });
    const rootPublicKey = await client.getPublicKey(rootKey);
    emulator.requests.clear();
    const { issuedAt, expiresAt } = await verifyEndorsement(endorsement, {
      rootPublicKey,
      agentId: 'invoice-bot',
      key,
    });
    expect(expiresAt.getTime() - issuedAt.getTime()).toBe(2_592_000_000);
    expect(emulator.requests.count()).toBe(0);
  });

  it.each([
    ['an agent id that is none', { agentId: '' }],
    ['a validity of zero', { validitySeconds: 0 }],
    ['a validity in fractions', { validitySeconds: 1.5 }],
    ['a validity of more than 397 days', { validitySeconds: 34_300_801 }],
  ])('refuses %s before any call', async (_, overrides) => {
    emulator.requests.clear();
    await expect(
      issueEndorsement(client, rootKey, { agentId: 'a', key, keyVersion, ...overrides }),
    ).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(emulator.requests.count()).toBe(0);
  });
});
