import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { KmsEmulator } from '../../src/emulator/index.js';
import type { A2AKeyExchange } from '../../src/index.js';
import { newExchange, startTestEmulator } from '../support/emulator.js';
import { softwareProvider } from '../support/software-provider.js';

const message = Buffer.from('m');
let emulator: KmsEmulator;
beforeAll(async () => {
  emulator = await startTestEmulator();
});
afterAll(() => emulator.close());

const newRing = (rest: Parameters<typeof newExchange>[1] = {}): A2AKeyExchange =>
  newExchange(emulator, { keyRingId: `ring-${randomUUID()}`, ...rest });

describe('a master key that is missing', () => {
  it.each<[string, (exchange: A2AKeyExchange) => Promise<unknown>, RegExp]>([
    ['root key', (exchange) => exchange.hierarchy.endorseAgentKey('bot'), /`hierarchy: \{\}`/],
    ['key-encryption key', (exchange) => exchange.envelope().encrypt(message), /`hierarchy: \{\}`/],
    ['audit key', (exchange) => exchange.hierarchy.getAuditJwks(), /`audit`/],
  ])('is made by the option that the error names: %s', async (_, call, option) => {
    await using exchange = newRing();
    await exchange.initialize();
    await exchange.generateAgentKey('bot');
    const error = await call(exchange).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'NOT_FOUND', message: expect.stringMatching(option) });
    expect(error).toMatchObject({ message: expect.stringContaining('call initialize') });
    expect(error).toMatchObject({ message: expect.stringContaining('Do not make it with generateKey') });
  });

  it('is there after the advice was followed', async () => {
    const keyRingId = `ring-${randomUUID()}`;
    await using exchange = newRing({ keyRingId });
    await exchange.initialize();
    await expect(exchange.envelope().encrypt(message)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await using advised = newRing({ keyRingId, hierarchy: {} });
    await advised.initialize();
    await expect(exchange.envelope().encrypt(message)).resolves.toBeInstanceOf(Buffer);
  });

  it('is no software key either', async () => {
    const software = softwareProvider();
    await expect(software.encrypt('a2a-kek', message)).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: expect.stringContaining('`hierarchy: {}`'),
    });
  });
});

describe('a key ring that was never made', () => {
  it.each<[string, (exchange: A2AKeyExchange) => Promise<unknown>]>([
    ['generateAgentKey', (exchange) => exchange.generateAgentKey('bot')],
    ['listAgents', (exchange) => exchange.listAgents()],
  ])('is named by %s, with the call that makes it', async (_, call) => {
    await using exchange = newRing({ keyRingId: 'never-made' });
    await expect(call(exchange)).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: expect.stringMatching(
        /the key ring projects\/[^ ]+\/keyRings\/never-made does not exist\. .*create it with initialize\.$/,
      ),
    });
  });

  it('is not lost sight of by a call for an agent without a key', async () => {
    await using exchange = newRing();
    await expect(exchange.signMessage('bot', message)).rejects.toMatchObject({
      code: 'AGENT_KEY_NOT_FOUND',
      message: expect.stringContaining('call initialize'),
    });
  });
});

it('a version that is missing is looked for among those that there are', async () => {
  await using exchange = newRing();
  await exchange.initialize();
  await exchange.generateAgentKey('bot');
  const [version] = await exchange.keys.listKeyVersions('agent-bot-signing-key');
  await expect(exchange.keys.getPublicKey(`${version?.name.slice(0, -1)}7`)).rejects.toMatchObject({
    code: 'NOT_FOUND',
    message: expect.stringContaining('listKeyVersions'),
  });
});

it("a key of an agent is made with the call for agents' keys, which labels it", async () => {
  await using exchange = newRing();
  await exchange.initialize();
  await expect(exchange.keys.sign('agent-bot-signing-key', message)).rejects.toMatchObject({
    message: expect.stringContaining('generateAgentKey'),
  });
});
