import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import type { Clock } from '../../src/clock.js';
import { ManualClock } from '../../src/emulator/index.js';
import { DeadlineExceededError, OperationAbortedError } from '../../src/index.js';
import { Operation } from '../../src/provider/operation.js';

const HOUR_MS = 3_600_000;

/** An operation of a second, and the two clocks on the wall and in the processor that it may go by. */
function arrange() {
  const time = new ManualClock();
  const wall = { stepMs: 0 };
  const clock: Clock = {
    now: () => time.now() + wall.stepMs,
    monotonic: () => time.monotonic(),
    setTimer: (delayMs, callback) => time.setTimer(delayMs, callback),
  };
  const operation = new Operation({ name: 'sign', resource: 'key', timeoutMs: 1_000, clock });
  return { time, wall, operation };
}

const never = (): Promise<never> => new Promise(() => {});

describe('the deadline of an operation', () => {
  it.each([-HOUR_MS, HOUR_MS])('is kept when the clock is set by %d ms meanwhile', async (stepMs) => {
    const { time, wall, operation } = arrange();
    const outcome = expect(operation.run(never)).rejects.toThrow(DeadlineExceededError);
    time.advance(400);
    wall.stepMs = stepMs;
    expect(operation.remainingMs).toBe(600);
    time.advance(599);
    expect(operation.remainingMs).toBe(1);
    time.advance(1);
    await outcome;
  });

  it('has not passed where there is only no time left for a further attempt', () => {
    const { operation } = arrange();
    expect(operation.deadlineError('passed').message).toContain('ms passed after 0 attempt(s).');
    expect(operation.deadlineError('ahead').message).toContain('ms would pass before the next attempt,');
  });

  it('stands still in a line as long as the line takes, whatever becomes of the clock', async () => {
    const { time, wall, operation } = arrange();
    const limit = { timeoutMs: 60_000, tooLate: () => operation.deadlineError('passed') };
    let serve: (turn: string) => void = () => {};
    const turn = new Promise<string>((resolve) => {
      serve = resolve;
    });
    const outcome = operation.run(async () => operation.waitInLine(turn, limit));
    wall.stepMs = -HOUR_MS;
    time.advance(5_000);
    serve('its turn');
    expect(await outcome).toBe('its turn');
    expect(operation.remainingMs).toBe(1_000);
  });
});

describe('operations that share a signal', () => {
  const newOperation = (signal: AbortSignal): Operation =>
    new Operation({ name: 'sign', resource: 'key', timeoutMs: 1_000, clock: new ManualClock(), signal });

  it('listen to it once, and no more when all are over', async () => {
    const { signal } = new AbortController();
    let finish: () => void = () => {};
    const work = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const calls = Array.from({ length: 11 }, () => newOperation(signal).run(() => work));
    expect(getEventListeners(signal, 'abort')).toHaveLength(1);
    finish();
    await Promise.all(calls);
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  });

  it('all end when it aborts, but for those that were over before', async () => {
    const controller = new AbortController();
    const over = newOperation(controller.signal);
    await over.run(async () => {});
    const calls = [newOperation(controller.signal).run(never), newOperation(controller.signal).run(never)];
    controller.abort('enough');
    const outcomes = await Promise.allSettled(calls);
    for (const outcome of outcomes) {
      expect(outcome).toMatchObject({ reason: { cause: 'enough' } });
      expect(outcome.status === 'rejected' && outcome.reason).toBeInstanceOf(OperationAbortedError);
    }
    expect(() => over.throwIfEnded()).not.toThrow();
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0);
  });
});
