/** What is done in all key rings, in one of them, and what is said when it was done in some only. */

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { A2AKeyExchange } from '../../src/index.js';
import { ReplicatedKeyProvider } from '../../src/replication/replicated-key-provider.js';
import { clientConfig, newExchange, startTestEmulator } from '../support/emulator.js';
import { STANDBY_RING, startTwoLocations, type TwoLocations } from '../support/two-locations.js';

const message = Buffer.from('pay 10 EUR to alice');
const FIRST = 'projects/test-project/locations/global/keyRings/agents';
const STANDBY = 'projects/test-project/locations/europe-west4/keyRings/standby';
const KEY = 'cryptoKeys/agent-bot-signing-key';

let locations: TwoLocations;
let exchange: A2AKeyExchange;

beforeEach(async () => {
  locations = await startTwoLocations();
  exchange = locations.newExchange();
  await exchange.initialize();
});
afterEach(() => locations.close());

/** Of the version that each key ring signs with. */
const numbersInUse = async ({ keys }: A2AKeyExchange): Promise<readonly (string | undefined)[]> => {
  const signed = await Promise.all(
    [FIRST, STANDBY].map((keyRing) => keys.signDetailed(`${keyRing}/${KEY}`, message)),
  );
  return signed.map(({ keyVersion }) => keyVersion.split('/').at(-1));
};

describe('an agent with a standby key ring', () => {
  it('has a key of its own in each, under one name, and both public keys are published together', async () => {
    expect(await exchange.generateAgentKey('bot')).toBe(`${FIRST}/${KEY}`);
    const published = await exchange.getPublicKeys('bot');
    expect(published.map(({ keyRing, keyVersion }) => [keyRing, keyVersion])).toEqual([
      [FIRST, `${FIRST}/${KEY}/cryptoKeyVersions/1`],
      [STANDBY, `${STANDBY}/${KEY}/cryptoKeyVersions/1`],
    ]);
    expect(published[0]?.pem).not.toBe(published[1]?.pem);
    expect((await exchange.getPublicKey('bot')).toString()).toBe(published[0]?.pem);
  });

  it('is rotated, described, listed and destroyed like any other, in both key rings', async () => {
    await exchange.generateAgentKey('bot');
    const signature = await exchange.signMessage('bot', message);
    await exchange.rotateAgentKey('bot');
    expect(await numbersInUse(exchange)).toEqual(['2', '2']);
    expect(await exchange.verifyMessage('bot', message, signature)).toBe(true);
    expect((await exchange.describeAgent('bot')).keyName).toBe(`${FIRST}/${KEY}`);
    expect((await exchange.listAgents()).map(({ agentId }) => agentId)).toEqual(['bot']);
    await exchange.destroyAgent('bot');
    for (const keyRing of [FIRST, STANDBY]) {
      const versions = await exchange.keys.listKeyVersions(`${keyRing}/${KEY}`);
      expect(versions.map(({ state }) => state)).toEqual(['DESTROY_SCHEDULED', 'DESTROY_SCHEDULED']);
    }
    await exchange.restoreAgent('bot');
    expect(await exchange.verifyMessage('bot', message, await exchange.signMessage('bot', message))).toBe(
      true,
    );
  });

  it('verifies what the key ring of a replica signed, by agent and by version', async () => {
    await exchange.generateAgentKey('bot');
    const signed = await exchange.keys.signDetailed(`${STANDBY}/${KEY}`, message);
    expect(signed.keyVersion).toBe(`${STANDBY}/${KEY}/cryptoKeyVersions/1`);
    expect(await exchange.verifyMessage('bot', message, signed.signature)).toBe(true);
    const { keyVersion } = signed;
    expect(await exchange.verifyMessage('bot', message, signed.signature, { keyVersion })).toBe(true);
    expect(await exchange.verifyMessage('bot', message, Buffer.alloc(70, 1))).toBe(false);
    await expect(
      exchange.verifyMessage('bot', message, signed.signature, {
        keyVersion: keyVersion.replace('agent-bot', 'agent-eve'),
      }),
    ).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  it('verifies what a replica signed before any key ring is asked for new versions', async () => {
    await exchange.generateAgentKey('bot');
    const signed = await exchange.keys.sign(`${STANDBY}/${KEY}`, message);
    const verifier = locations.newExchange();
    expect(await verifier.verifyMessage('bot', message, signed)).toBe(true);
    const rings = [locations.first, locations.standby];
    for (const { requests } of rings) requests.clear();
    for (let n = 0; n < 10; n++) expect(await verifier.verifyMessage('bot', message, signed)).toBe(true);
    expect(rings.map(({ requests }) => requests.count())).toEqual([0, 0]);
  });

  it('verifies at once what a version signed that another process made, in either key ring', async () => {
    await exchange.generateAgentKey('bot');
    const verifier = locations.newExchange();
    await verifier.verifyMessage('bot', message, await exchange.signMessage('bot', message));
    await verifier.verifyMessage('bot', message, Buffer.alloc(70, 1));
    await exchange.rotateAgentKey('bot');
    for (const keyRing of [STANDBY, FIRST]) {
      const signature = await exchange.keys.sign(`${keyRing}/${KEY}`, message);
      expect(await verifier.verifyMessage('bot', message, signature)).toBe(true);
    }
    const ignored = { newVersions: 'ignore' } as const;
    await exchange.rotateAgentKey('bot');
    const latest = await exchange.keys.sign(`${STANDBY}/${KEY}`, message);
    expect(await verifier.keys.verify(`${FIRST}/${KEY}`, message, latest, ignored)).toBe(false);
    expect(await verifier.keys.verify(`${FIRST}/${KEY}`, message, latest)).toBe(true);
  });

  it('encrypts and decrypts in the first key ring, or in the one that is named', async () => {
    const spec = { purpose: 'ENCRYPT_DECRYPT', algorithm: 'GOOGLE_SYMMETRIC_ENCRYPTION' } as const;
    await exchange.keys.generateKey({ name: 'kek', ...spec });
    const ciphertext = await exchange.keys.encrypt('kek', message);
    expect(await exchange.keys.decrypt('kek', ciphertext)).toEqual(message);
    await expect(exchange.keys.decrypt(`${STANDBY}/cryptoKeys/kek`, ciphertext)).rejects.toMatchObject({
      code: 'DECRYPTION_FAILED',
    });
    await locations.first.close();
    await expect(exchange.keys.encrypt('kek', message)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  it('can go back to a version in either key ring', async () => {
    await exchange.generateAgentKey('bot');
    await exchange.rotateAgentKey('bot');
    const name = `${FIRST}/${KEY}`;
    await exchange.keys.setPrimaryVersion(name, `${STANDBY}/${KEY}/cryptoKeyVersions/1`);
    await exchange.keys.setPrimaryVersion(name, 1);
    expect(await numbersInUse(exchange)).toEqual(['1', '1']);
  });

  it('is prepared, activated and retired in both', async () => {
    await exchange.generateAgentKey('bot');
    const { keys } = exchange;
    const name = `${FIRST}/${KEY}`;
    expect((await keys.prepareRotation(name)).prepared).toBe(`${name}/cryptoKeyVersions/2`);
    const before = await keys.getKey(name);
    await keys.activateRotation(name, { replacing: before.primary });
    expect(await keys.retire(name)).toMatchObject({ name, disabled: [] });
    await keys.updateLabels(name, { team: 'payments' });
    expect((await keys.getKey(`${STANDBY}/${KEY}`)).labels['team']).toBe('payments');
    const digest = Buffer.alloc(48, 7);
    expect((await keys.signDigest(name, digest)).keyVersion).toBe(`${name}/cryptoKeyVersions/2`);
  });
});

describe('when a location fails in the middle', () => {
  it('a creation is reported as incomplete, and the next call completes it (D1)', async () => {
    const fault = locations.standby.faults.add({
      rpc: 'CreateCryptoKey',
      status: { code: 'PERMISSION_DENIED' },
    });
    await expect(exchange.generateAgentKey('bot')).rejects.toMatchObject({
      code: 'REPLICATION_INCOMPLETE',
      completed: [FIRST],
      failures: [{ keyRing: STANDBY, problem: 'PERMISSION_DENIED' }],
    });
    fault.remove();
    await exchange.generateAgentKey('bot');
    expect(await exchange.getPublicKeys('bot')).toHaveLength(2);
  });

  it('what fails everywhere is the error of the first', async () => {
    await expect(exchange.keys.rotateKey('none')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(exchange.keys.verify('none', message, message)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  it('initialize goes on with the location that can be reached, and fails for any other reason', async () => {
    await locations.standby.close();
    await locations.newExchange().initialize();
    locations.first.faults.add({ rpc: 'GetKeyRing', status: { code: 'PERMISSION_DENIED' } });
    await expect(locations.newExchange().initialize()).rejects.toMatchObject({ code: 'PERMISSION_DENIED' });
    await locations.first.close();
    await expect(locations.newExchange().initialize()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });
});

it('destroys nothing anywhere when one key ring would destroy too soon', async () => {
  const spec = { name: 'k', purpose: 'ASYMMETRIC_SIGN', algorithm: 'EC_SIGN_P256_SHA256' } as const;
  const standby = newExchange(locations.standby, STANDBY_RING);
  await standby.keys.generateKey({ ...spec, destroyScheduledDurationSeconds: 86_400 });
  await exchange.keys.generateKey(spec);
  await expect(exchange.keys.destroyKey('k', 2_592_000)).rejects.toThrow(
    /standby.*86400 s.*Nothing was touched/,
  );
  for (const { requests } of [locations.first, locations.standby]) {
    expect(requests.count('DestroyCryptoKeyVersion')).toBe(0);
  }
  const { versions } = await exchange.keys.destroyKey('k', 3_600);
  expect(versions).toHaveLength(1);
  await exchange.keys.restoreKey('k');
  expect(await exchange.keys.sign('k', message)).toBeInstanceOf(Buffer);
  await standby.close();
});

describe('restoreKey', () => {
  const spec = { name: 'k', purpose: 'ASYMMETRIC_SIGN', algorithm: 'EC_SIGN_P256_SHA256' } as const;

  it.each([
    ['ENABLED', undefined],
    ['ENABLED', 'ENABLED'],
    ['DISABLED', 'DISABLED'],
  ] as const)(
    'that reached one key ring only is finished by calling it again: %s, %s',
    async (end, state) => {
      await exchange.keys.generateKey(spec);
      await exchange.keys.destroyKey('k');
      const fault = locations.standby.faults.add({ rpc: '*', status: { code: 'PERMISSION_DENIED' } });
      const incomplete = { code: 'REPLICATION_INCOMPLETE', completed: [FIRST] };
      for (const _ of ['first', 'again'])
        await expect(exchange.keys.restoreKey('k', { state })).rejects.toMatchObject(incomplete);
      fault.remove();
      expect((await exchange.keys.restoreKey('k', { state })).name).toBe(`${FIRST}/cryptoKeys/k`);
      for (const keyRing of [FIRST, STANDBY]) {
        const versions = await exchange.keys.listKeyVersions(`${keyRing}/cryptoKeys/k`);
        expect(versions.map((version) => version.state)).toEqual([end]);
      }
    },
  );

  it('has nothing to restore where no key ring has, nor where it is not what was asked for', async () => {
    await exchange.keys.generateKey(spec);
    const nothing = { code: 'FAILED_PRECONDITION' };
    await expect(exchange.keys.restoreKey('k')).rejects.toMatchObject(nothing);
    await exchange.keys.destroyKey('k');
    await exchange.keys.restoreKey(`${STANDBY}/cryptoKeys/k`, { state: 'DISABLED' });
    await expect(exchange.keys.restoreKey('k', { state: 'ENABLED' })).rejects.toMatchObject({
      code: 'REPLICATION_INCOMPLETE',
      failures: [{ keyRing: STANDBY, problem: 'FAILED_PRECONDITION' }],
    });
  });
});

it('symmetric keys are rotated on a schedule in both key rings', async () => {
  const spec = { purpose: 'ENCRYPT_DECRYPT', algorithm: 'GOOGLE_SYMMETRIC_ENCRYPTION' } as const;
  await exchange.keys.generateKey({ name: 'kek', ...spec });
  await exchange.keys.setRotationSchedule('kek', { rotationPeriodSeconds: 7_776_000 });
  expect((await exchange.keys.getKey(`${STANDBY}/cryptoKeys/kek`)).rotationPeriodSeconds).toBe(7_776_000);
});

describe('the configuration', () => {
  const config = clientConfig;

  it('refuses a key ring that is named twice, and replicas of software keys', async () => {
    const emulator = await startTestEmulator();
    const { locationId, keyRingId } = config(emulator);
    expect(() => new A2AKeyExchange({ ...config(emulator), replicas: [{ locationId, keyRingId }] })).toThrow(
      /replicas\.0: is a key ring that is already listed/,
    );
    expect(
      () =>
        new A2AKeyExchange({
          ...config(emulator),
          replicas: [STANDBY_RING],
          enableHsmKeys: false,
          useSoftwareKeys: true,
          softwareKeyStore: { type: 'memory' },
        }),
    ).toThrow(/replicas: cannot be combined with software keys/);
    await emulator.close();
  });

  it('has pinned versions in any of its key rings, and refuses others', async () => {
    await exchange.generateAgentKey('bot');
    const pinned = (name: string) => ({
      pinnedVersions: [{ name, algorithm: 'EC_SIGN_P384_SHA384', protectionLevel: 'HSM' }] as const,
    });
    const cautious = locations.newExchange(pinned(`${STANDBY}/${KEY}/cryptoKeyVersions/1`));
    await cautious.keys.rotateKey(`${FIRST}/${KEY}`);
    expect(await numbersInUse(cautious)).toEqual(['2', '1']);
    // Whoever publishes gets what the key rings hold, whatever this process signs with.
    const published = await cautious.getPublicKeys('bot');
    expect(published.map(({ lifecycle }) => lifecycle)).toEqual(['retiring', 'active', 'retiring', 'active']);
    const elsewhere = 'projects/test-project/locations/us/keyRings/agents/cryptoKeys/k/cryptoKeyVersions/1';
    expect(() => locations.newExchange(pinned(elsewhere))).toThrow(
      /pinnedVersions\.0\.name: is not the full name/,
    );
  });

  it('without replicas has one location, whose public key is the only one', async () => {
    const emulator = await startTestEmulator();
    const single = newExchange(emulator);
    await single.initialize();
    await single.generateAgentKey('bot');
    expect(single.replication()).toEqual([]);
    expect(await single.getPublicKeys('bot')).toMatchObject([{ keyRing: FIRST }]);
    expect((await single.describeAgent('bot')).unread).toEqual([]);
    await single.close();
    await emulator.close();
  });

  it('shows all locations closed at first', () => {
    expect(exchange.keys).toBeInstanceOf(ReplicatedKeyProvider);
    expect(exchange.replication()).toEqual([
      { keyRing: FIRST, state: 'closed' },
      { keyRing: STANDBY, state: 'closed' },
    ]);
  });
});
