/**
 * Looks for versions that were made since the versions of a key were read, before a signature is called one by no version:
 * another process may have rotated the key a moment ago. One look for any number of callers, so many only, whatever a stranger
 * sends, and none that a caller waits for longer than for a moment.
 */

import type { CancelTimer, Clock } from '../clock.js';
import type { ResolvedKMSConfig } from '../config/kms-config.js';
import type { CryptoKeyName } from '../keys/resource-name.js';
import type { Operation } from '../provider/operation.js';
import { KeyReadAllowances } from '../provider/read-allowance.js';
import type { KeySnapshot, VersionResolver } from './version-resolver.js';

/** Of one key, as for key ids that are unknown. A rotation by another process takes one. */
const LOOKS_AT_ONE_KEY = { burst: 5, intervalMs: 10_000 };
/** Of all keys together. A look is two calls, at most three: a fifth of 300 reads a minute, the smallest quota there was. */
const LOOKS_AT_ALL_KEYS = { burst: 20, intervalMs: 3_000 };
/** Longer than any look takes where Cloud KMS answers; where it does not, the verdict is by what is known. */
const LOOK_MS = 2_000;

export class NewerVersions {
  readonly #resolver: VersionResolver;
  readonly #config: ResolvedKMSConfig;
  readonly #allowances: KeyReadAllowances;
  readonly #looks = new Map<CryptoKeyName, Promise<KeySnapshot | undefined>>();

  constructor(resolver: VersionResolver, config: ResolvedKMSConfig) {
    this.#resolver = resolver;
    this.#config = config;
    const { clock, cache } = config;
    this.#allowances = new KeyReadAllowances(clock, {
      each: LOOKS_AT_ONE_KEY,
      all: LOOKS_AT_ALL_KEYS,
      maxKeys: cache.maxKeys,
    });
  }

  /** Whether `since` could have versions that were read later than by the first `reads` reads. */
  mayHave(key: CryptoKeyName, reads: number): boolean {
    return this.#known(key, reads) !== undefined || this.#looks.has(key) || this.#allowances.isLeft(key);
  }

  /**
   * The key and its versions, by a read that began after the first `reads` reads; undefined when it cannot be had: the looks
   * are used up, or Cloud KMS does not answer. A failure is logged and not thrown: what a peer sends must not be able to
   * make an error of a verdict, nor hold up a process that is offline.
   */
  async since(operation: Operation, key: CryptoKeyName, reads: number): Promise<KeySnapshot | undefined> {
    const known = this.#known(key, reads);
    if (known !== undefined) return known;
    const found = await this.#look(operation, key);
    if (found === undefined || found.read > reads) return found;
    // It was under way before, so it may lack what was made since; the next one does not.
    return (await this.#look(operation, key)) ?? found;
  }

  #known(key: CryptoKeyName, reads: number): KeySnapshot | undefined {
    const known = this.#resolver.peek(key);
    return known !== undefined && known.read > reads ? known : undefined;
  }

  async #look(operation: Operation, key: CryptoKeyName): Promise<KeySnapshot | undefined> {
    const look = this.#looks.get(key) ?? this.#begin(operation, key);
    // Of a short deadline half is left to give the verdict in.
    return look && within(this.#config.clock, operation.remainingMs / 2, look);
  }

  #begin(operation: Operation, key: CryptoKeyName): Promise<KeySnapshot | undefined> | undefined {
    if (!this.#allowances.isLeft(key)) return undefined;
    this.#allowances.spend(key);
    const { clock, logger } = this.#config;
    const look = within(clock, LOOK_MS, this.#resolver.reload(operation, key))
      .catch((error: unknown) => {
        logger.debug({ key, error }, 'it could not be read whether a key has new versions');
        return undefined;
      })
      .finally(() => this.#looks.delete(key));
    this.#looks.set(key, look);
    return look;
  }
}

/** What is awaited, or undefined when that takes too long. */
function within<T>(clock: Clock, limitMs: number, awaited: Promise<T>): Promise<T | undefined> {
  let cancel: CancelTimer = () => {};
  const tooLate = new Promise<undefined>((resolve) => {
    cancel = clock.setTimer(limitMs, () => resolve(undefined));
  });
  return Promise.race([awaited, tooLate]).finally(cancel);
}
