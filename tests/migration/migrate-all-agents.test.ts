import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import {
  type A2AKeyExchange,
  FilePublicKeyArchive,
  type MigrationProgress,
  type PublicKeyArchive,
} from '../../src/index.js';
import { type MigrationWorld, startMigrationWorld } from '../support/migration.js';

const message = Buffer.from('pay 10 EUR to alice');

let world: MigrationWorld;
/** A process in phase 2. */
let exchange: A2AKeyExchange;
beforeAll(async () => {
  world = await startMigrationWorld();
  exchange = await world.start(2);
});
afterAll(() => world[Symbol.asyncDispose]());

/** Adds software agents; every earlier one is migrated by then. */
async function softwareAgents(prefix: string, count: number): Promise<readonly string[]> {
  const ids = Array.from({ length: count }, (_, index) => `${prefix}-${index}`);
  await world.within('software-only', async (software) => {
    for (const agentId of ids) await software.generateAgentKey(agentId);
  });
  return ids;
}

const strategy = 'regenerate';

describe('migrateAllAgents', () => {
  it('says in a dry run whom it would migrate, and touches nobody', async () => {
    const ids = await softwareAgents('dry', 2);
    const report = await exchange.migrateAllAgents({ strategy, dryRun: true });
    expect(report).toMatchObject({ wouldMigrate: 2, migrated: 0, failed: 0 });
    expect(report.agents.map(({ agentId }) => agentId)).toEqual(ids);
    expect((await exchange.signMessageDetailed('dry-0', message)).protectionLevel).toBe('SOFTWARE');
    await exchange.migrateAllAgents({ strategy });
  });

  it('migrates so many at once, tells the progress, and finds nothing left to do the second time', async () => {
    const ids = await softwareAgents('batch', 6);
    let [running, most] = [0, 0];
    // An agent is worked on from the making of its HSM key to that key's signature under the handover.
    const created = world.emulator.faults.add({
      rpc: 'CreateCryptoKey',
      delayMs: 0,
      when: () => {
        running += 1;
        most = Math.max(most, running);
        return true;
      },
    });
    const accepted = world.emulator.faults.add({
      rpc: 'AsymmetricSign',
      delayMs: 0,
      when: () => {
        running -= 1;
        return true;
      },
    });
    onTestFinished(() => {
      created.remove();
      accepted.remove();
    });
    const progress: MigrationProgress[] = [];
    const report = await exchange.migrateAllAgents({
      strategy,
      concurrency: 2,
      onProgress: (each) => void progress.push(each),
    });
    expect(report).toMatchObject({ migrated: 6, alreadyMigrated: 2, failed: 0, notStarted: 0 });
    expect(created.hits).toBe(6);
    expect(most).toBe(2);
    expect(progress.map(({ done }) => done)).toEqual(report.agents.map((_, index) => index + 1));
    expect(progress.at(-1)?.total).toBe(8);
    expect(progress.map(({ latest }) => latest.agentId).toSorted()).toEqual(
      report.agents.map(({ agentId }) => agentId),
    );
    expect(report.agents.map(({ agentId }) => agentId)).toEqual([...ids, 'dry-0', 'dry-1']);
    using signing = world.emulator.faults.add({ rpc: 'AsymmetricSign', delayMs: 0 });
    expect(await exchange.migrateAllAgents({ strategy })).toMatchObject({ migrated: 0, alreadyMigrated: 8 });
    expect(signing.hits).toBe(0);
  });

  it('reports an agent that fails with the reason and the code, and goes on with the others', async () => {
    const [broken = ''] = await softwareAgents('mixed', 3);
    using _fault = world.emulator.faults.add({
      rpc: 'CreateCryptoKey',
      status: { code: 'PERMISSION_DENIED' },
      when: (request) => String(request['cryptoKeyId']).includes(broken),
    });
    const report = await exchange.migrateAllAgents({ strategy });
    expect(report).toMatchObject({ migrated: 2, failed: 1 });
    expect(report.agents.find(({ agentId }) => agentId === broken)).toMatchObject({
      outcome: 'failed',
      code: 'PERMISSION_DENIED',
      reason: expect.stringContaining('cloudkms.cryptoKeys.create'),
    });
    expect((await exchange.signMessageDetailed(broken, message)).protectionLevel).toBe('SOFTWARE');
  });

  it('reports a failure of the archive, which has no code, and leaves the agent as it is', async () => {
    const [agentId = ''] = await softwareAgents('broken', 1);
    const broken = new FilePublicKeyArchive({ directory: '/dev/null/nowhere' });
    const publicKeyArchive = {
      get: () => Promise.resolve(undefined),
      list: () => Promise.resolve([]),
      put: () => Promise.reject(new Error('disk full')),
    } satisfies PublicKeyArchive;
    for (const [archive, code] of [
      [publicKeyArchive, undefined],
      [broken, 'ARCHIVE'],
    ] as const) {
      const other = await world.start(2, { publicKeyArchive: archive });
      const report = await other.migrateAllAgents({ strategy });
      const failure = report.agents.find((agent) => agent.agentId === agentId);
      expect(failure).toMatchObject({ outcome: 'failed', ...(code && { code }) });
    }
    expect((await exchange.signMessageDetailed(agentId, message)).protectionLevel).toBe('SOFTWARE');
  });

  it('starts no further agent once it is aborted, and the next run takes up the rest (D11)', async () => {
    await exchange.migrateAllAgents({ strategy });
    await softwareAgents('stop', 4);
    const controller = new AbortController();
    const report = await exchange.migrateAllAgents({
      strategy,
      concurrency: 1,
      signal: controller.signal,
      onProgress: ({ latest }) => {
        if (latest.agentId === 'stop-1') controller.abort();
      },
    });
    expect(report).toMatchObject({ migrated: 2, notStarted: 2, failed: 0 });
    expect(await exchange.migrateAllAgents({ strategy })).toMatchObject({ migrated: 2, notStarted: 0 });
  });

  it('leaves keys alone that are no agent’s', async () => {
    await world.within('software-only', async (software) => {
      await software.keys.generateKey({
        name: 'own-key',
        purpose: 'ASYMMETRIC_SIGN',
        algorithm: 'EC_SIGN_P256_SHA256',
        protectionLevel: 'SOFTWARE',
      });
    });
    const report = await exchange.migrateAllAgents({ strategy });
    expect(report.agents.some(({ agentId }) => agentId.includes('own'))).toBe(false);
    expect(report.failed).toBe(0);
  });

  it.each([
    ['no strategy', {}],
    ['no concurrency', { strategy, concurrency: 0 }],
    ['too much concurrency', { strategy, concurrency: 65 }],
    ['a callback that is none', { strategy, onProgress: 'log' }],
    ['an unknown option', { strategy, batch: 3 }],
  ])('refuses %s', async (_what, options) => {
    const call: Promise<unknown> = Reflect.apply(exchange.migrateAllAgents, exchange, [options]);
    await expect(call).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  it('ends with what the callback throws', async () => {
    const onProgress = (): void => {
      throw new Error('stop here');
    };
    await expect(exchange.migrateAllAgents({ strategy, onProgress })).rejects.toThrow('stop here');
  });
});
