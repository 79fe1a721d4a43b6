/**
 * Bounds reads that others can cause by what they send: so many at once, and one more each time an interval has passed.
 * Who has none left answers from what is known.
 */

import { LRUCache } from 'lru-cache';
import type { Clock } from '../clock.js';

interface ReadRate {
  readonly burst: number;
  readonly intervalMs: number;
}

export class ReadAllowance {
  readonly #clock: Clock;
  readonly #rate: ReadRate;
  #left: number;
  /** By the monotonic clock, so that a wall clock that is set gives nothing and takes nothing. */
  #countedAt: number;

  constructor(clock: Clock, rate: ReadRate) {
    this.#clock = clock;
    this.#rate = rate;
    this.#left = rate.burst;
    this.#countedAt = clock.monotonic();
  }

  get isLeft(): boolean {
    return this.#count() >= 1;
  }

  spend(): void {
    this.#left = this.#count() - 1;
    this.#countedAt = this.#clock.monotonic();
  }

  #count(): number {
    const refilled = (this.#clock.monotonic() - this.#countedAt) / this.#rate.intervalMs;
    return Math.min(this.#rate.burst, this.#left + refilled);
  }
}

/** An allowance for each key and, where it is given, one that all of them share. */
export class KeyReadAllowances {
  readonly #clock: Clock;
  readonly #each: ReadRate;
  readonly #all: ReadAllowance | undefined;
  readonly #byKey: LRUCache<string, ReadAllowance>;

  constructor(
    clock: Clock,
    options: { readonly each: ReadRate; readonly all?: ReadRate; readonly maxKeys: number },
  ) {
    this.#clock = clock;
    this.#each = options.each;
    this.#all = options.all && new ReadAllowance(clock, options.all);
    this.#byKey = new LRUCache({ max: options.maxKeys });
  }

  isLeft(key: string): boolean {
    return (this.#byKey.get(key)?.isLeft ?? true) && (this.#all?.isLeft ?? true);
  }

  spend(key: string): void {
    const known = this.#byKey.get(key);
    const allowance = known ?? new ReadAllowance(this.#clock, this.#each);
    if (known === undefined) this.#byKey.set(key, allowance);
    allowance.spend();
    this.#all?.spend();
  }
}
