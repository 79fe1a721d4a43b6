/**
 * Writes down on which day a key was last used, in its label `a2a-seen`, at most once a day and never in the way of the
 * call that used it: whatever goes wrong here is logged and forgotten.
 */

import { LRUCache } from 'lru-cache';
import type { Clock } from '../clock.js';
import { PermissionDeniedError } from '../errors.js';
import type { KeyMetadata, KeyProvider, KeyVersionMetadata } from '../keys/key-provider.js';
import { dayOf, SEEN_LABEL, STALE_LABEL } from '../keys/usage-labels.js';
import type { Logger } from '../logger.js';

const DAY_MS = 86_400_000;
/** After a failure, or in the middle of a rotation. */
const RETRY_MS = 3_600_000;
/** A rotation takes seconds; as long as one may be under way, no labels are written that were read before it. */
const ROTATION_MS = 600_000;

interface HeartbeatContext {
  /** The provider of each key ring; a key is named as it is in the first one. */
  readonly rings: readonly KeyProvider[];
  readonly clock: Clock;
  readonly logger: Logger;
  /** Keys whose last heartbeat is remembered. */
  readonly maxKeys: number;
}

export class Heartbeat {
  readonly #context: HeartbeatContext;
  /** When a key is looked at again, by its name. */
  readonly #nextMs: LRUCache<string, number>;
  readonly #beats = new Set<Promise<void>>();
  readonly #abort = new AbortController();

  constructor(context: HeartbeatContext) {
    this.#context = context;
    this.#nextMs = new LRUCache({ max: context.maxKeys });
  }

  /** Whether `touch` has anything to do: not for a key that was looked at today. */
  #isDue(keyName: string): boolean {
    return (this.#nextMs.get(keyName) ?? 0) <= this.#context.clock.now() && !this.#abort.signal.aborted;
  }

  /**
   * Notes that a key was used; the rest happens in the background.
   * @param seen the day in its label, where the key was read before.
   */
  touch(keyName: string, seen?: string): void {
    if (!this.#isDue(keyName)) return;
    const nowMs = this.#context.clock.now();
    if (seen === dayOf(nowMs)) {
      this.#nextMs.set(keyName, startOfNextDay(nowMs));
      return;
    }
    // Set before anything is awaited: one heartbeat for any number of signatures.
    this.#nextMs.set(keyName, nowMs + RETRY_MS);
    const beat = this.#beat(keyName).catch((error: unknown) => this.#tell(keyName, error));
    this.#beats.add(beat);
    void beat.finally(() => this.#beats.delete(beat));
  }

  /** Settles when no heartbeat is under way. */
  async idle(): Promise<void> {
    while (this.#beats.size > 0) await Promise.all(this.#beats);
  }

  /** Begins no further heartbeat, aborts those under way, and settles when they have ended. */
  async close(): Promise<void> {
    this.#abort.abort(new Error('the client is closed'));
    await this.idle();
  }

  async #beat(keyName: string): Promise<void> {
    const nowMs = this.#context.clock.now();
    const keyId = keyName.slice(keyName.lastIndexOf('/') + 1);
    const outcomes = await Promise.allSettled(
      this.#context.rings.map((provider, index) =>
        this.#beatIn(provider, index === 0 ? keyName : keyId, nowMs),
      ),
    );
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
    const isWritten = outcomes.every(
      (outcome) => outcome.status === 'fulfilled' && outcome.value === 'written',
    );
    if (isWritten) this.#nextMs.set(keyName, startOfNextDay(nowMs));
  }

  /** One key ring that cannot be reached does not keep the use from being written down in the others. */
  async #beatIn(provider: KeyProvider, keyName: string, nowMs: number): Promise<'written' | 'not now'> {
    const { signal } = this.#abort;
    const today = dayOf(nowMs);
    const key = await provider.getKey(keyName, { signal });
    const seen = key.labels[SEEN_LABEL];
    if (seen === undefined || seen < today || key.labels[STALE_LABEL] !== undefined) {
      // Labels have no compare-and-swap: what is read here could undo a pointer that a rotation writes meanwhile.
      if (isBeingRotated(key, await provider.listKeyVersions(keyName, { signal }), nowMs)) return 'not now';
      await provider.updateLabels(keyName, { [SEEN_LABEL]: today, [STALE_LABEL]: null }, { signal });
    }
    return 'written';
  }

  #tell(keyName: string, error: unknown): void {
    const { logger } = this.#context;
    if (error instanceof PermissionDeniedError) {
      // Once a day is enough, and worth a warning: pruneStaleAgents goes by this label.
      this.#nextMs.set(keyName, this.#context.clock.now() + DAY_MS);
      logger.warn(
        { keyName, permission: error.permission },
        'the use of a key could not be written down; for pruneStaleAgents its agent counts as unused',
      );
    } else logger.debug({ keyName, error }, 'the use of a key could not be written down');
  }
}

const startOfNextDay = (timeMs: number): number => (Math.floor(timeMs / DAY_MS) + 1) * DAY_MS;

function isBeingRotated(key: KeyMetadata, versions: readonly KeyVersionMetadata[], nowMs: number): boolean {
  const current = versions.find(({ name }) => name === key.primary)?.version ?? 0;
  return versions.some(
    ({ version, createTime }) => version > current && nowMs - createTime.getTime() < ROTATION_MS,
  );
}
