/**
 * `ReplicatedSigning`: signs in the first ring that answers, and remembers which one that was, so that the version in use
 * and the public keys are asked of the ring that signs.
 */

import { LRUCache } from 'lru-cache';
import { findAlgorithm } from '../keys/algorithms.js';
import type { CallOptions } from '../keys/call-options.js';
import type { KeyVersionInUse, SignatureDetails } from '../keys/key-provider.js';
import type { RingCall } from './everywhere.js';
import { withFailover } from './failover.js';
import type { KeyRings } from './key-rings.js';
import type { Location } from './location.js';

/** As many as a client keeps public keys by default. */
const MAX_KEPT = 10_000;

export class ReplicatedSigning {
  readonly #rings: KeyRings;
  /** Where the latest signature was made. */
  #signing: Location;
  /** Versions whose public keys were fetched. */
  readonly #kept = new LRUCache<string, true>({ max: MAX_KEPT });

  constructor(rings: KeyRings) {
    this.#rings = rings;
    this.#signing = rings.first;
  }

  async sign(
    operation: string,
    keyId: string,
    options: CallOptions | undefined,
    use: (ring: RingCall) => Promise<SignatureDetails>,
  ): Promise<SignatureDetails> {
    const signed = await this.#rings.read(operation, keyId, options, use);
    if (this.#rings.targetOf(operation, keyId).kind === 'replicated')
      this.#signing = this.#rings.ringOf(signed.keyVersion) ?? this.#rings.first;
    this.#keepPublicKey(signed.keyVersion);
    return signed;
  }

  /**
   * In the ring that signed last, so that it is the version that `sign` uses. Of a key that encrypts in the first one: a
   * ciphertext belongs to one ring.
   */
  async resolveKeyVersion(keyId: string, options: CallOptions | undefined): Promise<KeyVersionInUse> {
    const { first, failover } = this.#rings;
    const target = this.#rings.targetOf('resolveKeyVersion', keyId);
    const resolve = ({ provider, keyId: id, options: own }: RingCall): Promise<KeyVersionInUse> =>
      provider.resolveKeyVersion(id, own);
    if (target.kind === 'single') return resolve({ provider: target.location.provider, keyId, options });
    const locations = this.#rings.locations.toSorted(
      (a, b) => Number(b === this.#signing) - Number(a === this.#signing),
    );
    const context = { operation: 'resolveKeyVersion', resource: target.keyId };
    const found = await withFailover(
      failover,
      { context, locations, options, from: 'cache' },
      (provider, own) => resolve({ provider, keyId: target.keyId, options: own }),
    );
    const isSigning = findAlgorithm(found.algorithm)?.purpose === 'ASYMMETRIC_SIGN';
    if (isSigning || this.#rings.ringOf(found.keyVersion) === first) return found;
    return resolve({ provider: first.provider, keyId: target.keyId, options });
  }

  /** Fetched while its location can be reached, so that the signature can be verified here when it cannot. */
  #keepPublicKey(keyVersion: string): void {
    if (this.#kept.has(keyVersion)) return;
    this.#kept.set(keyVersion, true);
    // Who may only sign may not read the key either, and verifies elsewhere.
    void this.#rings
      .ringOf(keyVersion)
      ?.provider.getPublicKey(keyVersion)
      .catch(() => {});
  }
}
