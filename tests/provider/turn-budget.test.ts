import { setImmediate as turnOfTheLoop } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { TurnBudget } from '../../src/provider/turn-budget.js';

describe('TurnBudget', () => {
  it('lets work be done at once until the units of the turn are spent, and again in the next turn', async () => {
    const budget = new TurnBudget(4);
    expect([budget.take(1), budget.take(2), budget.take(8)]).toEqual([true, true, true]);
    expect(budget.take(1)).toBe(false);
    await turnOfTheLoop();
    expect(budget.take(1)).toBe(true);
  });

  it('serves what waits in its order, a turn at a time, and nothing before it', async () => {
    const budget = new TurnBudget(2);
    const served: string[] = [];
    const waits = ['a', 'b', 'c', 'd', 'e'].map((name) => budget.wait(1).then(() => served.push(name)));
    expect(budget.take(1)).toBe(false);
    await turnOfTheLoop();
    expect(served).toEqual(['a', 'b']);
    expect(budget.take(1)).toBe(false);
    await turnOfTheLoop();
    expect(served).toEqual(['a', 'b', 'c', 'd']);
    await Promise.all(waits);
    expect(served).toEqual(['a', 'b', 'c', 'd', 'e']);
    await turnOfTheLoop();
    expect(budget.take(1)).toBe(true);
  });

  it('leaves the loop alone while less than half is spent', async () => {
    const budget = new TurnBudget(4);
    expect(budget.take(1)).toBe(true);
    await turnOfTheLoop();
    expect([budget.take(3), budget.take(1)]).toEqual([true, false]);
  });
});
