/** Frozen bytes, read by the decoders alone: what was once written must be readable for ever. */

import { constants, createPrivateKey, createPublicKey, privateDecrypt, verify } from 'node:crypto';
import { calculateJwkThumbprint, compactDecrypt, jwtVerify } from 'jose';
import { describe, expect, it } from 'vitest';
import { derToP1363, p1363ToDer } from '../../src/identity/der.js';
import { verifyEndorsement } from '../../src/identity/endorsement.js';
import { openJwe, parseCompactJwe } from '../../src/identity/jwe.js';
import { verifyCompactJws } from '../../src/identity/jws.js';
import ecdsa from '../vectors/identity/ecdsa.json' with { type: 'json' };
import endorsements from '../vectors/identity/endorsements.json' with { type: 'json' };
import jwes from '../vectors/identity/jwe.json' with { type: 'json' };
import jwss from '../vectors/identity/jws.json' with { type: 'json' };

/** jose 6 has no secp256k1, and ML-DSA only where node:crypto has it. */
const UNKNOWN_TO_JOSE = ['ES256K', 'ML-DSA-44'];
const context = { operation: 'test', resource: 'vector' };
const at = (iso: string) => ({ now: () => Date.parse(iso) });
const bySource = <T extends { readonly source: string }>(vectors: readonly T[]) =>
  vectors.map((vector) => [vector.source, vector] as const);

describe('known answers', () => {
  it.each(bySource(ecdsa))('ECDSA: %s', (_, vector) => {
    const [raw, der] = [Buffer.from(vector.raw, 'hex'), Buffer.from(vector.der, 'hex')];
    expect(derToP1363(der, vector.coordinateBytes)).toEqual({ ok: true, value: raw });
    expect(p1363ToDer(raw, vector.coordinateBytes)).toEqual({ ok: true, value: der });
    const coordinate = (hex: string): string => Buffer.from(hex, 'hex').toString('base64url');
    const jwk = { kty: 'EC', crv: vector.crv, x: coordinate(vector.x), y: coordinate(vector.y) };
    const key = createPublicKey({ key: jwk, format: 'jwk' });
    const message = Buffer.from(vector.message);
    expect(verify(vector.hash, message, { key, dsaEncoding: 'ieee-p1363' }, raw)).toBe(true);
    expect(verify(vector.hash, message, { key, dsaEncoding: 'der' }, der)).toBe(true);
  });

  it.each(bySource(jwss))('JWS: %s', async (_, { jws, key, algorithm, payload }) => {
    expect((await verifyCompactJws(jws, key, { algorithm })).payload.toString()).toBe(payload);
  });

  it.each(bySource(jwes))('JWE: %s', (_, vector) => {
    const jwe = parseCompactJwe(context, vector.jwe);
    expect(jwe.kid).toBe(vector.kid);
    const contentKey = privateDecrypt(
      {
        key: createPrivateKey({ key: vector.privateKey, format: 'jwk' }),
        padding: constants.RSA_PKCS1_OAEP_PADDING,
        oaepHash: 'sha256',
      },
      jwe.encryptedKey,
    );
    expect(openJwe(context, jwe, contentKey).toString('base64url')).toBe(vector.plaintext);
  });

  it.each(bySource(jwes))('JWE, by jose alone: %s', async (_, vector) => {
    const key = createPrivateKey({ key: vector.privateKey, format: 'jwk' });
    const { plaintext, protectedHeader } = await compactDecrypt(vector.jwe, key);
    expect(Buffer.from(plaintext).toString('base64url')).toBe(vector.plaintext);
    expect(protectedHeader).toMatchObject({ alg: 'RSA-OAEP-256', enc: 'A256GCM', kid: vector.kid });
  });

  it('content encryption of RFC 7516 appendix A.1', () => {
    const contentKey = Buffer.from([
      177, 161, 244, 128, 84, 143, 225, 115, 63, 180, 3, 255, 107, 154, 212, 246, 138, 7, 110, 91, 112, 46,
      34, 105, 47, 130, 203, 46, 122, 234, 64, 252,
    ]);
    const part = (text: string): Buffer => Buffer.from(text, 'base64url');
    const plaintext = openJwe(
      context,
      {
        header: {},
        kid: undefined,
        encryptedKey: Buffer.alloc(0),
        iv: part('48V1_ALb6US04U3b'),
        ciphertext: part(
          '5eym8TW_c8SuK0ltJ3rpYIzOeDQz7TALvtu6UG9oMo4vpzs9tX_EFShS8iB7j6jiSdiwkIr3ajwQzaBtQD_A',
        ),
        tag: part('XFBoMYUZodetZdvTiFvSkQ'),
        associatedData: Buffer.from('eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ'),
      },
      contentKey,
    );
    expect(plaintext.toString()).toBe('The true sign of intelligence is not knowledge but imagination.');
  });

  it.each(bySource(endorsements))('endorsement: %s', async (_, vector) => {
    const { endorsement, root: rootPublicKey, key, agentId, keyVersion, notBefore, expiresAt } = vector;
    const clock = at('2026-01-15T12:00:00Z');
    expect(await verifyEndorsement(endorsement, { rootPublicKey, key, agentId, clock })).toEqual({
      agentId,
      keyThumbprint: key.kid,
      keyVersion,
      algorithm: key.alg,
      use: key.use,
      issuedAt: new Date(notBefore),
      notBefore: new Date(notBefore),
      expiresAt: new Date(expiresAt),
      rootThumbprint: rootPublicKey.kid,
    });
  });

  it.each(bySource(endorsements.filter(({ root }) => !UNKNOWN_TO_JOSE.includes(root.alg))))(
    'endorsement, by jose alone: %s',
    async (_, vector) => {
      const { payload, protectedHeader } = await jwtVerify(
        vector.endorsement,
        createPublicKey({ key: { ...vector.root }, format: 'jwk' }),
        {
          typ: 'a2a-endorsement+jwt',
          subject: vector.agentId,
          currentDate: new Date('2026-01-15T12:00:00Z'),
        },
      );
      expect(protectedHeader).toEqual({
        typ: 'a2a-endorsement+jwt',
        alg: vector.root.alg,
        kid: await calculateJwkThumbprint({ ...vector.root }),
      });
      expect(payload).toEqual({
        sub: vector.agentId,
        iat: Date.parse(vector.notBefore) / 1_000,
        nbf: Date.parse(vector.notBefore) / 1_000,
        exp: Date.parse(vector.expiresAt) / 1_000,
        cnf: { jkt: await calculateJwkThumbprint({ ...vector.key }) },
        key_version: vector.keyVersion,
        key_alg: vector.key.alg,
        key_use: vector.key.use,
      });
    },
  );

  it('no endorsement is valid for another root, agent, key or time', async () => {
    const [first, ...others] = endorsements;
    if (first === undefined) throw new Error('no vectors');
    const { endorsement, root, key, agentId } = first;
    const right = { rootPublicKey: root, key, agentId, clock: at('2026-01-15T12:00:00Z') };
    for (const { root: rootPublicKey, key: otherKey } of others) {
      if (rootPublicKey.kid !== root.kid) {
        await expect(verifyEndorsement(endorsement, { ...right, rootPublicKey })).rejects.toMatchObject({
          check: 'root-key',
        });
      }
      if (otherKey.kid !== key.kid) {
        await expect(verifyEndorsement(endorsement, { ...right, key: otherKey })).rejects.toMatchObject({
          check: 'key',
        });
      }
    }
    await expect(verifyEndorsement(endorsement, { ...right, agentId: 'Käthe' })).rejects.toMatchObject({
      check: 'agent',
    });
    for (const [now, check] of [
      ['2025-12-31T23:58:59Z', 'not-yet-valid'],
      ['2026-01-31T00:01:00Z', 'expired'],
    ] as const) {
      await expect(verifyEndorsement(endorsement, { ...right, clock: at(now) })).rejects.toMatchObject({
        check,
      });
    }
  });
});
