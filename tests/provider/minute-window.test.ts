import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MinuteWindow } from '../../src/provider/minute-window.js';

const START_MS = Date.UTC(2026, 0, 1);

describe('MinuteWindow', () => {
  it('counts an amount for a minute, and for the rest of its second', () => {
    const window = new MinuteWindow();
    window.add(START_MS + 500, 3);
    expect(window.total(START_MS + 60_500)).toBe(3);
    expect(window.total(START_MS + 61_000)).toBe(0);
  });

  it('says when enough of it is over', () => {
    const window = new MinuteWindow();
    window.add(START_MS, 2);
    window.add(START_MS + 10_000, 3);
    const now = START_MS + 20_000;
    expect(window.fallsTo(5, now)).toBe(now);
    expect(window.fallsTo(3, now)).toBe(START_MS + 61_000);
    expect(window.fallsTo(0, now)).toBe(START_MS + 71_000);
  });

  it('never has less than what was added in the last minute, nor more than in the last 61 seconds', () => {
    const event = fc.record({ afterMs: fc.nat(30_000), amount: fc.nat(100) });
    fc.assert(
      fc.property(fc.array(event, { maxLength: 200 }), (events) => {
        const window = new MinuteWindow();
        const added: { at: number; amount: number }[] = [];
        let now = START_MS;
        for (const { afterMs, amount } of events) {
          now += afterMs;
          window.add(now, amount);
          added.push({ at: now, amount });
          const since = (durationMs: number): number =>
            added.reduce((sum, { at, amount: one }) => (at > now - durationMs ? sum + one : sum), 0);
          const total = window.total(now);
          if (total < since(60_000) || total > since(61_000)) return false;
        }
        const half = window.total(now) / 2;
        return window.total(window.fallsTo(half, now)) <= half;
      }),
      { numRuns: 50 },
    );
  });
});
