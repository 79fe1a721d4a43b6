import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ROTATION_PERIOD_MAX_SECONDS, ROTATION_PERIOD_MIN_SECONDS } from '../../src/keys/key-provider.js';
import {
  checkPolicy,
  formatPolicy,
  parsePolicy,
  type RotationPolicy,
} from '../../src/keys/rotation-policy.js';

const seconds = (min: number) => fc.integer({ min, max: ROTATION_PERIOD_MAX_SECONDS });
const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });

const policies: fc.Arbitrary<RotationPolicy> = fc
  .record({
    rotateAfterSeconds: seconds(ROTATION_PERIOD_MIN_SECONDS),
    graceSeconds: optional(seconds(0)),
    keepVersions: optional(fc.integer({ min: 1, max: 999 })),
  })
  .chain((policy) =>
    fc.record({
      rotateAfterSeconds: fc.constant(policy.rotateAfterSeconds),
      prepareAheadSeconds: optional(fc.integer({ min: 0, max: policy.rotateAfterSeconds })),
      graceSeconds: fc.constant(policy.graceSeconds),
      retireAfterSeconds: optional(seconds(policy.graceSeconds ?? 0)),
      keepVersions: fc.constant(policy.keepVersions),
    }),
  );
const defined = (policy: RotationPolicy): object =>
  Object.fromEntries(Object.entries(policy).filter(([, value]) => value !== undefined));

describe('a rotation policy', () => {
  it('is read from its label as it was written, and the label is one that Cloud KMS takes', () => {
    fc.assert(
      fc.property(policies, (policy) => {
        const label = formatPolicy(policy);
        expect(label).toMatch(/^[a-z0-9_-]{1,63}$/);
        const parsed = parsePolicy(label);
        expect(parsed).toEqual({ ok: true, value: defined(policy) });
      }),
    );
  });

  it('that passed the check is the one that is written', () => {
    fc.assert(
      fc.property(policies, (policy) => {
        const checked = checkPolicy(policy);
        expect(checked.ok && formatPolicy(checked.value)).toBe(formatPolicy(policy));
      }),
    );
  });

  it('from any text is either refused or one that passes the check', () => {
    const likely = fc
      .array(fc.tuple(fc.constantFrom('r', 'p', 'g', 'd', 'k', 'x'), fc.nat()), { maxLength: 7 })
      .map((parts) => `v1${parts.map(([letter, number]) => `-${letter}${number}`).join('')}`);
    fc.assert(
      fc.property(fc.oneof(fc.string(), likely), (label) => {
        const parsed = parsePolicy(label);
        if (parsed.ok) expect(checkPolicy(parsed.value)).toEqual(parsed);
        else expect(parsed.problem).not.toBe('');
      }),
    );
  });

  it.each([
    'v2-r86400',
    'v1',
    'v1-g1',
    'v1-r86400-r172800',
    'v1-r86400-x1',
    'v1-r86399',
    'v1-r99999999999',
    'v1-r-1',
    'v1-r086400x',
    '',
  ])('is refused as the label %j', (label) => {
    expect(parsePolicy(label)).toMatchObject({ ok: false });
  });

  it.each<[unknown, RegExp]>([
    [null, /object/],
    ['v1-r86400', /object/],
    [{}, /rotateAfterSeconds/],
    [{ rotateAfterSeconds: 86_399 }, /rotateAfterSeconds/],
    [{ rotateAfterSeconds: 86_400.5 }, /rotateAfterSeconds/],
    [{ rotateAfterSeconds: 86_400, prepareAheadSeconds: 86_401 }, /prepareAheadSeconds/],
    [{ rotateAfterSeconds: 86_400, graceSeconds: -1 }, /graceSeconds/],
    [{ rotateAfterSeconds: 86_400, graceSeconds: 10, retireAfterSeconds: 9 }, /retireAfterSeconds/],
    [{ rotateAfterSeconds: 86_400, keepVersions: 0 }, /keepVersions/],
    [{ rotateAfterSeconds: 86_400, keepVersions: '3' }, /keepVersions/],
    [{ rotateAfterSeconds: 86_400, rotateEvery: 1 }, /rotateEvery is not a field/],
  ])('%j is refused with the field that is wrong', (policy, problem) => {
    const checked = checkPolicy(policy);
    expect(checked.ok ? '' : checked.problem).toMatch(problem);
  });
});
