/**
 * Writes down on which day a key was last used, in its label `a2a-seen`, at most once a day and never in the way of the
 * call that used it: whatever goes wrong here is logged and forgotten.
 */

import { LRUCache } from 'lru-cache';
import type { Clock } from '../clock.js';
import { PermissionDeniedError } from '../errors/access.js';
import type { AgentKeys } from '../hierarchy/agent-keys.js';
import { agentKeyIdOf, agentOfLabels } from '../keys/agent-key-name.js';
import type { KeyMetadata, KeyProvider, KeyVersionMetadata } from '../keys/key-provider.js';
import { dayOf, SEEN_LABEL, STALE_LABEL } from '../keys/usage-labels.js';
import type { Logger } from '../logger.js';

const DAY_MS = 86_400_000;
/** After a failure, or in the middle of a rotation. */
const RETRY_MS = 3_600_000;
/** A rotation takes seconds; as long as one may be under way, no labels are written that were read before it. */
const ROTATION_MS = 600_000;

interface HeartbeatContext {
  /** The provider of each key ring. */
  readonly rings: readonly KeyProvider[];
  readonly clock: Clock;
  readonly logger: Logger;
  /** Keys whose last heartbeat is remembered. */
  readonly maxKeys: number;
  /** What is known of keys without a call. */
  readonly agentKeys: Pick<AgentKeys, 'seenDay' | 'isPinned'>;
}

export class Heartbeat {
  readonly #context: HeartbeatContext;
  /** When a key is looked at again, by every name that it was used by; its short id is the one that counts. */
  readonly #nextMs: LRUCache<string, number>;
  readonly #beats = new Set<Promise<void>>();
  readonly #abort = new AbortController();

  constructor(context: HeartbeatContext) {
    this.#context = context;
    // By its short id and by its full name.
    this.#nextMs = new LRUCache({ max: 2 * context.maxKeys });
  }

  /** Whether `used` has anything to do: not for a key that was looked at today. */
  isDue(keyId: string): boolean {
    return (this.#nextMs.get(keyId) ?? 0) <= this.#context.clock.now() && !this.#abort.signal.aborted;
  }

  /**
   * Notes that a key was used; the rest happens in the background. Keys that are no agent's are passed over.
   * @param name the key id, or the full name of the key or of a version.
   */
  used(name: string): void {
    if (!this.isDue(name)) return;
    const keyId = agentKeyIdOf(name);
    if (keyId === undefined) this.#nextMs.set(name, Number.POSITIVE_INFINITY);
    else {
      if (this.isDue(keyId)) this.#note(keyId);
      this.#nextMs.set(name, this.#nextMs.get(keyId) ?? 0);
    }
  }

  #note(keyId: string): void {
    const { clock, agentKeys, logger } = this.#context;
    const nowMs = clock.now();
    const isPinned = agentKeys.isPinned(keyId);
    if (isPinned || agentKeys.seenDay(keyId) === dayOf(nowMs)) {
      this.#nextMs.set(keyId, startOfNextDay(nowMs));
      // A key with a pinned version is not looked at.
      if (isPinned) logger.warn({ keyId }, `the version of a key is pinned, so ${NOT_WRITTEN}`);
      return;
    }
    // Set before anything is awaited: one heartbeat for any number of signatures.
    this.#nextMs.set(keyId, nowMs + RETRY_MS);
    const beat = this.#beat(keyId).catch((error: unknown) => this.#tell(keyId, error));
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

  async #beat(keyId: string): Promise<void> {
    const nowMs = this.#context.clock.now();
    const outcomes = await Promise.allSettled(
      this.#context.rings.map((provider) => this.#beatIn(provider, keyId, nowMs)),
    );
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
    const isWritten = outcomes.every(
      (outcome) => outcome.status === 'fulfilled' && outcome.value === 'written',
    );
    if (isWritten) this.#nextMs.set(keyId, startOfNextDay(nowMs));
  }

  /** One key ring that cannot be reached does not keep the use from being written down in the others. */
  async #beatIn(provider: KeyProvider, keyId: string, nowMs: number): Promise<'written' | 'not now'> {
    const { signal } = this.#abort;
    const today = dayOf(nowMs);
    const key = await provider.getKey(keyId, { signal });
    // Somebody's own key may be called like an agent's.
    if (agentOfLabels(key.labels) === undefined) return 'written';
    const seen = key.labels[SEEN_LABEL];
    if (seen === undefined || seen < today || key.labels[STALE_LABEL] !== undefined) {
      // Labels have no compare-and-swap: what is read here could undo a pointer that a rotation writes meanwhile.
      if (isBeingRotated(key, await provider.listKeyVersions(keyId, { signal }), nowMs)) return 'not now';
      await provider.updateLabels(keyId, { [SEEN_LABEL]: today, [STALE_LABEL]: null }, { signal });
    }
    return 'written';
  }

  #tell(keyId: string, error: unknown): void {
    const { logger } = this.#context;
    if (error instanceof PermissionDeniedError) {
      // Once a day is enough, and worth a warning: pruneStaleAgents goes by this label.
      this.#nextMs.set(keyId, this.#context.clock.now() + DAY_MS);
      logger.warn({ keyId, permission: error.permission }, `the key may not be updated, so ${NOT_WRITTEN}`);
    } else logger.debug({ keyId, error }, 'the use of a key could not be written down');
  }
}

const NOT_WRITTEN = 'its use is not written down; for pruneStaleAgents its agent counts as unused';

const startOfNextDay = (timeMs: number): number => (Math.floor(timeMs / DAY_MS) + 1) * DAY_MS;

function isBeingRotated(key: KeyMetadata, versions: readonly KeyVersionMetadata[], nowMs: number): boolean {
  const current = versions.find(({ name }) => name === key.primary)?.version ?? 0;
  return versions.some(
    ({ version, createTime }) => version > current && nowMs - createTime.getTime() < ROTATION_MS,
  );
}
