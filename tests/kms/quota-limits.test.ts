import { describe, expect, it } from 'vitest';
import { quotaLimits } from '../../src/kms/quota-limits.js';
import { PUBLISHED_TOKENS_PER_MINUTE } from '../../src/kms/quota-table.js';

describe('the limits that calls go by', () => {
  const assumed = (tokens: number) => ({ kind: 'assumed', tokens });
  const kept = (tokens: number) => ({ kind: 'kept', tokens });

  it('are the published ones by default, which are assumed', () => {
    expect(quotaLimits({})).toEqual({
      read: assumed(600),
      write: assumed(60),
      hsm: assumed(3_000_000),
      software: assumed(6_000_000),
      external: assumed(600_000),
    });
  });

  it('are kept to when they are asked for', () => {
    const { read, write, hsm, software, external } = PUBLISHED_TOKENS_PER_MINUTE;
    expect(quotaLimits({ limits: 'published' })).toEqual({
      read: kept(read),
      write: kept(write),
      hsm: kept(hsm),
      software: kept(software),
      external: kept(external),
    });
  });

  it('are those of the configuration, which are kept to, and assumed ones for what it leaves out', () => {
    expect(quotaLimits({ limits: { hsm: 9_000_000, read: 1 } })).toEqual({
      ...quotaLimits({}),
      hsm: kept(9_000_000),
      read: kept(1),
    });
  });

  it('are none when there are to be none', () => {
    expect(Object.values(quotaLimits({ limits: 'none' })).filter((limit) => limit !== undefined)).toEqual([]);
  });
});
