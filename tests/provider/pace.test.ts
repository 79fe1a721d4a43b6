import { beforeEach, describe, expect, it } from 'vitest';
import { ManualClock } from '../../src/emulator/index.js';
import { Pace } from '../../src/provider/pace.js';

describe('Pace', () => {
  let clock: ManualClock;
  let pace: Pace;
  beforeEach(() => {
    clock = new ManualClock();
    pace = new Pace(clock);
  });

  /** Calls that succeed, so many a second, for so long. */
  const succeedFor = (seconds: number, perSecond: number): void => {
    for (let call = 0; call < seconds * perSecond; call++) {
      pace.reserve();
      pace.succeeded();
      clock.advance(1_000 / perSecond);
    }
  };

  it('does not hold up anybody as long as nothing was refused', () => {
    const slots = Array.from({ length: 100 }, () => pace.reserve());
    expect(slots.every(({ at }) => at === clock.now())).toBe(true);
    expect(pace.perSecond).toBeUndefined();
  });

  it('pauses as long as the server says', () => {
    pace.refused(pace.reserve(), 7_000);
    expect(pace.reserve().at).toBe(clock.now() + 7_000);
  });

  it('pauses a minute at the most, whatever the server says', () => {
    const [first, underWay] = [pace.reserve(), pace.reserve()];
    pace.refused(first, 3_600_000);
    pace.refused(underWay, 3_600_000);
    expect(pace.reserve().at).toBe(clock.now() + 60_000);
  });

  it('pauses for a moment that doubles up to five seconds when the server says nothing', () => {
    const pauses: number[] = [];
    for (let refusal = 0; refusal < 9; refusal++) {
      const slot = pace.reserve();
      clock.advanceTo(slot.at);
      pace.refused(slot, undefined);
      pauses.push(pace.reserve().at - clock.now());
    }
    for (const [refusal, pauseMs] of pauses.entries()) {
      const grown = Math.min(5_000, 250 * 2 ** refusal);
      expect(pauseMs).toBeGreaterThanOrEqual(grown / 2);
      expect(pauseMs).toBeLessThanOrEqual(grown);
    }
  });

  it('begins with short pauses again after a success', () => {
    for (let refusal = 0; refusal < 5; refusal++) pace.refused(pace.reserve(), undefined);
    clock.advance(10_000);
    pace.succeeded();
    pace.refused(pace.reserve(), undefined);
    expect(pace.reserve().at - clock.now()).toBeLessThanOrEqual(250);
  });

  it('halves the first rate, which nothing had held to any limit', () => {
    succeedFor(10, 100);
    pace.refused(pace.reserve(), undefined);
    expect(pace.perSecond).toBeCloseTo(50, 0);
    const [first, second] = [pace.reserve(), pace.reserve()];
    expect(second.at - first.at).toBeCloseTo(20, 0);
  });

  it('goes down to less than what the quota bore between two refusals', () => {
    succeedFor(10, 100);
    pace.refused(pace.reserve(), undefined);
    // A quota of 428 a minute: used up fast, then nothing until the minute is over.
    succeedFor(10, 42.8);
    clock.advance(50_000);
    pace.refused(pace.reserve(), undefined);
    expect(pace.perSecond).toBeCloseTo((428 / 60) * 0.9, 1);
  });

  it('makes up for timers that were late, and for no more than a second of them', () => {
    succeedFor(10, 20);
    pace.refused(pace.reserve(), 1_000);
    const { at } = pace.reserve();
    clock.advanceTo(at + 300);
    // Ten a second: those of the last 300 ms, and the one that is due now.
    const due = (): number => {
      let count = 0;
      while (pace.reserve().at <= clock.now()) count += 1;
      return count;
    };
    expect(due()).toBe(3);
    clock.advance(60_000);
    expect(due()).toBe(11);
  });

  it('is not lowered by refusals in a row: they only lengthen the pause', () => {
    succeedFor(10, 100);
    for (let refusal = 0; refusal < 5; refusal++) {
      clock.advanceTo(Math.max(clock.now(), pace.reserve().at));
      pace.refused(pace.reserve(), undefined);
    }
    expect(pace.perSecond).toBeCloseTo(50, 0);
  });

  it('counts the time of refusals in a row when it learns what the quota bears', () => {
    succeedFor(10, 42.8);
    for (let second = 10; second < 60; second += 5) {
      pace.refused(pace.reserve(), 5_000);
      clock.advance(5_000);
    }
    succeedFor(10, 42.8);
    pace.refused(pace.reserve(), undefined);
    expect(pace.perSecond).toBeCloseTo((428 / 60) * 0.9, 0);
  });

  it('counts refusals of calls that were under way when the pause began once, and keeps their word', () => {
    succeedFor(10, 100);
    const underWay = Array.from({ length: 64 }, () => pace.reserve());
    for (const slot of underWay) pace.refused(slot, 3_000);
    expect(pace.perSecond).toBeCloseTo(50, 0);
    expect(pace.reserve().at).toBe(clock.now() + 3_000);
    const stale = underWay.every((slot) => !pace.isCurrent(slot));
    expect(stale).toBe(true);
    expect(pace.isCurrent(pace.reserve())).toBe(true);
  });

  it('goes up by addition while calls succeed, once it is known what the quota bears', () => {
    succeedFor(10, 100);
    pace.refused(pace.reserve(), undefined);
    succeedFor(10, 50);
    pace.refused(pace.reserve(), undefined);
    const lowered = pace.perSecond ?? 0;
    for (let second = 0; second < 10; second++) succeedFor(1, 50);
    // Two percent of the lowered rate for each second of calls at that rate.
    expect(pace.perSecond).toBeGreaterThan(lowered * 1.15);
    expect(pace.perSecond).toBeLessThan(lowered * 1.25);
  });

  it('starts at one a second when the very first call is refused, and then searches by growing fast', () => {
    pace.refused(pace.reserve(), undefined);
    expect(pace.perSecond).toBe(1);
    for (let second = 0; second < 10; second++) succeedFor(1, Math.round(pace.perSecond ?? 1));
    expect(pace.perSecond).toBeGreaterThan(6);
  });

  it('takes what the quota bore in the last minute, not in the quiet hours before', () => {
    succeedFor(3_600, 0.1);
    succeedFor(60, 10);
    pace.refused(pace.reserve(), undefined);
    expect(pace.perSecond).toBeCloseTo(5, 0);
  });

  it('grows fast again after a minute without a refusal', () => {
    succeedFor(60, 1);
    pace.refused(pace.reserve(), undefined);
    clock.advance(60_000);
    for (let second = 0; second < 15; second++) succeedFor(1, Math.max(1, Math.round(pace.perSecond ?? 1)));
    expect(pace.perSecond).toBeGreaterThan(4);
  });

  it('does not hold up 200 calls for long after one refusal in a quiet minute', () => {
    succeedFor(60, 1);
    pace.refused(pace.reserve(), undefined);
    const since = clock.now();
    for (let call = 0; call < 200; call++) {
      clock.advanceTo(Math.max(clock.now(), pace.reserve().at));
      pace.succeeded();
    }
    expect(clock.now() - since).toBeLessThan(15_000);
  });

  it('holds nothing up after ten minutes without a refusal', () => {
    succeedFor(10, 1);
    pace.refused(pace.reserve(), undefined);
    clock.advance(599_999);
    pace.reserve();
    expect(pace.perSecond).toBeDefined();
    clock.advance(1);
    expect(pace.reserve().at).toBe(clock.now());
    expect(pace.perSecond).toBeUndefined();
  });

  it('weighs calls by what they cost', () => {
    for (let call = 0; call < 10; call++) {
      pace.reserve(7_000);
      pace.succeeded(7_000);
      clock.advance(1_000);
    }
    pace.refused(pace.reserve(7_000), undefined, 7_000);
    expect(pace.perSecond).toBeCloseTo(3_500, -2);
    const [first, second] = [pace.reserve(7_000), pace.reserve(100)];
    expect(second.at - first.at).toBeCloseTo(2_000, 0);
  });
});
