/**
 * `KeyRings`: which key rings a call is for, told from the key id. A key of the first ring stands for the keys of that name
 * in all rings; any other full name is a resource of its own ring.
 */

import type { ErrorContext } from '../errors/base.js';
import { InvalidArgumentError } from '../errors/input.js';
import type { CallOptions } from '../keys/call-options.js';
import type { KeyMetadata, KeyProvider } from '../keys/key-provider.js';
import { isLocationFailure } from '../provider/location-failure.js';
import { everywhere, type RingCall } from './everywhere.js';
import { type FailoverOptions, withFailover } from './failover.js';
import type { Location } from './location.js';

/** What a key id stands for: a key in all rings, or one resource in one of them. */
type Target =
  | { readonly kind: 'replicated'; readonly keyId: string }
  | { readonly kind: 'single'; readonly keyId: string; readonly location: Location };

/** Something that is done to a key in one ring. */
type RingChange<T> = (provider: KeyProvider, keyId: string, location: Location) => Promise<T>;

export class KeyRings {
  readonly first: Location;
  /** In the order in which they are used. */
  readonly locations: readonly [Location, ...Location[]];
  readonly failover: FailoverOptions;

  constructor(locations: readonly [Location, ...Location[]], failover: FailoverOptions) {
    [this.first] = locations;
    this.locations = locations;
    this.failover = failover;
  }

  /** Makes all rings ready. A location that cannot be reached does not keep this process from starting. */
  async initialize(options: CallOptions | undefined): Promise<void> {
    const outcomes = await Promise.allSettled(
      this.locations.map((location) => location.execute((provider) => provider.initialize(options))),
    );
    const errors = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []));
    const serious = errors.find((error) => !isLocationFailure(error));
    if (serious !== undefined || errors.length === outcomes.length) throw serious ?? errors[0];
  }

  /** The ring that a full name is of. */
  ringOf(name: string): Location | undefined {
    return this.locations.find(({ keyRing }) => name.startsWith(`${keyRing}/cryptoKeys/`));
  }

  /** @throws InvalidArgumentError for what is no text; whether it is a good name is for the rings to say. */
  targetOf(operation: string, keyId: string): Target {
    if (typeof keyId !== 'string')
      throw new InvalidArgumentError({ operation, resource: String(keyId) }, 'a key id is a string.');
    const location = this.ringOf(keyId);
    if (location === undefined) return { kind: 'replicated', keyId };
    const short = keyId.slice(`${location.keyRing}/cryptoKeys/`.length);
    if (location === this.first && !short.includes('/')) return { kind: 'replicated', keyId: short };
    return { kind: 'single', keyId, location };
  }

  /** A key in a replica goes by the name that it has in the first ring, whoever answered. */
  asReplicated(key: KeyMetadata): KeyMetadata {
    const keyId = key.name.slice(key.name.lastIndexOf('/') + 1);
    return { ...key, name: `${this.first.keyRing}/cryptoKeys/${keyId}` };
  }

  /** What changes nothing, or may be done twice: in the first ring that answers. */
  read<T>(
    operation: string,
    keyId: string,
    options: CallOptions | undefined,
    use: (ring: RingCall) => Promise<T>,
    from: 'service' | 'cache' = 'service',
  ): Promise<T> {
    const target = this.targetOf(operation, keyId);
    if (target.kind === 'single') {
      return use({ provider: target.location.provider, keyId, options });
    }
    const context: ErrorContext = { operation, resource: target.keyId };
    return withFailover(
      this.failover,
      { context, locations: this.locations, options, from },
      (provider, own) => use({ provider, keyId: target.keyId, options: own }),
    );
  }

  /** In the first ring, or in the one that a full name is of. */
  inOneRing<T>(
    operation: string,
    keyId: string,
    use: (provider: KeyProvider, keyId: string) => Promise<T>,
  ): Promise<T> {
    const target = this.targetOf(operation, keyId);
    const location = target.kind === 'single' ? target.location : this.first;
    return use(location.provider, target.keyId);
  }

  /** What each ring has to say, in one list. */
  async inEachRing<T>(
    operation: string,
    keyId: string,
    look: (provider: KeyProvider, keyId: string) => Promise<readonly T[]>,
  ): Promise<readonly T[]> {
    const target = this.targetOf(operation, keyId);
    const locations = target.kind === 'single' ? [target.location] : this.locations;
    const found = await Promise.all(locations.map(({ provider }) => look(provider, target.keyId)));
    return found.flat();
  }

  /** In all rings, or in the one that a full name is of. */
  change<T>(operation: string, keyId: string, change: RingChange<T>): Promise<T> {
    return this.everywhere(operation, this.targetOf(operation, keyId), change);
  }

  everywhere<T>(operation: string, target: Target, change: RingChange<T>): Promise<T> {
    if (target.kind === 'single') return change(target.location.provider, target.keyId, target.location);
    const context = { operation, resource: target.keyId };
    return everywhere(context, this.locations, (location) =>
      change(location.provider, target.keyId, location),
    );
  }
}
