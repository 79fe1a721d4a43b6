import { describe, expect, it } from 'vitest';
import type { A2AKeyExchange, StaleAgentReport } from '../../src/index.js';
import { CallClock } from '../support/call-clock.js';
import { UNHURRIED } from '../support/emulator.js';
import { DAY_SECONDS, startWorld } from '../support/lifecycle.js';

const message = Buffer.from('pay 10 EUR to alice');
const unusedFor = 30 * DAY_SECONDS;
const outcomes = (reports: readonly StaleAgentReport[]) =>
  reports.map(({ agentId, outcome }) => [agentId, outcome]);
const prune = async (exchange: A2AKeyExchange, dryRun = false) =>
  outcomes(await exchange.pruneStaleAgents({ unusedFor, dryRun }));

describe('pruneStaleAgents', () => {
  it('is a dry run unless told otherwise: it reports and writes nothing', async () => {
    await using world = await startWorld();
    const exchange = await world.join();
    await exchange.generateAgentKey('idle-bot');
    world.clock.advanceDays(20);
    await exchange.generateAgentKey('busy-bot');
    world.clock.advanceDays(20);
    world.emulator.requests.clear();
    expect(outcomes(await exchange.pruneStaleAgents({ unusedFor }))).toEqual([['idle-bot', 'would-mark']]);
    expect(new Set(world.emulator.requests.entries.map(({ rpc }) => rpc.slice(0, 3)))).toEqual(
      new Set(['Lis']),
    );
  });

  it('marks, waits a week, then schedules the destruction, from which the agent can come back', async () => {
    await using world = await startWorld();
    const exchange = await world.join();
    await exchange.generateAgentKey('bot', { purpose: 'both' });
    world.clock.advanceDays(40);
    expect(await prune(exchange)).toEqual([['bot', 'marked']]);
    expect(await prune(exchange)).toEqual([['bot', 'waiting']]);
    world.clock.advanceDays(6);
    expect(await prune(exchange)).toEqual([['bot', 'waiting']]);
    expect(world.emulator.requests.count('DestroyCryptoKeyVersion')).toBe(0);
    world.clock.advanceDays(1);
    expect(await prune(exchange, true)).toEqual([['bot', 'would-destroy']]);
    const [report] = await exchange.pruneStaleAgents({ unusedFor, dryRun: false });
    expect(report).toMatchObject({
      outcome: 'destroyed',
      destruction: { versions: [{ outcome: 'scheduled' }, { outcome: 'scheduled' }] },
    });
    expect(await prune(exchange)).toEqual([]);
    await exchange.restoreAgent('bot');
    await exchange.signMessage('bot', message);
  });

  it('spares an agent that is used between the passes', async () => {
    await using world = await startWorld();
    const exchange = await world.join();
    await exchange.generateAgentKey('bot');
    world.clock.advanceDays(40);
    await prune(exchange);
    world.clock.advanceDays(7);
    const user = await world.join();
    await user.signMessage('bot', message);
    await user.idle();
    expect(await prune(exchange)).toEqual([]);
    expect((await exchange.describeAgent('bot')).labels).not.toHaveProperty('a2a-stale');
    world.clock.advanceDays(40);
    expect(await prune(exchange)).toEqual([['bot', 'marked']]);
  });

  it('counts what this process used a moment ago', async () => {
    await using world = await startWorld();
    const exchange = await world.join();
    await exchange.generateAgentKey('bot');
    world.clock.advanceDays(40);
    await exchange.signMessage('bot', message);
    expect(await prune(exchange)).toEqual([]);
  });

  it('spares an agent with one key in use, and takes marks away', async () => {
    await using world = await startWorld();
    const exchange = await world.join();
    const name = await exchange.generateAgentKey('bot', { purpose: 'both' });
    world.clock.advanceDays(40);
    await prune(exchange);
    const day = new Date(world.clock.now()).toISOString().slice(0, 10).replaceAll('-', '');
    await exchange.keys.updateLabels(name, { 'a2a-seen': day });
    expect(await prune(exchange, true)).toEqual([['bot', 'would-unmark']]);
    expect(await prune(exchange)).toEqual([['bot', 'unmarked']]);
    expect((await exchange.describeAgent('bot')).labels).not.toHaveProperty('a2a-stale');
  });

  it('looks again before it destroys: a use after the listing takes the mark away', async () => {
    await using world = await startWorld();
    const exchange = await world.join();
    const user = await world.join();
    const name = await exchange.generateAgentKey('bot');
    world.clock.advanceDays(40);
    await prune(exchange);
    world.clock.advanceDays(7);
    const day = new Date(world.clock.now()).toISOString().slice(0, 10).replaceAll('-', '');
    const still = new CallClock(world.clock.now());
    const slow = await world.join({ clock: still, deadlines: UNHURRIED });
    // The listing of versions comes after the listing of keys; it is repeated when the key was used.
    using fault = world.emulator.faults.add({
      rpc: 'ListCryptoKeyVersions',
      when: ({ parent }) => parent === name,
      status: { code: 'UNAVAILABLE' },
      times: 1,
    });
    const pruning = prune(slow);
    await expect.poll(() => [fault.hits, still.awaitedTimers > 1]).toEqual([1, true]);
    await user.keys.updateLabels(name, { 'a2a-seen': day });
    still.advance(1_000);
    expect(await pruning).toEqual([['bot', 'unmarked']]);
    expect((await exchange.describeAgent('bot')).labels).not.toHaveProperty('a2a-stale');
    expect(world.emulator.requests.count('DestroyCryptoKeyVersion')).toBe(0);
  });

  it.each([null, 'yesterday', '20261399'])(
    'leaves an agent alone whose heartbeat is %s',
    async (heartbeat) => {
      await using world = await startWorld();
      const exchange = await world.join();
      const name = await exchange.generateAgentKey('bot');
      await exchange.keys.updateLabels(name, { 'a2a-seen': heartbeat });
      expect(await prune(exchange)).toEqual([]);
      world.clock.advanceDays(400);
      expect(await prune(exchange)).toEqual([['bot', 'unknown']]);
      world.clock.advanceDays(8);
      expect(await prune(exchange)).toEqual([['bot', 'unknown']]);
      expect(world.emulator.requests.count('DestroyCryptoKeyVersion')).toBe(0);
    },
  );

  it('reports agents that could not be ended, with the reason, and goes on with the others', async () => {
    await using world = await startWorld();
    const exchange = await world.join();
    for (const agent of ['a', 'b', 'c']) await exchange.generateAgentKey(agent);
    world.clock.advanceDays(40);
    await prune(exchange);
    world.clock.advanceDays(7);
    using _destroy = world.emulator.faults.add({
      rpc: 'DestroyCryptoKeyVersion',
      status: { code: 'PERMISSION_DENIED' },
      when: ({ name }) => String(name).includes('agent-a-'),
    });
    using _list = world.emulator.faults.add({
      rpc: 'ListCryptoKeyVersions',
      status: { code: 'PERMISSION_DENIED' },
      when: ({ parent }) => String(parent).includes('agent-b-'),
    });
    expect(await exchange.pruneStaleAgents({ unusedFor, dryRun: false })).toMatchObject([
      {
        agentId: 'a',
        outcome: 'failed',
        reason: expect.stringMatching(/permission cloudkms\..* is missing/),
      },
      {
        agentId: 'b',
        outcome: 'failed',
        reason: expect.stringMatching(/permission cloudkms\..* is missing/),
      },
      { agentId: 'c', outcome: 'destroyed' },
    ]);
  });

  it('does not destroy sooner than destroyAfter', async () => {
    await using world = await startWorld();
    const exchange = await world.join();
    await exchange.generateAgentKey('bot', { destroyScheduledDurationSeconds: DAY_SECONDS });
    world.clock.advanceDays(40);
    const options = { unusedFor, dryRun: false, confirmAfter: DAY_SECONDS, destroyAfter: 7 * DAY_SECONDS };
    await exchange.pruneStaleAgents(options);
    world.clock.advanceDays(1);
    expect(outcomes(await exchange.pruneStaleAgents(options))).toEqual([['bot', 'failed']]);
    await exchange.signMessage('bot', message);
  });

  it.each([{ unusedFor: DAY_SECONDS }, { unusedFor, confirmAfter: 60 }, { unusedFor, dryRun: 'no' }, {}])(
    'refuses the options %j',
    async (options) => {
      await using world = await startWorld();
      const exchange = await world.join();
      await expect(
        (async () => Reflect.apply(exchange.pruneStaleAgents, exchange, [options]))(),
      ).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    },
  );
});
