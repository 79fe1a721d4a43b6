/**
 * Data keys that were unwrapped, by their wrapped form: a bounded LRU with a mandatory age. A key is zeroed when it is
 * evicted, when its time is over and when the cipher is closed.
 */

import { LRUCache } from 'lru-cache';
import type { CancelTimer, Clock } from '../clock.js';
import type { AbortListeners } from '../provider/abort-listeners.js';
import type { CacheStats } from '../provider/stats.js';
import type { Caller } from './caller.js';
import type { DataKey } from './data-key.js';
import type { KeyWrapper } from './key-wrapper.js';
import type { UnwrappedKeyLimits } from './options.js';
import { endedEarly, SharedCall } from './shared-call.js';

interface UnwrappedKeysOptions {
  readonly wrapper: KeyWrapper;
  readonly limits: UnwrappedKeyLimits;
  readonly clock: Clock;
  readonly aborts: AbortListeners;
}

interface Entry {
  readonly key: DataKey;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
}

export class UnwrappedKeys {
  readonly #options: UnwrappedKeysOptions;
  readonly #entries: LRUCache<string, Entry>;
  /** The same entries, the oldest first: all live equally long, so what expires is at the front, however many there are. */
  readonly #byAge = new Map<string, Entry>();
  readonly #calls = new Map<string, SharedCall<DataKey>>();
  #cancelPurge: CancelTimer | undefined;
  #hits = 0;
  #misses = 0;

  constructor(options: UnwrappedKeysOptions) {
    this.#options = options;
    this.#entries = new LRUCache({
      max: options.limits.maxKeys,
      dispose: ({ key }, id) => {
        this.#byAge.delete(id);
        key.release();
      },
    });
  }

  get stats(): CacheStats {
    return { hits: this.#hits, misses: this.#misses, size: this.#entries.size };
  }

  /** The key, held for the caller; at once when it is there. A failure is an error of all who wait and is not remembered. */
  get(wrappedKey: Buffer, caller: () => Caller): DataKey | Promise<DataKey> {
    const id = idOf(wrappedKey);
    const entry = this.#entries.get(id);
    if (entry === undefined || this.#isExpired(entry, this.#options.clock.now())) {
      this.#misses += 1;
      return this.#load(id, wrappedKey, caller());
    }
    this.#hits += 1;
    entry.key.hold();
    return entry.key;
  }

  /** Remembers a key that is known from elsewhere. */
  add(wrappedKey: Buffer, key: DataKey): void {
    this.#set(idOf(wrappedKey), key);
  }

  /** Drops all keys, and fails those who wait for one. */
  close(): void {
    for (const call of [...this.#calls.values()]) call.close();
    this.#cancelPurge?.();
    this.#entries.clear();
  }

  async #load(id: string, wrappedKey: Buffer, caller: Caller): Promise<DataKey> {
    for (;;) {
      const call = this.#calls.get(id) ?? this.#unwrap(id, wrappedKey, caller);
      try {
        return await call.wait(caller);
      } catch (error) {
        if (!endedEarly(error, call, caller)) throw error;
      }
    }
  }

  #unwrap(id: string, wrappedKey: Buffer, starter: Caller): SharedCall<DataKey> {
    // The caller's buffer may change while the call is under way.
    const copy = Buffer.from(wrappedKey);
    const call = new SharedCall<DataKey>({
      starter,
      aborts: this.#options.aborts,
      work: (limits) => this.#options.wrapper.unwrap(starter.context, copy, limits),
      onEnd: (key) => {
        this.#calls.delete(id);
        if (key !== undefined) this.#set(id, key);
      },
    });
    this.#calls.set(id, call);
    return call;
  }

  #set(id: string, key: DataKey): void {
    key.hold();
    const { clock, limits } = this.#options;
    const entry = { key, expiresAt: clock.now() + limits.maxAgeMs };
    this.#entries.set(id, entry);
    this.#byAge.set(id, entry);
    this.#cancelPurge ??= this.#purgeIn(limits.maxAgeMs);
  }

  /** A key with more time left than a new one has got it from a clock that was set back since. */
  #isExpired({ expiresAt }: Entry, now: number): boolean {
    return now >= expiresAt || expiresAt - now > this.#options.limits.maxAgeMs;
  }

  #purgeIn(delayMs: number): CancelTimer {
    return this.#options.clock.setTimer(delayMs, () => this.#purge(), { kind: 'background' });
  }

  /** One timer for all entries: it is set again for the one that expires next. */
  #purge(): void {
    const now = this.#options.clock.now();
    this.#cancelPurge = undefined;
    for (const [id, entry] of this.#byAge) {
      if (!this.#isExpired(entry, now)) {
        this.#cancelPurge = this.#purgeIn(entry.expiresAt - now);
        return;
      }
      this.#entries.delete(id);
    }
  }
}

/** Every byte a character: equal strings are equal bytes. */
const idOf = (wrappedKey: Buffer): string => wrappedKey.toString('latin1');
