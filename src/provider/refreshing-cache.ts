/**
 * A bounded cache that loads what it lacks: one load for any number of callers, values that are believed for a time and
 * refreshed in the background when half of it has passed, and invalidation that a load under way cannot undo.
 */

import { LRUCache } from 'lru-cache';
import type { Clock } from '../clock.js';
import type { CacheStats } from './stats.js';

interface RefreshingCacheOptions {
  readonly maxEntries: number;
  /** How long a value is believed, in milliseconds; left out, a value is kept until it is evicted. */
  readonly ttlMs?: number;
  readonly clock: Clock;
}

interface Entry<V> {
  readonly value: V;
  readonly loadedAt: number;
}

interface Load<V> {
  readonly promise: Promise<V>;
  current: boolean;
}

export class RefreshingCache<V extends object> {
  readonly #entries: LRUCache<string, Entry<V>>;
  readonly #loads = new Map<string, Load<V>>();
  readonly #ttlMs: number;
  readonly #clock: Clock;
  #hits = 0;
  #misses = 0;

  constructor(options: RefreshingCacheOptions) {
    this.#entries = new LRUCache({ max: options.maxEntries });
    this.#ttlMs = options.ttlMs ?? Number.POSITIVE_INFINITY;
    this.#clock = options.clock;
  }

  get size(): number {
    return this.#entries.size;
  }

  get stats(): CacheStats {
    return { hits: this.#hits, misses: this.#misses, size: this.#entries.size };
  }

  /** The value if it is there and still believed; never loads, so that one that is not there counts as no miss. */
  peek(key: string): V | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined || !this.#isBelieved(this.#age(entry))) return undefined;
    this.#hits += 1;
    return entry.value;
  }

  /** The value, loaded if need be. A failed load is an error of all who waited for it and is not remembered. */
  get(key: string, load: () => Promise<V>): V | Promise<V> {
    const entry = this.#entries.get(key);
    if (entry !== undefined) {
      const age = this.#age(entry);
      if (this.#isBelieved(age)) {
        // The old value serves until the new one is there; if the refresh fails, until it expires.
        if (age * 2 >= this.#ttlMs) this.#load(key, load).catch(() => {});
        this.#hits += 1;
        return entry.value;
      }
    }
    this.#misses += 1;
    return this.#load(key, load);
  }

  /** Loads the value whatever is there, or waits for the load under way. The old value serves until the new one is there. */
  reload(key: string, load: () => Promise<V>): Promise<V> {
    return this.#load(key, load);
  }

  /** Whether a load is under way. */
  isLoading(key: string): boolean {
    return this.#loads.has(key);
  }

  /** Puts in a value that was learned elsewhere; a load under way does not overwrite it. */
  set(key: string, value: V): void {
    this.#forgetLoad(key);
    this.#entries.set(key, { value, loadedAt: this.#clock.now() });
  }

  /** Forgets the value. A load under way is of the time before: it ends for those who wait for it and is not stored. */
  invalidate(key: string): void {
    this.#forgetLoad(key);
    this.#entries.delete(key);
  }

  /** What is younger than new was loaded before the clock was set back: nobody knows how old it is. */
  #isBelieved(ageMs: number): boolean {
    return ageMs < this.#ttlMs && (ageMs >= 0 || this.#ttlMs === Number.POSITIVE_INFINITY);
  }

  #age(entry: Entry<V>): number {
    return this.#clock.now() - entry.loadedAt;
  }

  #forgetLoad(key: string): void {
    const load = this.#loads.get(key);
    if (load !== undefined) load.current = false;
    this.#loads.delete(key);
  }

  #load(key: string, load: () => Promise<V>): Promise<V> {
    const running = this.#loads.get(key);
    if (running !== undefined) return running.promise;
    const started: Load<V> = {
      current: true,
      promise: load().then(
        (value) => {
          if (started.current) this.set(key, value);
          return value;
        },
        (error: unknown) => {
          if (started.current) this.#loads.delete(key);
          throw error;
        },
      ),
    };
    this.#loads.set(key, started);
    return started.promise;
  }
}
