import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { type PublicKeyInput, parsePublicKey } from '../../src/identity/jwk.js';
import { type JwsSigner, signCompactJws } from '../../src/identity/jws.js';
import type { KeyVersionInUse, SignatureDetails } from '../../src/keys/key-provider.js';
import {
  HANDOVER_ACCEPTANCE_TYPE,
  HANDOVER_TYPE,
  type HandoverParty,
  issueHandover,
  verifyHandover,
} from '../../src/migration/handover.js';

const agentId = 'invoice-bot';
const issuedAt = new Date('2026-03-01T12:00:00Z');

/** A key in this process. */
class LocalSigner implements JwsSigner {
  readonly #privateKey: KeyObject;
  readonly #pem: string;

  constructor() {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    this.#privateKey = privateKey;
    this.#pem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
  }

  async resolveKeyVersion(keyVersion: string): Promise<KeyVersionInUse> {
    return { keyVersion, algorithm: 'EC_SIGN_P256_SHA256', protectionLevel: 'SOFTWARE' };
  }

  async getPublicKey(): Promise<Buffer> {
    return Buffer.from(this.#pem);
  }

  async signDetailed(keyVersion: string, data: Uint8Array): Promise<SignatureDetails> {
    return {
      signature: sign('sha256', data, this.#privateKey),
      keyVersion,
      algorithm: 'EC_SIGN_P256_SHA256',
      protectionLevel: 'SOFTWARE',
      encoding: 'der',
    };
  }
}

const context = { operation: 'test', resource: 'test' };
async function party(keyVersion: string): Promise<HandoverParty> {
  const signer = new LocalSigner();
  return { signer, keyVersion, key: parsePublicKey(context, await signer.getPublicKey()) };
}

const from = await party('keys/old/1');
const to = await party('keys/new/1');
const statement = await issueHandover({ agentId, from, to, issuedAt });

const parts = (jws: string): string[] => jws.split('.');
const decode = (part = ''): string => Buffer.from(part, 'base64url').toString('utf8');
const encode = (text: string): string => Buffer.from(text, 'utf8').toString('base64url');
const inner = decode(parts(statement)[1]);

const checkOf = (jws: string, oldKey: PublicKeyInput = from.key, agent = agentId): Promise<unknown> =>
  verifyHandover(jws, { agentId: agent, oldKey }).then(
    () => 'accepted',
    (error: unknown) => (error instanceof Error && 'check' in error ? error.check : error),
  );

/** A statement whose parts are what the test says. */
async function forged(change: {
  readonly claims?: (claims: Record<string, unknown>) => Record<string, unknown>;
  readonly innerBy?: HandoverParty;
  readonly outerBy?: HandoverParty;
  readonly innerTyp?: string | undefined;
  readonly outerTyp?: string | undefined;
  readonly innerKid?: string;
  readonly outerKid?: string;
}): Promise<string> {
  const { claims = (same) => same, innerBy = from, outerBy = to } = change;
  const original: Record<string, unknown> = JSON.parse(decode(parts(inner)[1]));
  const payload = Buffer.from(JSON.stringify(claims(original)));
  const typ = 'innerTyp' in change ? change.innerTyp : HANDOVER_TYPE;
  const jws = await signCompactJws(innerBy.signer, innerBy.keyVersion, payload, {
    typ,
    kid: change.innerKid,
  });
  const outerTyp = 'outerTyp' in change ? change.outerTyp : HANDOVER_ACCEPTANCE_TYPE;
  const header = { typ: outerTyp, kid: change.outerKid };
  return signCompactJws(outerBy.signer, outerBy.keyVersion, Buffer.from(jws), header);
}

describe('a handover statement', () => {
  it('leads from the old key to the new one, offline', async () => {
    expect(await verifyHandover(statement, { agentId, oldKey: from.key.jwk })).toEqual({
      agentId,
      oldThumbprint: from.key.thumbprint,
      oldKeyVersion: from.keyVersion,
      newKey: to.key.jwk,
      newThumbprint: to.key.thumbprint,
      newKeyVersion: to.keyVersion,
      issuedAt,
    });
  });

  it('is refused after a change of any of its characters', async () => {
    for (let index = 0; index < statement.length; index += 7) {
      const character = statement[index] === 'A' ? 'B' : 'A';
      const changed = statement.slice(0, index) + character + statement.slice(index + 1);
      expect(await checkOf(changed), `character ${index}`).not.toBe('accepted');
    }
  });

  it('is refused for another agent and by another old key', async () => {
    expect(await checkOf(statement, from.key, 'other-bot')).toBe('agent');
    expect(await checkOf(statement, (await party('x')).key)).toBe('signature');
  });

  it('is refused with the roles of the keys swapped', async () => {
    expect(await checkOf(statement, to.key)).toBe('signature');
    expect(await checkOf(await forged({ innerBy: to, outerBy: from }))).toBe('signature');
    expect(await checkOf(await forged({ innerBy: from, outerBy: from }))).toBe('signature');
  });

  it('is refused where the new key did not sign back', async () => {
    expect(await checkOf(inner)).toBe('format');
    expect(await checkOf(await forged({ outerBy: await party('x') }))).toBe('signature');
  });

  it.each([undefined, 'JWT', HANDOVER_ACCEPTANCE_TYPE])('is refused with typ %s inside', async (innerTyp) => {
    expect(await checkOf(await forged({ innerTyp }))).toBe('type');
  });

  it.each([undefined, 'JWT', HANDOVER_TYPE])('is refused with typ %s outside', async (outerTyp) => {
    expect(await checkOf(await forged({ outerTyp }))).toBe('type');
  });

  it.each<[string, string, (claims: Record<string, unknown>) => Record<string, unknown>]>([
    ['another old key', 'key', (claims) => ({ ...claims, old: claims['new'] })],
    ['another new key', 'key', (claims) => ({ ...claims, new: claims['old'] })],
    ['a new key that is none', 'key', (claims) => ({ ...claims, cnf: { jwk: { kty: 'EC' } } })],
    ['a claim too many', 'format', (claims) => ({ ...claims, admin: true })],
    ['a claim missing', 'format', ({ iat, ...claims }) => claims],
    ['claims that are none', 'format', () => ({})],
  ])('is refused with %s in its claims', async (_what, check, claims) => {
    expect(await checkOf(await forged({ claims }))).toBe(check);
  });

  it('is refused when it hands a key over to itself', async () => {
    const self = await issueHandover({ agentId, from, to: from, issuedAt });
    expect(await checkOf(self)).toBe('key');
  });

  it('is refused when a part names another key than the one that signed it', async () => {
    expect(await checkOf(await forged({ innerKid: to.key.thumbprint }))).toBe('key');
    expect(await checkOf(await forged({ outerKid: 'mine' }))).toBe('key');
  });

  it.each([
    ['nothing', '', 'format'],
    ['something else', encode('x'), 'format'],
    ['far too much', 'a'.repeat(40_000), 'size'],
  ])('is not %s', async (_what, jws, check) => {
    expect(await checkOf(jws)).toBe(check);
  });

  it('is not looked at for what is no agent id or no key', async () => {
    await expect(verifyHandover(statement, { agentId: '', oldKey: from.key })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
    await expect(verifyHandover(statement, { agentId, oldKey: 'no key' })).rejects.toMatchObject({
      code: 'INVALID_JWK',
    });
  });
});
