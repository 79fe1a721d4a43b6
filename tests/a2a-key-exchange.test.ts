import { createPublicKey, verify } from 'node:crypto';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { KmsEmulator } from '../src/emulator/index.js';
import { A2AKeyExchange, AgentKeyNotFoundError, InvalidConfigError } from '../src/index.js';
import { KEY_RING, newClient, newExchange, startTestEmulator } from './support/emulator.js';

const message = Buffer.from('pay 10 EUR to alice');

describe('A2AKeyExchange', () => {
  let emulator: KmsEmulator;
  let exchange: A2AKeyExchange;
  beforeAll(async () => {
    emulator = await startTestEmulator();
    exchange = newExchange(emulator);
    await exchange.initialize();
  });
  afterAll(async () => {
    await exchange.close();
    await emulator.close();
  });

  it('signs as an agent with a P-384 key in the HSM', async () => {
    const name = await exchange.generateAgentKey('invoice-bot');
    expect(name).toBe(
      'projects/test-project/locations/global/keyRings/agents/cryptoKeys/agent-invoice-bot-signing-key',
    );
    const signature = await exchange.signMessage('invoice-bot', message);
    expect(await exchange.verifyMessage('invoice-bot', message, signature)).toBe(true);
    expect(await exchange.verifyMessage('invoice-bot', Buffer.from('other'), signature)).toBe(false);
    const publicKey = createPublicKey(await exchange.getPublicKey('invoice-bot'));
    expect(verify('sha384', message, publicKey, signature)).toBe(true);
    expect(await exchange.signMessageDetailed('invoice-bot', message)).toMatchObject({
      keyVersion: `${name}/cryptoKeyVersions/1`,
      algorithm: 'EC_SIGN_P384_SHA384',
      protectionLevel: 'HSM',
      encoding: 'der',
    });
  });

  it('returns a name that every KMSClient method takes', async () => {
    const name = await exchange.generateAgentKey('all-methods');
    const signature = await exchange.keys.sign(name, message);
    expect(await exchange.keys.verify(name, message, signature)).toBe(true);
    expect((await exchange.keys.getPublicKey(name)).toString()).toContain('BEGIN PUBLIC KEY');
    expect((await exchange.keys.rotateKey(name)).name).toBe(name);
    expect((await exchange.keys.getKey(name)).primary).toBe(`${name}/cryptoKeyVersions/2`);
  });

  it.each(['bot', 'Käthe\u{1f980} / größer', 'a'.repeat(256), '-', 'projects/x'])(
    'is found by another process from the id %j alone',
    async (agentId) => {
      await exchange.generateAgentKey(agentId);
      const signature = await exchange.signMessage(agentId, message);
      await using other = newExchange(emulator);
      expect(await other.verifyMessage(agentId, message, signature)).toBe(true);
      expect((await other.listAgents()).map((agent) => agent.agentId)).toContain(agentId);
    },
  );

  it('gives different agents different keys', async () => {
    const ids = fc.sample(
      fc.string({ minLength: 1, maxLength: 20, unit: 'grapheme' }).map((id) => id.normalize('NFC')),
      20,
    );
    const distinct = [...new Set(ids)];
    const names = await Promise.all(distinct.map((id) => exchange.generateAgentKey(id)));
    expect(new Set(names).size).toBe(distinct.length);
  });

  it('makes one key when 100 callers create the same agent in two processes at once', async () => {
    await using other = newExchange(emulator);
    const names = await Promise.all(
      Array.from({ length: 100 }, (_, caller) =>
        (caller % 2 ? exchange : other).generateAgentKey('contended'),
      ),
    );
    expect(new Set(names).size).toBe(1);
    expect((await exchange.describeAgent('contended')).versions).toHaveLength(1);
  });

  it('shares one creation between the callers of a process', async () => {
    emulator.requests.clear();
    await Promise.all(Array.from({ length: 50 }, () => exchange.generateAgentKey('shared')));
    expect(emulator.requests.count('CreateCryptoKey')).toBe(1);
  });

  it('lets one caller abort a creation without failing the others', async () => {
    const controller = new AbortController();
    const aborted = exchange.generateAgentKey('partly-aborted', { signal: controller.signal });
    const kept = exchange.generateAgentKey('partly-aborted');
    controller.abort();
    await expect(aborted).rejects.toMatchObject({ code: 'ABORTED' });
    await expect(kept).resolves.toContain('agent-partly-aborted-signing-key');
  });

  it('rotates: the new version signs, the old signature still verifies', async () => {
    await exchange.generateAgentKey('rotating');
    const before = await exchange.signMessage('rotating', message);
    const rotated = await exchange.rotateAgentKey('rotating');
    expect(rotated.primary).toMatch(/\/cryptoKeyVersions\/2$/);
    const after = await exchange.signMessageDetailed('rotating', message);
    expect(after.keyVersion).toBe(rotated.primary);
    expect(await exchange.verifyMessage('rotating', message, before)).toBe(true);
    expect(await exchange.verifyMessage('rotating', message, after.signature)).toBe(true);
    const description = await exchange.describeAgent('rotating');
    expect(description).toMatchObject({
      agentId: 'rotating',
      keyVersion: rotated.primary,
      protectionLevel: 'HSM',
    });
    expect(description.versions.map(({ version, state }) => [version, state])).toEqual([
      [1, 'ENABLED'],
      [2, 'ENABLED'],
    ]);
  });

  it('takes ecdsa-p256 by its short name', async () => {
    await exchange.generateAgentKey('short', { algorithm: 'ecdsa-p256' });
    expect((await exchange.signMessageDetailed('short', message)).algorithm).toBe('EC_SIGN_P256_SHA256');
  });

  it('refuses Ed25519 in the HSM before any call, with the reason and the alternatives', async () => {
    emulator.requests.clear();
    await expect(exchange.generateAgentKey('edwards', { algorithm: 'ed25519' })).rejects.toMatchObject({
      code: 'UNSUPPORTED_ALGORITHM',
      message: expect.stringMatching(/no HSM form.*SOFTWARE/),
      alternatives: expect.arrayContaining(['EC_SIGN_P384_SHA384']),
    });
    expect(emulator.requests.count()).toBe(0);
  });

  it('signs with Ed25519 where SOFTWARE is asked for by name', async () => {
    await exchange.generateAgentKey('edwards', { algorithm: 'ed25519', protectionLevel: 'SOFTWARE' });
    const signed = await exchange.signMessageDetailed('edwards', message);
    expect(signed).toMatchObject({
      algorithm: 'EC_SIGN_ED25519',
      protectionLevel: 'SOFTWARE',
      encoding: 'raw',
    });
    expect(await exchange.verifyMessage('edwards', message, signed.signature)).toBe(true);
  });

  it('does not take a software key for the HSM key that was asked for', async () => {
    await exchange.generateAgentKey('soft', { algorithm: 'ecdsa-p256', protectionLevel: 'SOFTWARE' });
    await expect(exchange.generateAgentKey('soft', { algorithm: 'ecdsa-p256' })).rejects.toMatchObject({
      code: 'KEY_SPEC_MISMATCH',
      differences: [{ field: 'protectionLevel', expected: 'HSM', actual: 'SOFTWARE' }],
    });
  });

  it('keeps the labels of the user', async () => {
    await exchange.generateAgentKey('labelled', { labels: { team: 'billing' } });
    await exchange.rotateAgentKey('labelled');
    expect((await exchange.describeAgent('labelled')).labels).toMatchObject({
      team: 'billing',
      'a2a-role': 'signing',
      'a2a-primary': '2',
    });
  });

  it.each([
    ['a label of this library', { labels: { 'a2a-role': 'root' } }],
    ['an option that there is not', JSON.parse('{"algoritm":"ecdsa-p256"}')],
  ])('refuses %s', async (_, options) => {
    await expect(exchange.generateAgentKey('refused', options)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      attempts: 0,
    });
  });

  it('refuses an algorithm that does not sign', async () => {
    await expect(
      exchange.generateAgentKey('refused', JSON.parse('{"algorithm":"AES_256_GCM"}')),
    ).rejects.toMatchObject({ code: 'UNSUPPORTED_ALGORITHM' });
  });

  it.each([
    ['signMessage', () => exchange.signMessage('nobody', message)],
    ['verifyMessage', () => exchange.verifyMessage('nobody', message, message)],
    ['getPublicKey', () => exchange.getPublicKey('nobody')],
    ['rotateAgentKey', () => exchange.rotateAgentKey('nobody')],
    ['describeAgent', () => exchange.describeAgent('nobody')],
  ])('%s says that an agent has no key', async (operation, call) => {
    const result = call();
    await expect(result).rejects.toBeInstanceOf(AgentKeyNotFoundError);
    await expect(result).rejects.toMatchObject({ code: 'AGENT_KEY_NOT_FOUND', agentId: 'nobody', operation });
  });

  it('refuses an agent id that is not in normalisation form C, before any call', async () => {
    emulator.requests.clear();
    await expect(exchange.signMessage('e\u0301', message)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
    expect(emulator.requests.count()).toBe(0);
  });

  it("refuses a key of the agent's name that is not labelled as the agent's", async () => {
    await using client = newClient(emulator);
    await client.generateKey({
      name: 'agent-squatted-signing-key',
      purpose: 'ASYMMETRIC_SIGN',
      algorithm: 'EC_SIGN_P384_SHA384',
    });
    await expect(exchange.signMessage('squatted', message)).rejects.toMatchObject({
      code: 'KEY_SPEC_MISMATCH',
    });
    await expect(exchange.generateAgentKey('squatted')).rejects.toMatchObject({ code: 'KEY_SPEC_MISMATCH' });
    expect((await exchange.listAgents()).map(({ agentId }) => agentId)).not.toContain('squatted');
  });

  it('passes errors of the key on as they are', async () => {
    using _fault = emulator.faults.add({
      rpc: 'GetCryptoKey',
      status: { code: 'PERMISSION_DENIED', message: 'no' },
    });
    await expect(exchange.signMessage('unread', message)).rejects.toMatchObject({
      code: 'PERMISSION_DENIED',
    });
  });

  it('fails in the constructor with every problem', () => {
    expect(() => new A2AKeyExchange({ ...KEY_RING, locationId: '', maxCachedAgents: 0 })).toThrow(
      InvalidConfigError,
    );
  });
});
