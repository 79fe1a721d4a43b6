import { expect, it } from 'vitest';
import { KeyReadAllowances } from '../../src/provider/read-allowance.js';
import { SettableClock } from '../support/settable-clock.js';

/** Reads until there are none left, at most so many. */
function readAll(allowances: KeyReadAllowances, key: string, most = 100): number {
  let reads = 0;
  for (; reads < most && allowances.isLeft(key); reads++) allowances.spend(key);
  return reads;
}

const each = { burst: 3, intervalMs: 1_000 };

it('is a burst for each key, then one for each interval that has passed, and never more than the burst', () => {
  const clock = new SettableClock();
  const allowances = new KeyReadAllowances(clock, { each, maxKeys: 10 });
  expect(readAll(allowances, 'a')).toBe(3);
  clock.advance(999);
  expect(readAll(allowances, 'a')).toBe(0);
  clock.advance(1);
  expect(readAll(allowances, 'a')).toBe(1);
  expect(readAll(allowances, 'b')).toBe(3);
  clock.advance(3_600_000);
  expect(readAll(allowances, 'a')).toBe(3);
});

it('is shared by all keys where it is bounded for all', () => {
  const clock = new SettableClock();
  const all = { burst: 4, intervalMs: 10_000 };
  const allowances = new KeyReadAllowances(clock, { each, all, maxKeys: 10 });
  expect(['a', 'b', 'c'].map((key) => readAll(allowances, key))).toEqual([3, 1, 0]);
  clock.advance(10_000);
  expect(['c', 'd'].map((key) => readAll(allowances, key))).toEqual([1, 0]);
});

it('is neither given nor taken by a wall clock that is set', () => {
  const clock = new SettableClock();
  const allowances = new KeyReadAllowances(clock, { each, maxKeys: 10 });
  readAll(allowances, 'a');
  clock.stepMs = 3_600_000;
  expect(readAll(allowances, 'a')).toBe(0);
  clock.stepMs = -3_600_000;
  clock.advance(2_000);
  expect(readAll(allowances, 'a')).toBe(2);
});
