/**
 * The main road, end to end. Against the emulator by default; against a real key ring when GCP_PROJECT_ID is set
 * (docs/setup.md). Everything it creates is scheduled for destruction at the end, with the shortest delay there is.
 */

import { createPublicKey, randomUUID, verify } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { A2AKeyExchange, type A2AKeyExchangeConfig } from '../../src/index.js';
import { clientConfig, startTestEmulator } from '../support/emulator.js';

const projectId = process.env['GCP_PROJECT_ID'];
const SHORTEST_DELAY_SECONDS = 86_400;

/** An HSM takes a while to make keys; this bounds a test, it does not measure. */
const TIMEOUT_MS = 120_000;

async function target(): Promise<{ readonly config: A2AKeyExchangeConfig; stop(): Promise<void> }> {
  if (projectId === undefined) {
    const emulator = await startTestEmulator();
    return { config: clientConfig(emulator), stop: () => emulator.close() };
  }
  const config = {
    projectId,
    locationId: process.env['GCP_LOCATION_ID'] ?? 'global',
    keyRingId: process.env['GCP_KEY_RING_ID'] ?? 'a2a-kms-integration',
    credentialsPath: process.env['GOOGLE_APPLICATION_CREDENTIALS'],
  };
  return { config, stop: async () => {} };
}

describe(`agents on ${projectId === undefined ? 'the emulator' : 'Cloud KMS'}`, {
  timeout: TIMEOUT_MS,
}, () => {
  const run = randomUUID();
  const message = Buffer.from(`integration run ${run}`);
  const created: string[] = [];
  let config: A2AKeyExchangeConfig;
  let exchange: A2AKeyExchange;
  let stop: () => Promise<void>;

  beforeAll(async () => {
    ({ config, stop } = await target());
    exchange = new A2AKeyExchange(config);
    await exchange.initialize();
  }, TIMEOUT_MS);

  afterAll(async () => {
    await Promise.allSettled(created.map((name) => exchange.keys.destroyKey(name)));
    await exchange.close();
    await stop();
  }, TIMEOUT_MS);

  const newAgent = async (
    options: Parameters<A2AKeyExchange['generateAgentKey']>[1] = {},
  ): Promise<string> => {
    const agentId = `${run}/${created.length}/ü`;
    created.push(
      await exchange.generateAgentKey(agentId, {
        destroyScheduledDurationSeconds: SHORTEST_DELAY_SECONDS,
        ...options,
      }),
    );
    return agentId;
  };

  it.each([
    ['ecdsa-p384', 'sha384'],
    ['ecdsa-p256', 'sha256'],
  ] as const)('signs with %s in the HSM and verifies here', async (algorithm, digest) => {
    const agentId = await newAgent({ algorithm });
    const signed = await exchange.signMessageDetailed(agentId, message);
    expect(signed.protectionLevel).toBe('HSM');
    expect(await exchange.verifyMessage(agentId, message, signed.signature)).toBe(true);
    const publicKey = createPublicKey(await exchange.getPublicKey(agentId));
    expect(verify(digest, message, publicKey, signed.signature)).toBe(true);
  });

  it('signs with Ed25519 in software, asked for by name', async () => {
    const agentId = await newAgent({ algorithm: 'ed25519', protectionLevel: 'SOFTWARE' });
    const signed = await exchange.signMessageDetailed(agentId, message);
    expect(signed.protectionLevel).toBe('SOFTWARE');
    expect(await exchange.verifyMessage(agentId, message, signed.signature)).toBe(true);
  });

  it('rotates, and a second process finds the agent and verifies what was signed before', async () => {
    const agentId = await newAgent();
    const before = await exchange.signMessage(agentId, message);
    const rotated = await exchange.rotateAgentKey(agentId);
    expect(rotated.primary).toMatch(/\/cryptoKeyVersions\/2$/);
    await using other = new A2AKeyExchange(config);
    expect(await other.verifyMessage(agentId, message, before)).toBe(true);
    expect((await other.signMessageDetailed(agentId, message)).keyVersion).toBe(rotated.primary);
    expect((await other.listAgents()).map((agent) => agent.agentId)).toContain(agentId);
  });

  it('encrypts and decrypts with an HSM key by its resource name', async () => {
    const { name } = await exchange.keys.generateKey({
      name: `integration-${run}`,
      purpose: 'ENCRYPT_DECRYPT',
      algorithm: 'GOOGLE_SYMMETRIC_ENCRYPTION',
      destroyScheduledDurationSeconds: SHORTEST_DELAY_SECONDS,
    });
    created.push(name);
    const options = { additionalAuthenticatedData: Buffer.from('context') };
    const ciphertext = await exchange.keys.encrypt(name, message, options);
    expect(await exchange.keys.decrypt(name, ciphertext, options)).toEqual(message);
    await expect(exchange.keys.decrypt(name, ciphertext)).rejects.toMatchObject({
      code: 'DECRYPTION_FAILED',
    });
  });

  it('schedules destruction and takes it back', async () => {
    const agentId = await newAgent();
    const { keyName } = await exchange.describeAgent(agentId);
    const { versions } = await exchange.keys.destroyKey(keyName);
    expect(versions).toHaveLength(1);
    await expect(exchange.signMessage(agentId, message)).rejects.toMatchObject({ code: 'NO_USABLE_VERSION' });
    await exchange.keys.restoreKey(keyName);
    expect(await exchange.verifyMessage(agentId, message, await exchange.signMessage(agentId, message))).toBe(
      true,
    );
  });
});
