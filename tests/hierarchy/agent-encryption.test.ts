import { createPublicKey, generateKeyPairSync, publicEncrypt } from 'node:crypto';
import { CompactEncrypt, compactDecrypt } from 'jose';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { EMULATOR_ATTESTATION_ROOTS, type KmsEmulator, ManualClock } from '../../src/emulator/index.js';
import {
  type A2AKeyExchange,
  KeyHierarchy,
  type KeyProvider,
  type PublicJwk,
  toPublicJwk,
} from '../../src/index.js';
import { openOfficialClient } from '../bench/official-client.js';
import { newClient, newExchange, startTestEmulator, UNHURRIED } from '../support/emulator.js';

const plaintext = Buffer.from('pay 10 EUR to Käthe');
const b64u = (value: string | Uint8Array): string => Buffer.from(value).toString('base64url');

describe('encryption to an agent', () => {
  let emulator: KmsEmulator;
  let exchange: A2AKeyExchange;
  let jwk: PublicJwk;
  beforeAll(async () => {
    emulator = await startTestEmulator();
    // No look-up in the background while calls are counted; what is rotated is so by exchanges that are closed then.
    exchange = newExchange(emulator, { cache: { keyVersionTtlMs: 3_600_000 } });
    await exchange.initialize();
    await exchange.generateAgentKey('reader', { purpose: 'both' });
    jwk = await exchange.hierarchy.getAgentJwk('reader', { role: 'encryption' });
  });
  afterAll(async () => {
    await exchange.close();
    await emulator.close();
  });
  beforeEach(() => emulator.requests.clear());

  const withJose = (header: Record<string, unknown> = {}, key: PublicJwk = jwk): Promise<string> =>
    new CompactEncrypt(plaintext)
      .setProtectedHeader({ alg: 'RSA-OAEP-256', enc: 'A256GCM', ...header })
      .encrypt(createPublicKey({ key: { ...key }, format: 'jwk' }));

  it('by its id is read by the agent in any process, with one decryption in the HSM', async () => {
    const jwe = await exchange.encryptForAgent('reader', plaintext, { cty: 'text/plain' });
    await using other = newExchange(emulator);
    expect(await other.decryptAsAgent('reader', jwe)).toEqual(plaintext);
    emulator.requests.clear();
    expect(await other.decryptAsAgent('reader', jwe)).toEqual(plaintext);
    expect(emulator.requests.count()).toBe(1);
    expect(emulator.requests.count('AsymmetricDecrypt')).toBe(1);
  });

  it('makes no call when the key in use is known, and none at all for a JWK', async () => {
    await exchange.encryptForAgent('reader', plaintext);
    emulator.requests.clear();
    for (let message = 0; message < 100; message++) await exchange.encryptForAgent('reader', plaintext);
    await using cold = newExchange(emulator);
    await cold.encryptForAgent(jwk, plaintext);
    expect(emulator.requests.count()).toBe(0);
  });

  it('with requireAttestation is made with an attested key only, and with any JWK, which carries no statement', async () => {
    await using strict = newExchange(emulator, {
      requireAttestation: true,
      attestationRoots: EMULATOR_ATTESTATION_ROOTS,
    });
    const jwe = await strict.encryptForAgent('reader', plaintext);
    expect(await strict.decryptAsAgent('reader', jwe)).toEqual(plaintext);
    // Of the emulator: the pinned roots do not lead to its statements.
    await using pinned = newExchange(emulator, { requireAttestation: true });
    const refusal = { code: 'ATTESTATION_FAILED', verdict: 'invalid' };
    await expect(pinned.encryptForAgent('reader', plaintext)).rejects.toMatchObject(refusal);
    await expect(pinned.hierarchy.getAgentJwk('reader', { role: 'encryption' })).rejects.toMatchObject(
      refusal,
    );
    await expect(pinned.decryptAsAgent('reader', jwe)).rejects.toMatchObject(refusal);
    const toAnybody = await pinned.encryptForAgent(jwk, plaintext);
    expect(await strict.decryptAsAgent('reader', toAnybody)).toEqual(plaintext);
  });

  it('never sends the plaintext to Cloud KMS', async () => {
    const jwe = await exchange.encryptForAgent('reader', plaintext);
    await exchange.decryptAsAgent('reader', jwe);
    const [request] = emulator.requests.entries.filter(({ rpc }) => rpc === 'AsymmetricDecrypt');
    expect(request?.request['ciphertext']).toHaveLength(384);
  });

  it('takes an empty plaintext and one of a megabyte', async () => {
    for (const bytes of [Buffer.alloc(0), Buffer.alloc(1 << 20, 7)]) {
      const jwe = await exchange.encryptForAgent('reader', bytes);
      expect((await exchange.decryptAsAgent('reader', jwe)).equals(bytes)).toBe(true);
    }
  });

  it('reads what jose made for the published JWK', async () => {
    expect(await exchange.decryptAsAgent('reader', await withJose({ kid: jwk.kid }))).toEqual(plaintext);
  });

  it('reads with the version in use what names no key', async () => {
    expect(await exchange.decryptAsAgent('reader', await withJose())).toEqual(plaintext);
  });

  it('is read by jose with the key of an agent elsewhere', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 3072 });
    const jwe = await exchange.encryptForAgent(
      toPublicJwk(publicKey, 'RSA_DECRYPT_OAEP_3072_SHA256'),
      plaintext,
    );
    const decrypted = await compactDecrypt(jwe, privateKey, { keyManagementAlgorithms: ['RSA-OAEP-256'] });
    expect(Buffer.from(decrypted.plaintext)).toEqual(plaintext);
  });

  it('tells that an agent has no encryption key', async () => {
    await exchange.generateAgentKey('signs-only');
    await expect(exchange.encryptForAgent('signs-only', plaintext)).rejects.toMatchObject({
      code: 'AGENT_KEY_NOT_FOUND',
      message: expect.stringContaining('encryption key'),
    });
    const jwe = await exchange.encryptForAgent('reader', plaintext);
    await expect(exchange.decryptAsAgent('signs-only', jwe)).rejects.toMatchObject({
      code: 'AGENT_KEY_NOT_FOUND',
    });
  });

  it('is not read by another agent', async () => {
    await exchange.generateAgentKey('eavesdropper', { purpose: 'encryption' });
    const jwe = await exchange.encryptForAgent('reader', plaintext);
    await expect(exchange.decryptAsAgent('eavesdropper', jwe)).rejects.toMatchObject({
      code: 'UNKNOWN_KEY_ID',
      keyId: jwk.kid,
    });
    expect(emulator.requests.count('AsymmetricDecrypt')).toBe(0);
    const [, ...rest] = (await withJose()).split('.');
    const forged = [b64u('{"alg":"RSA-OAEP-256","enc":"A256GCM"}'), ...rest].join('.');
    await expect(exchange.decryptAsAgent('eavesdropper', forged)).rejects.toMatchObject({
      code: 'DECRYPTION_FAILED',
    });
  });

  describe('when the key is rotated', () => {
    it('goes to the new version, and the old one keeps decrypting until it is disabled', async () => {
      await using own = newExchange(emulator);
      const name = await own.generateAgentKey('rotating', { purpose: 'encryption' });
      const first = await own.encryptForAgent('rotating', plaintext);
      expect(await own.decryptAsAgent('rotating', first)).toEqual(plaintext);
      const { primary } = await own.rotateAgentKey('rotating', { role: 'encryption' });
      expect(primary).toBe(`${name}/cryptoKeyVersions/2`);
      const second = await own.encryptForAgent('rotating', plaintext);
      expect(await own.decryptAsAgent('rotating', first)).toEqual(plaintext);
      expect(await own.decryptAsAgent('rotating', second)).toEqual(plaintext);
      const versions = emulator.requests.entries
        .filter(({ rpc }) => rpc === 'AsymmetricDecrypt')
        .map(({ request }) => request['name']);
      expect(versions).toEqual([1, 1, 2].map((version) => `${name}/cryptoKeyVersions/${version}`));

      const official = await openOfficialClient(emulator.endpoint);
      await official.updateCryptoKeyVersion({
        cryptoKeyVersion: { name: `${name}/cryptoKeyVersions/1`, state: 'DISABLED' },
        updateMask: { paths: ['state'] },
      });
      await official.close();
      await expect(own.decryptAsAgent('rotating', first)).rejects.toMatchObject({
        code: 'FAILED_PRECONDITION',
      });
      await using other = newExchange(emulator);
      await expect(other.decryptAsAgent('rotating', first)).rejects.toMatchObject({ code: 'UNKNOWN_KEY_ID' });
      expect(await other.decryptAsAgent('rotating', second)).toEqual(plaintext);
    });

    it('by another process, what was made for the new version is read at once', async () => {
      await exchange.generateAgentKey('turned', { purpose: 'encryption' });
      const before = await exchange.encryptForAgent('turned', plaintext);
      expect(await exchange.decryptAsAgent('turned', before)).toEqual(plaintext);
      await using other = newExchange(emulator);
      await other.rotateAgentKey('turned', { role: 'encryption' });
      const after = await other.encryptForAgent('turned', plaintext);
      expect(await exchange.decryptAsAgent('turned', after)).toEqual(plaintext);
    });
  });

  it('is no longer read when no version is left, and the error says so', async () => {
    const name = await exchange.generateAgentKey('leaving', { purpose: 'encryption' });
    const jwe = await exchange.encryptForAgent('leaving', plaintext);
    await exchange.keys.destroyKey(name);
    await using other = newExchange(emulator);
    await expect(other.decryptAsAgent('leaving', jwe)).rejects.toMatchObject({ code: 'UNKNOWN_KEY_ID' });
    await expect(other.encryptForAgent('leaving', plaintext)).rejects.toMatchObject({
      code: 'NO_USABLE_VERSION',
    });
    await exchange.keys.restoreKey(name);
    await using third = newExchange(emulator);
    expect(await third.decryptAsAgent('leaving', jwe)).toEqual(plaintext);
  });

  it('passes on why a key cannot be read, and recovers', async () => {
    const jwe = await exchange.encryptForAgent('reader', plaintext);
    await using other = newExchange(emulator);
    const fault = emulator.faults.add({
      rpc: 'ListCryptoKeyVersions',
      status: { code: 'PERMISSION_DENIED', message: 'no' },
    });
    await expect(other.decryptAsAgent('reader', jwe)).rejects.toMatchObject({ code: 'PERMISSION_DENIED' });
    fault.remove();
    expect(await other.decryptAsAgent('reader', jwe)).toEqual(plaintext);
    const unreadable = emulator.faults.add({
      rpc: 'ListCryptoKeyVersions',
      status: { code: 'PERMISSION_DENIED', message: 'no' },
    });
    await using third = newExchange(emulator);
    await expect(third.encryptForAgent('reader', plaintext)).rejects.toMatchObject({
      code: 'PERMISSION_DENIED',
    });
    unreadable.remove();
    await expect(third.encryptForAgent('reader', plaintext, { timeoutMs: 10_000 })).resolves.toBeDefined();
  });

  describe('with a key id that is unknown', () => {
    it('does not let a stranger use up the quota', async () => {
      // Its clock stands still: as time passes, the version in use is looked up again.
      await using own = newExchange(emulator, {
        clock: new ManualClock(Date.now()),
        deadlines: UNHURRIED,
      });
      await own.decryptAsAgent('reader', await own.encryptForAgent('reader', plaintext));
      const [, ...rest] = (await withJose({ kid: 'x' })).split('.');
      const forged = (kid: string): string =>
        [b64u(JSON.stringify({ alg: 'RSA-OAEP-256', enc: 'A256GCM', kid })), ...rest].join('.');
      emulator.requests.clear();
      const outcomes = await Promise.allSettled(
        Array.from({ length: 1_000 }, (_, n) => own.decryptAsAgent('reader', forged(`made-up-${n}`))),
      );
      for (let n = 0; n < 100; n++) {
        await expect(own.decryptAsAgent('reader', forged(`more-${n}`))).rejects.toMatchObject({
          code: 'UNKNOWN_KEY_ID',
        });
      }
      expect(outcomes.every(({ status }) => status === 'rejected')).toBe(true);
      expect(emulator.requests.count()).toBeLessThanOrEqual(5);
      expect(emulator.requests.count('AsymmetricDecrypt')).toBe(0);
      const jwe = await own.encryptForAgent('reader', plaintext);
      expect(await own.decryptAsAgent('reader', jwe)).toEqual(plaintext);
    });

    it('looks again when time has passed', async () => {
      const clock = new ManualClock(Date.now());
      await using client = newClient(emulator);
      const hierarchy = new KeyHierarchy(client, { clock });
      const [, ...rest] = (await withJose({ kid: 'x' })).split('.');
      const forged = [b64u('{"alg":"RSA-OAEP-256","enc":"A256GCM","kid":"y"}'), ...rest].join('.');
      for (let n = 0; n < 20; n++) {
        await expect(hierarchy.decryptAsAgent('reader', forged)).rejects.toMatchObject({
          code: 'UNKNOWN_KEY_ID',
        });
      }
      const lists = emulator.requests.count('ListCryptoKeyVersions');
      await using other = newExchange(emulator);
      await other.rotateAgentKey('reader', { role: 'encryption' });
      const jwe = await other.encryptForAgent('reader', plaintext);
      await expect(hierarchy.decryptAsAgent('reader', jwe)).rejects.toMatchObject({ code: 'UNKNOWN_KEY_ID' });
      clock.advance(10_000);
      expect(await hierarchy.decryptAsAgent('reader', jwe)).toEqual(plaintext);
      expect(lists).toBeLessThanOrEqual(7);
    });

    it('shows no more than a part of a long one', async () => {
      const jwe = await withJose({ kid: 'k'.repeat(500) });
      await expect(exchange.decryptAsAgent('reader', jwe)).rejects.toMatchObject({ keyId: 'k'.repeat(100) });
    });
  });

  describe('refuses before any call', () => {
    const header = (members: Record<string, unknown>): string =>
      b64u(JSON.stringify({ alg: 'RSA-OAEP-256', enc: 'A256GCM', ...members }));
    const parts = `${b64u(Buffer.alloc(384))}.${b64u(Buffer.alloc(12))}.AAAA.${b64u(Buffer.alloc(16))}`;

    it.each([
      ['RSA-OAEP with SHA-1', header({ alg: 'RSA-OAEP' }), 'algorithm'],
      ['RSA1_5', header({ alg: 'RSA1_5' }), 'algorithm'],
      ['a password', header({ alg: 'PBES2-HS256+A128KW', p2c: 1_000_000_000, p2s: 'x' }), 'algorithm'],
      ['AES-128', header({ enc: 'A128GCM' }), 'algorithm'],
      ['compression', header({ zip: 'DEF' }), 'compression'],
      ['a critical extension', header({ crit: ['x'], x: 1 }), 'critical-header'],
      ['what is not JSON', b64u('{'), 'format'],
    ])('%s', async (_, encodedHeader, check) => {
      await expect(exchange.decryptAsAgent('reader', `${encodedHeader}.${parts}`)).rejects.toMatchObject({
        code: 'INVALID_JWE',
        check,
        attempts: 0,
      });
      expect(emulator.requests.count()).toBe(0);
    });

    it('an agent id that is none', async () => {
      await expect(exchange.decryptAsAgent('', `${header({})}.${parts}`)).rejects.toMatchObject({
        code: 'INVALID_ARGUMENT',
      });
      await expect(exchange.encryptForAgent('e\u0301', plaintext)).rejects.toMatchObject({
        code: 'INVALID_ARGUMENT',
      });
      expect(emulator.requests.count()).toBe(0);
    });

    it.each<[string, unknown, unknown, string]>([
      ['a plaintext that is no bytes', 'text', {}, 'INVALID_ARGUMENT'],
      ['a plaintext beyond 16 MiB', Buffer.alloc(2 ** 24 + 1), {}, 'DATA_TOO_LARGE'],
      ['an option that there is not', plaintext, { kid: 'x' }, 'INVALID_ARGUMENT'],
      ['a media type that is no string', plaintext, { cty: 5 }, 'INVALID_ARGUMENT'],
      ['a deadline of none', plaintext, { timeoutMs: 0 }, 'INVALID_ARGUMENT'],
      ['a signal that was aborted', plaintext, { signal: AbortSignal.abort() }, 'ABORTED'],
    ])('%s, to a JWK and to an agent that is not known yet', async (_, bytes, options, code) => {
      await using cold = newExchange(emulator);
      for (const recipient of [jwk, 'reader']) {
        const call: unknown = Reflect.apply(cold.encryptForAgent, cold, [recipient, bytes, options]);
        await expect(call).rejects.toMatchObject({ code });
      }
      expect(emulator.requests.count()).toBe(0);
    });

    it.each([{ onQuota: 'never' }, { timeoutMs: 1.5 }, { kid: 'x' }])(
      'to decrypt with wrong options: %j',
      async (options) => {
        const jwe = await withJose();
        const call: unknown = Reflect.apply(exchange.decryptAsAgent, exchange, ['reader', jwe, options]);
        await expect(call).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
        expect(emulator.requests.count()).toBe(0);
      },
    );

    it('a JWK that is no encryption key', async () => {
      const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
      await expect(
        exchange.encryptForAgent(publicKey.export({ format: 'jwk' }), plaintext),
      ).rejects.toMatchObject({ code: 'INVALID_JWK' });
    });
  });

  it('refuses a wrapped key of another size without asking the HSM', async () => {
    const [head = '', , ...rest] = (await exchange.encryptForAgent('reader', plaintext)).split('.');
    emulator.requests.clear();
    for (const sizeBytes of [0, 256, 383, 385, 512]) {
      const jwe = [head, b64u(Buffer.alloc(sizeBytes, 1)), ...rest].join('.');
      await expect(exchange.decryptAsAgent('reader', jwe)).rejects.toMatchObject({
        code: 'DECRYPTION_FAILED',
      });
    }
    expect(emulator.requests.count('AsymmetricDecrypt')).toBe(0);
  });

  it('refuses damage and a content key of another length in the same way', async () => {
    const [head = '', wrapped = '', iv = '', ciphertext = '', tag = ''] = (
      await exchange.encryptForAgent('reader', plaintext)
    ).split('.');
    const current = await exchange.hierarchy.getAgentJwk('reader', { role: 'encryption' });
    const shortKey = publicEncrypt(
      { key: createPublicKey({ key: { ...current }, format: 'jwk' }), oaepHash: 'sha256' },
      Buffer.alloc(16),
    );
    const flipped = `${wrapped.slice(0, 20)}${wrapped[20] === 'A' ? 'B' : 'A'}${wrapped.slice(21)}`;
    for (const jwe of [
      [head, wrapped, iv, ciphertext, b64u(Buffer.alloc(16))],
      [head, wrapped, iv, `AAAA${ciphertext.slice(4)}`, tag],
      [head, b64u(shortKey), iv, ciphertext, tag],
      [head, flipped, iv, ciphertext, tag],
    ]) {
      await expect(exchange.decryptAsAgent('reader', jwe.join('.'))).rejects.toMatchObject({
        code: 'DECRYPTION_FAILED',
      });
    }
  });

  it('encrypts what it was given, whatever becomes of it while the key is looked up', async () => {
    await using cold = newExchange(emulator);
    const bytes = Buffer.from(plaintext);
    const call = cold.encryptForAgent('reader', bytes);
    bytes.fill(0);
    expect(await exchange.decryptAsAgent('reader', await call)).toEqual(plaintext);
  });

  it('does not wait for a quota when it is told not to', async () => {
    const jwe = await exchange.encryptForAgent('reader', plaintext);
    using _fault = emulator.faults.add({
      rpc: 'AsymmetricDecrypt',
      status: { code: 'RESOURCE_EXHAUSTED' },
    });
    await expect(exchange.decryptAsAgent('reader', jwe, { onQuota: 'fail' })).rejects.toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      attempts: 1,
    });
  });

  it('zeroes the content key when it has opened the message, and when it could not', async () => {
    await using client = newClient(emulator);
    const contentKeys: Buffer[] = [];
    const provider = new Proxy<KeyProvider>(client, {
      get(target, name) {
        const member: unknown = Reflect.get(target, name, target);
        if (typeof member !== 'function') return member;
        if (name !== 'decrypt') return member.bind(target);
        return async (...call: Parameters<KeyProvider['decrypt']>) => {
          const contentKey = await target.decrypt(...call);
          expect(contentKey.some((byte) => byte !== 0)).toBe(true);
          contentKeys.push(contentKey);
          return contentKey;
        };
      },
    });
    const hierarchy = new KeyHierarchy(provider);
    const jwe = await hierarchy.encryptForAgent('reader', plaintext);
    expect(await hierarchy.decryptAsAgent('reader', jwe)).toEqual(plaintext);
    const damaged = `${jwe.slice(0, jwe.lastIndexOf('.'))}.${b64u(Buffer.alloc(16))}`;
    await expect(hierarchy.decryptAsAgent('reader', damaged)).rejects.toMatchObject({
      code: 'DECRYPTION_FAILED',
    });
    expect(contentKeys).toEqual([Buffer.alloc(32), Buffer.alloc(32)]);
  });

  it('can be aborted and has a deadline', async () => {
    const jwe = await exchange.encryptForAgent('reader', plaintext);
    await expect(
      exchange.decryptAsAgent('reader', jwe, { signal: AbortSignal.abort() }),
    ).rejects.toMatchObject({ code: 'ABORTED', operation: 'decryptAsAgent' });
    using _fault = emulator.faults.add({ rpc: 'AsymmetricDecrypt', delayMs: 60_000 });
    await expect(exchange.decryptAsAgent('reader', jwe, { timeoutMs: 50 })).rejects.toMatchObject({
      code: 'DEADLINE_EXCEEDED',
      operation: 'decryptAsAgent',
    });
  });

  it('shares one look-up of the versions among 200 callers', async () => {
    const jwe = await exchange.encryptForAgent('reader', plaintext);
    await using other = newExchange(emulator, { quota: { mode: 'off' }, deadlines: UNHURRIED });
    emulator.requests.clear();
    await Promise.all(Array.from({ length: 200 }, () => other.decryptAsAgent('reader', jwe)));
    expect(emulator.requests.count('ListCryptoKeyVersions')).toBeLessThanOrEqual(2);
    expect(emulator.requests.count('AsymmetricDecrypt')).toBe(200);
  });
});
