import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { Clock } from '../../src/clock.js';
import type { RotationPolicy, RotationReport } from '../../src/index.js';
import { CallClock } from '../support/call-clock.js';
import { UNHURRIED } from '../support/emulator.js';
import { DAY_SECONDS, startWorld } from '../support/lifecycle.js';

const message = Buffer.from('pay 10 EUR to alice');
const monthly: RotationPolicy = { rotateAfterSeconds: 30 * DAY_SECONDS };

const numberOf = (version: string | undefined): string | undefined => version?.split('/').at(-1);
const outcomes = (report: RotationReport) => report.keys.map(({ agentId, outcome }) => [agentId, outcome]);
const states = (agent: { readonly versions: readonly { readonly state: string }[] }) =>
  agent.versions.map(({ state }) => state);

describe('rotateDueKeys', () => {
  it('rotates what is due and nothing else, and reports every key with a policy', async () => {
    await using world = await startWorld();
    const exchange = await world.join();
    await exchange.generateAgentKey('due', { rotationPolicy: monthly });
    await exchange.generateAgentKey('no-policy');
    world.clock.advanceDays(15);
    await exchange.generateAgentKey('young', { rotationPolicy: monthly });
    world.clock.advanceDays(15);
    const report = await exchange.rotateDueKeys();
    expect(outcomes(report)).toEqual([
      ['due', 'rotated'],
      ['young', 'not-due'],
    ]);
    expect(report).toMatchObject({ rotated: 1, prepared: 0, notDue: 1, failed: 0 });
    const [due, young] = report.keys;
    if (due?.outcome !== 'rotated' || young?.outcome !== 'not-due') throw new Error('another outcome');
    expect([numberOf(due.from), numberOf(due.to)]).toEqual(['1', '2']);
    expect(young.dueTime.getTime() - world.clock.now()).toBeGreaterThan(14 * DAY_SECONDS * 1_000);
    expect((await exchange.describeAgent('no-policy')).versions).toHaveLength(1);
    expect((await exchange.rotateDueKeys()).rotated).toBe(0);
  });

  it('counts the time in use from the activation, not from when the version was made', async () => {
    await using world = await startWorld();
    const exchange = await world.join({ rotationPolicy: monthly });
    await exchange.generateAgentKey('bot');
    await exchange.prepareAgentRotation('bot');
    world.clock.advanceDays(20);
    await exchange.activateAgentRotation('bot');
    world.clock.advanceDays(20);
    expect(outcomes(await exchange.rotateDueKeys())).toEqual([['bot', 'not-due']]);
    world.clock.advanceDays(10);
    expect(outcomes(await exchange.rotateDueKeys())).toEqual([['bot', 'rotated']]);
  });

  it('rotates at the time that describeHierarchy names, counted from the activation', async () => {
    await using world = await startWorld();
    const exchange = await world.join();
    await exchange.generateAgentKey('bot', { rotationPolicy: monthly });
    await exchange.generateAgentKey('no-policy');
    const unreadable = await exchange.generateAgentKey('unreadable');
    await exchange.keys.updateLabels(unreadable, { 'a2a-policy': 'v9-r1' });
    const signing = async (agent: number) => (await exchange.describeHierarchy()).agents[agent]?.signing;
    const made = await signing(0);
    expect(made?.rotationPolicy).toEqual(monthly);
    const generatedMs = made?.versions[0]?.generateTime?.getTime() ?? Number.NaN;
    expect(made?.rotationDueTime).toEqual(new Date(generatedMs + 30 * DAY_SECONDS * 1_000));
    for (const agent of [1, 2]) {
      expect(Object.keys((await signing(agent)) ?? {})).not.toContain('rotationDueTime');
      expect(Object.keys((await signing(agent)) ?? {})).not.toContain('rotationPolicy');
    }
    world.clock.advanceDays(10);
    await exchange.rotateAgentKey('bot');
    const rotated = await signing(0);
    const [report] = (await exchange.rotateDueKeys()).keys;
    expect(report?.outcome === 'not-due' && report.dueTime).toEqual(rotated?.rotationDueTime);
    expect(rotated?.rotationDueTime?.getTime()).toBeGreaterThan(made?.rotationDueTime?.getTime() ?? 0);
    await using admin = await world.join();
    for (const { name } of rotated?.versions ?? []) await admin.keys.destroyKey(name, 0, { force: true });
    const gone = await signing(0);
    expect([gone?.rotationPolicy, gone?.rotationDueTime]).toEqual([monthly, undefined]);
  });

  it('prepares ahead of time, once, and puts that version to use when the key is due', async () => {
    await using world = await startWorld();
    const exchange = await world.join({
      rotationPolicy: { ...monthly, prepareAheadSeconds: 2 * DAY_SECONDS },
    });
    await exchange.generateAgentKey('bot');
    world.clock.advanceDays(27);
    expect(outcomes(await exchange.rotateDueKeys())).toEqual([['bot', 'not-due']]);
    world.clock.advanceDays(1);
    expect(await exchange.rotateDueKeys()).toMatchObject({ prepared: 1, keys: [{ outcome: 'prepared' }] });
    expect((await exchange.describeAgent('bot')).versions.map(({ lifecycle }) => lifecycle)).toEqual([
      'active',
      'prepared',
    ]);
    world.clock.advanceDays(1);
    expect(await exchange.rotateDueKeys()).toMatchObject({
      notDue: 1,
      keys: [{ prepared: expect.any(String) }],
    });
    world.clock.advanceDays(1);
    const [key] = (await exchange.rotateDueKeys()).keys;
    expect(key?.outcome === 'rotated' && numberOf(key.to)).toBe('2');
  });

  it('publishes a version as long ahead also when no run came in time', async () => {
    await using world = await startWorld();
    const exchange = await world.join({
      rotationPolicy: { ...monthly, prepareAheadSeconds: 2 * DAY_SECONDS },
    });
    await exchange.generateAgentKey('bot');
    world.clock.advanceDays(40);
    const [late] = (await exchange.rotateDueKeys()).keys;
    expect(late).toMatchObject({ outcome: 'prepared' });
    const { versions } = await exchange.describeAgent('bot');
    expect(versions.map(({ lifecycle }) => lifecycle)).toEqual(['active', 'prepared']);
    world.clock.advanceDays(1);
    const [waiting] = (await exchange.rotateDueKeys()).keys;
    expect(waiting).toMatchObject({ outcome: 'not-due', prepared: versions[1]?.name });
    world.clock.advanceDays(1);
    const [used] = (await exchange.rotateDueKeys()).keys;
    expect(used).toMatchObject({ outcome: 'rotated', to: versions[1]?.name });
  });

  it('reports a late version as rotated when another process put one to use meanwhile', async () => {
    await using world = await startWorld();
    const exchange = await world.join({
      rotationPolicy: { ...monthly, prepareAheadSeconds: 2 * DAY_SECONDS },
    });
    await exchange.generateAgentKey('bot');
    world.clock.advanceDays(40);
    const still = new CallClock(world.clock.now());
    const slow = await world.join({ clock: still, deadlines: UNHURRIED });
    // The second list is the one that the preparation begins with.
    const which = { rpc: 'ListCryptoKeyVersions', after: 1, times: 1 } as const;
    const fault = world.emulator.faults.add({ ...which, status: { code: 'UNAVAILABLE' } });
    const running = slow.rotateDueKeys();
    await expect.poll(() => [fault.hits, still.awaitedTimers > 1]).toEqual([1, true]);
    await exchange.rotateAgentKey('bot');
    still.advance(1_000);
    const [key] = (await running).keys;
    expect(key?.outcome === 'rotated' && [numberOf(key.from), numberOf(key.to)]).toEqual(['1', '2']);
  });

  it('disables a replaced version after its grace and destroys it after its time, and not before', async () => {
    await using world = await startWorld();
    const exchange = await world.join({
      rotationPolicy: { ...monthly, graceSeconds: 3 * DAY_SECONDS, retireAfterSeconds: 10 * DAY_SECONDS },
    });
    await exchange.generateAgentKey('bot');
    const old = await exchange.signMessage('bot', message);
    world.clock.advanceDays(30);
    await exchange.rotateDueKeys();
    world.clock.advanceDays(2);
    expect((await exchange.rotateDueKeys()).keys[0]).not.toHaveProperty('retirement');
    expect(states(await exchange.describeAgent('bot'))).toEqual(['ENABLED', 'ENABLED']);
    world.clock.advanceDays(1);
    const disabling = await exchange.rotateDueKeys();
    expect(disabling.keys[0]?.retirement?.disabled.map(numberOf)).toEqual(['1']);
    expect(states(await exchange.describeAgent('bot'))).toEqual(['DISABLED', 'ENABLED']);
    world.clock.advanceDays(6);
    expect((await exchange.rotateDueKeys()).keys[0]).not.toHaveProperty('retirement');
    world.clock.advanceDays(1);
    const destroying = await exchange.rotateDueKeys();
    expect(destroying.keys[0]?.retirement?.scheduled.map(({ name }) => numberOf(name))).toEqual(['1']);
    expect(states(await exchange.describeAgent('bot'))).toEqual(['DESTROY_SCHEDULED', 'ENABLED']);
    expect(await exchange.verifyMessage('bot', message, old)).toBe(true);
  });

  it('keeps at most so many versions', async () => {
    await using world = await startWorld();
    const exchange = await world.join({
      rotationPolicy: { rotateAfterSeconds: DAY_SECONDS, graceSeconds: 0, keepVersions: 2 },
    });
    await exchange.generateAgentKey('bot');
    for (let day = 0; day < 4; day++) {
      world.clock.advanceDays(1);
      await exchange.rotateDueKeys();
    }
    world.clock.advance(3_600_000);
    await exchange.rotateDueKeys();
    expect(states(await exchange.describeAgent('bot'))).toEqual([
      'DESTROY_SCHEDULED',
      'DESTROY_SCHEDULED',
      'DESTROY_SCHEDULED',
      'DISABLED',
      'ENABLED',
    ]);
  });

  it('goes on after a key that fails, and says why it failed', async () => {
    await using world = await startWorld();
    const exchange = await world.join({ rotationPolicy: monthly, retry: { maxAttempts: 1 } });
    for (const agent of ['a', 'b', 'c', 'd', 'e']) await exchange.generateAgentKey(agent);
    await exchange.keys.updateLabels(await exchange.generateAgentKey('d'), { 'a2a-policy': 'v9-r1' });
    const { versions } = await exchange.describeAgent('e');
    await using admin = await world.join();
    for (const { name } of versions) await admin.keys.destroyKey(name, 0, { force: true });
    using _fault = world.emulator.faults.add({
      rpc: 'CreateCryptoKeyVersion',
      status: { code: 'PERMISSION_DENIED' },
      when: ({ parent }) => String(parent).includes('agent-b-'),
    });
    world.clock.advanceDays(29.9);
    await exchange.keys.restoreKey(versions[0]?.name ?? '', { state: 'DISABLED' });
    world.clock.advanceDays(0.1);
    const report = await exchange.rotateDueKeys();
    expect(report).toMatchObject({
      rotated: 2,
      failed: 3,
      keys: [
        { agentId: 'a', outcome: 'rotated' },
        { agentId: 'b', outcome: 'failed', code: 'PERMISSION_DENIED' },
        { agentId: 'c', outcome: 'rotated' },
        { agentId: 'd', outcome: 'failed', reason: expect.stringContaining('a2a-policy') },
        { agentId: 'e', outcome: 'failed', code: 'NO_USABLE_VERSION' },
      ],
    });
  });

  it('reports that a version could not be retired, and rotates all the same', async () => {
    await using world = await startWorld();
    const exchange = await world.join({ rotationPolicy: { ...monthly, graceSeconds: 0 } });
    await exchange.generateAgentKey('bot');
    world.clock.advanceDays(30);
    await exchange.rotateDueKeys();
    world.clock.advanceDays(30);
    using _fault = world.emulator.faults.add({
      rpc: 'UpdateCryptoKeyVersion',
      status: { code: 'PERMISSION_DENIED' },
    });
    expect((await exchange.rotateDueKeys()).keys).toMatchObject([
      { outcome: 'rotated', retirement: { disabled: [], kept: [{ reason: expect.any(String) }] } },
    ]);
  });

  it('leaves symmetric keys to the schedule of Cloud KMS', async () => {
    await using world = await startWorld();
    const exchange = await world.join();
    const { name } = await exchange.keys.generateKey({
      name: 'memory',
      purpose: 'ENCRYPT_DECRYPT',
      algorithm: 'GOOGLE_SYMMETRIC_ENCRYPTION',
    });
    await exchange.keys.setRotationSchedule(name, { rotationPeriodSeconds: 90 * DAY_SECONDS });
    world.clock.advanceDays(40);
    expect((await exchange.rotateDueKeys()).keys).toEqual([]);
    await exchange.keys.updateLabels(name, { 'a2a-policy': `v1-r${DAY_SECONDS}` });
    expect((await exchange.rotateDueKeys()).keys).toMatchObject([
      { outcome: 'failed', code: 'INVALID_ARGUMENT', reason: expect.stringContaining('setRotationSchedule') },
    ]);
    expect(await exchange.keys.listKeyVersions(name)).toHaveLength(1);
  });

  it('is silent about a key whose versions are all destroyed or about to be', async () => {
    await using world = await startWorld();
    const exchange = await world.join({ rotationPolicy: monthly });
    await exchange.generateAgentKey('bot');
    await exchange.destroyAgent('bot');
    expect((await exchange.rotateDueKeys()).keys).toEqual([]);
  });

  it('works on no more keys at once than asked for', async () => {
    await using world = await startWorld();
    const maker = await world.join({ rotationPolicy: monthly });
    const agents = Array.from({ length: 12 }, (_, index) => `agent-${index}`);
    await Promise.all(agents.map((agent) => maker.generateAgentKey(agent)));
    world.clock.advanceDays(30);
    // Each rotation loses its first call for a new version; the wait before the next ends when three have come to it.
    const held = new Set<() => void>();
    let isHeld = true;
    const running = new Set<unknown>();
    let most = 0;
    const clock: Clock = {
      now: () => world.clock.now(),
      monotonic: () => world.clock.monotonic(),
      setTimer(delayMs, callback, options) {
        const isAwaited = options?.kind !== 'background';
        if (!isHeld || !isAwaited || delayMs > 2_500) return world.clock.setTimer(delayMs, callback);
        held.add(callback);
        return () => void held.delete(callback);
      },
    };
    const { faults } = world.emulator;
    // From that call on, until the pointer is moved.
    const begun = new Set<unknown>();
    using _begin = faults.add({
      rpc: 'CreateCryptoKeyVersion',
      status: { code: 'UNAVAILABLE' },
      when: ({ parent }) => {
        const isFirst = !begun.has(parent);
        begun.add(parent);
        running.add(parent);
        most = Math.max(most, running.size);
        return isFirst;
      },
    });
    using _end = faults.add({
      rpc: 'UpdateCryptoKey',
      when: ({ cryptoKey }) => {
        running.delete(typeof cryptoKey === 'object' && cryptoKey !== null && Reflect.get(cryptoKey, 'name'));
        return false;
      },
    });
    const exchange = await world.join({ clock });
    const rotating = exchange.rotateDueKeys({ concurrency: 3 });
    await expect.poll(() => [most, held.size]).toEqual([3, 3]);
    isHeld = false;
    for (const end of held) end();
    expect((await rotating).rotated).toBe(12);
    expect(most).toBe(3);
  });

  it('tells its progress after each key', async () => {
    await using world = await startWorld();
    const exchange = await world.join({ rotationPolicy: monthly });
    for (const agent of ['a', 'b', 'c']) await exchange.generateAgentKey(agent);
    const told: unknown[] = [];
    await exchange.rotateDueKeys({
      concurrency: 1,
      onProgress: ({ done, total, latest }) => told.push([done, total, latest.agentId, latest.outcome]),
    });
    expect(told).toEqual([
      [1, 3, 'a', 'not-due'],
      [2, 3, 'b', 'not-due'],
      [3, 3, 'c', 'not-due'],
    ]);
  });

  it('begins no further key when the progress callback throws, and has ended when it rejects', async () => {
    await using world = await startWorld();
    const exchange = await world.join({ rotationPolicy: monthly });
    for (const agent of ['a', 'b', 'c', 'd', 'e', 'f']) await exchange.generateAgentKey(agent);
    world.clock.advanceDays(30);
    const onProgress = (): void => {
      throw new Error('enough');
    };
    await expect(exchange.rotateDueKeys({ concurrency: 2, onProgress })).rejects.toThrow('enough');
    const calls = world.emulator.requests.count();
    for (let turn = 0; turn < 20; turn++) await setImmediate();
    expect(world.emulator.requests.count()).toBe(calls);
    expect(world.emulator.requests.count('CreateCryptoKeyVersion')).toBeLessThanOrEqual(2);
  });

  it('stops when it is aborted, and the next run does the rest', async () => {
    await using world = await startWorld();
    const exchange = await world.join({ rotationPolicy: monthly });
    for (const agent of ['a', 'b', 'c', 'd']) await exchange.generateAgentKey(agent);
    world.clock.advanceDays(30);
    const controller = new AbortController();
    const report = await exchange.rotateDueKeys({
      concurrency: 1,
      signal: controller.signal,
      onProgress: () => controller.abort(),
    });
    expect(report).toMatchObject({ rotated: 1, failed: 3 });
    expect(report.keys.slice(1)).toMatchObject(Array.from({ length: 3 }, () => ({ code: 'ABORTED' })));
    expect(await exchange.rotateDueKeys()).toMatchObject({ rotated: 3, notDue: 1, failed: 0 });
    for (const agent of ['a', 'b', 'c', 'd'])
      expect((await exchange.describeAgent(agent)).versions).toHaveLength(2);
  });

  it('takes over what a run left that died before the pointer moved', async () => {
    await using world = await startWorld();
    const exchange = await world.join({ rotationPolicy: monthly, retry: { maxAttempts: 1 } });
    await exchange.generateAgentKey('bot');
    world.clock.advanceDays(30);
    {
      using _crash = world.emulator.faults.add({
        rpc: 'UpdateCryptoKey',
        after: 1,
        status: { code: 'PERMISSION_DENIED' },
      });
      expect(await exchange.rotateDueKeys()).toMatchObject({ failed: 1 });
    }
    const other = await world.join();
    expect(await other.rotateDueKeys()).toMatchObject({ rotated: 1, failed: 0 });
    const agent = await other.describeAgent('bot');
    expect(numberOf(agent.keyVersion)).toBe('2');
    expect(states(agent)).toEqual(['ENABLED', 'ENABLED']);
  });

  it('converges to one new version for each key when two runs race', async () => {
    await using world = await startWorld();
    const one = await world.join({ rotationPolicy: monthly });
    const other = await world.join();
    const agents = ['a', 'b', 'c', 'd', 'e', 'f'];
    for (const agent of agents) await one.generateAgentKey(agent);
    world.clock.advanceDays(30);
    const reports = await Promise.all([one.rotateDueKeys(), other.rotateDueKeys()]);
    expect(reports.map(({ failed }) => failed)).toEqual([0, 0]);
    for (const agent of agents) {
      const { versions } = await one.describeAgent(agent);
      expect(
        versions.filter(({ lifecycle }) => lifecycle === 'active').map(({ version }) => version),
      ).toEqual([2]);
      expect(versions.filter(({ lifecycle }) => lifecycle === 'prepared')).toEqual([]);
    }
    const disposed = reports.flatMap(({ keys }) => keys.flatMap((key) => key.disposed));
    const made = world.emulator.requests.count('CreateCryptoKeyVersion');
    expect(new Set(disposed.map(({ name }) => name)).size).toBe(made - agents.length);
  });

  it.each([
    [{ concurrency: 0 }, 'concurrency'],
    [{ concurrency: 65 }, 'concurrency'],
    [{ concurency: 2 }, 'concurency is not an option'],
    [{ timeoutMs: 0 }, 'timeoutMs'],
    [{ onProgress: 'yes' }, 'onProgress'],
  ])('refuses the options %j before any call', async (options, problem) => {
    await using world = await startWorld();
    const exchange = await world.join();
    world.emulator.requests.clear();
    await expect((async () => Reflect.apply(exchange.rotateDueKeys, exchange, [options]))()).rejects.toThrow(
      problem,
    );
    expect(world.emulator.requests.count()).toBe(0);
  });
});
