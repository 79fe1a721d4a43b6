import { setImmediate as nextTurn } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import { QuotaBucket } from '../../src/kms/quota-bucket.js';
import type { QuotaRequest, Turn } from '../../src/kms/quota-turn.js';
import { SettableClock } from '../support/settable-clock.js';

const FREE: QuotaRequest = { tokens: 1, limit: undefined };
const TEN = { kind: 'kept', tokens: 10 } as const;
const TEN_A_MINUTE: QuotaRequest = { tokens: 1, limit: TEN };
const SERVED = { kind: 'served' } as const;
const UNKNOWN = { kind: 'unknown' } as const;
const refused = (retryAfterMs?: number) => ({ kind: 'refused', retryAfterMs }) as const;

describe('QuotaBucket', () => {
  let clock: SettableClock;
  let bucket: QuotaBucket;
  /** Names of those whose turn came, in that order. */
  let entered: string[];
  let turnedAway: string[];
  let turns: Map<string, Turn>;
  beforeEach(() => {
    clock = new SettableClock();
    bucket = new QuotaBucket(clock);
    entered = [];
    turnedAway = [];
    turns = new Map();
  });

  const takeNow = (request = FREE): Turn => {
    const turn = bucket.take(request);
    if (turn === undefined) throw new Error('expected a turn');
    return turn;
  };
  const line = (
    name: string,
    request = FREE,
    place: 'first' | 'last' | 'until-refusal' = 'last',
  ): (() => void) => {
    const { turn, leave } = bucket.wait(request, place);
    void turn.then((own) => {
      if (own === undefined) turnedAway.push(name);
      else entered.push(name);
      if (own !== undefined) turns.set(name, own);
    });
    return leave;
  };
  const turnOf = (name: string): Turn => {
    const turn = turns.get(name);
    if (turn === undefined) throw new Error(`no turn for ${name}`);
    return turn;
  };
  const pass = async (durationMs: number): Promise<void> => {
    for (let passedMs = 0; passedMs < durationMs; passedMs += 50) {
      clock.advance(50);
      await nextTurn();
    }
  };

  it('lets everything through at once as long as nothing was refused', () => {
    for (let call = 0; call < 1_000; call++) bucket.ended(takeNow(), SERVED);
    expect(bucket.tokensPerSecond).toBeUndefined();
    expect(clock.pendingTimers).toBe(0);
  });

  it('keeps to a limit in every minute, in the order of the calls', async () => {
    for (let call = 0; call < 10; call++) bucket.ended(takeNow(TEN_A_MINUTE), SERVED);
    expect(bucket.take(TEN_A_MINUTE)).toBeUndefined();
    for (const name of ['a', 'b', 'c']) line(name, TEN_A_MINUTE);
    await pass(59_000);
    expect(entered).toEqual([]);
    await pass(2_000);
    expect(entered).toEqual(['a', 'b', 'c']);
    expect(bucket.waiting).toBe(0);
  });

  it.each([-3_600_000, 3_600_000])('keeps to a limit when the wall clock is set by %d ms', (stepMs) => {
    for (let call = 0; call < 10; call++) bucket.ended(takeNow(TEN_A_MINUTE), SERVED);
    clock.stepMs = stepMs;
    clock.advance(59_000);
    expect(bucket.take(TEN_A_MINUTE)).toBeUndefined();
    clock.advance(2_000);
    expect(bucket.take(TEN_A_MINUTE)).toBeDefined();
  });

  it('lets a call that costs more than the limit through when nothing else was spent', () => {
    const dear = { tokens: 50, limit: TEN };
    bucket.ended(takeNow(dear), SERVED);
    expect(bucket.take(dear)).toBeUndefined();
    clock.advance(61_000);
    expect(bucket.take(dear)).toBeDefined();
  });

  it('counts a call from its answer, for that is when the service had counted it at the latest', () => {
    const turn = takeNow({ tokens: 10, limit: TEN });
    clock.advance(30_000);
    bucket.ended(turn, UNKNOWN);
    clock.advance(60_000);
    expect(bucket.take(TEN_A_MINUTE)).toBeUndefined();
    clock.advance(1_000);
    expect(bucket.take(TEN_A_MINUTE)).toBeDefined();
  });

  it('has a call wait while those under way may still use up the limit', async () => {
    const turn = takeNow({ tokens: 10, limit: TEN });
    line('a', TEN_A_MINUTE);
    await pass(120_000);
    expect(entered).toEqual([]);
    bucket.ended(turn, refused());
    await pass(1_000);
    expect(entered).toEqual(['a']);
  });

  it('does not count a kept turn that nobody comes for', async () => {
    for (let call = 0; call < 10; call++) bucket.ended(takeNow(TEN_A_MINUTE), SERVED);
    expect(bucket.takeOrKeep({ tokens: 10, limit: TEN }, 'key')).toHaveProperty('retryAfterMs');
    await pass(72_000);
    expect(bucket.tokensLastMinute).toBe(0);
    expect(bucket.take({ tokens: 10, limit: TEN })).toBeDefined();
  });

  it('does not count what was refused', () => {
    const all = { tokens: 10, limit: TEN };
    bucket.ended(takeNow(all), refused(100));
    clock.advance(251);
    expect(bucket.take(all)).toBeDefined();
  });

  it('has one call try after the pause, and the others wait for its answer', async () => {
    bucket.ended(takeNow(), SERVED);
    bucket.ended(takeNow(), refused(2_000));
    for (const name of ['a', 'b', 'c']) line(name);
    await pass(1_950);
    expect(entered).toEqual([]);
    await pass(100);
    expect(entered).toEqual(['a']);
    await pass(5_000);
    expect(entered).toEqual(['a']);
    bucket.ended(turnOf('a'), SERVED);
    await pass(5_000);
    expect(entered).toEqual(['a', 'b', 'c']);
  });

  it('has no second call try because of a refusal that was on its way when the pause began', async () => {
    const [first, second] = [takeNow(), takeNow()];
    bucket.ended(first, refused(1_000));
    for (const name of ['a', 'b']) line(name);
    await pass(1_050);
    expect(entered).toEqual(['a']);
    bucket.ended(second, refused());
    await pass(10_000);
    expect(entered).toEqual(['a']);
  });

  it('has another call try when nothing came of the first', async () => {
    bucket.ended(takeNow(), refused(1_000));
    for (const name of ['a', 'b']) line(name);
    await pass(1_050);
    bucket.ended(turnOf('a'), UNKNOWN);
    await pass(2_000);
    expect(entered).toEqual(['a', 'b']);
  });

  it('puts a call that was refused in front of those that wait for their first turn', async () => {
    bucket.ended(takeNow(), refused(1_000));
    line('new');
    line('refused', FREE, 'first');
    await pass(1_050);
    expect(entered).toEqual(['refused']);
  });

  it('goes on without one that leaves', async () => {
    bucket.ended(takeNow(), refused(1_000));
    const leave = line('a');
    line('b');
    leave();
    await pass(1_050);
    expect(entered).toEqual(['b']);
    leave();
    expect(bucket.waiting).toBe(0);
  });

  it('asks again after a minute, however long the server says that it takes', async () => {
    bucket.ended(takeNow(), refused(3_600_000));
    line('a');
    await pass(60_050);
    expect(entered).toEqual(['a']);
  });

  it('gives one that does not wait every other turn while others wait, when it comes back', async () => {
    bucket.ended(takeNow(), refused(1_000));
    for (let index = 0; index < 60; index++) line(`waits ${index}`);
    const first = bucket.takeOrKeep(FREE, 'key');
    if (!('retryAfterMs' in first)) throw new Error('expected to be turned away');
    expect(first.retryAfterMs).toBeGreaterThan(0);
    expect(bucket.takeOrKeep(FREE, 'key')).toEqual(first);
    await pass(first.retryAfterMs + 50);
    // Somebody who waits tries whether the quota is back.
    expect(bucket.takeOrKeep(FREE, 'key')).toEqual({ retryAfterMs: 250 });
    bucket.ended(turnOf('waits 0'), SERVED);
    await pass(1_000);
    expect(bucket.waiting).toBeGreaterThan(50);
    expect(bucket.takeOrKeep(FREE, 'key')).toHaveProperty('slot');
    expect(bucket.takeOrKeep(FREE, 'key')).toHaveProperty('retryAfterMs');
  });

  it('serves those who do not wait first come, first served, whoever comes back first', async () => {
    bucket.ended(takeNow(), refused(1_000));
    const callers = Array.from({ length: 20 }, (_, index) => `key ${index}`);
    for (const caller of callers) expect(bucket.takeOrKeep(FREE, caller)).toHaveProperty('retryAfterMs');
    await pass(1_000);
    const served: string[] = [];
    for (let round = 0; round < 60; round++) {
      for (const caller of callers.toReversed()) {
        if (served.includes(caller)) continue;
        const turn = bucket.takeOrKeep(FREE, caller);
        if (!('slot' in turn)) continue;
        bucket.ended(turn, SERVED);
        served.push(caller);
      }
      await pass(500);
    }
    // The one that was there when the pause was over tried; then they came in their order, those of half a second together.
    const [probe, ...rest] = served;
    expect(probe).toBe('key 19');
    expect(rest).toHaveLength(19);
    for (const [index, caller] of rest.entries()) {
      expect(Math.abs(callers.indexOf(caller) - index)).toBeLessThan(6);
    }
    expect(bucket.waiting).toBe(0);
  });

  it('has one that was refused go before others that do not wait', async () => {
    const turn = bucket.takeOrKeep(FREE, 'a');
    if (!('slot' in turn)) throw new Error('expected a turn');
    bucket.takeOrKeep(FREE, 'b');
    bucket.ended(turn, refused(1_000));
    const [b, c] = [bucket.takeOrKeep(FREE, 'b'), bucket.takeOrKeep(FREE, 'c')];
    expect([b, c]).toEqual([{ retryAfterMs: 1_000 }, { retryAfterMs: 1_000 }]);
    await pass(1_000);
    const probe = bucket.takeOrKeep(FREE, 'c');
    if (!('slot' in probe)) throw new Error('expected a turn');
    bucket.ended(probe, SERVED);
    await pass(1_000);
    expect(bucket.takeOrKeep(FREE, 'b')).toHaveProperty('retryAfterMs');
    expect(bucket.takeOrKeep(FREE, 'a')).toHaveProperty('slot');
  });

  it('does not keep a turn for long, nor over another refusal', async () => {
    bucket.ended(takeNow(), refused(1_000));
    line('a');
    const away = bucket.takeOrKeep(FREE, 'key');
    if (!('retryAfterMs' in away)) throw new Error('expected to be turned away');
    await pass(2_050);
    bucket.ended(turnOf('a'), refused(1_000));
    line('b');
    await pass(900);
    expect(bucket.takeOrKeep(FREE, 'key')).toHaveProperty('retryAfterMs');
    await pass(20_000);
    expect(entered).toEqual(['a', 'b']);
    line('c');
    expect(bucket.takeOrKeep(FREE, 'key')).toEqual({ retryAfterMs: 250 });
  });

  describe('beyond a limit that is only assumed', () => {
    const ASSUMED: QuotaRequest = { tokens: 1, limit: { kind: 'assumed', tokens: 100 } };
    const usedUp = (): void => {
      for (let call = 0; call < 100; call++) bucket.ended(takeNow(ASSUMED), SERVED);
    };
    const beyond = (count: number): Turn[] => Array.from({ length: count }, () => takeNow(ASSUMED));

    it('lets ten calls through at once, and two more for each that is served', () => {
      usedUp();
      const [first] = beyond(10);
      expect(bucket.take(ASSUMED)).toBeUndefined();
      if (first !== undefined) bucket.ended(first, SERVED);
      beyond(2);
      expect(bucket.take(ASSUMED)).toBeUndefined();
    });

    it('counts those under way for the limit', () => {
      Array.from({ length: 100 }, () => takeNow(ASSUMED));
      beyond(10);
      expect(bucket.take(ASSUMED)).toBeUndefined();
    });

    it.each([UNKNOWN, { kind: 'unsent' } as const])('grows with no call that ended $kind', (outcome) => {
      usedUp();
      for (const turn of beyond(10)) bucket.ended(turn, outcome);
      beyond(10);
      expect(bucket.take(ASSUMED)).toBeUndefined();
    });

    it('has the others wait for answers, in their order, however much time passes', async () => {
      usedUp();
      const [first, second] = beyond(10);
      for (const name of ['a', 'b', 'c', 'd', 'e']) line(name, ASSUMED);
      // Still within the minute.
      await pass(10_000);
      expect(entered).toEqual([]);
      expect(clock.pendingTimers).toBe(0);
      if (first !== undefined) bucket.ended(first, SERVED);
      await nextTurn();
      expect(entered).toEqual(['a', 'b']);
      if (second !== undefined) bucket.ended(second, UNKNOWN);
      await nextTurn();
      expect(entered).toEqual(['a', 'b', 'c']);
    });

    it('is held to what was borne after a refusal, and to nothing that is assumed', async () => {
      usedUp();
      const [first, ...rest] = beyond(10);
      line('waits', ASSUMED);
      line('leaves', ASSUMED, 'until-refusal');
      if (first !== undefined) bucket.ended(first, refused(1_000));
      await nextTurn();
      expect([entered, turnedAway]).toEqual([[], ['leaves']]);
      for (const turn of rest) bucket.ended(turn, refused());
      await pass(1_050);
      expect(entered).toEqual(['waits']);
      bucket.ended(turnOf('waits'), SERVED);
      expect(bucket.tokensPerSecond).toBeDefined();
      await pass(1_000);
      for (let call = 0; call < 20; call++) line(`waits ${call}`, ASSUMED);
      await pass(60_000);
      expect(entered).toHaveLength(21);
    });

    it('starts again with ten when the refusal is forgotten', async () => {
      usedUp();
      for (const turn of beyond(10)) bucket.ended(turn, SERVED);
      const [first, ...rest] = beyond(20);
      if (first !== undefined) bucket.ended(first, refused());
      for (const turn of rest) bucket.ended(turn, UNKNOWN);
      await pass(1_000);
      bucket.ended(takeNow(ASSUMED), SERVED);
      clock.advance(600_000);
      usedUp();
      beyond(10);
      expect(bucket.take(ASSUMED)).toBeUndefined();
    });

    it('starts again with ten when less than the limit was used in between', () => {
      usedUp();
      for (let call = 0; call < 50; call++) bucket.ended(takeNow(ASSUMED), SERVED);
      for (const turn of beyond(50)) bucket.ended(turn, SERVED);
      clock.advance(61_000);
      usedUp();
      beyond(10);
      expect(bucket.take(ASSUMED)).toBeUndefined();
    });

    it('tells a wait for answers from one for the minute to be over', () => {
      expect(bucket.waitsForAnswers(ASSUMED)).toBe(false);
      usedUp();
      beyond(10);
      expect(bucket.waitsForAnswers(ASSUMED)).toBe(true);
      expect(bucket.waitsForAnswers(TEN_A_MINUTE)).toBe(false);
      line('keeps to ten', TEN_A_MINUTE);
      expect(bucket.waitsForAnswers(ASSUMED)).toBe(false);
    });
  });
});
