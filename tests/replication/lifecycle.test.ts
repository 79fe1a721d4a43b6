/** Agents with replicas from rotation to their end: each key ring is looked at, acted on and reported by itself. */

import { verify } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type A2AKeyExchange, type AgentDescription, ReceiptTrust, verifyReceipt } from '../../src/index.js';
import { newExchange } from '../support/emulator.js';
import { CalendarClock, DAY_SECONDS } from '../support/lifecycle.js';
import { MemoryPublicKeyArchive } from '../support/memory-archive.js';
import { STANDBY_RING, startTwoLocations, type TwoLocations } from '../support/two-locations.js';

const message = Buffer.from('pay 10 EUR to alice');
const KEY = 'cryptoKeys/agent-bot-signing-key';
const FIRST = `projects/test-project/locations/global/keyRings/agents/${KEY}`;
const STANDBY = `projects/test-project/locations/europe-west4/keyRings/standby/${KEY}`;
const rotationPolicy = { rotateAfterSeconds: 30 * DAY_SECONDS, graceSeconds: 7 * DAY_SECONDS };

let clock: CalendarClock;
let locations: TwoLocations;
let exchange: A2AKeyExchange;

beforeEach(async () => {
  clock = new CalendarClock();
  locations = await startTwoLocations({ clock });
  exchange = locations.newExchange({
    clock,
    publicKeyArchive: new MemoryPublicKeyArchive(),
    defaultAlgorithm: 'ecdsa-p256',
  });
  await exchange.initialize();
  await exchange.generateAgentKey('bot', { rotationPolicy });
});
afterEach(() => locations.close());

const ringOf = (keyName: string): string => keyName.slice(0, keyName.indexOf('/cryptoKeys/'));
const numberOf = ({ keyVersion }: { readonly keyVersion: string }): string | undefined =>
  keyVersion.split('/').at(-1);
const statesIn = async (keyName: string): Promise<readonly string[]> =>
  (await exchange.keys.listKeyVersions(`${keyName}/cryptoKeyVersions/1`)).map(({ state }) => state);

describe('describeAgent', () => {
  const lives = ({ versions }: AgentDescription) =>
    versions.map(({ name, lifecycle }) => [name, lifecycle] as const);

  it('shows the versions in every key ring, those of the first before the others, each by number', async () => {
    await exchange.rotateAgentKey('bot');
    await exchange.keys.prepareRotation(STANDBY);
    const agent = await exchange.describeAgent('bot');
    expect(lives(agent)).toEqual([
      [`${FIRST}/cryptoKeyVersions/1`, 'retiring'],
      [`${FIRST}/cryptoKeyVersions/2`, 'active'],
      [`${STANDBY}/cryptoKeyVersions/1`, 'retiring'],
      [`${STANDBY}/cryptoKeyVersions/2`, 'active'],
      [`${STANDBY}/cryptoKeyVersions/3`, 'prepared'],
    ]);
    expect(new Set(agent.versions.map(({ thumbprint }) => thumbprint)).size).toBe(5);
    expect(agent).toMatchObject({ keyName: FIRST, keyVersion: `${FIRST}/cryptoKeyVersions/2`, unread: [] });
  });

  it('names the key ring that cannot be read, whichever it is, as long as another one answers', async () => {
    const fault = locations.standby.faults.add({ rpc: '*', status: { code: 'PERMISSION_DENIED' } });
    const withoutStandby = await exchange.describeAgent('bot');
    expect(lives(withoutStandby)).toEqual([[`${FIRST}/cryptoKeyVersions/1`, 'active']]);
    expect(withoutStandby.unread).toEqual([
      {
        keyRing: ringOf(STANDBY),
        code: 'PERMISSION_DENIED',
        reason: expect.stringContaining(STANDBY),
      },
    ]);
    fault.remove();
    await locations.first.close();
    const withoutFirst = await exchange.describeAgent('bot');
    expect(lives(withoutFirst)).toEqual([[`${STANDBY}/cryptoKeyVersions/1`, 'active']]);
    expect(withoutFirst).toMatchObject({
      keyName: FIRST,
      keyVersion: `${STANDBY}/cryptoKeyVersions/1`,
      rotationPolicy,
      unread: [{ keyRing: ringOf(FIRST), code: 'UNAVAILABLE' }],
    });
    await locations.standby.close();
    await expect(exchange.describeAgent('bot')).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  it('names the key ring where the agent has no key yet, and says of nobody that he is not there while one is down', async () => {
    await newExchange(locations.first, { clock }).generateAgentKey('old');
    expect(await exchange.describeAgent('old')).toMatchObject({
      versions: [{ version: 1 }],
      unread: [{ keyRing: ringOf(STANDBY), code: 'AGENT_KEY_NOT_FOUND' }],
    });
    await expect(exchange.describeAgent('nobody')).rejects.toMatchObject({ code: 'AGENT_KEY_NOT_FOUND' });
    await locations.standby.close();
    await expect(exchange.describeAgent('nobody')).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  it('says when the agent was last seen in any of them', async () => {
    const before = (await exchange.describeAgent('bot')).lastSeen;
    clock.advanceDays(3);
    const day = new Date(clock.now()).toISOString().slice(0, 10).replaceAll('-', '');
    await newExchange(locations.standby, { ...STANDBY_RING, clock }).keys.updateLabels(STANDBY, {
      'a2a-seen': day,
    });
    const after = (await exchange.describeAgent('bot')).lastSeen;
    expect(Number(after) - Number(before)).toBe(3 * DAY_SECONDS * 1_000);
  });
});

describe('getPublicKeys', () => {
  const published = async () =>
    (await exchange.getPublicKeys('bot')).map(({ keyVersion, lifecycle }) => [keyVersion, lifecycle]);

  it('gives what is prepared, in use and replaced in every key ring, and nothing that is disabled', async () => {
    await exchange.rotateAgentKey('bot');
    clock.advanceDays(8);
    await exchange.keys.retire(FIRST);
    await exchange.rotateAgentKey('bot');
    await exchange.prepareAgentRotation('bot');
    const inRing = (keyName: string) => [
      [`${keyName}/cryptoKeyVersions/2`, 'retiring'],
      [`${keyName}/cryptoKeyVersions/3`, 'active'],
      [`${keyName}/cryptoKeyVersions/4`, 'prepared'],
    ];
    expect(await published()).toEqual([...inRing(FIRST), ...inRing(STANDBY)]);
    const keys = await exchange.getPublicKeys('bot');
    expect(new Set(keys.map(({ pem }) => pem)).size).toBe(6);
    expect(keys.map(({ keyRing }) => keyRing)).toEqual(keys.map(({ keyVersion }) => ringOf(keyVersion)));
    // What is activated afterwards signs with a key that was published before.
    await exchange.activateAgentRotation('bot');
    const { keyVersion, signature } = await exchange.signMessageDetailed('bot', message);
    const { pem = '' } = keys.find((key) => key.keyVersion === keyVersion) ?? {};
    expect(verify('sha256', message, pem, signature)).toBe(true);
  });

  it('fails where a key ring cannot give its own: a set that lacks some is not to be published', async () => {
    locations.standby.faults.add({ rpc: 'ListCryptoKeyVersions', status: { code: 'PERMISSION_DENIED' } });
    await expect(exchange.getPublicKeys('bot')).rejects.toMatchObject({
      code: 'REPLICATION_INCOMPLETE',
      completed: [ringOf(FIRST)],
      failures: [{ keyRing: ringOf(STANDBY), problem: 'PERMISSION_DENIED' }],
    });
  });

  it('leaves out a version that is disabled before its key is read, and fails for any other reason', async () => {
    await exchange.rotateAgentKey('bot');
    const fresh = locations.newExchange({ clock });
    locations.standby.faults.add({ rpc: 'GetPublicKey', status: { code: 'FAILED_PRECONDITION' } });
    expect((await fresh.getPublicKeys('bot')).map(numberOf)).toEqual(['1', '2']);
    locations.standby.faults.clear();
    locations.standby.faults.add({ rpc: 'GetPublicKey', status: { code: 'PERMISSION_DENIED' } });
    await expect(fresh.getPublicKeys('bot')).rejects.toMatchObject({ code: 'REPLICATION_INCOMPLETE' });
  });

  it('gives those of the others where a key ring has none to publish, and fails where none has', async () => {
    await exchange.keys.destroyKey(`${STANDBY}/cryptoKeyVersions/1`, undefined, { force: true });
    expect(await published()).toEqual([[`${FIRST}/cryptoKeyVersions/1`, 'active']]);
    await exchange.destroyAgent('bot');
    await expect(exchange.getPublicKeys('bot')).rejects.toMatchObject({ code: 'NO_USABLE_VERSION' });
  });
});

describe('getAgentJwks', () => {
  it('has the keys that receipts verify with, whichever location signs, and after the next rotation', async () => {
    await exchange.prepareAgentRotation('bot');
    const jwks = await exchange.getAgentJwks('bot');
    expect(jwks).toHaveLength(4);
    const current = new ReceiptTrust(await exchange.hierarchy.getAgentJwk('bot'));
    const all = new ReceiptTrust({ keys: jwks });
    const verdicts = async (): Promise<readonly boolean[]> => {
      const [receipt = Buffer.alloc(0)] = await exchange.signBatch('bot', [message]);
      return Promise.all([current, all].map((trust) => verifyReceipt(message, receipt, trust)));
    };
    expect(await verdicts()).toEqual([true, true]);
    const fault = locations.first.faults.add({ rpc: 'AsymmetricSign', status: { code: 'UNAVAILABLE' } });
    expect(await verdicts()).toEqual([false, true]);
    fault.remove();
    await exchange.activateAgentRotation('bot');
    expect(await verdicts()).toEqual([false, true]);
  });

  it('fails where a key ring cannot give its own', async () => {
    locations.standby.faults.add({ rpc: 'ListCryptoKeyVersions', status: { code: 'PERMISSION_DENIED' } });
    await expect(exchange.getAgentJwks('bot')).rejects.toMatchObject({ code: 'REPLICATION_INCOMPLETE' });
  });
});

describe('destroyAgent', () => {
  it('reports the versions in every key ring, and each that is left', async () => {
    const fault = locations.standby.faults.add({
      rpc: 'DestroyCryptoKeyVersion',
      status: { code: 'PERMISSION_DENIED' },
    });
    const { versions } = await exchange.destroyAgent('bot');
    expect(versions.map(({ keyVersion, outcome }) => [keyVersion, outcome])).toEqual([
      [`${FIRST}/cryptoKeyVersions/1`, 'scheduled'],
      [`${STANDBY}/cryptoKeyVersions/1`, 'failed'],
    ]);
    expect(await statesIn(STANDBY)).toEqual(['ENABLED']);
    fault.remove();
    const again = await exchange.destroyAgent('bot');
    expect(again.versions.map(({ outcome }) => outcome)).toEqual(['scheduled', 'scheduled']);
  });

  it('touches nothing while a key ring cannot be read, and restoreAgent brings back what is scheduled in one only', async () => {
    const fault = locations.standby.faults.add({
      rpc: 'GetCryptoKey',
      status: { code: 'PERMISSION_DENIED' },
    });
    await expect(exchange.destroyAgent('bot')).rejects.toMatchObject({ code: 'PERMISSION_DENIED' });
    expect(await statesIn(FIRST)).toEqual(['ENABLED']);
    fault.remove();
    await exchange.keys.destroyKey(`${STANDBY}/cryptoKeyVersions/1`, undefined, { force: true });
    const restored = await exchange.restoreAgent('bot');
    expect(restored.map(({ name }) => name)).toEqual([STANDBY]);
    expect(await statesIn(STANDBY)).toEqual(['ENABLED']);
  });
});

describe('rotateDueKeys', () => {
  it('rotates the key in every key ring, and the next run does what failed in one', async () => {
    clock.advanceDays(30);
    const fault = locations.standby.faults.add({
      rpc: 'CreateCryptoKeyVersion',
      status: { code: 'PERMISSION_DENIED' },
    });
    const first = await exchange.rotateDueKeys();
    expect(first).toMatchObject({ rotated: 1, failed: 1, unlisted: [] });
    expect(first.keys.map(({ keyName, outcome }) => [keyName, outcome])).toEqual([
      [STANDBY, 'failed'],
      [FIRST, 'rotated'],
    ]);
    fault.remove();
    expect(await exchange.rotateDueKeys()).toMatchObject({ rotated: 1, notDue: 1, failed: 0 });
    expect(await statesIn(FIRST)).toEqual(['ENABLED', 'ENABLED']);
    expect(await statesIn(STANDBY)).toEqual(['ENABLED', 'ENABLED']);
  });

  it('converges in each when two runs race', async () => {
    clock.advanceDays(30);
    const other = locations.newExchange({ clock });
    const reports = await Promise.all([exchange.rotateDueKeys(), other.rotateDueKeys()]);
    expect(reports.map(({ failed }) => failed)).toEqual([0, 0]);
    for (const keyName of [FIRST, STANDBY]) {
      const [before, after, ...spares] = await statesIn(keyName);
      expect([before, after]).toEqual(['ENABLED', 'ENABLED']);
      expect(spares.filter((state) => state !== 'DESTROY_SCHEDULED')).toEqual([]);
    }
    const published = await exchange.getPublicKeys('bot');
    expect(published.filter(({ lifecycle }) => lifecycle === 'active').map(numberOf)).toEqual(['2', '2']);
  });

  it('works where it can while a location is down, and says which could not be listed', async () => {
    clock.advanceDays(30);
    await locations.standby.close();
    const report = await exchange.rotateDueKeys();
    expect(report).toMatchObject({
      rotated: 1,
      failed: 1,
      unlisted: [{ keyRing: ringOf(STANDBY), code: 'UNAVAILABLE' }],
    });
    await locations.first.close();
    await expect(exchange.rotateDueKeys()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });
});

describe('the heartbeat', () => {
  it('of an agent that signs in the standby is written there, and keeps it from being pruned', async () => {
    clock.advanceDays(100);
    const fault = locations.first.faults.add({ rpc: '*', status: { code: 'UNAVAILABLE' } });
    expect((await exchange.keys.signDetailed(`${FIRST}`, message)).keyVersion).toContain('/standby/');
    await exchange.signMessage('bot', message);
    await exchange.idle();
    await expect(exchange.pruneStaleAgents({ unusedFor: 90 * DAY_SECONDS })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    });
    fault.remove();
    expect(await exchange.pruneStaleAgents({ unusedFor: 90 * DAY_SECONDS })).toEqual([]);
  });

  it('that is long ago in all key rings leads to the end of the agent in all of them', async () => {
    clock.advanceDays(100);
    const prune = { unusedFor: 90 * DAY_SECONDS, dryRun: false };
    expect(await exchange.pruneStaleAgents(prune)).toMatchObject([{ agentId: 'bot', outcome: 'marked' }]);
    clock.advanceDays(7);
    expect(await exchange.pruneStaleAgents(prune)).toMatchObject([{ agentId: 'bot', outcome: 'destroyed' }]);
    expect(await statesIn(FIRST)).toEqual(['DESTROY_SCHEDULED']);
    expect(await statesIn(STANDBY)).toEqual(['DESTROY_SCHEDULED']);
  });
});

describe('an old signature by the standby', () => {
  it('verifies after the version was replaced and disabled, by the agent and by its version', async () => {
    const { signature, keyVersion } = await exchange.keys.signDetailed(STANDBY, message);
    await exchange.rotateAgentKey('bot');
    clock.advanceDays(8);
    await exchange.keys.retire(FIRST);
    expect(await statesIn(STANDBY)).toEqual(['DISABLED', 'ENABLED']);
    expect(await exchange.verifyMessage('bot', message, signature)).toBe(true);
    expect(await exchange.verifyMessage('bot', message, signature, { keyVersion })).toBe(true);
  });

  it('verifies where the first key ring has no version left to verify with', async () => {
    const plain = locations.newExchange({ clock, defaultAlgorithm: 'ecdsa-p256' });
    const { signature } = await plain.keys.signDetailed(STANDBY, message);
    await plain.keys.destroyKey(`${FIRST}/cryptoKeyVersions/1`, undefined, { force: true });
    expect(await plain.verifyMessage('bot', message, signature)).toBe(true);
    expect(await plain.verifyMessage('bot', message, Buffer.alloc(70, 1))).toBe(false);
    await plain.keys.destroyKey(`${STANDBY}/cryptoKeyVersions/1`, undefined, { force: true });
    const late = locations.newExchange({ clock, defaultAlgorithm: 'ecdsa-p256' });
    await expect(late.verifyMessage('bot', message, signature)).rejects.toMatchObject({
      code: 'NO_USABLE_VERSION',
    });
  });
});
