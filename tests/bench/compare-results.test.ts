import { describe, expect, it } from 'vitest';
import { describeLoss, findLosses, findNew } from './compare-results.js';
import { parseResults, type Results } from './results-file.js';

const environment = {
  date: '2026-01-01',
  machine: { cpu: 'a', cores: 2, memoryGiB: 8, system: 'b' },
  node: '20.19.0',
  openssl: '3.0.0',
  packages: {},
};

/** Results with these ratios, and times that say nothing. */
function results(ratios: Readonly<Record<string, number>>, ours = 1): Results {
  const benches = Object.entries(ratios).map(
    ([id, ratio]) => [id, { ours, reference: ours * ratio, unit: 'ms', ratio }] as const,
  );
  return { environment, benches: new Map(benches) };
}

describe('findLosses', () => {
  it('finds nothing when times grew tenfold and ratios stayed', () => {
    expect(findLosses(results({ 'a.b': 2 }, 10), results({ 'a.b': 2 }, 1))).toEqual([]);
  });

  it('allows a loss of 15 % and finds one that is larger', () => {
    expect(findLosses(results({ 'a.b': 1.7 }), results({ 'a.b': 2 }))).toEqual([]);
    const losses = findLosses(results({ 'a.b': 1.69 }), results({ 'a.b': 2 }));
    expect(losses).toEqual([{ kind: 'loss', id: 'a.b', ratio: 1.69, baseline: 2 }]);
    expect(losses.map(describeLoss)).toEqual(['a.b: ratio 1.69, was 2: 16 % lost, at most 15 % are allowed']);
  });

  it('is content with what became better', () => {
    expect(findLosses(results({ 'a.b': 3 }), results({ 'a.b': 2 }))).toEqual([]);
  });

  it('finds a line that was not measured any more, and not one that is new', () => {
    const [now, before] = [results({ 'a.new': 1 }), results({ 'a.old': 1 })];
    expect(findLosses(now, before).map(describeLoss)).toEqual([
      'a.old: is in the baseline and was not measured',
    ]);
    expect(findNew(now, before)).toEqual(['a.new']);
  });

  it('of a line with a limit finds only that the limit is not kept any more', () => {
    const id = 'verify.load.event-loop-delay-p99';
    expect(findLosses(results({ [id]: 1.1 }), results({ [id]: 5 }))).toEqual([]);
    expect(findLosses(results({ [id]: 0.9 }), results({ [id]: 5 })).map(describeLoss)).toEqual([
      `${id}: is beyond its limit (ratio 0.9), which it kept before`,
    ]);
    expect(findLosses(results({ [id]: 0.8 }), results({ [id]: 0.9 }))).toEqual([]);
  });
});

describe('parseResults', () => {
  it('keeps lines by their ids beside the environment, and refuses a line of another form', () => {
    const line = { ours: 1, reference: 2, unit: 'ms', ratio: 2 };
    const parsed = parseResults(JSON.stringify({ environment, 'a.b': line }));
    expect(parsed).toEqual({ environment, benches: new Map([['a.b', line]]) });
    expect(() => parseResults(JSON.stringify({ environment, 'a.b': { ours: 1 } }))).toThrow('ratio');
    expect(() => parseResults(JSON.stringify({ 'a.b': line }))).toThrow('environment');
  });
});
