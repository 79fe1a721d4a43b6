/** What a rollback made while HSM keys were switched off, and what becomes of it when they are there again. */

import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { A2AKeyExchange, PublicKeyArchive } from '../../src/index.js';
import { type MigrationWorld, type Mode, startMigrationWorld } from '../support/migration.js';

const message = Buffer.from('pay 10 EUR to alice');

let world: MigrationWorld;
beforeAll(async () => {
  world = await startMigrationWorld();
});
afterAll(() => world[Symbol.asyncDispose]());

let agents = 0;
const newId = (): string => `agent-${agents++}`;

async function start(mode: Mode): Promise<A2AKeyExchange> {
  const started = await world.start(mode);
  onTestFinished(() => started.close());
  return started;
}

const kidOf = (jwe: string): unknown =>
  JSON.parse(Buffer.from(jwe.split('.')[0] ?? '', 'base64url').toString('utf8')).kid;
const stateOf = async (exchange: A2AKeyExchange, keyName: string) =>
  (await exchange.keys.listKeyVersions(keyName)).map(({ version, state, importJob }) => [
    version,
    state,
    importJob === undefined ? 'born there' : 'imported',
  ]);

describe('an agent that was born in the HSM', () => {
  it.each(['signing', 'encryption', 'both'] as const)(
    'has its HSM key of purpose %s again after a rollback in which the service asked for its key, used before or not',
    async (purpose) => {
      const agentId = newId();
      const first = await start(1);
      await first.generateAgentKey(agentId, { purpose });
      const rolledBack = await start('rollback');
      await rolledBack.generateAgentKey(agentId, { purpose });
      for (const mode of [1, 2] as const) {
        const back = await start(mode);
        const keyName = await back.generateAgentKey(agentId, { purpose });
        expect((await back.keys.getKey(keyName)).protectionLevel).toBe('HSM');
        if (purpose === 'encryption') continue;
        expect((await back.signMessageDetailed(agentId, message)).protectionLevel).toBe('HSM');
      }
    },
  );

  it('reads what was encrypted to it in the HSM, and encrypts to that key again, whatever a rollback encrypted to', async () => {
    const agentId = newId();
    const first = await start(1);
    await first.generateAgentKey(agentId, { purpose: 'both' });
    const before = await first.encryptForAgent(agentId, message);
    const rolledBack = await start('rollback');
    await rolledBack.generateAgentKey(agentId, { purpose: 'both' });
    const meanwhile = await rolledBack.encryptForAgent(agentId, message);
    expect(kidOf(meanwhile)).not.toBe(kidOf(before));
    const back = await start(2);
    await back.generateAgentKey(agentId, { purpose: 'both' });
    expect(await back.decryptAsAgent(agentId, before)).toEqual(message);
    expect(kidOf(await back.encryptForAgent(agentId, message))).toBe(kidOf(before));
    // The stand-in is in the software store only.
    await expect(back.decryptAsAgent(agentId, meanwhile)).rejects.toMatchObject({ code: 'UNKNOWN_KEY_ID' });
    await expect(world.start(4)).rejects.toMatchObject({
      code: 'UNMIGRATED_AGENTS',
      agentIds: expect.arrayContaining([agentId]),
    });
    await back.migrateAllAgents({ strategy: 'regenerate' });
    const hsmOnly = await start(4);
    for (const jwe of [before, meanwhile])
      expect(await hsmOnly.decryptAsAgent(agentId, jwe)).toEqual(message);
    expect(kidOf(await hsmOnly.encryptForAgent(agentId, message))).toBe(kidOf(before));
    // What came in is no version that a rotation leads to, or throws away.
    const rotated = await hsmOnly.rotateAgentKey(agentId, { role: 'encryption' });
    expect(rotated.primary).toMatch(/cryptoKeyVersions\/3$/);
    expect(rotated.disposed).toEqual([]);
    expect(await stateOf(hsmOnly, rotated.name)).toEqual([
      [1, 'ENABLED', 'born there'],
      [2, 'ENABLED', 'imported'],
      [3, 'ENABLED', 'born there'],
    ]);
    for (const jwe of [before, meanwhile])
      expect(await hsmOnly.decryptAsAgent(agentId, jwe)).toEqual(message);
  });

  it('is taken up where the import of what a rollback encrypted to was interrupted', async () => {
    const agentId = newId();
    const first = await start(1);
    const keyName = await first.generateAgentKey(agentId, { purpose: 'encryption' });
    const before = await first.encryptForAgent(agentId, message);
    const meanwhile = await world.within('rollback', async (rolledBack) => {
      await rolledBack.generateAgentKey(agentId, { purpose: 'encryption' });
      return rolledBack.encryptForAgent(agentId, message);
    });
    for (let calls = 0, outcome = ''; outcome !== 'done'; calls++) {
      const fault = world.emulator.faults.add({
        ...{ rpc: '*', after: calls, status: { code: 'PERMISSION_DENIED' } },
        applyAfterExecution: calls % 2 === 1,
      });
      const crashing = world.make(2);
      outcome = await crashing.migrateAgent(agentId, { strategy: 'import' }).then(
        () => 'done',
        ({ code }: { code: string }) => code,
      );
      fault.remove();
      await crashing.close();
      expect(['done', 'PERMISSION_DENIED']).toContain(outcome);
    }
    const back = await start(2);
    expect(await stateOf(back, keyName)).toEqual([
      [1, 'ENABLED', 'born there'],
      [2, 'ENABLED', 'imported'],
    ]);
    for (const jwe of [before, meanwhile]) expect(await back.decryptAsAgent(agentId, jwe)).toEqual(message);
    expect(kidOf(await back.encryptForAgent(agentId, message))).toBe(kidOf(before));
  });

  it('is verified by a key of the rollback that archived it after the archive was read', async () => {
    const agentId = newId();
    const signer = await start(2);
    await signer.generateAgentKey(agentId);
    const rolledBack = await start('rollback');
    await signer.rotateAgentKey(agentId);
    expect(await rolledBack.verifyMessage(agentId, message, Buffer.alloc(70))).toBe(false);
    const signature = await signer.signMessage(agentId, message);
    world.clock.advance(11_000);
    expect(await rolledBack.verifyMessage(agentId, message, signature)).toBe(true);
  });

  it('is verified in a rollback with a post-quantum key too', async () => {
    const { keys } = await start(2);
    await keys.generateKey({
      name: 'post-quantum',
      purpose: 'ASYMMETRIC_SIGN',
      algorithm: 'PQ_SIGN_ML_DSA_65',
      protectionLevel: 'SOFTWARE',
    });
    const signature = await keys.sign('post-quantum', message);
    const rolledBack = await start('rollback');
    expect(await rolledBack.keys.verify('post-quantum', message, signature)).toBe(true);
    expect(await rolledBack.keys.verify('post-quantum', Buffer.from('another'), signature)).toBe(false);
  });
});

describe('the encryption key of a migrated agent that is rotated in a rollback', () => {
  async function rotatedInRollback() {
    const agentId = newId();
    await world.within('software-only', (software) =>
      software.generateAgentKey(agentId, { purpose: 'encryption' }),
    );
    await world.within(2, (each) => each.migrateAgent(agentId, { strategy: 'regenerate' }));
    const sealed = await world.within('rollback', async (rolledBack) => {
      const first = await rolledBack.encryptForAgent(agentId, message);
      await rolledBack.rotateAgentKey(agentId, { role: 'encryption' });
      return [first, await rolledBack.encryptForAgent(agentId, message)];
    });
    return { agentId, sealed };
  }

  it('is not purged with what was encrypted to it meanwhile, until the HSM has it too', async () => {
    const { agentId, sealed } = await rotatedInRollback();
    const exchange = await start(3);
    world.clock.advanceDays(91);
    const purge = async () =>
      (await exchange.purgeMigratedKeys({ dryRun: false })).filter((report) => report.agentId === agentId);
    expect(await purge()).toMatchObject([
      {
        outcome: 'retained',
        reason: expect.stringMatching(/cryptoKeyVersions\/2@software would be lost.*migrateAgent\("agent-/),
      },
    ]);
    const again = await exchange.migrateAgent(agentId, { strategy: 'regenerate' });
    expect(again.outcome).toBe('already-migrated');
    expect(await purge()).toMatchObject([{ outcome: 'purged' }]);
    for (const jwe of sealed) expect(await exchange.decryptAsAgent(agentId, jwe)).toEqual(message);
    expect(kidOf(await exchange.encryptForAgent(agentId, message))).toBe(kidOf(sealed[0] ?? ''));
  });

  it('is not brought back into the HSM once it was retired there', async () => {
    const { agentId } = await rotatedInRollback();
    const exchange = await start(3);
    const { keys } = await exchange.migrateAgent(agentId, { strategy: 'import' });
    const keyName = keys[0]?.keyName ?? '';
    await exchange.rotateAgentKey(agentId, { role: 'encryption' });
    world.clock.advanceDays(10);
    await exchange.keys.retire(keyName);
    await exchange.migrateAgent(agentId, { strategy: 'import' });
    expect(await stateOf(exchange, keyName)).toEqual([
      [1, 'DISABLED', 'imported'],
      [2, 'DISABLED', 'imported'],
      [3, 'ENABLED', 'born there'],
    ]);
    world.clock.advanceDays(91);
    const purged = await exchange.purgeMigratedKeys({ dryRun: false });
    expect(purged.find((report) => report.agentId === agentId)?.outcome).toBe('purged');
  });
});

it('a version that another process made while its encryption key was migrated is in the HSM too', async () => {
  const agentId = newId();
  await world.within('software-only', (software) =>
    software.generateAgentKey(agentId, { purpose: 'encryption' }),
  );
  const other = await start(2);
  let meanwhile = '';
  const { archive } = world;
  const publicKeyArchive: PublicKeyArchive = {
    get: (keyVersion) => archive.get(keyVersion),
    list: (keyName) => archive.list(keyName),
    async put(key) {
      await archive.put(key);
      // The versions were imported, and the software key is still the one in use.
      if (key.protectionLevel !== 'HSM' || meanwhile !== '') return;
      await other.rotateAgentKey(agentId, { role: 'encryption' });
      meanwhile = await other.encryptForAgent(agentId, message);
    },
  };
  const migrating = await world.start(2, { publicKeyArchive });
  onTestFinished(() => migrating.close());
  await migrating.migrateAgent(agentId, { strategy: 'import' });
  await world.within('hsm-only', async (hsmOnly) => {
    expect(await hsmOnly.decryptAsAgent(agentId, meanwhile)).toEqual(message);
  });
});

it('an agent is restored as a whole by repeating it, where only its HSM key came back', async () => {
  const agentId = newId();
  await world.within('software-only', (software) => software.generateAgentKey(agentId));
  const exchange = await start(2);
  await exchange.migrateAgent(agentId, { strategy: 'regenerate' });
  const { keyName } = await exchange.describeAgent(agentId);
  await exchange.destroyAgent(agentId);
  await world.within('hsm-only', ({ keys }) => keys.restoreKey(keyName));
  await exchange.keys.restoreKey(keyName);
  expect((await exchange.signMessageDetailed(agentId, message)).protectionLevel).toBe('HSM');
  await world.within('rollback', async (rolledBack) => {
    expect((await rolledBack.signMessageDetailed(agentId, message)).protectionLevel).toBe('SOFTWARE');
  });
  await expect(exchange.keys.restoreKey(keyName)).rejects.toMatchObject({ code: 'FAILED_PRECONDITION' });
});
