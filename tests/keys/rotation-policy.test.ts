import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkPolicy, formatPolicy, parsePolicy } from '../../src/keys/rotation-policy.js';
import { dayOf, endOfDay } from '../../src/keys/usage-labels.js';

describe('rotation policy', () => {
  it('comes back from its label as it was, and the label is one that Cloud KMS takes', () => {
    const seconds = fc.integer({ min: 86_400, max: 3_153_600_000 });
    const policies = fc.record(
      {
        rotateAfterSeconds: seconds,
        prepareAheadSeconds: fc.integer({ min: 0, max: 86_400 }),
        graceSeconds: fc.integer({ min: 0, max: 86_400 }),
        retireAfterSeconds: seconds,
        keepVersions: fc.integer({ min: 1, max: 999 }),
      },
      { requiredKeys: ['rotateAfterSeconds'] },
    );
    fc.assert(
      fc.property(policies, (policy) => {
        const label = formatPolicy(policy);
        expect(label).toMatch(/^[a-z0-9_-]{1,63}$/);
        expect(parsePolicy(label)).toEqual({ ok: true, value: policy });
      }),
    );
  });

  it.each([
    [null, 'an object'],
    [{}, 'rotateAfterSeconds'],
    [{ rotateAfterSeconds: 86_399 }, 'rotateAfterSeconds'],
    [{ rotateAfterSeconds: 86_400.5 }, 'rotateAfterSeconds'],
    [{ rotateAfterSeconds: 86_400, prepareAheadSeconds: 86_401 }, 'prepareAheadSeconds'],
    [{ rotateAfterSeconds: 86_400, graceSeconds: -1 }, 'graceSeconds'],
    [{ rotateAfterSeconds: 86_400, graceSeconds: 10, retireAfterSeconds: 9 }, 'retireAfterSeconds'],
    [{ rotateAfterSeconds: 86_400, keepVersions: 0 }, 'keepVersions'],
    [{ rotateAfterSeconds: 86_400, often: 1 }, 'often is not a field'],
  ])('%j is refused', (policy, problem) => {
    expect(checkPolicy(policy)).toMatchObject({ ok: false, problem: expect.stringContaining(problem) });
  });

  it.each(['', 'v2-r86400', 'v1', 'v1-r', 'v1-x5', 'v1-g5', 'v1-r1'])('the label %j is refused', (label) => {
    expect(parsePolicy(label).ok).toBe(false);
  });
});

describe('day of use', () => {
  it('is a day in UTC, and ends with it', () => {
    expect(dayOf(Date.UTC(2026, 1, 28, 23, 59, 59, 999))).toBe('20260228');
    expect(endOfDay('20260228')).toEqual(new Date('2026-03-01T00:00:00Z'));
  });

  it.each([undefined, '', '2026022', '20261301', 'yesterday'])('%j is none', (label) => {
    expect(endOfDay(label)).toBeUndefined();
  });
});
