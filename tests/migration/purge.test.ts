import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { A2AKeyExchange } from '../../src/index.js';
import { officialClient } from '../support/emulator.js';
import { type MigrationWorld, startMigrationWorld } from '../support/migration.js';

const message = Buffer.from('pay 10 EUR to alice');

let world: MigrationWorld;
/** A process in phase 3. */
let exchange: A2AKeyExchange;
let signature: Buffer;
beforeEach(async () => {
  world = await startMigrationWorld();
  await world.within('software-only', async (software) => {
    await software.generateAgentKey('bot', { purpose: 'both' });
    await software.generateAgentKey('late');
    signature = await software.signMessage('bot', message);
    await software.rotateAgentKey('bot');
  });
  exchange = await world.start(3);
  await exchange.migrateAgent('bot', { strategy: 'regenerate' });
});
afterEach(() => world[Symbol.asyncDispose]());

describe('purgeMigratedKeys', () => {
  it('lists each migrated key with its versions and the end of its 90 days, and deletes none before', async () => {
    world.clock.advanceDays(89);
    const [encryption, signing, ...others] = await exchange.purgeMigratedKeys({ dryRun: false });
    expect(others).toEqual([]);
    expect(encryption).toMatchObject({ agentId: 'bot', role: 'encryption', outcome: 'retained' });
    expect(signing).toMatchObject({
      agentId: 'bot',
      role: 'signing',
      outcome: 'retained',
      reason: expect.stringContaining('kept until'),
      keyVersions: [
        expect.stringMatching(/cryptoKeyVersions\/1@software$/),
        expect.stringMatching(/cryptoKeyVersions\/2@software$/),
      ],
    });
    const days = ((signing?.retainedUntil.getTime() ?? 0) - world.clock.now()) / 86_400_000;
    expect(Math.round(days)).toBe(1);
  });

  it('only lists what it would delete unless it is told to delete', async () => {
    world.clock.advanceDays(91);
    expect((await exchange.purgeMigratedKeys()).map(({ outcome }) => outcome)).toEqual([
      'would-purge',
      'would-purge',
    ]);
    expect((await exchange.purgeMigratedKeys({ dryRun: true })).map(({ outcome }) => outcome)).toEqual([
      'would-purge',
      'would-purge',
    ]);
  });

  it('deletes the private keys for good, and what they signed verifies', async () => {
    world.clock.advanceDays(91);
    const reports = await exchange.purgeMigratedKeys({ dryRun: false });
    expect(reports.map(({ outcome }) => outcome)).toEqual(['purged', 'purged']);
    expect(await exchange.purgeMigratedKeys()).toEqual([]);
    expect(await exchange.verifyMessage('bot', message, signature)).toBe(true);
    const { versions } = await exchange.describeAgent('bot');
    expect(versions.map(({ provider, state }) => [provider, state])).toEqual([
      ['software', 'DESTROYED'],
      ['software', 'DESTROYED'],
      ['kms', 'ENABLED'],
    ]);
    const again = await exchange.migrateAgent('bot', { strategy: 'regenerate' });
    expect(again).toMatchObject({ outcome: 'already-migrated', keys: [{ from: undefined }, {}] });
    expect(again.keys[0]).not.toHaveProperty('handover');
    await world.within('rollback', (rolledBack) =>
      expect(rolledBack.signMessage('bot', message)).rejects.toMatchObject({ code: 'NO_USABLE_VERSION' }),
    );
  });

  it('keeps the keys for as long as the configuration says', async () => {
    const patient = await world.start(3, { migration: { phase: 3, retentionDays: 365 } });
    world.clock.advanceDays(300);
    expect((await patient.purgeMigratedKeys({ dryRun: false }))[0]?.outcome).toBe('retained');
  });

  it('keeps a key whose HSM key could not sign', async () => {
    const { keyVersion } = await exchange.describeAgent('bot');
    const official = officialClient(world.emulator);
    await official.updateCryptoKeyVersion({
      cryptoKeyVersion: { name: keyVersion ?? null, state: 'DISABLED' },
      updateMask: { paths: ['state'] },
    });
    await official.close();
    world.clock.advanceDays(91);
    const reports = await exchange.purgeMigratedKeys({ dryRun: false });
    expect(reports.find(({ role }) => role === 'signing')).toMatchObject({
      outcome: 'retained',
      reason: expect.stringContaining('no version that could be used'),
    });
  });

  it('reports what it could not find out, and deletes nothing of it', async () => {
    world.clock.advanceDays(91);
    using _fault = world.emulator.faults.add({ rpc: 'GetCryptoKey', status: { code: 'PERMISSION_DENIED' } });
    const reports = await exchange.purgeMigratedKeys({ dryRun: false });
    expect(reports.map(({ outcome }) => outcome)).toEqual(['failed', 'failed']);
  });

  it('is refused in phase 1', async () => {
    const other = await world.start(1);
    await expect(other.purgeMigratedKeys()).rejects.toMatchObject({ code: 'MIGRATION_PHASE' });
  });

  it('refuses an unknown option', async () => {
    const call: Promise<unknown> = Reflect.apply(exchange.purgeMigratedKeys, exchange, [{ dryrun: false }]);
    await expect(call).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });
});
