import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { KeyVersionState } from '../../src/keys/key-provider.js';
import {
  hasTimes,
  isHistoryLabel,
  type Labels,
  lifecycleOf,
  PRIMARY_LABEL,
  primaryNumber,
  rotationCandidates,
  versionTimes,
  wasActivated,
  wasActivatedSince,
  withoutRetiredTime,
  withPrimary,
  withTimes,
} from '../../src/keys/version-history.js';

const at = (seconds: number): Date => new Date(seconds * 1_000);
const dates = fc.integer({ min: 0, max: 253_402_300_799 }).map(at);
const numbers = fc.integer({ min: 1, max: 999_999 });
const enabled = (...versions: number[]) =>
  versions.map((version) => ({ version, state: 'ENABLED' as KeyVersionState }));

/** What Cloud KMS takes: at most 64 labels with at most 63 characters on each side. */
function expectLabelsFit(labels: Labels): void {
  expect(Object.keys(labels).length).toBeLessThanOrEqual(64);
  for (const [label, value] of Object.entries(labels)) {
    expect(label).toMatch(/^[a-z][a-z0-9_-]{0,62}$/);
    expect(value).toMatch(/^[a-z0-9_-]{0,63}$/);
  }
}

describe('the times of a version', () => {
  it('are read from its label as they were written', () => {
    fc.assert(
      fc.property(
        numbers,
        fc.record({ activatedTime: dates, replacedTime: dates, retiredTime: dates }, { requiredKeys: [] }),
        (number, times) => {
          const labels = withTimes({}, number, times);
          expectLabelsFit(labels);
          expect(versionTimes(labels, number)).toEqual(times);
          expect(withTimes(labels, number, times)).toEqual(labels);
        },
      ),
    );
  });

  it('are added to what is known, and not to other versions', () => {
    const labels = withTimes(withTimes({ team: 'x' }, 1, { activatedTime: at(1) }), 1, {
      retiredTime: at(3),
    });
    expect(versionTimes(labels, 1)).toEqual({ activatedTime: at(1), retiredTime: at(3) });
    expect(versionTimes(labels, 2)).toEqual({});
    expect(labels['team']).toBe('x');
  });

  it('lose the one at which it was disabled when it is enabled again', () => {
    const labels = withTimes({}, 1, { activatedTime: at(1), replacedTime: at(2), retiredTime: at(3) });
    const enabledAgain = withoutRetiredTime(labels, 1);
    expect(versionTimes(enabledAgain, 1)).toEqual({ activatedTime: at(1), replacedTime: at(2) });
    expect(withoutRetiredTime(enabledAgain, 1)).toBe(enabledAgain);
    expect(withoutRetiredTime(withTimes({}, 1, { retiredTime: at(3) }), 1)).toEqual({});
  });

  it('from a label that somebody else wrote are what can be read of it, and never an error', () => {
    fc.assert(
      fc.property(fc.string(), (value) => {
        const times = versionTimes({ 'a2a-version-1': value }, 1);
        for (const time of Object.values(times)) expect(time).toBeInstanceOf(Date);
      }),
    );
  });

  it('whose label was dropped are told by the next version above: replaced when that was put to use', () => {
    const labels = withTimes(withTimes({}, 12, { activatedTime: at(12) }), 9, { activatedTime: at(9) });
    expect(versionTimes(labels, 3)).toEqual({ replacedTime: at(9) });
    expect(versionTimes(labels, 10)).toEqual({ replacedTime: at(12) });
    expect(versionTimes(labels, 13)).toEqual({});
  });
});

describe('the history of a key', () => {
  it('stays within what Cloud KMS takes, however often it is rotated and however many labels its owner has', () => {
    fc.assert(
      fc.property(fc.nat({ max: 60 }), fc.integer({ min: 1, max: 150 }), (own, rotations) => {
        let labels: Labels = Object.fromEntries(
          Array.from({ length: own }, (_, index) => [`own-${index}`, 'x']),
        );
        for (let version = 2; version <= rotations + 1; version++) {
          labels = {
            ...withPrimary(labels, { from: version - 1, to: version, at: at(version) }),
            [PRIMARY_LABEL]: String(version),
          };
        }
        expectLabelsFit(labels);
        for (let index = 0; index < own; index++) expect(labels[`own-${index}`]).toBe('x');
      }),
      { numRuns: 25 },
    );
  });

  it('drops the oldest versions first, as numbers (D3)', () => {
    let labels: Labels = {};
    for (let version = 1; version <= 40; version++)
      labels = withTimes(labels, version, { activatedTime: at(version) });
    expect(wasActivated(labels, 8)).toBe(false);
    for (const version of [9, 10, 40]) expect(wasActivated(labels, version)).toBe(true);
  });

  it('keeps what was written last, the version in use, and the highest that ever was', () => {
    let labels: Labels = Object.fromEntries(Array.from({ length: 58 }, (_, index) => [`own-${index}`, 'x']));
    for (let version = 2; version <= 20; version++) {
      labels = withPrimary(labels, { from: version - 1, to: version, at: at(version) });
      labels = { ...labels, [PRIMARY_LABEL]: String(version) };
    }
    labels = { ...withPrimary(labels, { from: 20, to: 3, at: at(30) }), [PRIMARY_LABEL]: '3' };
    for (const version of [4, 5, 6, 7, 8, 9])
      labels = withTimes(labels, version, { retiredTime: at(40 + version) });
    expect(Object.keys(labels)).toHaveLength(63);
    const kept = Array.from({ length: 20 }, (_, index) => index + 1).filter((number) =>
      hasTimes(labels, number),
    );
    expect(kept).toEqual([3, 8, 9, 20]);
    expect(rotationCandidates(labels, enabled(3, 10, 20, 21), 3).map(({ version }) => version)).toEqual([21]);
  });

  it('is not for callers to change', () => {
    for (const label of [PRIMARY_LABEL, 'a2a-version-1', 'a2a-version-10', 'a2a-restoring', 'a2a-disabled'])
      expect(isHistoryLabel(label)).toBe(true);
    for (const label of ['a2a-version-', 'a2a-version-01', 'a2a-policy', 'team'])
      expect(isHistoryLabel(label)).toBe(false);
  });

  it('knows since when a version is in use', () => {
    const labels = withPrimary({}, { from: 1, to: 2, at: new Date(10_900) });
    expect(wasActivatedSince(labels, 2, new Date(10_100))).toBe(true);
    expect(wasActivatedSince(labels, 2, at(11))).toBe(false);
    expect(wasActivatedSince(labels, 1, at(0))).toBe(false);
  });
});

describe('the version in use', () => {
  it('is the one that is named if it is ENABLED, else the highest that is, as numbers (D3)', () => {
    expect(primaryNumber({}, enabled(9, 10, 2))).toBe(10);
    expect(primaryNumber({ [PRIMARY_LABEL]: '9' }, enabled(9, 10))).toBe(9);
    expect(primaryNumber({ [PRIMARY_LABEL]: '11' }, enabled(9, 10))).toBe(10);
    expect(primaryNumber({ [PRIMARY_LABEL]: '09' }, enabled(9, 10))).toBe(10);
    expect(primaryNumber({ [PRIMARY_LABEL]: '1' }, [{ version: 1, state: 'DISABLED' }])).toBeUndefined();
  });

  it('has new versions above it that were never in use, lowest first', () => {
    const versions = [
      ...enabled(12, 3, 10, 1),
      { version: 11, state: 'PENDING_GENERATION' as const },
      { version: 4, state: 'DISABLED' as const },
    ];
    const labels = withTimes({}, 3, { activatedTime: at(1) });
    expect(rotationCandidates(labels, versions, 1).map(({ version }) => version)).toEqual([10, 11, 12]);
    expect(rotationCandidates({}, versions, undefined).map(({ version }) => version)).toEqual([
      1, 3, 10, 11, 12,
    ]);
  });

  it('after the way back has no new versions among those that were passed, with their labels or without', () => {
    let labels: Labels = {};
    for (let version = 2; version <= 50; version++)
      labels = withPrimary(labels, { from: version - 1, to: version, at: at(version) });
    labels = withPrimary(labels, { from: 50, to: 2, at: at(51) });
    const versions = enabled(...Array.from({ length: 51 }, (_, index) => index + 1));
    expect(rotationCandidates(labels, versions, 2).map(({ version }) => version)).toEqual([51]);
    expect(lifecycleOf(labels, { version: 3, state: 'ENABLED' }, 2)).toBe('retiring');
    expect(lifecycleOf(labels, { version: 51, state: 'ENABLED' }, 2)).toBe('prepared');
  });

  it('put to use again forgets that it was replaced', () => {
    const away = withPrimary({}, { from: 1, to: 2, at: at(2) });
    const back = withPrimary(away, { from: 2, to: 1, at: at(3) });
    expect(versionTimes(back, 1)).toEqual({ activatedTime: at(3) });
    expect(versionTimes(back, 2)).toEqual({ activatedTime: at(2), replacedTime: at(3) });
    expect(withPrimary({}, { from: undefined, to: 1, at: at(1) })).toEqual({ 'a2a-version-1': 'a1' });
    expect(withPrimary({}, { from: 1, to: 1, at: at(1) })).toEqual({ 'a2a-version-1': 'a1' });
  });
});

describe('where a version is in its life', () => {
  it.each([
    ['PENDING_GENERATION', 'pending'],
    ['PENDING_IMPORT', 'pending'],
    ['DISABLED', 'retired'],
    ['DESTROY_SCHEDULED', 'destroyed'],
    ['DESTROYED', 'destroyed'],
    ['GENERATION_FAILED', 'failed'],
    ['IMPORT_FAILED', 'failed'],
  ] as const)('%s is %s', (state, life) => {
    expect(lifecycleOf({}, { version: 1, state }, 1)).toBe(life);
  });

  it('ENABLED is active, prepared above that, and retiring below', () => {
    const lives = [1, 2, 3].map((version) => lifecycleOf({}, { version, state: 'ENABLED' }, 2));
    expect(lives).toEqual(['retiring', 'active', 'prepared']);
  });
});
