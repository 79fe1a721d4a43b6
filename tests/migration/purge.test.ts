import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { A2AKeyExchange, PurgeMigratedKeysOptions, PurgeReport } from '../../src/index.js';
import { officialClient } from '../support/emulator.js';
import { type MigrationWorld, startMigrationWorld } from '../support/migration.js';

const message = Buffer.from('pay 10 EUR to alice');

let world: MigrationWorld;
/** A process in phase 3. */
let exchange: A2AKeyExchange;
beforeAll(async () => {
  world = await startMigrationWorld();
  exchange = await world.start(3);
});
afterAll(() => world[Symbol.asyncDispose]());

/** Migrates an agent, and gives a signature by its software key. */
async function migrated(agentId: string): Promise<Buffer> {
  const signature = await world.within('software-only', async (software) => {
    await software.generateAgentKey(agentId);
    const signed = await software.signMessage(agentId, message);
    await software.rotateAgentKey(agentId);
    return signed;
  });
  await exchange.migrateAgent(agentId, { strategy: 'regenerate' });
  return signature;
}

async function purge(agentId: string, options?: PurgeMigratedKeysOptions): Promise<readonly PurgeReport[]> {
  return (await exchange.purgeMigratedKeys(options)).filter((report) => report.agentId === agentId);
}

describe('purgeMigratedKeys', () => {
  it('lists each migrated key with its versions and the end of its 90 days, and deletes none before', async () => {
    await migrated('recent');
    world.clock.advanceDays(89);
    const [signing, ...others] = await purge('recent', { dryRun: false });
    expect(others).toEqual([]);
    expect(signing).toMatchObject({
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
    await migrated('listed');
    world.clock.advanceDays(91);
    for (const options of [undefined, {}, { dryRun: true }]) {
      expect(await purge('listed', options)).toMatchObject([{ outcome: 'would-purge' }]);
    }
  });

  it('deletes the private keys for good, and what they signed verifies', async () => {
    const signature = await migrated('old');
    world.clock.advanceDays(91);
    expect((await purge('old', { dryRun: false })).map(({ outcome }) => outcome)).toEqual(['purged']);
    expect(await purge('old')).toEqual([]);
    expect(await exchange.verifyMessage('old', message, signature)).toBe(true);
    const { versions } = await exchange.describeAgent('old');
    expect(versions.map(({ provider, state }) => [provider, state])).toEqual([
      ['software', 'DESTROYED'],
      ['software', 'DESTROYED'],
      ['kms', 'ENABLED'],
    ]);
    const again = await exchange.migrateAgent('old', { strategy: 'regenerate' });
    expect(again).toMatchObject({ outcome: 'already-migrated', keys: [{ from: undefined }] });
    expect(again.keys[0]).not.toHaveProperty('handover');
    await world.within('rollback', (rolledBack) =>
      expect(rolledBack.signMessage('old', message)).rejects.toMatchObject({ code: 'NO_USABLE_VERSION' }),
    );
  });

  it('keeps the keys for as long as the configuration says', async () => {
    await migrated('kept');
    const patient = await world.start(3, { migration: { phase: 3, retentionDays: 365 } });
    world.clock.advanceDays(300);
    const reports = await patient.purgeMigratedKeys({ dryRun: false });
    expect(reports.find(({ agentId }) => agentId === 'kept')?.outcome).toBe('retained');
  });

  it('keeps a key whose HSM key could not sign', async () => {
    await migrated('blocked');
    const { keyVersion } = await exchange.describeAgent('blocked');
    const official = officialClient(world.emulator);
    await official.updateCryptoKeyVersion({
      cryptoKeyVersion: { name: keyVersion ?? null, state: 'DISABLED' },
      updateMask: { paths: ['state'] },
    });
    await official.close();
    world.clock.advanceDays(91);
    expect(await purge('blocked', { dryRun: false })).toMatchObject([
      { outcome: 'retained', reason: expect.stringContaining('no version that could be used') },
    ]);
  });

  it('reports what it could not find out, and deletes nothing of it', async () => {
    await migrated('unknown');
    world.clock.advanceDays(91);
    using _fault = world.emulator.faults.add({ rpc: 'GetCryptoKey', status: { code: 'PERMISSION_DENIED' } });
    expect(await purge('unknown', { dryRun: false })).toMatchObject([{ outcome: 'failed' }]);
  });

  it('has nothing to say of an agent that was not migrated', async () => {
    await world.within('software-only', (software) => software.generateAgentKey('unmigrated'));
    world.clock.advanceDays(91);
    expect(await purge('unmigrated', { dryRun: false })).toEqual([]);
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
