import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  DISABLED_LABEL,
  isInSet,
  isVersionSetLabel,
  RESTORING_LABEL,
  withSet,
} from '../../src/keys/version-set.js';

const numberSets = fc.uniqueArray(fc.integer({ min: 1, max: 500 }), { maxLength: 200 });

describe('a set of versions in labels', () => {
  it('has the numbers that were put in and no others, in labels that Cloud KMS takes', () => {
    fc.assert(
      fc.property(numberSets, (numbers) => {
        const labels = withSet({ team: 'x' }, DISABLED_LABEL, numbers);
        for (const [label, value] of Object.entries(labels)) {
          expect(label).toMatch(/^[a-z][a-z0-9_-]{0,62}$/);
          expect(value).toMatch(/^[a-z0-9_-]{1,63}$/);
        }
        const found = Array.from({ length: 502 }, (_, number) => number).filter((number) =>
          isInSet(labels, DISABLED_LABEL, number),
        );
        expect(found).toEqual(numbers.toSorted((a, b) => a - b));
        expect(withSet(labels, DISABLED_LABEL, [])).toEqual({ team: 'x' });
      }),
    );
  });

  it('is written as ranges, and goes on in further labels where it does not fit into one', () => {
    expect(withSet({}, RESTORING_LABEL, [7, 1, 3, 2])).toEqual({ 'a2a-restoring': '1-3_7' });
    const odd = Array.from({ length: 30 }, (_, index) => 2 * index + 1);
    expect(Object.keys(withSet({}, RESTORING_LABEL, odd))).toEqual(['a2a-restoring', 'a2a-restoring-2']);
  });

  it('replaces what was in it before, and leaves the other set alone', () => {
    const both = withSet(withSet({}, RESTORING_LABEL, [1, 5]), DISABLED_LABEL, [2]);
    expect(withSet(both, RESTORING_LABEL, [3])).toEqual({ 'a2a-restoring': '3', 'a2a-disabled': '2' });
  });

  it('that somebody else wrote has what can be read of it, and is never an error', () => {
    fc.assert(
      fc.property(fc.string(), (value) => {
        expect(isInSet({ [DISABLED_LABEL]: `${value}_4` }, DISABLED_LABEL, 4)).toBe(true);
        isInSet({ [DISABLED_LABEL]: value }, DISABLED_LABEL, 4);
      }),
    );
    for (const value of ['', '04', '4-', '-4', '5-3', 'x', '4 ']) {
      expect(isInSet({ [DISABLED_LABEL]: value }, DISABLED_LABEL, 4)).toBe(false);
    }
    expect(isInSet({ [DISABLED_LABEL]: '1-999999999999999' }, DISABLED_LABEL, 4)).toBe(true);
  });

  it('is no label of the owner', () => {
    for (const label of ['a2a-restoring', 'a2a-disabled', 'a2a-disabled-2', 'a2a-disabled-10'])
      expect(isVersionSetLabel(label)).toBe(true);
    for (const label of ['a2a-disabled-', 'a2a-disabled-02', 'my-a2a-disabled', 'team'])
      expect(isVersionSetLabel(label)).toBe(false);
  });
});
