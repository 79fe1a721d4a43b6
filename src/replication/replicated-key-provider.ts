/**
 * `ReplicatedKeyProvider`: keys of the same name in several key rings, of which the first is used as long as it can be
 * reached. Each ring has key material of its own; what is signed in one verifies with the public keys of that one, so
 * those of all rings belong together. It never makes a weaker key: every ring gets the same specification.
 */

import { LRUCache } from 'lru-cache';
import type { Clock } from '../clock.js';
import { type ErrorContext, InvalidArgumentError } from '../errors.js';
import type {
  AccessBinding,
  AccessChange,
  AccessManager,
  GrantOptions,
  TestedPermissions,
} from '../keys/access.js';
import { findAlgorithm } from '../keys/algorithms.js';
import type {
  CallOptions,
  DestroyOptions,
  DestructionResult,
  EncryptionOptions,
  KeyMetadata,
  KeyProvider,
  KeySpec,
  KeyVersionInUse,
  KeyVersionMetadata,
  ListKeysOptions,
  RestoreOptions,
  RetirementResult,
  RetireOptions,
  RotationOptions,
  RotationResult,
  RotationSchedule,
  SignatureDetails,
} from '../keys/key-provider.js';
import { requireAccessManager } from '../provider/access-manager.js';
import { everywhere, type RingCall } from './everywhere.js';
import { type FailoverOptions, withFailover } from './failover.js';
import { isLocationFailure, type Location, type LocationStatus } from './location.js';
import { verifyInAny } from './verification.js';

/** A public key of a replicated key. */
export interface LocatedPublicKey {
  /** Full name of the key ring. */
  readonly keyRing: string;
  /** Full name of the version in use there. */
  readonly keyVersion: string;
  readonly algorithm: string;
  /** SubjectPublicKeyInfo, PEM. */
  readonly pem: string;
}

/** Those of all rings where there are several, else the one. */
export async function publicKeysOf(
  keys: KeyProvider,
  keyId: string,
  options?: CallOptions,
): Promise<readonly LocatedPublicKey[]> {
  if (keys instanceof ReplicatedKeyProvider) return keys.getPublicKeys(keyId, options);
  const { keyVersion, algorithm } = await keys.resolveKeyVersion(keyId, options);
  const pem = (await keys.getPublicKey(keyVersion, options)).toString('utf8');
  return [{ keyRing: keyVersion.slice(0, keyVersion.indexOf('/cryptoKeys/')), keyVersion, algorithm, pem }];
}

/** What works in each key ring alone, in the order in which they are used; the provider itself where there is one ring. */
export function ringsOf(keys: KeyProvider): readonly [KeyProvider, ...KeyProvider[]] {
  return keys instanceof ReplicatedKeyProvider ? keys.rings : [keys];
}

export interface ReplicatedKeyProviderOptions extends FailoverOptions {
  /** The first is used as long as it can be reached. */
  readonly locations: readonly [Location, ...Location[]];
  readonly clock: Clock;
}

/** As many as a client keeps public keys by default. */
const MAX_KEPT = 10_000;

/** What a key id stands for: a key in all rings, or one resource in one of them. */
type Target =
  | { readonly kind: 'replicated'; readonly keyId: string }
  | { readonly kind: 'single'; readonly keyId: string; readonly location: Location };

export class ReplicatedKeyProvider implements KeyProvider, AccessManager {
  readonly #first: Location;
  readonly #locations: readonly Location[];
  readonly #failover: FailoverOptions;
  /** Where the latest signature was made. */
  #signing: Location;
  /** Versions whose public keys were fetched. */
  readonly #kept = new LRUCache<string, true>({ max: MAX_KEPT });

  constructor({ locations, clock, operationMs }: ReplicatedKeyProviderOptions) {
    [this.#first] = locations;
    this.#signing = this.#first;
    this.#locations = locations;
    this.#failover = { clock, operationMs };
  }

  /** The provider of each key ring, in the order in which they are used. */
  get rings(): readonly [KeyProvider, ...KeyProvider[]] {
    const [first, ...others] = this.#locations.map(({ provider }) => provider);
    return [first ?? this.#first.provider, ...others];
  }

  /** How well each location answers, in the order in which they are used. */
  locations(): readonly LocationStatus[] {
    return this.#locations.map((location) => location.status());
  }

  /** Makes all key rings ready. A location that cannot be reached does not keep this process from starting. */
  async initialize(options?: CallOptions): Promise<void> {
    const outcomes = await Promise.allSettled(
      this.#locations.map((location) => location.execute((provider) => provider.initialize(options))),
    );
    const errors = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []));
    const serious = errors.find((error) => !isLocationFailure(error));
    if (serious !== undefined || errors.length === outcomes.length) throw serious ?? errors[0];
  }

  /** Creates the key in all rings, each with material of its own. */
  generateKey(spec: KeySpec, options?: CallOptions): Promise<KeyMetadata> {
    const target = this.#targetOf('generateKey', spec.name);
    return this.#everywhere('generateKey', target, (provider, keyId) =>
      provider.generateKey({ ...spec, name: keyId }, options),
    );
  }

  async sign(keyId: string, data: Uint8Array, options?: CallOptions): Promise<Buffer> {
    return (
      await this.#sign('sign', keyId, options, (ring) =>
        ring.provider.signDetailed(ring.keyId, data, ring.options),
      )
    ).signature;
  }

  /** As `sign`; `keyVersion` says in which ring it was signed. */
  signDetailed(keyId: string, data: Uint8Array, options?: CallOptions): Promise<SignatureDetails> {
    return this.#sign('signDetailed', keyId, options, (ring) =>
      ring.provider.signDetailed(ring.keyId, data, ring.options),
    );
  }

  signDigest(keyId: string, digest: Uint8Array, options?: CallOptions): Promise<SignatureDetails> {
    return this.#sign('signDigest', keyId, options, (ring) =>
      ring.provider.signDigest(ring.keyId, digest, ring.options),
    );
  }

  /**
   * True if the signature is by the key in any of the rings. Rings that can be reached are tried first, all within one
   * deadline.
   * @throws the failure of a location that could not say, when no other ring knows the signature.
   */
  async verify(
    keyId: string,
    data: Uint8Array,
    signature: Uint8Array,
    options?: CallOptions,
  ): Promise<boolean> {
    const target = this.#targetOf('verify', keyId);
    if (target.kind === 'single') return target.location.provider.verify(keyId, data, signature, options);
    return verifyInAny(this.#failover, { locations: this.#locations, options }, (provider, own) =>
      provider.verify(target.keyId, data, signature, own),
    );
  }

  /** Encrypts in the first ring, or in the one that a full name is of: ciphertexts belong to one ring. */
  encrypt(keyId: string, plaintext: Uint8Array, options?: EncryptionOptions): Promise<Buffer> {
    return this.#inOneRing('encrypt', keyId, (provider, id) => provider.encrypt(id, plaintext, options));
  }

  /** Decrypts in the first ring, or in the one that a full name is of. */
  decrypt(keyId: string, ciphertext: Uint8Array, options?: EncryptionOptions): Promise<Buffer> {
    return this.#inOneRing('decrypt', keyId, (provider, id) => provider.decrypt(id, ciphertext, options));
  }

  /**
   * In the ring that signed last, so that it is the version that `sign` uses. Of a key that encrypts in the first one: a
   * ciphertext belongs to one ring.
   */
  async resolveKeyVersion(keyId: string, options?: CallOptions): Promise<KeyVersionInUse> {
    const target = this.#targetOf('resolveKeyVersion', keyId);
    const resolve = ({ provider, keyId: id, options: own }: RingCall): Promise<KeyVersionInUse> =>
      provider.resolveKeyVersion(id, own);
    if (target.kind === 'single') return resolve({ provider: target.location.provider, keyId, options });
    const locations = this.#locations.toSorted(
      (a, b) => Number(b === this.#signing) - Number(a === this.#signing),
    );
    const found = await withFailover(
      this.#failover,
      {
        context: { operation: 'resolveKeyVersion', resource: target.keyId },
        locations,
        options,
        from: 'cache',
      },
      (provider, own) => resolve({ provider, keyId: target.keyId, options: own }),
    );
    const isSigning = findAlgorithm(found.algorithm)?.purpose === 'ASYMMETRIC_SIGN';
    if (isSigning || this.#ringOf(found.keyVersion) === this.#first) return found;
    return resolve({ provider: this.#first.provider, keyId: target.keyId, options });
  }

  /** That of the first ring that answers. Publish those of all rings: `getPublicKeys`. */
  getPublicKey(keyId: string, options?: CallOptions): Promise<Buffer> {
    return this.#read(
      'getPublicKey',
      keyId,
      options,
      (ring) => ring.provider.getPublicKey(ring.keyId, ring.options),
      'cache',
    );
  }

  /**
   * The public keys of the key in all rings, which whoever verifies without this library needs together.
   * @throws ReplicationIncompleteError when a ring could not give its own.
   */
  async getPublicKeys(keyId: string, options?: CallOptions): Promise<readonly LocatedPublicKey[]> {
    const target = this.#targetOf('getPublicKeys', keyId);
    const found: LocatedPublicKey[] = [];
    await this.#everywhere('getPublicKeys', target, async (provider, id, { keyRing }) => {
      const { keyVersion, algorithm } = await provider.resolveKeyVersion(id, options);
      const pem = (await provider.getPublicKey(keyVersion, options)).toString('utf8');
      found.push({ keyRing, keyVersion, algorithm, pem });
    });
    const order = this.#locations.map(({ keyRing }) => keyRing);
    return found.sort((a, b) => order.indexOf(a.keyRing) - order.indexOf(b.keyRing));
  }

  /** In all rings, like all that changes a key; the result is that of the first. */
  rotateKey(keyId: string, options?: RotationOptions): Promise<RotationResult> {
    return this.#rotation('rotateKey', keyId, options);
  }

  prepareRotation(keyId: string, options?: RotationOptions): Promise<RotationResult> {
    return this.#rotation('prepareRotation', keyId, options);
  }

  activateRotation(keyId: string, options?: RotationOptions): Promise<RotationResult> {
    return this.#rotation('activateRotation', keyId, options);
  }

  retire(keyId: string, options?: RetireOptions): Promise<RetirementResult> {
    return this.#change('retire', keyId, (provider, id) => provider.retire(id, options));
  }

  /** In the ring of the version that is named; with a number, in the first. Each ring counts its own versions. */
  setPrimaryVersion(keyId: string, version: number | string, options?: CallOptions): Promise<KeyMetadata> {
    const location = typeof version === 'string' ? this.#ringOf(version) : this.#first;
    if (location === undefined || location === this.#first) {
      return this.#inOneRing('setPrimaryVersion', keyId, (provider, id) =>
        provider.setPrimaryVersion(id, version, options),
      );
    }
    const { keyId: id } = this.#targetOf('setPrimaryVersion', keyId);
    return location.provider.setPrimaryVersion(id, version, options);
  }

  setRotationSchedule(
    keyId: string,
    schedule: RotationSchedule | null,
    options?: CallOptions,
  ): Promise<KeyMetadata> {
    return this.#change('setRotationSchedule', keyId, (provider, id) =>
      provider.setRotationSchedule(id, schedule, options),
    );
  }

  updateLabels(
    keyId: string,
    changes: Readonly<Record<string, string | null>>,
    options?: CallOptions,
  ): Promise<KeyMetadata> {
    return this.#change('updateLabels', keyId, (provider, id) => provider.updateLabels(id, changes, options));
  }

  /** In all rings. A ring whose own delay is shorter than `destroyAfter` keeps all of them untouched. */
  async destroyKey(
    keyId: string,
    destroyAfter?: number,
    options?: DestroyOptions,
  ): Promise<DestructionResult> {
    const target = this.#targetOf('destroyKey', keyId);
    if (target.kind === 'replicated' && destroyAfter !== undefined) {
      const { signal, timeoutMs } = options ?? {};
      for (const { keyRing, provider } of this.#locations) {
        const key = await provider.getKey(target.keyId, { signal, timeoutMs });
        if (key.destroyScheduledDurationSeconds < destroyAfter) {
          throw new InvalidArgumentError(
            { operation: 'destroyKey', resource: key.name },
            `destroyAfter is ${destroyAfter} s, but in ${keyRing} the key destroys its versions after ${key.destroyScheduledDurationSeconds} s, which cannot be changed. Nothing was touched.`,
          );
        }
      }
    }
    return this.#everywhere('destroyKey', target, (provider, id) =>
      provider.destroyKey(id, destroyAfter, options),
    );
  }

  restoreKey(keyId: string, options?: RestoreOptions): Promise<KeyMetadata> {
    return this.#change('restoreKey', keyId, (provider, id) => provider.restoreKey(id, options));
  }

  async getKey(keyId: string, options?: CallOptions): Promise<KeyMetadata> {
    const key = await this.#read('getKey', keyId, options, (ring) =>
      ring.provider.getKey(ring.keyId, ring.options),
    );
    return this.#targetOf('getKey', keyId).kind === 'single' ? key : this.#asReplicated(key);
  }

  async listKeys(options?: ListKeysOptions): Promise<readonly KeyMetadata[]> {
    const context = { operation: 'listKeys', resource: this.#first.keyRing };
    const keys = await withFailover(
      this.#failover,
      { context, locations: this.#locations, options, from: 'service' },
      (provider, own) => provider.listKeys(own),
    );
    return keys.map((key) => this.#asReplicated(key));
  }

  /** The versions in the first ring, or in the one that a full name is of. */
  listKeyVersions(keyId: string, options?: CallOptions): Promise<readonly KeyVersionMetadata[]> {
    return this.#inOneRing('listKeyVersions', keyId, (provider, id) => provider.listKeyVersions(id, options));
  }

  /** In all rings: whoever may use the key must be able to when a location is not there. */
  grantAccess(keyId: string, member: string, role: string, options?: GrantOptions): Promise<AccessChange> {
    return this.#change('grantAccess', keyId, (provider, id) =>
      managed('grantAccess', provider, id).grantAccess(id, member, role, options),
    );
  }

  /** In all rings. */
  revokeAccess(keyId: string, member: string, role: string, options?: CallOptions): Promise<AccessChange> {
    return this.#change('revokeAccess', keyId, (provider, id) =>
      managed('revokeAccess', provider, id).revokeAccess(id, member, role, options),
    );
  }

  /** Of the key in each ring. */
  listAccess(keyId: string, options?: CallOptions): Promise<readonly AccessBinding[]> {
    return this.#inEachRing('listAccess', keyId, (manager, id) => manager.listAccess(id, options));
  }

  /** One result for each ring. */
  testPermissions(
    keyId: string | undefined,
    permissions: readonly string[],
    options?: CallOptions,
  ): Promise<readonly TestedPermissions[]> {
    const test = (manager: AccessManager, id: string | undefined) =>
      manager.testPermissions(id, permissions, options);
    if (keyId !== undefined) return this.#inEachRing('testPermissions', keyId, test);
    return this.#inEachRing('testPermissions', this.#first.keyRing, (manager) => test(manager, undefined));
  }

  async close(): Promise<void> {
    await Promise.all(this.#locations.map(({ provider }) => provider.close()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** A key in a replica goes by the name that it has in the first ring, whoever answered. */
  #asReplicated(key: KeyMetadata): KeyMetadata {
    const keyId = key.name.slice(key.name.lastIndexOf('/') + 1);
    return { ...key, name: `${this.#first.keyRing}/cryptoKeys/${keyId}` };
  }

  #ringOf(name: string): Location | undefined {
    return this.#locations.find(({ keyRing }) => name.startsWith(`${keyRing}/cryptoKeys/`));
  }

  /** @throws InvalidArgumentError for what is no text; whether it is a good name is for the rings to say. */
  #targetOf(operation: string, keyId: string): Target {
    if (typeof keyId !== 'string')
      throw new InvalidArgumentError({ operation, resource: String(keyId) }, 'a key id is a string.');
    const location = this.#ringOf(keyId);
    if (location === undefined) return { kind: 'replicated', keyId };
    const short = keyId.slice(`${location.keyRing}/cryptoKeys/`.length);
    if (location === this.#first && !short.includes('/')) return { kind: 'replicated', keyId: short };
    return { kind: 'single', keyId, location };
  }

  async #sign(
    operation: string,
    keyId: string,
    options: CallOptions | undefined,
    use: (ring: RingCall) => Promise<SignatureDetails>,
  ): Promise<SignatureDetails> {
    const signed = await this.#read(operation, keyId, options, use);
    if (this.#targetOf(operation, keyId).kind === 'replicated')
      this.#signing = this.#ringOf(signed.keyVersion) ?? this.#first;
    this.#keepPublicKey(signed.keyVersion);
    return signed;
  }

  /** Fetched while its location can be reached, so that the signature can be verified here when it cannot. */
  #keepPublicKey(keyVersion: string): void {
    if (this.#kept.has(keyVersion)) return;
    this.#kept.set(keyVersion, true);
    // Who may only sign may not read the key either, and verifies elsewhere.
    void this.#ringOf(keyVersion)
      ?.provider.getPublicKey(keyVersion)
      .catch(() => {});
  }

  /** What changes nothing, or may be done twice: in the first ring that answers. */
  #read<T>(
    operation: string,
    keyId: string,
    options: CallOptions | undefined,
    use: (ring: RingCall) => Promise<T>,
    from: 'service' | 'cache' = 'service',
  ): Promise<T> {
    const target = this.#targetOf(operation, keyId);
    if (target.kind === 'single') {
      return use({ provider: target.location.provider, keyId, options });
    }
    const context: ErrorContext = { operation, resource: target.keyId };
    return withFailover(
      this.#failover,
      { context, locations: this.#locations, options, from },
      (provider, own) => use({ provider, keyId: target.keyId, options: own }),
    );
  }

  #inOneRing<T>(
    operation: string,
    keyId: string,
    use: (provider: KeyProvider, keyId: string) => Promise<T>,
  ): Promise<T> {
    const target = this.#targetOf(operation, keyId);
    const location = target.kind === 'single' ? target.location : this.#first;
    return use(location.provider, target.keyId);
  }

  async #inEachRing<T>(
    operation: string,
    keyId: string,
    look: (manager: AccessManager, keyId: string) => Promise<readonly T[]>,
  ): Promise<readonly T[]> {
    const target = this.#targetOf(operation, keyId);
    const locations = target.kind === 'single' ? [target.location] : this.#locations;
    const found = await Promise.all(
      locations.map(({ provider }) => look(managed(operation, provider, target.keyId), target.keyId)),
    );
    return found.flat();
  }

  #rotation(
    step: 'rotateKey' | 'prepareRotation' | 'activateRotation',
    keyId: string,
    options: RotationOptions | undefined,
  ): Promise<RotationResult> {
    const { replacing, ...rest } = options ?? {};
    return this.#change(step, keyId, (provider, id, { keyRing }) => {
      // A version is named in one ring; in the others the rotation is as unconditional as it is without a name.
      const isHere = replacing === undefined || replacing.startsWith(`${keyRing}/`);
      return provider[step](id, isHere ? options : rest);
    });
  }

  #change<T>(
    operation: string,
    keyId: string,
    change: (provider: KeyProvider, keyId: string, location: Location) => Promise<T>,
  ): Promise<T> {
    return this.#everywhere(operation, this.#targetOf(operation, keyId), change);
  }

  #everywhere<T>(
    operation: string,
    target: Target,
    change: (provider: KeyProvider, keyId: string, location: Location) => Promise<T>,
  ): Promise<T> {
    if (target.kind === 'single') return change(target.location.provider, target.keyId, target.location);
    const context = { operation, resource: target.keyId };
    return everywhere(context, this.#locations, (location) =>
      change(location.provider, target.keyId, location),
    );
  }
}

const managed = (operation: string, provider: KeyProvider, keyId: string): AccessManager =>
  requireAccessManager({ operation, resource: keyId }, provider);
