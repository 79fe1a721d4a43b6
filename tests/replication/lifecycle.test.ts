/** Agents with replicas from rotation to their end: each key ring is looked at, acted on and reported by itself. */

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { A2AKeyExchange } from '../../src/index.js';
import { CalendarClock, DAY_SECONDS } from '../support/lifecycle.js';
import { MemoryPublicKeyArchive } from '../support/memory-archive.js';
import { startTwoLocations, type TwoLocations } from '../support/two-locations.js';

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

const statesIn = async (keyName: string): Promise<readonly string[]> =>
  (await exchange.keys.listKeyVersions(`${keyName}/cryptoKeyVersions/1`)).map(({ state }) => state);

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
    expect(published.map(({ keyVersion }) => keyVersion.split('/').at(-1))).toEqual(['2', '2']);
  });

  it('works where it can while a location is down, and says which could not be listed', async () => {
    clock.advanceDays(30);
    await locations.standby.close();
    const report = await exchange.rotateDueKeys();
    expect(report).toMatchObject({ rotated: 1, failed: 1, unlisted: [{ code: 'UNAVAILABLE' }] });
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
