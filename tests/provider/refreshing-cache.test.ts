import { beforeEach, describe, expect, it } from 'vitest';
import type { Clock } from '../../src/clock.js';
import { RefreshingCache } from '../../src/provider/refreshing-cache.js';

interface Value {
  readonly text: string;
}

let nowMs: number;
const clock: Clock = { now: () => nowMs, monotonic: () => nowMs, setTimer: () => () => {} };

/** Loads that the test settles by hand. */
function loader() {
  const calls: { resolve(text: string): void; reject(error: Error): void }[] = [];
  const load = (): Promise<Value> =>
    new Promise((resolve, reject) => {
      calls.push({ resolve: (text) => resolve({ text }), reject });
    });
  return { calls, load };
}

describe('RefreshingCache', () => {
  let cache: RefreshingCache<Value>;
  beforeEach(() => {
    nowMs = 1_000_000;
    cache = new RefreshingCache({ maxEntries: 2, ttlMs: 60_000, clock });
  });

  it('makes one load for a thousand callers on a cold cache (P15)', async () => {
    const { calls, load } = loader();
    const callers = Array.from({ length: 1_000 }, () => cache.get('k', load));
    expect(calls).toHaveLength(1);
    calls[0]?.resolve('v');
    expect(new Set(await Promise.all(callers)).size).toBe(1);
  });

  it('gives a warm value at once, without a promise', async () => {
    cache.set('k', { text: 'v' });
    expect(cache.get('k', loader().load)).toEqual({ text: 'v' });
  });

  it('refreshes in the background from half the time on, and serves the old value meanwhile', async () => {
    cache.set('k', { text: 'old' });
    const { calls, load } = loader();
    nowMs += 29_999;
    cache.get('k', load);
    expect(calls).toHaveLength(0);
    nowMs += 1;
    expect(cache.get('k', load)).toEqual({ text: 'old' });
    expect(cache.get('k', load)).toEqual({ text: 'old' });
    expect(calls).toHaveLength(1);
    calls[0]?.resolve('new');
    await Promise.resolve();
    await Promise.resolve();
    expect(cache.peek('k')).toEqual({ text: 'new' });
  });

  it('serves the old value until it expires when the refresh fails', async () => {
    cache.set('k', { text: 'old' });
    const { calls, load } = loader();
    nowMs += 40_000;
    cache.get('k', load);
    calls[0]?.reject(new Error('unavailable'));
    await Promise.resolve();
    expect(cache.peek('k')).toEqual({ text: 'old' });
    nowMs += 20_000;
    expect(cache.peek('k')).toBeUndefined();
  });

  it('fails all who waited for a failed load, and loads again for the next', async () => {
    const { calls, load } = loader();
    const waiting = [cache.get('k', load), cache.get('k', load)];
    calls[0]?.reject(new Error('no'));
    for (const result of await Promise.allSettled(waiting)) expect(result.status).toBe('rejected');
    const next = cache.get('k', load);
    calls[1]?.resolve('v');
    expect(await next).toEqual({ text: 'v' });
  });

  it('does not store what was loaded before an invalidation', async () => {
    const { calls, load } = loader();
    const before = cache.get('k', load);
    cache.invalidate('k');
    calls[0]?.resolve('stale');
    expect(await before).toEqual({ text: 'stale' });
    expect(cache.peek('k')).toBeUndefined();
  });

  it('starts a load of its own after an invalidation, and keeps that one', async () => {
    const { calls, load } = loader();
    const before = cache.get('k', load);
    cache.invalidate('k');
    const after = cache.get('k', load);
    calls[1]?.resolve('fresh');
    calls[0]?.reject(new Error('late failure of the old one'));
    await expect(before).rejects.toThrow('late failure');
    expect(await after).toEqual({ text: 'fresh' });
    expect(cache.peek('k')).toEqual({ text: 'fresh' });
  });

  it('believes nothing that was loaded before the clock was set back', async () => {
    cache.set('k', { text: 'old' });
    nowMs -= 1;
    expect(cache.peek('k')).toBeUndefined();
    const { calls, load } = loader();
    const waiting = cache.get('k', load);
    calls[0]?.resolve('new');
    expect(await waiting).toEqual({ text: 'new' });
    expect(cache.peek('k')).toEqual({ text: 'new' });
  });

  it('keeps a value without a time to live also when the clock is set back', () => {
    const forever = new RefreshingCache<Value>({ maxEntries: 2, clock });
    forever.set('a', { text: 'a' });
    nowMs -= 1;
    expect(forever.peek('a')).toEqual({ text: 'a' });
  });

  it('keeps a value for good without a time to live, and evicts the one used least recently', () => {
    const forever = new RefreshingCache<Value>({ maxEntries: 2, clock });
    forever.set('a', { text: 'a' });
    forever.set('b', { text: 'b' });
    nowMs += 1e12;
    expect(forever.peek('a')).toEqual({ text: 'a' });
    forever.set('c', { text: 'c' });
    expect(forever.size).toBe(2);
    expect(forever.peek('b')).toBeUndefined();
  });
});
