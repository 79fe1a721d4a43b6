import { describe, expect, it } from 'vitest';
import { silentLogger } from '../support/emulator.js';
import { type LifecycleWorld, startWorld } from '../support/lifecycle.js';

const message = Buffer.from('pay 10 EUR to alice');

const dayOf = (world: LifecycleWorld): string =>
  new Date(world.clock.now()).toISOString().slice(0, 10).replaceAll('-', '');
const updates = (world: LifecycleWorld): number => world.emulator.requests.count('UpdateCryptoKey');
const isHeartbeat = (request: Readonly<Record<string, unknown>>): boolean =>
  JSON.stringify(request).includes('a2a-seen');

describe('heartbeat', () => {
  it('is written when the key is made, and not again on that day', async () => {
    await using world = await startWorld();
    const exchange = await world.join();
    await exchange.generateAgentKey('bot');
    for (let count = 0; count < 5; count++) await exchange.signMessage('bot', message);
    await exchange.idle();
    expect((await exchange.describeAgent('bot')).labels).toMatchObject({ 'a2a-seen': dayOf(world) });
    expect(updates(world)).toBe(0);
  });

  it('is refreshed once on a later day by any number of signatures and processes', async () => {
    await using world = await startWorld();
    const exchange = await world.join();
    const other = await world.join();
    await exchange.generateAgentKey('bot', { labels: { team: 'billing' } });
    world.clock.advanceDays(1);
    await Promise.all(Array.from({ length: 20 }, () => exchange.signMessage('bot', message)));
    await exchange.idle();
    await other.signMessage('bot', message);
    await other.idle();
    expect((await exchange.describeAgent('bot')).labels).toMatchObject({
      'a2a-seen': dayOf(world),
      team: 'billing',
    });
    expect(updates(world)).toBe(1);
    world.clock.advanceDays(1);
    await exchange.signMessage('bot', message);
    await exchange.idle();
    expect(updates(world)).toBe(2);
  });

  it('is written for an encryption key when the agent decrypts', async () => {
    await using world = await startWorld();
    const exchange = await world.join();
    await exchange.generateAgentKey('bot', { purpose: 'encryption' });
    world.clock.advanceDays(1);
    const jwe = await exchange.encryptForAgent('bot', message);
    expect(await exchange.decryptAsAgent('bot', jwe)).toEqual(message);
    await exchange.idle();
    expect(updates(world)).toBe(1);
  });

  it('never holds up a signature: it is given while the heartbeat hangs', async () => {
    await using world = await startWorld();
    const exchange = await world.join();
    await exchange.generateAgentKey('bot');
    world.clock.advanceDays(1);
    using hanging = world.emulator.faults.add({ rpc: 'UpdateCryptoKey', hang: true });
    const signature = await exchange.signMessage('bot', message);
    expect(await exchange.verifyMessage('bot', message, signature)).toBe(true);
    await exchange.close();
    expect(hanging.hits).toBeLessThanOrEqual(1);
  });

  it('works for an identity that may not update keys, and says so once a day and not for each signature (P11)', async () => {
    await using world = await startWorld();
    const warnings: string[] = [];
    const logger = { ...silentLogger, warn: (_fields: object, text: string) => void warnings.push(text) };
    const exchange = await world.join({ logger });
    await exchange.generateAgentKey('bot');
    world.clock.advanceDays(1);
    using denied = world.emulator.faults.add({
      rpc: 'UpdateCryptoKey',
      status: { code: 'PERMISSION_DENIED' },
    });
    for (let count = 0; count < 10; count++) {
      await exchange.signMessage('bot', message);
      await exchange.idle();
    }
    expect(denied.hits).toBe(1);
    expect(warnings.filter((text) => text.includes('pruneStaleAgents'))).toHaveLength(1);
    world.clock.advanceDays(1);
    await exchange.signMessage('bot', message);
    await exchange.idle();
    expect(denied.hits).toBe(2);
  });

  it('is tried again after an hour when it failed for another reason', async () => {
    await using world = await startWorld();
    const exchange = await world.join({ retry: { maxAttempts: 1 } });
    await exchange.generateAgentKey('bot');
    world.clock.advanceDays(1);
    using failing = world.emulator.faults.add({ rpc: 'UpdateCryptoKey', status: { code: 'INTERNAL' } });
    await exchange.signMessage('bot', message);
    await exchange.idle();
    await exchange.signMessage('bot', message);
    await exchange.idle();
    expect(failing.hits).toBe(1);
    failing.remove();
    world.clock.advance(3_600_000);
    await exchange.signMessage('bot', message);
    await exchange.idle();
    expect((await exchange.describeAgent('bot')).labels).toMatchObject({ 'a2a-seen': dayOf(world) });
  });

  it('keeps out of a rotation that is under way', async () => {
    await using world = await startWorld();
    const exchange = await world.join();
    await exchange.generateAgentKey('bot');
    world.clock.advanceDays(1);
    await exchange.prepareAgentRotation('bot');
    world.emulator.requests.clear();
    await exchange.signMessage('bot', message);
    await exchange.idle();
    expect(world.emulator.requests.entries.filter(({ request }) => isHeartbeat(request))).toEqual([]);
    await exchange.activateAgentRotation('bot');
    world.clock.advance(3_600_000);
    await exchange.signMessage('bot', message);
    await exchange.idle();
    expect((await exchange.describeAgent('bot')).labels).toMatchObject({ 'a2a-seen': dayOf(world) });
  });

  it('and rotations of other processes at the same time leave the new version in use', async () => {
    await using world = await startWorld();
    const signer = await world.join();
    const rotator = await world.join();
    await signer.generateAgentKey('bot');
    for (let round = 0; round < 5; round++) {
      world.clock.advanceDays(1);
      const [rotated] = await Promise.all([
        rotator.rotateAgentKey('bot'),
        ...Array.from({ length: 4 }, () => signer.signMessage('bot', message)),
      ]);
      await signer.idle();
      expect((await rotator.describeAgent('bot')).keyVersion).toBe(rotated.primary);
    }
  });
});
