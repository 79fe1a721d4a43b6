/**
 * Wraps data keys anew for `reencrypt`. Many messages share a data key, so the outcome is remembered for a few seconds:
 * no secret, but not for longer, because after a rotation it would lead back to the version before.
 */

import { LRUCache } from 'lru-cache';
import type { Clock } from '../clock.js';
import type { AbortListeners } from '../provider/abort-listeners.js';
import { Caller } from './caller.js';
import type { KeyWrapper } from './key-wrapper.js';
import { endedEarly, type Held, SharedCall, type WorkLimits } from './shared-call.js';
import type { UnwrappedKeys } from './unwrapped-keys.js';

/** A run over stored messages meets those that share a key close together. */
const MAX_AGE_MS = 10_000;
const MAX_KEYS = 1_000;

interface RewrappedKeysOptions {
  readonly wrapper: KeyWrapper;
  readonly unwrapped: UnwrappedKeys;
  readonly clock: Clock;
  readonly aborts: AbortListeners;
}

interface RewrappedKey extends Held {
  readonly wrappedKey: Buffer;
  /** Milliseconds since the epoch. */
  readonly madeAt: number;
}

export class RewrappedKeys {
  readonly #options: RewrappedKeysOptions;
  readonly #entries = new LRUCache<string, RewrappedKey>({ max: MAX_KEYS });
  readonly #calls = new Map<string, SharedCall<RewrappedKey>>();

  constructor(options: RewrappedKeysOptions) {
    this.#options = options;
  }

  /** The same data key, wrapped with the version that is in use now. */
  async get(wrappedKey: Buffer, caller: Caller): Promise<Buffer> {
    // Every byte a character: equal strings are equal bytes.
    const id = wrappedKey.toString('latin1');
    for (;;) {
      const call = this.#calls.get(id) ?? this.#rewrap(id, caller);
      try {
        return (await call.wait(caller)).wrappedKey;
      } catch (error) {
        if (!endedEarly(error, call, caller)) throw error;
      }
    }
  }

  /** Fails those who wait. */
  close(): void {
    for (const call of [...this.#calls.values()]) call.close();
  }

  #rewrap(id: string, starter: Caller): SharedCall<RewrappedKey> {
    const call = new SharedCall<RewrappedKey>({
      starter,
      aborts: this.#options.aborts,
      work: (limits) => this.#work(id, starter, limits),
      onEnd: () => void this.#calls.delete(id),
    });
    this.#calls.set(id, call);
    return call;
  }

  async #work(id: string, starter: Caller, limits: WorkLimits): Promise<RewrappedKey> {
    const { wrapper, unwrapped, clock } = this.#options;
    const { context } = starter;
    const entryId = `${await wrapper.versionInUse(context, limits)}\n${id}`;
    const known = this.#entries.get(entryId);
    if (known !== undefined && Math.abs(clock.now() - known.madeAt) < MAX_AGE_MS) return known;
    const key = await unwrapped.get(
      Buffer.from(id, 'latin1'),
      () => new Caller({ context, clock, signal: limits.signal, timeoutMs: starter.remainingMs }),
    );
    try {
      const rewrapped = {
        wrappedKey: await wrapper.wrap(context, key, limits),
        madeAt: clock.now(),
        hold: () => {},
        release: () => {},
      };
      this.#entries.set(entryId, rewrapped);
      return rewrapped;
    } finally {
      key.release();
    }
  }
}
