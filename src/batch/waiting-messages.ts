/**
 * The messages of a `BatchSigner` that have no receipt yet, first come first served. Each keeps its own deadline and its
 * own signal; one that leaves takes no other along.
 */

import type { CancelTimer, Clock } from '../clock.js';
import type { ErrorContext } from '../errors/base.js';
import { DeadlineExceededError, IntegrityError, OperationAbortedError } from '../errors/service.js';
import { AbortListeners } from '../provider/abort-listeners.js';
import type { BlindedMessage } from './blinded-message.js';

export interface WaitingMessage {
  readonly blinded: BlindedMessage;
  /** When it came, by the monotonic clock, in milliseconds. */
  readonly since: number;
}

interface Entry extends WaitingMessage {
  readonly timeoutMs: number;
  readonly resolve: (receipt: Buffer) => void;
  readonly reject: (error: unknown) => void;
  stopListening: () => void;
  /** The latest answer that held it up. */
  cause: unknown;
  /** Whether it is in a batch that is being signed. */
  isUnderWay: boolean;
}

/** A batch that is being signed. */
interface BatchWork {
  /** Fires when no call of the batch waits any more. */
  readonly signal: AbortSignal;
  /** Until the last of their deadlines: no call fails before its own because the operation had a shorter one. */
  readonly timeoutMs: number;
  end(): void;
}

export class WaitingMessages {
  readonly #context: ErrorContext;
  readonly #clock: Clock;
  readonly #onEmpty: () => void;
  readonly #aborts = new AbortListeners();
  readonly #entries = new Map<WaitingMessage, Entry>();
  /** Those with about the same time to wait, in the order in which their deadlines come, more or less. */
  readonly #peers = new Map<number, Set<Entry>>();
  readonly #works = new Set<{ readonly controller: AbortController; readonly left: Set<WaitingMessage> }>();
  #underWay = 0;
  #timer: { readonly at: number; readonly cancel: CancelTimer } | undefined;

  /** @param onEmpty called when the last message that was in no batch left. */
  constructor(context: ErrorContext, clock: Clock, onEmpty: () => void) {
    this.#context = context;
    this.#clock = clock;
    this.#onEmpty = onEmpty;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Those that are in no batch yet. */
  get waiting(): number {
    return this.#entries.size - this.#underWay;
  }

  /** Of those that are in no batch yet. */
  get oldest(): WaitingMessage | undefined {
    return this.first(1)[0];
  }

  /** The first ones that are in no batch yet, in the order they came. They stay where they are until they have their outcome. */
  first(count: number): readonly WaitingMessage[] {
    const first: WaitingMessage[] = [];
    if (this.waiting === 0) return first;
    for (const entry of this.#entries.values()) {
      if (first.length === count) break;
      if (!entry.isUnderWay) first.push(entry);
    }
    return first;
  }

  /** Settles with the receipt, the deadline or the abort. */
  add(
    blinded: BlindedMessage,
    options: { readonly signal: AbortSignal | undefined; readonly timeoutMs: number },
  ): Promise<Buffer> {
    const { signal, timeoutMs } = options;
    if (signal?.aborted) return Promise.reject(this.#aborted(signal));
    return new Promise((resolve, reject) => {
      const since = this.#clock.monotonic();
      const entry: Entry = {
        blinded,
        since,
        timeoutMs,
        resolve,
        reject,
        stopListening() {},
        cause: undefined,
        isUnderWay: false,
      };
      this.#entries.set(entry, entry);
      this.#peersOf(entry).add(entry);
      if (signal !== undefined) {
        entry.stopListening = this.#aborts.add(signal, () => this.#leave(entry, this.#aborted(signal)));
      }
      this.#arm(since + timeoutMs);
    });
  }

  /** The batch is under way. */
  begin(batch: readonly WaitingMessage[]): BatchWork {
    const work = { controller: new AbortController(), left: new Set(batch) };
    this.#works.add(work);
    const now = this.#clock.monotonic();
    let timeoutMs = 1;
    for (const message of batch) {
      const entry = this.#entries.get(message);
      if (entry === undefined) continue;
      entry.isUnderWay = true;
      this.#underWay += 1;
      timeoutMs = Math.max(timeoutMs, Math.ceil(entry.since + entry.timeoutMs - now));
    }
    return {
      signal: work.controller.signal,
      timeoutMs,
      end: () => {
        this.#works.delete(work);
      },
    };
  }

  /** Gives each its receipt; those who left meanwhile have theirs dropped. */
  succeed(batch: readonly WaitingMessage[], receipts: readonly (Buffer | undefined)[]): void {
    for (const [index, message] of batch.entries()) {
      const receipt = receipts[index];
      const entry = this.#take(message);
      if (receipt !== undefined) entry?.resolve(receipt);
      else entry?.reject(new IntegrityError(this.#context, 'no receipt for the message'));
    }
  }

  fail(batch: readonly WaitingMessage[], error: unknown): void {
    for (const message of batch) this.#take(message)?.reject(error);
  }

  /** Whoever still waits is refused, and batches under way are given up. */
  failAll(error: unknown): void {
    for (const message of [...this.#entries.keys()]) this.#leave(message, error);
  }

  /** They wait again, where they were, and remember why. */
  postpone(batch: readonly WaitingMessage[], cause: unknown): void {
    for (const message of batch) {
      const entry = this.#entries.get(message);
      if (entry === undefined) continue;
      entry.cause = cause;
      entry.isUnderWay = false;
      this.#underWay -= 1;
    }
  }

  #take(message: WaitingMessage): Entry | undefined {
    const entry = this.#entries.get(message);
    if (entry === undefined) return undefined;
    this.#entries.delete(message);
    if (entry.isUnderWay) this.#underWay -= 1;
    const peers = this.#peersOf(entry);
    peers.delete(entry);
    if (peers.size === 0) this.#peers.delete(peerGroup(entry));
    entry.stopListening();
    if (this.#entries.size === 0) this.#disarm();
    return entry;
  }

  #peersOf(entry: Entry): Set<Entry> {
    const group = peerGroup(entry);
    const known = this.#peers.get(group);
    if (known !== undefined) return known;
    const peers = new Set<Entry>();
    this.#peers.set(group, peers);
    return peers;
  }

  #leave(message: WaitingMessage, error: unknown): void {
    this.#take(message)?.reject(error);
    for (const { controller, left } of this.#works) {
      if (left.delete(message) && left.size === 0) controller.abort(error);
    }
    if (this.waiting === 0) this.#onEmpty();
  }

  #aborted(signal: AbortSignal): OperationAbortedError {
    return new OperationAbortedError({ ...this.#context, cause: signal.reason });
  }

  /** One timer for all: with a timer for each, most of the work would be to set it and to take it back. */
  #arm(at: number): void {
    if (this.#timer !== undefined && this.#timer.at <= at) return;
    this.#timer?.cancel();
    const cancel = this.#clock.setTimer(Math.max(0, at - this.#clock.monotonic()), () => this.#expire());
    this.#timer = { at, cancel };
  }

  #disarm(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #expire(): void {
    this.#timer = undefined;
    const now = this.#clock.monotonic();
    let next = Number.POSITIVE_INFINITY;
    for (const peers of this.#peers.values()) {
      for (const entry of peers) {
        const { timeoutMs } = entry;
        const endsAt = entry.since + timeoutMs;
        if (endsAt > now) {
          next = Math.min(next, endsAt);
          break;
        }
        const context = { ...this.#context, cause: entry.cause };
        const limit = 'the deadline of the message';
        this.#leave(entry, new DeadlineExceededError(context, { limit, timeoutMs }));
      }
    }
    if (Number.isFinite(next)) this.#arm(next);
  }
}

/**
 * Timeouts of one group differ by less than 1/128, and a deadline may be noticed that much later. With a group for each
 * timeout there would be one for each message, where callers pass what is left of their own time.
 */
function peerGroup({ timeoutMs }: Entry): number {
  const droppedBits = Math.max(0, 24 - Math.clz32(timeoutMs));
  return (droppedBits << 8) | (timeoutMs >>> droppedBits);
}
