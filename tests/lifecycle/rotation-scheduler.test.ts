import { describe, expect, it } from 'vitest';
import type { Clock, TimerOptions } from '../../src/clock.js';
import { ManualClock } from '../../src/emulator/index.js';
import { ClientClosedError, type RotateDueKeysOptions, type RotationReport } from '../../src/index.js';
import { RotationScheduler, type RotationSchedulerOptions } from '../../src/lifecycle/rotation-scheduler.js';
import { startWorld } from '../support/lifecycle.js';

const report: RotationReport = { rotated: 1, prepared: 0, notDue: 0, failed: 0, unlisted: [], keys: [] };

/** A scheduler whose runs, randomness and time belong to the test. */
function arrange(
  options: RotationSchedulerOptions = { intervalSeconds: 1_000 },
  run: (options: RotateDueKeysOptions) => Promise<RotationReport> = async () => report,
) {
  const time = new ManualClock();
  const kinds: (TimerOptions['kind'] | undefined)[] = [];
  const clock: Clock = {
    now: () => time.now(),
    monotonic: () => time.monotonic(),
    setTimer: (delayMs, callback, timer) => {
      kinds.push(timer?.kind);
      return time.setTimer(delayMs, callback);
    },
  };
  const logged: [level: string, fields: object][] = [];
  const log = (level: string) => (fields: object) => void logged.push([level, fields]);
  const logger = { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') };
  const state = { random: 0.5, runs: 0 };
  const scheduler = new RotationScheduler(
    {
      clock,
      logger,
      random: () => state.random,
      run: (given) => {
        state.runs += 1;
        return run(given);
      },
    },
    options,
  );
  return { scheduler, time, state, logged, kinds };
}

describe('RotationScheduler', () => {
  it('begins at a random time within the first interval', async () => {
    const { time, state, scheduler } = arrange();
    time.advance(499_999);
    expect(state.runs).toBe(0);
    time.advance(1);
    expect(state.runs).toBe(1);
    await scheduler.close();
  });

  it.each([
    [0, 900_000],
    [0.5, 1_000_000],
    [1, 1_100_000],
  ])('waits a tenth more or less than the interval, by the randomness %d', async (random, waitMs) => {
    const { time, state, scheduler } = arrange();
    time.advance(500_000);
    state.random = random;
    await scheduler.idle();
    time.advance(waitMs - 1);
    expect(state.runs).toBe(1);
    time.advance(1);
    expect(state.runs).toBe(2);
    await scheduler.close();
  });

  it('spreads its runs by itself, every hour unless told otherwise', async () => {
    const time = new ManualClock();
    let runs = 0;
    const logger = { debug() {}, info() {}, warn() {}, error() {} };
    const run = async () => {
      runs += 1;
      return report;
    };
    await using scheduler = new RotationScheduler({ clock: time, logger, run });
    time.advance(3_600_000);
    await scheduler.idle();
    expect(runs).toBe(1);
    time.advance(3_960_000);
    expect(runs).toBe(2);
  });

  it('does not keep the process alive', async () => {
    const { kinds, time, scheduler } = arrange();
    time.advance(500_000);
    await scheduler.idle();
    expect(kinds).toEqual(['background', 'background']);
    await scheduler.close();
  });

  it('never begins a run while one is under way', async () => {
    let finish = (_report: RotationReport): void => {};
    const { time, state, scheduler } = arrange(undefined, () => new Promise((resolve) => (finish = resolve)));
    time.advance(10_000_000);
    expect(state.runs).toBe(1);
    expect(time.pendingTimers).toBe(0);
    finish(report);
    await scheduler.idle();
    time.advance(1_000_000);
    expect(state.runs).toBe(2);
    finish(report);
    await scheduler.close();
  });

  it('logs a run that fails, and goes on', async () => {
    const problem = new Error('no network');
    const { time, state, logged, scheduler } = arrange(undefined, () => Promise.reject(problem));
    time.advance(500_000);
    await scheduler.idle();
    expect(logged).toEqual([['error', { error: problem }]]);
    time.advance(1_000_000);
    expect(state.runs).toBe(2);
    await scheduler.close();
  });

  it('passes the concurrency on, tells the report, and logs what the listener throws', async () => {
    const given: RotateDueKeysOptions[] = [];
    const told: RotationReport[] = [];
    const { time, logged, scheduler } = arrange(
      {
        intervalSeconds: 1_000,
        concurrency: 7,
        onReport: (each) => {
          told.push(each);
          throw new Error('listener');
        },
      },
      async (options) => {
        given.push(options);
        return { ...report, failed: 1 };
      },
    );
    time.advance(500_000);
    await scheduler.idle();
    expect(given).toMatchObject([{ concurrency: 7 }]);
    expect(told).toMatchObject([{ failed: 1 }]);
    expect(logged.map(([level]) => level)).toEqual(['warn', 'error']);
    await scheduler.close();
  });

  it('on close begins no further run, aborts the one under way and waits for its end', async () => {
    let isOver = false;
    const { time, state, logged, scheduler } = arrange(
      undefined,
      ({ signal }) =>
        new Promise((_resolve, reject) => {
          signal?.addEventListener('abort', () => {
            isOver = true;
            reject(new Error('aborted'));
          });
        }),
    );
    time.advance(500_000);
    await scheduler.close();
    expect(isOver).toBe(true);
    expect(logged).toEqual([]);
    expect(time.pendingTimers).toBe(0);
    time.advance(10_000_000);
    expect(state.runs).toBe(1);
  });

  it('cancels its timer when it is closed before a run', async () => {
    const { time, state, scheduler } = arrange();
    await scheduler.close();
    expect(time.pendingTimers).toBe(0);
    time.advance(10_000_000);
    expect(state.runs).toBe(0);
  });

  it('rotates an agent by itself, and ends with the exchange that started it', async () => {
    await using world = await startWorld();
    const exchange = await world.join({ rotationPolicy: { rotateAfterSeconds: 86_400 } });
    await exchange.generateAgentKey('bot');
    world.clock.advanceDays(1);
    const reports = new Promise<RotationReport>((resolve) => {
      exchange.startRotationScheduler({ intervalSeconds: 1, onReport: resolve });
    });
    expect(await reports).toMatchObject({ rotated: 1 });
    await exchange.idle();
    await exchange.close();
    expect(() => exchange.startRotationScheduler()).toThrow(ClientClosedError);
  });

  it.each([
    [{ intervalSeconds: 0 }, 'intervalSeconds'],
    [{ intervalSeconds: 2_000_001 }, 'intervalSeconds'],
    [{ interval: 5 }, 'interval is not an option'],
  ])('is not started with the options %j', async (options, problem) => {
    await using world = await startWorld();
    const exchange = await world.join();
    expect(() => Reflect.apply(exchange.startRotationScheduler, exchange, [options])).toThrow(problem);
  });
});
