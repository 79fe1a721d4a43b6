import { setImmediate as nextTurn } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import { QuotaBucket } from '../../src/kms/quota-bucket.js';
import type { Turn, TurnOutcome } from '../../src/kms/quota-turn.js';
import { SettableClock } from '../support/settable-clock.js';

const TEN_A_MINUTE = { kind: 'kept', tokens: 10 } as const;
const HUNDRED_ASSUMED = { kind: 'assumed', tokens: 100 } as const;
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
    bucket = new QuotaBucket(clock, undefined);
    entered = [];
    turnedAway = [];
    turns = new Map();
  });

  const takeNow = (tokens = 1): Turn => {
    const turn = bucket.take(tokens);
    if (turn === undefined) throw new Error('expected a turn');
    return turn;
  };
  /** Calls that go at once, one after the other. */
  const serve = (count: number, outcome: TurnOutcome = SERVED): void => {
    for (let call = 0; call < count; call++) bucket.ended(takeNow(), outcome);
  };
  const line = (name: string, place: 'first' | 'last' | 'until-refusal' = 'last'): (() => void) => {
    const { turn, leave } =
      place === 'until-refusal' ? bucket.waitForAnswers(1, name) : bucket.wait(1, place);
    void turn.then((own) => {
      if (own === undefined) turnedAway.push(name);
      else entered.push(name);
      if (own !== undefined) turns.set(name, own);
    });
    return leave;
  };
  const takeBack = (caller: string): Turn => {
    const turn = bucket.takeOrKeep(1, caller);
    if (!('slot' in turn)) throw new Error(`no turn for ${caller}`);
    return turn;
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
    serve(1_000);
    expect(bucket.tokensPerSecond).toBeUndefined();
    expect(clock.pendingTimers).toBe(0);
  });

  describe('with a limit that it keeps to', () => {
    beforeEach(() => {
      bucket = new QuotaBucket(clock, TEN_A_MINUTE);
    });

    it('keeps to a limit in every minute, in the order of the calls', async () => {
      serve(10);
      expect(bucket.take(1)).toBeUndefined();
      for (const name of ['a', 'b', 'c']) line(name);
      await pass(59_000);
      expect(entered).toEqual([]);
      await pass(2_000);
      expect(entered).toEqual(['a', 'b', 'c']);
      expect(bucket.waiting).toBe(0);
    });

    it.each([-3_600_000, 3_600_000])('keeps to a limit when the wall clock is set by %d ms', (stepMs) => {
      serve(10);
      clock.stepMs = stepMs;
      clock.advance(59_000);
      expect(bucket.take(1)).toBeUndefined();
      clock.advance(2_000);
      expect(bucket.take(1)).toBeDefined();
    });

    it('lets a call that costs more than the limit through when nothing else was spent', () => {
      bucket.ended(takeNow(50), SERVED);
      expect(bucket.take(50)).toBeUndefined();
      clock.advance(61_000);
      expect(bucket.take(50)).toBeDefined();
    });

    it('counts a call from its answer, for that is when the service had counted it at the latest', () => {
      const turn = takeNow(10);
      clock.advance(30_000);
      bucket.ended(turn, UNKNOWN);
      clock.advance(60_000);
      expect(bucket.take(1)).toBeUndefined();
      clock.advance(1_000);
      expect(bucket.take(1)).toBeDefined();
    });

    it('tells one that comes back when the one before it can go, which may need more', () => {
      bucket.ended(takeNow(6), SERVED);
      const dear = bucket.takeOrKeep(8, 'dear');
      expect(dear).toEqual({ retryAfterMs: expect.any(Number) });
      expect(bucket.takeOrKeep(1, 'cheap')).toEqual(dear);
    });

    it('has a call wait while those under way may still use up the limit', async () => {
      const turn = takeNow(10);
      line('a');
      await pass(120_000);
      expect(entered).toEqual([]);
      bucket.ended(turn, refused());
      await pass(1_000);
      expect(entered).toEqual(['a']);
    });

    it('does not count a kept turn that nobody comes for', async () => {
      serve(10);
      expect(bucket.takeOrKeep(10, 'key')).toHaveProperty('retryAfterMs');
      await pass(72_000);
      expect(bucket.tokensLastMinute).toBe(0);
      expect(bucket.take(10)).toBeDefined();
    });

    it('does not count what was refused', () => {
      bucket.ended(takeNow(10), refused(100));
      clock.advance(251);
      expect(bucket.take(10)).toBeDefined();
    });
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
    line('refused', 'first');
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
    const first = bucket.takeOrKeep(1, 'key');
    if (!('retryAfterMs' in first)) throw new Error('expected to be turned away');
    expect(first.retryAfterMs).toBeGreaterThan(0);
    expect(bucket.takeOrKeep(1, 'key')).toEqual(first);
    await pass(first.retryAfterMs + 50);
    // Somebody who waits tries whether the quota is back.
    expect(bucket.takeOrKeep(1, 'key')).toEqual({ retryAfterMs: 250 });
    bucket.ended(turnOf('waits 0'), SERVED);
    await pass(1_000);
    expect(bucket.waiting).toBeGreaterThan(50);
    expect(bucket.takeOrKeep(1, 'key')).toHaveProperty('slot');
    expect(bucket.takeOrKeep(1, 'key')).toHaveProperty('retryAfterMs');
  });

  it('serves those who do not wait first come, first served, whoever comes back first', async () => {
    bucket.ended(takeNow(), refused(1_000));
    const callers = Array.from({ length: 20 }, (_, index) => `key ${index}`);
    for (const caller of callers) expect(bucket.takeOrKeep(1, caller)).toHaveProperty('retryAfterMs');
    await pass(1_000);
    const served: string[] = [];
    for (let round = 0; round < 60; round++) {
      for (const caller of callers.toReversed()) {
        if (served.includes(caller)) continue;
        const turn = bucket.takeOrKeep(1, caller);
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
    const turn = bucket.takeOrKeep(1, 'a');
    if (!('slot' in turn)) throw new Error('expected a turn');
    bucket.takeOrKeep(1, 'b');
    bucket.ended(turn, refused(1_000));
    const [b, c] = [bucket.takeOrKeep(1, 'b'), bucket.takeOrKeep(1, 'c')];
    expect([b, c]).toEqual([{ retryAfterMs: 1_000 }, { retryAfterMs: 1_000 }]);
    await pass(1_000);
    const probe = bucket.takeOrKeep(1, 'c');
    if (!('slot' in probe)) throw new Error('expected a turn');
    bucket.ended(probe, SERVED);
    await pass(1_000);
    expect(bucket.takeOrKeep(1, 'b')).toHaveProperty('retryAfterMs');
    expect(bucket.takeOrKeep(1, 'a')).toHaveProperty('slot');
  });

  it('does not keep a turn for long, nor over another refusal', async () => {
    bucket.ended(takeNow(), refused(1_000));
    line('a');
    const away = bucket.takeOrKeep(1, 'key');
    if (!('retryAfterMs' in away)) throw new Error('expected to be turned away');
    await pass(2_050);
    bucket.ended(turnOf('a'), refused(1_000));
    line('b');
    await pass(900);
    expect(bucket.takeOrKeep(1, 'key')).toHaveProperty('retryAfterMs');
    await pass(20_000);
    expect(entered).toEqual(['a', 'b']);
    line('c');
    expect(bucket.takeOrKeep(1, 'key')).toEqual({ retryAfterMs: 250 });
  });

  it('serves those who were refused in the order of their refusals', async () => {
    bucket.ended(takeNow(), SERVED);
    clock.advance(2_000);
    const turns = ['a', 'b', 'c'].map((caller) => takeBack(caller));
    for (const turn of turns) bucket.ended(turn, refused(1_000));
    await pass(1_050);
    bucket.ended(takeBack('d'), SERVED);
    const served: string[] = [];
    for (let round = 0; round < 100 && served.length < 3; round++) {
      for (const caller of ['c', 'b', 'a']) {
        if (served.includes(caller)) continue;
        const turn = bucket.takeOrKeep(1, caller);
        if (!('slot' in turn)) continue;
        bucket.ended(turn, SERVED);
        served.push(caller);
      }
      await pass(100);
    }
    expect(served).toEqual(['a', 'b', 'c']);
  });

  it('keeps the place of one whose turn was over before its call was made', () => {
    const [turn, other] = [takeBack('a'), takeBack('b')];
    bucket.ended(other, refused(1_000));
    expect(bucket.isOutdated(turn)).toBe(true);
    bucket.ended(turn, { kind: 'unsent' });
    clock.advance(1_050);
    // At a call a second: whoever comes first tries, then those who had their turn.
    bucket.ended(takeBack('c'), SERVED);
    clock.advance(1_000);
    expect(bucket.takeOrKeep(1, 'late')).toHaveProperty('retryAfterMs');
    bucket.ended(takeBack('b'), SERVED);
    clock.advance(1_000);
    expect(bucket.takeOrKeep(1, 'late')).toHaveProperty('retryAfterMs');
    takeBack('a');
  });

  it('gives no turn to a place whose time is over', async () => {
    bucket.ended(takeNow(), refused(500));
    line('tries');
    expect(bucket.takeOrKeep(1, 'never comes back')).toHaveProperty('retryAfterMs');
    await pass(600);
    expect(entered).toEqual(['tries']);
    await pass(15_000);
    bucket.ended(turnOf('tries'), SERVED);
    await pass(120_000);
    expect(bucket.tokensLastMinute).toBe(0);
  });

  describe('beyond a limit that is only assumed', () => {
    beforeEach(() => {
      bucket = new QuotaBucket(clock, HUNDRED_ASSUMED);
    });
    const usedUp = (): void => serve(100);
    const beyond = (count: number): Turn[] => Array.from({ length: count }, () => takeNow());

    it('lets ten calls through at once, and two more for each that is served', () => {
      usedUp();
      const [first] = beyond(10);
      expect(bucket.take(1)).toBeUndefined();
      if (first !== undefined) bucket.ended(first, SERVED);
      beyond(2);
      expect(bucket.take(1)).toBeUndefined();
    });

    it('counts those under way for the limit', () => {
      Array.from({ length: 100 }, () => takeNow());
      beyond(10);
      expect(bucket.take(1)).toBeUndefined();
    });

    it.each([UNKNOWN, { kind: 'unsent' } as const])('grows with no call that ended $kind', (outcome) => {
      usedUp();
      for (const turn of beyond(10)) bucket.ended(turn, outcome);
      beyond(10);
      expect(bucket.take(1)).toBeUndefined();
    });

    it('has the others wait for answers, in their order, however much time passes', async () => {
      usedUp();
      const [first, second] = beyond(10);
      for (const name of ['a', 'b', 'c', 'd', 'e']) line(name);
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
      line('waits');
      line('leaves', 'until-refusal');
      if (first !== undefined) bucket.ended(first, refused(1_000));
      await nextTurn();
      expect([entered, turnedAway]).toEqual([[], ['leaves']]);
      for (const turn of rest) bucket.ended(turn, refused());
      await pass(1_050);
      expect(entered).toEqual(['waits']);
      bucket.ended(turnOf('waits'), SERVED);
      expect(bucket.tokensPerSecond).toBeDefined();
      await pass(1_000);
      for (let call = 0; call < 20; call++) line(`waits ${call}`);
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
      bucket.ended(takeNow(), SERVED);
      clock.advance(600_000);
      usedUp();
      beyond(10);
      expect(bucket.take(1)).toBeUndefined();
    });

    it('starts again with ten when less than the limit was used in between', () => {
      usedUp();
      serve(50);
      for (const turn of beyond(50)) bucket.ended(turn, SERVED);
      clock.advance(61_000);
      usedUp();
      beyond(10);
      expect(bucket.take(1)).toBeUndefined();
    });

    it('lets no more than fifty through at once until it is certain that more is granted', () => {
      usedUp();
      serve(195);
      const some = beyond(50);
      expect(bucket.take(1)).toBeUndefined();
      // Three times the limit is passed with these.
      for (const turn of some) bucket.ended(turn, SERVED);
      expect(bucket.isHigherThanAssumed).toBe(true);
      beyond(80);
    });

    it('is not certain of more while a service may count minutes that begin at other times', () => {
      for (const advanceMs of [700, 59_000, 1_000]) {
        serve(100);
        clock.advance(advanceMs);
      }
      expect(bucket.isHigherThanAssumed).toBe(false);
    });

    it('is not certain of more because of calls that had no answer', () => {
      usedUp();
      serve(300, UNKNOWN);
      expect(bucket.isHigherThanAssumed).toBe(false);
    });

    it('has a caller that comes back wait in line, and keeps its place when Cloud KMS refuses it', async () => {
      usedUp();
      clock.advance(50_000);
      const [first] = beyond(10);
      expect(bucket.waitsForAnswers(1, 'a')).toBe(true);
      line('a', 'until-refusal');
      line('b', 'until-refusal');
      if (first !== undefined) bucket.ended(first, UNKNOWN);
      await nextTurn();
      bucket.ended(turnOf('a'), refused(1_000));
      await nextTurn();
      expect(turnedAway).toEqual(['b']);
      expect(bucket.takeOrKeep(1, 'b')).toHaveProperty('retryAfterMs');
      await pass(1_000);
      // Whoever comes tries; then the one that was refused has its turn before the one that was turned away.
      bucket.ended(takeBack('c'), SERVED);
      await pass(1_000);
      expect(bucket.takeOrKeep(1, 'b')).toHaveProperty('retryAfterMs');
      expect(bucket.takeOrKeep(1, 'a')).toHaveProperty('slot');
    });

    it('gives the place of one that leaves to the next, and counts no turn that was not used', async () => {
      usedUp();
      const [first, ...rest] = beyond(10);
      const leave = line('a');
      line('b', 'until-refusal');
      leave();
      if (first !== undefined) bucket.ended(first, UNKNOWN);
      await nextTurn();
      expect(entered).toEqual(['b']);
      bucket.ended(turnOf('b'), { kind: 'unsent' });
      for (const turn of rest) bucket.ended(turn, { kind: 'unsent' });
      expect(bucket.tokensLastMinute).toBe(101);
      beyond(10);
      expect(bucket.take(1)).toBeUndefined();
    });

    it('tells a wait for answers from one for a quota that is used up', () => {
      expect(bucket.waitsForAnswers(1)).toBe(false);
      usedUp();
      const [first] = beyond(10);
      expect(bucket.waitsForAnswers(1)).toBe(true);
      if (first !== undefined) bucket.ended(first, refused());
      expect(bucket.waitsForAnswers(1)).toBe(false);
    });
  });
});
