import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { KmsEmulator } from '../../src/emulator/index.js';
import {
  type A2AKeyExchange,
  KeyHierarchy,
  type KeyHierarchyOptions,
  type KMSClient,
  verifyEndorsement,
} from '../../src/index.js';
import { openOfficialClient } from '../bench/official-client.js';
import { newClient, newExchange, startTestEmulator } from '../support/emulator.js';

const KEYS = 'projects/test-project/locations/global/keyRings';

describe('KeyHierarchy', () => {
  let emulator: KmsEmulator;
  let client: KMSClient;
  let hierarchy: KeyHierarchy;
  beforeAll(async () => {
    emulator = await startTestEmulator();
    // No look-up in the background while calls are counted.
    client = newClient(emulator, { cache: { keyVersionTtlMs: 3_600_000 } });
    hierarchy = new KeyHierarchy(client);
    await hierarchy.initialize();
  });
  afterAll(async () => {
    await client.close();
    await emulator.close();
  });

  describe('master keys', () => {
    it('are an HSM signing root and an HSM key-encryption key, labelled with their roles', async () => {
      const { root, kek } = await hierarchy.initialize();
      expect(root).toMatchObject({
        name: `${KEYS}/agents/cryptoKeys/a2a-root-signing-key`,
        purpose: 'ASYMMETRIC_SIGN',
        algorithm: 'EC_SIGN_P384_SHA384',
        protectionLevel: 'HSM',
        labels: { 'a2a-role': 'root' },
      });
      expect(kek).toMatchObject({
        name: `${KEYS}/agents/cryptoKeys/a2a-kek`,
        purpose: 'ENCRYPT_DECRYPT',
        algorithm: 'GOOGLE_SYMMETRIC_ENCRYPTION',
        protectionLevel: 'HSM',
        labels: { 'a2a-role': 'kek' },
      });
    });

    it('are made once when several processes initialise at once', async () => {
      const keyRingId = `race-${randomUUID()}`;
      const clients = Array.from({ length: 5 }, () => newClient(emulator, { keyRingId }));
      const made = await Promise.all(clients.map((each) => new KeyHierarchy(each).initialize()));
      expect(new Set(made.map(({ root }) => root.primary)).size).toBe(1);
      expect(new Set(made.map(({ kek }) => kek.primary)).size).toBe(1);
      await Promise.all(clients.map((each) => each.close()));
    });

    it('wrap data keys by the key id that the hierarchy names', async () => {
      const wrapped = await client.encrypt(hierarchy.kekKeyId, Buffer.from('data key'));
      expect((await client.decrypt(hierarchy.kekKeyId, wrapped)).toString()).toBe('data key');
      expect((await client.getKey(hierarchy.rootKeyId)).name).toContain('a2a-root-signing-key');
    });

    it('are not taken from a key of that name that is another one', async () => {
      await using other = newClient(emulator, { keyRingId: `squatted-${randomUUID()}` });
      await other.initialize();
      await other.generateKey({
        name: 'a2a-kek',
        purpose: 'ENCRYPT_DECRYPT',
        algorithm: 'GOOGLE_SYMMETRIC_ENCRYPTION',
        protectionLevel: 'SOFTWARE',
      });
      await expect(new KeyHierarchy(other).initialize()).rejects.toMatchObject({ code: 'KEY_SPEC_MISMATCH' });
    });

    it.each([
      ['ed25519', 'EC_SIGN_ED25519'],
      ['ecdsa-p256', 'EC_SIGN_P256_SHA256'],
    ] as const)(
      'can have the algorithm %s, in software where asked for by name',
      async (alias, algorithm) => {
        await using other = newClient(emulator, { keyRingId: `root-${alias}` });
        const own = new KeyHierarchy(other, {
          rootAlgorithm: alias,
          masterProtectionLevel: 'SOFTWARE',
          protectionLevel: 'SOFTWARE',
        });
        expect((await own.initialize()).root).toMatchObject({ algorithm, protectionLevel: 'SOFTWARE' });
        await own.generateAgentKeys('bot');
        const [rootPublicKey] = await own.getRootJwks();
        const options = {
          rootPublicKey: rootPublicKey ?? {},
          agentId: 'bot',
          key: await own.getAgentJwk('bot'),
        };
        expect(await verifyEndorsement(await own.endorseAgentKey('bot'), options)).toMatchObject({
          algorithm: 'ES384',
        });
      },
    );

    const wrong: readonly (readonly [string, KeyHierarchyOptions, string])[] = [
      [
        'a root algorithm that does not sign',
        JSON.parse('{"rootAlgorithm":"AES_256_GCM"}'),
        'UNSUPPORTED_ALGORITHM',
      ],
      [
        'a root algorithm without a JOSE name',
        { rootAlgorithm: 'RSA_SIGN_RAW_PKCS1_4096' },
        'UNSUPPORTED_ALGORITHM',
      ],
      [
        'a default algorithm that there is not',
        JSON.parse('{"defaultAlgorithm":"x"}'),
        'UNSUPPORTED_ALGORITHM',
      ],
      ['a validity of zero', { endorsementValiditySeconds: 0 }, 'INVALID_CONFIG'],
      ['an option that there is not', JSON.parse('{"rootAlgoritm":"ed25519"}'), 'INVALID_CONFIG'],
    ];
    it.each(wrong)('refuse %s in the constructor', (_, options, code) => {
      expect(() => new KeyHierarchy(client, options)).toThrow(expect.objectContaining({ code }));
    });

    it('refuse an algorithm that the HSM has not, before a key is made', async () => {
      await using other = newClient(emulator, { keyRingId: `hsm-${randomUUID()}` });
      await expect(new KeyHierarchy(other, { rootAlgorithm: 'ed25519' }).initialize()).rejects.toMatchObject({
        code: 'UNSUPPORTED_ALGORITHM',
      });
    });
  });

  describe('endorsements', () => {
    it('show offline whose key it is, from the public key of the root alone', async () => {
      await hierarchy.generateAgentKeys('endorsed', { purpose: 'both' });
      const rootPublicKey = await hierarchy.getRootJwks();
      for (const role of ['signing', 'encryption'] as const) {
        const key = await hierarchy.getAgentJwk('endorsed', { role });
        const endorsement = await hierarchy.endorseAgentKey('endorsed', { role, validitySeconds: 600 });
        const checked = await verifyEndorsement(endorsement, { rootPublicKey, agentId: 'endorsed', key });
        expect(checked).toMatchObject({
          keyVersion: `${KEYS}/agents/cryptoKeys/agent-endorsed-${role}-key/cryptoKeyVersions/1`,
          keyThumbprint: key.kid,
          use: role === 'signing' ? 'sig' : 'enc',
        });
        expect(checked.expiresAt.getTime() - checked.issuedAt.getTime()).toBe(600_000);
        await expect(
          verifyEndorsement(endorsement, { rootPublicKey, agentId: 'impostor', key }),
        ).rejects.toMatchObject({ check: 'agent' });
      }
    });

    it('cost one signature and no read when the keys are known', async () => {
      await hierarchy.generateAgentKeys('warm');
      await hierarchy.endorseAgentKey('warm');
      emulator.requests.clear();
      await hierarchy.endorseAgentKey('warm');
      expect(emulator.requests.count()).toBe(1);
    });

    it('are for the new version after a rotation, and the old ones stay valid for the old key', async () => {
      await using other = newClient(emulator);
      const own = new KeyHierarchy(other);
      await own.generateAgentKeys('turning');
      const [oldKey, oldEndorsement] = [
        await own.getAgentJwk('turning'),
        await own.endorseAgentKey('turning'),
      ];
      await other.rotateKey('agent-turning-signing-key');
      const key = await own.getAgentJwk('turning');
      expect(key.kid).not.toBe(oldKey.kid);
      const rootPublicKey = await own.getRootJwks();
      const options = { rootPublicKey, agentId: 'turning' };
      await expect(verifyEndorsement(oldEndorsement, { ...options, key })).rejects.toMatchObject({
        check: 'key',
      });
      await expect(verifyEndorsement(oldEndorsement, { ...options, key: oldKey })).resolves.toBeDefined();
      const endorsement = await own.endorseAgentKey('turning');
      expect((await verifyEndorsement(endorsement, { ...options, key })).keyVersion).toMatch(/\/2$/);
    });

    it('by the root before its rotation verify with its published keys', async () => {
      await using other = newClient(emulator, { keyRingId: `root-rotation-${randomUUID()}` });
      const own = new KeyHierarchy(other);
      await own.initialize();
      await own.generateAgentKeys('bot');
      const [before, key] = [await own.endorseAgentKey('bot'), await own.getAgentJwk('bot')];
      await other.rotateKey(own.rootKeyId);
      const after = await own.endorseAgentKey('bot');
      const rootPublicKey = await own.getRootJwks();
      expect(rootPublicKey).toHaveLength(2);
      const roots = new Set<string>();
      for (const endorsement of [before, after]) {
        roots.add(
          (await verifyEndorsement(endorsement, { rootPublicKey, agentId: 'bot', key })).rootThumbprint,
        );
      }
      expect(roots.size).toBe(2);
    });

    it('are refused for an agent that has no key', async () => {
      await expect(hierarchy.endorseAgentKey('nobody')).rejects.toMatchObject({
        code: 'AGENT_KEY_NOT_FOUND',
        message: expect.stringContaining('signing key'),
      });
    });

    it('are refused for a key that JOSE has no name for', async () => {
      await hierarchy.generateAgentKeys('raw', { algorithm: 'RSA_SIGN_RAW_PKCS1_2048' });
      await expect(hierarchy.endorseAgentKey('raw')).rejects.toMatchObject({ code: 'UNSUPPORTED_ALGORITHM' });
    });
  });

  describe('the root keys that are published', () => {
    it('leave out versions that are no longer ENABLED', async () => {
      await using other = newClient(emulator, { keyRingId: `roots-${randomUUID()}` });
      const own = new KeyHierarchy(other);
      await own.initialize();
      const [first] = await own.getRootJwks();
      for (let rotation = 0; rotation < 5; rotation++) await other.rotateKey(own.rootKeyId);
      await other.destroyKey(
        `${own.rootKeyId}`.replace(/^/, `${other.keyRing}/cryptoKeys/`).concat('/cryptoKeyVersions/1'),
      );
      const published = await own.getRootJwks();
      expect(published).toHaveLength(5);
      expect(published.map(({ kid }) => kid)).not.toContain(first?.kid);
    });

    it('leave out a version that is disabled while they are read', async () => {
      const keyRingId = `roots-${randomUUID()}`;
      await using other = newClient(emulator, { keyRingId });
      const own = new KeyHierarchy(other);
      await own.initialize();
      await other.rotateKey(own.rootKeyId);
      using _fault = emulator.faults.add({
        rpc: 'GetPublicKey',
        status: { code: 'FAILED_PRECONDITION', message: 'is not enabled, current state is: DISABLED' },
        times: 1,
      });
      expect(await own.getRootJwks()).toHaveLength(1);
    });

    it('are an error when they cannot be read', async () => {
      await using other = newClient(emulator, { keyRingId: `roots-${randomUUID()}` });
      const own = new KeyHierarchy(other);
      await own.initialize();
      using _fault = emulator.faults.add({
        rpc: 'GetPublicKey',
        status: { code: 'PERMISSION_DENIED', message: 'no' },
      });
      await expect(own.getRootJwks()).rejects.toMatchObject({ code: 'PERMISSION_DENIED' });
    });
  });
});

describe('the hierarchy of an A2AKeyExchange', () => {
  let emulator: KmsEmulator;
  let exchange: A2AKeyExchange;
  beforeAll(async () => {
    emulator = await startTestEmulator();
    exchange = newExchange(emulator, { hierarchy: { endorsementValiditySeconds: 3_600 } });
    await exchange.initialize();
  });
  afterAll(async () => {
    await exchange.close();
    await emulator.close();
  });

  it('has its masters after initialize when it is configured', async () => {
    const { root, kek } = await exchange.describeHierarchy();
    expect([root?.protectionLevel, kek?.protectionLevel]).toEqual(['HSM', 'HSM']);
    await exchange.generateAgentKey('configured');
    const [rootPublicKey, key, endorsement] = [
      await exchange.hierarchy.getRootJwks(),
      await exchange.hierarchy.getAgentJwk('configured'),
      await exchange.hierarchy.endorseAgentKey('configured'),
    ];
    const checked = await verifyEndorsement(endorsement, { rootPublicKey, agentId: 'configured', key });
    expect(checked.expiresAt.getTime() - checked.issuedAt.getTime()).toBe(3_600_000);
  });

  it('has no masters after initialize when it is not configured', async () => {
    await using plain = newExchange(emulator, { keyRingId: 'plain' });
    await plain.initialize();
    expect(await plain.describeHierarchy()).toEqual({ root: undefined, kek: undefined, agents: [] });
  });

  it.each([
    ['an algorithm that does not sign', { rootAlgorithm: 'AES_256_GCM' }, 'hierarchy.rootAlgorithm'],
    ['an algorithm that the HSM has not', { rootAlgorithm: 'ed25519' }, 'hierarchy.rootAlgorithm'],
    [
      'a validity beyond 397 days',
      { endorsementValiditySeconds: 34_300_801 },
      'hierarchy.endorsementValiditySeconds',
    ],
    ['a field that there is not', { rootAlgoritm: 'x' }, 'hierarchy.rootAlgoritm'],
  ])('refuses %s in the configuration', (_, hierarchy, field) => {
    expect(() => newExchange(emulator, JSON.parse(JSON.stringify({ hierarchy })))).toThrow(
      expect.objectContaining({ code: 'INVALID_CONFIG', problems: [expect.objectContaining({ field })] }),
    );
  });

  it('gives an agent both keys and returns the name of the signing key', async () => {
    const name = await exchange.generateAgentKey('two-keys', {
      purpose: 'both',
      encryptionAlgorithm: 'rsa-oaep-4096',
      labels: { team: 'billing' },
    });
    expect(name).toBe(`${KEYS}/agents/cryptoKeys/agent-two-keys-signing-key`);
    const encryption = await exchange.keys.getKey('agent-two-keys-encryption-key');
    expect(encryption).toMatchObject({
      purpose: 'ASYMMETRIC_DECRYPT',
      algorithm: 'RSA_DECRYPT_OAEP_4096_SHA256',
      protectionLevel: 'HSM',
      labels: { 'a2a-role': 'encryption', team: 'billing' },
    });
    expect((await exchange.listAgents()).filter(({ agentId }) => agentId === 'two-keys')).toHaveLength(1);
  });

  it('gives an agent an encryption key alone and returns its name', async () => {
    const name = await exchange.generateAgentKey('reader', { purpose: 'encryption' });
    expect(name).toMatch(/agent-reader-encryption-key$/);
    await expect(exchange.signMessage('reader', Buffer.from('x'))).rejects.toMatchObject({
      code: 'AGENT_KEY_NOT_FOUND',
    });
    expect((await exchange.listAgents()).map(({ agentId }) => agentId)).not.toContain('reader');
  });

  it.each([
    ['a purpose that there is not', { purpose: 'signature' }, 'INVALID_ARGUMENT'],
    [
      'a signing algorithm without a signing key',
      { purpose: 'encryption', algorithm: 'ecdsa-p256' },
      'INVALID_ARGUMENT',
    ],
    [
      'an encryption algorithm without an encryption key',
      { encryptionAlgorithm: 'rsa-oaep-4096' },
      'INVALID_ARGUMENT',
    ],
    [
      'RSA-OAEP of 2,048 bits',
      { purpose: 'both', encryptionAlgorithm: 'RSA_DECRYPT_OAEP_2048_SHA256' },
      'UNSUPPORTED_ALGORITHM',
    ],
    [
      'RSA-OAEP with SHA-1',
      { purpose: 'both', encryptionAlgorithm: 'RSA_DECRYPT_OAEP_4096_SHA1' },
      'UNSUPPORTED_ALGORITHM',
    ],
    [
      'an algorithm name of every object',
      { purpose: 'both', encryptionAlgorithm: 'constructor' },
      'UNSUPPORTED_ALGORITHM',
    ],
  ])('refuses %s before any call', async (_, options, code) => {
    emulator.requests.clear();
    await expect(
      exchange.generateAgentKey('refused', JSON.parse(JSON.stringify(options))),
    ).rejects.toMatchObject({ code });
    expect(emulator.requests.count()).toBe(0);
  });

  it('is described as a tree with versions, states and what is due when', async () => {
    await using own = newExchange(emulator, { keyRingId: 'tree', hierarchy: {} });
    await own.initialize();
    await own.generateAgentKey('b', { purpose: 'both' });
    await own.generateAgentKey('a');
    await own.rotateAgentKey('a');
    const [signingKey, kekName] = [(await own.describeAgent('a')).keyName, `${KEYS}/tree/cryptoKeys/a2a-kek`];
    await own.keys.destroyKey(`${signingKey}/cryptoKeyVersions/1`);
    await own.keys.generateKey({
      name: 'not-ours',
      purpose: 'ENCRYPT_DECRYPT',
      algorithm: 'GOOGLE_SYMMETRIC_ENCRYPTION',
    });
    const official = await openOfficialClient(emulator.endpoint);
    await official.updateCryptoKey({
      cryptoKey: {
        name: kekName,
        rotationPeriod: { seconds: 7_776_000 },
        nextRotationTime: { seconds: Date.UTC(2100, 0, 1) / 1_000 },
      },
      updateMask: { paths: ['rotation_period', 'next_rotation_time'] },
    });
    await official.close();

    const tree = await own.describeHierarchy();
    expect(tree.root).toMatchObject({
      role: 'root',
      keyVersion: `${KEYS}/tree/cryptoKeys/a2a-root-signing-key/cryptoKeyVersions/1`,
      versions: [{ version: 1, state: 'ENABLED' }],
    });
    expect(tree.root).not.toHaveProperty('nextRotationTime');
    expect(tree.kek).toMatchObject({
      name: kekName,
      role: 'kek',
      keyVersion: `${kekName}/cryptoKeyVersions/1`,
      nextRotationTime: new Date(Date.UTC(2100, 0, 1)),
      rotationPeriodSeconds: 7_776_000,
    });
    expect(tree.agents.map(({ agentId, ...keys }) => [agentId, Object.keys(keys)])).toEqual([
      ['a', ['signing']],
      ['b', expect.arrayContaining(['signing', 'encryption'])],
    ]);
    expect(tree.agents[0]?.signing).toMatchObject({
      keyVersion: `${signingKey}/cryptoKeyVersions/2`,
      versions: [
        { version: 1, state: 'DESTROY_SCHEDULED', destroyTime: expect.any(Date) },
        { version: 2, state: 'ENABLED' },
      ],
    });

    const part = await own.describeHierarchy({ agentIds: ['b'] });
    expect(part.agents.map(({ agentId }) => agentId)).toEqual(['b']);
    expect(part.root).toBeDefined();
  });
});
