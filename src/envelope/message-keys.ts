/**
 * The data keys that messages are encrypted with. One key serves many messages, within limits of age, number and bytes
 * that are counted when a message asks for the key, so that no concurrency goes past them.
 */

import type { CancelTimer, Clock } from '../clock.js';
import type { AbortListeners } from '../provider/abort-listeners.js';
import type { CacheStats } from '../provider/stats.js';
import type { Caller } from './caller.js';
import type { KeyWrapper, WrappedDataKey } from './key-wrapper.js';
import type { DataKeyLimits } from './options.js';
import { endedEarly, SharedCall } from './shared-call.js';

interface MessageKeysOptions {
  readonly wrapper: KeyWrapper;
  readonly limits: DataKeyLimits;
  readonly clock: Clock;
  readonly aborts: AbortListeners;
  /** Told of every new key. */
  readonly onNewKey: (key: WrappedDataKey) => void;
}

/** A key, from the moment that a message asks for it, and what may still be encrypted with it. */
interface Batch {
  messagesLeft: number;
  bytesLeft: number;
  call: SharedCall<WrappedDataKey> | undefined;
  ready: WrappedDataKey | undefined;
  /** Milliseconds since the epoch; known as soon as the key is ready. */
  expiresAt: number;
  cancelExpiry: CancelTimer;
}

export class MessageKeys {
  readonly #options: MessageKeysOptions;
  /** Calls under way; only the latest is of the current batch. */
  readonly #calls = new Set<SharedCall<WrappedDataKey>>();
  #current: Batch | undefined;
  #hits = 0;
  #misses = 0;

  constructor(options: MessageKeysOptions) {
    this.#options = options;
  }

  get stats(): CacheStats {
    return { hits: this.#hits, misses: this.#misses, size: this.#current?.ready === undefined ? 0 : 1 };
  }

  /** The key for one message, held for the caller; at once when it is there. */
  take(sizeBytes: number, caller: () => Caller): WrappedDataKey | Promise<WrappedDataKey> {
    const batch = this.#reserve(sizeBytes);
    if (batch.ready === undefined) {
      this.#misses += 1;
      return this.#wait(batch, sizeBytes, caller());
    }
    this.#hits += 1;
    batch.ready.hold();
    return batch.ready;
  }

  /** Drops the key, and fails those who wait for one. */
  close(): void {
    for (const call of [...this.#calls]) call.close();
    this.#drop();
  }

  async #wait(first: Batch, sizeBytes: number, caller: Caller): Promise<WrappedDataKey> {
    for (let batch = first; ; batch = this.#reserve(sizeBytes)) {
      if (batch.ready !== undefined) {
        batch.ready.hold();
        return batch.ready;
      }
      const call = batch.call ?? this.#generate(batch, caller);
      try {
        return await call.wait(caller);
      } catch (error) {
        if (!endedEarly(error, call, caller)) throw error;
      }
    }
  }

  #reserve(sizeBytes: number): Batch {
    const { maxMessages, maxBytes } = this.#options.limits;
    let batch = this.#current;
    if (batch === undefined || !this.#hasRoom(batch, sizeBytes)) {
      this.#drop();
      batch = {
        messagesLeft: maxMessages,
        bytesLeft: maxBytes,
        call: undefined,
        ready: undefined,
        expiresAt: Number.POSITIVE_INFINITY,
        cancelExpiry: () => {},
      };
      this.#current = batch;
    }
    batch.messagesLeft -= 1;
    batch.bytesLeft -= sizeBytes;
    return batch;
  }

  #hasRoom(batch: Batch, sizeBytes: number): boolean {
    return (
      batch.messagesLeft > 0 && batch.bytesLeft >= sizeBytes && this.#options.clock.now() < batch.expiresAt
    );
  }

  #generate(batch: Batch, starter: Caller): SharedCall<WrappedDataKey> {
    const { wrapper, aborts } = this.#options;
    const call = new SharedCall<WrappedDataKey>({
      starter,
      aborts,
      work: (limits) => wrapper.wrapNew(starter.context, 'message', limits),
      onEnd: (wrapped) => {
        this.#calls.delete(call);
        if (wrapped === undefined) this.#forget(batch);
        else this.#putToUse(batch, wrapped);
      },
    });
    this.#calls.add(call);
    batch.call = call;
    return call;
  }

  #putToUse(batch: Batch, wrapped: WrappedDataKey): void {
    const { clock, limits, onNewKey } = this.#options;
    onNewKey(wrapped);
    // A batch that was used up while it waited for its key has no further message to serve.
    if (this.#current !== batch) return;
    wrapped.hold();
    batch.ready = wrapped;
    batch.expiresAt = clock.now() + limits.maxAgeMs;
    batch.cancelExpiry = clock.setTimer(limits.maxAgeMs, () => this.#drop(), { kind: 'background' });
  }

  /** A batch without a key: nobody is to wait for it any more. */
  #forget(batch: Batch): void {
    if (this.#current === batch) this.#current = undefined;
  }

  #drop(): void {
    const batch = this.#current;
    this.#current = undefined;
    batch?.cancelExpiry();
    batch?.ready?.release();
  }
}
