import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { CHART, chartOf, PAGE, withResults } from './performance-page.js';
import { inRepository } from './repository.js';
import { RESULTS, readResults } from './results-file.js';

const results = readResults(RESULTS);
const page = readFileSync(inRepository(PAGE), 'utf8');

describe('docs/performance.md', () => {
  it('says what results.json says, and nothing else (npm run bench:chart)', () => {
    expect(withResults(page, results)).toBe(page);
    expect(readFileSync(inRepository(CHART), 'utf8')).toBe(chartOf(results));
  });

  it('explains every line of results.json', () => {
    const prose = page.slice(0, page.indexOf('<!-- made by'));
    const explained = [...prose.matchAll(/`([a-z]+\.[a-zA-Z0-9.*-]+)`/g)].map(
      ([, pattern = '']) => new RegExp(`^${pattern.replaceAll('.', '\\.').replaceAll('*', '.*')}$`),
    );
    const unexplained = [...results.benches.keys()].filter(
      (id) => !explained.some((pattern) => pattern.test(id)),
    );
    expect(unexplained).toEqual([]);
  });

  it('has other tables with other results, and cannot be made without its markers', () => {
    const benches = new Map([['sign.x', { ours: 1_234.5, reference: 2_469, unit: 'ms', ratio: 2 }]]);
    const other = withResults(page, { ...results, benches });
    expect(other).toContain('| `sign.x` | 1,235 | 2,469 | ms | 2 |');
    expect(() => withResults('no markers', results)).toThrow('markers');
  });
});
