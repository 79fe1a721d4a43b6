/**
 * `ReplicatedKeyProvider`: keys of the same name in several key rings, of which the first is used as long as it can be
 * reached. Each ring has key material of its own; what is signed in one verifies with the public keys of that one, so
 * those of all rings belong together. It never makes a weaker key: every ring gets the same specification.
 */

import type { Clock } from '../clock.js';
import type {
  AccessBinding,
  AccessChange,
  AccessManager,
  GrantOptions,
  TestedPermissions,
} from '../keys/access.js';
import type {
  CallOptions,
  DestroyOptions,
  EncryptionOptions,
  ListKeysOptions,
  RestoreOptions,
  RetireOptions,
  RotationOptions,
  VerifyOptions,
} from '../keys/call-options.js';
import type {
  DestructionResult,
  KeyMetadata,
  KeyProvider,
  KeyRingProvider,
  KeySpec,
  KeyVersionInUse,
  KeyVersionMetadata,
  RetirementResult,
  RotationResult,
  RotationSchedule,
  SignatureDetails,
} from '../keys/key-provider.js';
import { destroyEverywhere } from './destruction.js';
import { type FailoverOptions, withFailover } from './failover.js';
import { KeyRings } from './key-rings.js';
import type { Location, LocationStatus } from './location.js';
import { ReplicatedAccess } from './replicated-access.js';
import { restoreEverywhere } from './restoration.js';
import { rotateEverywhere } from './rotation.js';
import { ReplicatedSigning } from './signing.js';
import { verifyInAny } from './verification.js';

/** The provider of each key ring, in the order in which they are used; the given provider alone where there is one ring. */
export function ringsOf(
  keys: KeyProvider,
  keyRing: string,
): readonly [KeyRingProvider, ...KeyRingProvider[]] {
  return keys instanceof ReplicatedKeyProvider ? keys.rings : [{ keyRing, provider: keys }];
}

interface ReplicatedKeyProviderOptions extends FailoverOptions {
  /** The first is used as long as it can be reached. */
  readonly locations: readonly [Location, ...Location[]];
  readonly clock: Clock;
}

/**
 * One key in the key rings of several locations, behind the interface of one provider. An exchange with `replicas` has
 * it at `keys`; it is made by the configuration, not by its constructor (docs/disaster-recovery.md).
 */
export class ReplicatedKeyProvider implements KeyProvider, AccessManager {
  readonly #rings: KeyRings;
  readonly #signing: ReplicatedSigning;
  readonly #access: ReplicatedAccess;

  constructor({ locations, clock, operationMs }: ReplicatedKeyProviderOptions) {
    this.#rings = new KeyRings(locations, { clock, operationMs });
    this.#signing = new ReplicatedSigning(this.#rings);
    this.#access = new ReplicatedAccess(this.#rings);
  }

  /** The provider of each key ring, in the order in which they are used. */
  get rings(): readonly [KeyRingProvider, ...KeyRingProvider[]] {
    return this.#rings.locations;
  }

  /** The circuit-breaker state of each location, in the order in which they are used. */
  locations(): readonly LocationStatus[] {
    return this.#rings.locations.map((location) => location.status());
  }

  /** Makes all key rings ready. A location that cannot be reached does not keep this process from starting. */
  async initialize(options?: CallOptions): Promise<void> {
    await this.#rings.initialize(options);
  }

  /** Creates the key in all rings, each with material of its own. */
  async generateKey(spec: KeySpec, options?: CallOptions): Promise<KeyMetadata> {
    const target = this.#rings.targetOf('generateKey', spec?.name);
    return this.#rings.everywhere('generateKey', target, (provider, keyId) =>
      provider.generateKey({ ...spec, name: keyId }, options),
    );
  }

  async sign(keyId: string, data: Uint8Array, options?: CallOptions): Promise<Buffer> {
    return (
      await this.#signing.sign('sign', keyId, options, (ring) =>
        ring.provider.signDetailed(ring.keyId, data, ring.options),
      )
    ).signature;
  }

  /** As `sign`; `keyVersion` says in which ring it was signed. */
  signDetailed(keyId: string, data: Uint8Array, options?: CallOptions): Promise<SignatureDetails> {
    return this.#signing.sign('signDetailed', keyId, options, (ring) =>
      ring.provider.signDetailed(ring.keyId, data, ring.options),
    );
  }

  signDigest(keyId: string, digest: Uint8Array, options?: CallOptions): Promise<SignatureDetails> {
    return this.#signing.sign('signDigest', keyId, options, (ring) =>
      ring.provider.signDigest(ring.keyId, digest, ring.options),
    );
  }

  /**
   * True if the signature is by the key in any of the rings. Rings that can be reached are tried first, all within one
   * deadline. None is asked for versions that were made a moment ago before all have said what they know.
   * @throws the failure of a location that could not say, when no other ring knows the signature.
   */
  async verify(
    keyId: string,
    data: Uint8Array,
    signature: Uint8Array,
    options?: VerifyOptions,
  ): Promise<boolean> {
    const target = this.#rings.targetOf('verify', keyId);
    if (target.kind === 'single') return target.location.provider.verify(keyId, data, signature, options);
    return verifyInAny(this.#rings.failover, { locations: this.#rings.locations, options }, (provider, own) =>
      provider.verify(target.keyId, data, signature, own),
    );
  }

  /** Encrypts in the first ring, or in the one that a full name is of: ciphertexts belong to one ring. */
  encrypt(keyId: string, plaintext: Uint8Array, options?: EncryptionOptions): Promise<Buffer> {
    return this.#rings.inOneRing('encrypt', keyId, (provider, id) =>
      provider.encrypt(id, plaintext, options),
    );
  }

  /** Decrypts in the first ring, or in the one that a full name is of. */
  decrypt(keyId: string, ciphertext: Uint8Array, options?: EncryptionOptions): Promise<Buffer> {
    return this.#rings.inOneRing('decrypt', keyId, (provider, id) =>
      provider.decrypt(id, ciphertext, options),
    );
  }

  /** In the ring that signed last; of a key that encrypts in the first one. */
  resolveKeyVersion(keyId: string, options?: CallOptions): Promise<KeyVersionInUse> {
    return this.#signing.resolveKeyVersion(keyId, options);
  }

  /** That of the first ring that answers. Publish those of all rings: `getPublicKeys` of the exchange. */
  getPublicKey(keyId: string, options?: CallOptions): Promise<Buffer> {
    return this.#rings.read(
      'getPublicKey',
      keyId,
      options,
      (ring) => ring.provider.getPublicKey(ring.keyId, ring.options),
      'cache',
    );
  }

  /** In all rings, like all that changes a key; the result is that of the first. */
  rotateKey(keyId: string, options?: RotationOptions): Promise<RotationResult> {
    return rotateEverywhere(this.#rings, { step: 'rotateKey', keyId }, options);
  }

  prepareRotation(keyId: string, options?: RotationOptions): Promise<RotationResult> {
    return rotateEverywhere(this.#rings, { step: 'prepareRotation', keyId }, options);
  }

  activateRotation(keyId: string, options?: RotationOptions): Promise<RotationResult> {
    return rotateEverywhere(this.#rings, { step: 'activateRotation', keyId }, options);
  }

  retire(keyId: string, options?: RetireOptions): Promise<RetirementResult> {
    return this.#rings.change('retire', keyId, (provider, id) => provider.retire(id, options));
  }

  /** In the ring of the version that is named; with a number, in the first. Each ring counts its own versions. */
  setPrimaryVersion(keyId: string, version: number | string, options?: CallOptions): Promise<KeyMetadata> {
    const location = typeof version === 'string' ? this.#rings.ringOf(version) : this.#rings.first;
    if (location === undefined || location === this.#rings.first) {
      return this.#rings.inOneRing('setPrimaryVersion', keyId, (provider, id) =>
        provider.setPrimaryVersion(id, version, options),
      );
    }
    const { keyId: id } = this.#rings.targetOf('setPrimaryVersion', keyId);
    return location.provider.setPrimaryVersion(id, version, options);
  }

  setRotationSchedule(
    keyId: string,
    schedule: RotationSchedule | null,
    options?: CallOptions,
  ): Promise<KeyMetadata> {
    return this.#rings.change('setRotationSchedule', keyId, (provider, id) =>
      provider.setRotationSchedule(id, schedule, options),
    );
  }

  updateLabels(
    keyId: string,
    changes: Readonly<Record<string, string | null>>,
    options?: CallOptions,
  ): Promise<KeyMetadata> {
    return this.#rings.change('updateLabels', keyId, (provider, id) =>
      provider.updateLabels(id, changes, options),
    );
  }

  /** In all rings. If the delay of the key in one ring is shorter than `destroyAfter`, nothing is touched in any. */
  destroyKey(keyId: string, destroyAfter?: number, options?: DestroyOptions): Promise<DestructionResult> {
    return destroyEverywhere(this.#rings, { keyId, destroyAfter }, options);
  }

  /** In all rings. After `ReplicationIncompleteError` it may be called again: where it was done nothing is left to do. */
  restoreKey(keyId: string, options?: RestoreOptions): Promise<KeyMetadata> {
    return restoreEverywhere(this.#rings, keyId, options);
  }

  /** What the first location that answers knows of the key. */
  async getKey(keyId: string, options?: CallOptions): Promise<KeyMetadata> {
    const key = await this.#rings.read('getKey', keyId, options, (ring) =>
      ring.provider.getKey(ring.keyId, ring.options),
    );
    return this.#rings.targetOf('getKey', keyId).kind === 'single' ? key : this.#rings.asReplicated(key);
  }

  /** The keys of the first location that answers. */
  async listKeys(options?: ListKeysOptions): Promise<readonly KeyMetadata[]> {
    const context = { operation: 'listKeys', resource: this.#rings.first.keyRing };
    const keys = await withFailover(
      this.#rings.failover,
      { context, locations: this.#rings.locations, options, from: 'service' },
      (provider, own) => provider.listKeys(own),
    );
    return keys.map((key) => this.#rings.asReplicated(key));
  }

  /** The versions in the first ring, or in the one that a full name is of. */
  listKeyVersions(keyId: string, options?: CallOptions): Promise<readonly KeyVersionMetadata[]> {
    return this.#rings.inOneRing('listKeyVersions', keyId, (provider, id) =>
      provider.listKeyVersions(id, options),
    );
  }

  /** In all rings, so that whoever may use the key can do so also while a location is down. */
  grantAccess(keyId: string, member: string, role: string, options?: GrantOptions): Promise<AccessChange> {
    return this.#access.grantAccess(keyId, member, role, options);
  }

  /** In all rings. */
  revokeAccess(keyId: string, member: string, role: string, options?: CallOptions): Promise<AccessChange> {
    return this.#access.revokeAccess(keyId, member, role, options);
  }

  /** Of the key in each ring. */
  listAccess(keyId: string, options?: CallOptions): Promise<readonly AccessBinding[]> {
    return this.#access.listAccess(keyId, options);
  }

  /** One result for each ring. */
  testPermissions(
    keyId: string | undefined,
    permissions: readonly string[],
    options?: CallOptions,
  ): Promise<readonly TestedPermissions[]> {
    return this.#access.testPermissions(keyId, permissions, options);
  }

  /** Closes the providers of all locations. */
  async close(): Promise<void> {
    await Promise.all(this.#rings.locations.map(({ provider }) => provider.close()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
