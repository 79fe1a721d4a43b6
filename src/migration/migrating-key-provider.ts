/**
 * `MigratingKeyProvider`: HSM keys and software keys behind one interface, for as long as a migration lasts and in its
 * rollback. It chooses the provider for each call and key, and has signatures of either kind verified throughout.
 */

import type { KeyAttestation } from '../attestation/key-attestation.js';
import { DecryptionFailedError } from '../errors/service.js';
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
  KeySpec,
  KeyVersionInUse,
  KeyVersionMetadata,
  RetirementResult,
  RotationResult,
  RotationSchedule,
  SignatureDetails,
} from '../keys/key-provider.js';
import { isSoftwareVersionName } from '../keys/software-version-name.js';
import { callOptionsOf } from '../provider/call-input.js';
import { type KeyAttester, requireKeyAttester } from '../provider/key-attester.js';
import type { ArchivedKeys } from './archived-keys.js';
import { destroyBothKinds, restoreBothKinds } from './both-kinds.js';
import type { KeyRouter, KeyUse, Route } from './key-router.js';
import { MigratingAccess } from './migrating-access.js';
import { NewKeys, type NewKeysOptions } from './new-keys.js';
import type { PhaseCheck } from './phase-check.js';
import { standingOf } from './standing.js';
import { EitherKindVerification } from './verification.js';

interface MigratingKeyProviderOptions extends NewKeysOptions {
  readonly phaseCheck: PhaseCheck;
  /** Whether statements of the HSM are required of every key that is used: software keys only verify then. */
  readonly requiresAttestation: boolean;
}

export class MigratingKeyProvider implements KeyProvider, AccessManager, KeyAttester {
  readonly #router: KeyRouter;
  readonly #archived: ArchivedKeys | undefined;
  readonly #verification: EitherKindVerification;
  readonly #newKeys: NewKeys;
  readonly #access: MigratingAccess;
  readonly #phaseCheck: PhaseCheck;
  readonly #requiresAttestation: boolean;

  constructor(options: MigratingKeyProviderOptions) {
    this.#router = options.router;
    this.#archived = options.archived;
    this.#verification = new EitherKindVerification(options);
    this.#newKeys = new NewKeys(options);
    this.#access = new MigratingAccess(options.router, options.keyRing);
    this.#phaseCheck = options.phaseCheck;
    this.#requiresAttestation = options.requiresAttestation;
  }

  /**
   * Makes the providers ready and checks the phase against what the store holds.
   * @throws UnmigratedAgentsError in phase 4, when there are agents that were not migrated.
   */
  async initialize(options?: CallOptions): Promise<void> {
    const { hsm, software } = this.#router.providers;
    await software?.initialize(options);
    await this.#phaseCheck.run(options);
    await hsm?.initialize(options);
  }

  /**
   * New keys are HSM keys, unless HSM keys are switched off. An agent that has a software key keeps it until migrated.
   * @throws UnsupportedAlgorithmError for an HSM key that is asked for by name while HSM keys are switched off.
   * @throws KeySpecMismatchError when the software key that an agent keeps is not the one asked for.
   */
  generateKey(spec: KeySpec, options?: CallOptions): Promise<KeyMetadata> {
    return this.#newKeys.generate(spec, options);
  }

  async sign(keyId: string, data: Uint8Array, options?: CallOptions): Promise<Buffer> {
    return (await this.signDetailed(keyId, data, options)).signature;
  }

  async signDetailed(keyId: string, data: Uint8Array, options?: CallOptions): Promise<SignatureDetails> {
    const provider = await this.#producer('signDetailed', keyId, options);
    return this.#released(provider, await provider.signDetailed(keyId, data, options), options);
  }

  async signDigest(keyId: string, digest: Uint8Array, options?: CallOptions): Promise<SignatureDetails> {
    const provider = await this.#producer('signDigest', keyId, options);
    return this.#released(provider, await provider.signDigest(keyId, digest, options), options);
  }

  /**
   * True if the signature is by the key, of either kind: by the one that signs now, by the other one as long as it is
   * there, or by one whose public key is archived.
   */
  verify(keyId: string, data: Uint8Array, signature: Uint8Array, options?: VerifyOptions): Promise<boolean> {
    return this.#verification.verify(keyId, { data, signature }, options);
  }

  async encrypt(keyId: string, plaintext: Uint8Array, options?: EncryptionOptions): Promise<Buffer> {
    return (await this.#producer('encrypt', keyId, options)).encrypt(keyId, plaintext, options);
  }

  /** Decrypts with the key that serves; what that one did not encrypt, with the other one as long as it is there. */
  async decrypt(keyId: string, ciphertext: Uint8Array, options?: EncryptionOptions): Promise<Buffer> {
    const use = this.#requiresAttestation ? 'produce' : 'read';
    const { kind, provider } = await this.#route('decrypt', keyId, use, options);
    try {
      return await provider.decrypt(keyId, ciphertext, options);
    } catch (error) {
      const { hsm, software } = this.#router.providers;
      const mayBeElsewhere = kind === 'hsm' && hsm !== undefined && !this.#requiresAttestation;
      const elsewhere = mayBeElsewhere ? software : undefined;
      if (!(error instanceof DecryptionFailedError) || elsewhere === undefined) throw error;
      if ((await this.#router.softwareKey(keyId, callOptionsOf(options))) === undefined) throw error;
      return elsewhere.decrypt(keyId, ciphertext, options);
    }
  }

  async resolveKeyVersion(keyId: string, options?: CallOptions): Promise<KeyVersionInUse> {
    return (await this.#reader('resolveKeyVersion', keyId, options)).resolveKeyVersion(keyId, options);
  }

  async getPublicKey(keyId: string, options?: CallOptions): Promise<Buffer> {
    const { hsm, software } = this.#router.providers;
    const elsewhere = isSoftwareVersionName(keyId) ? software === undefined : hsm === undefined;
    if (elsewhere && keyId.includes('/cryptoKeyVersions/')) {
      const archived = await this.#archived?.publicKey(keyId);
      if (archived !== undefined) return archived;
    }
    const { kind, provider } = await this.#route('getPublicKey', keyId, 'read', options);
    if (kind === 'software' && this.#requiresAttestation) {
      const { purpose } = await provider.getKey(keyId, callOptionsOf(options));
      // Who has the public key of an encryption key encrypts with it.
      if (purpose === 'ASYMMETRIC_DECRYPT') await this.#route('getPublicKey', keyId, 'produce', options);
    }
    return provider.getPublicKey(keyId, options);
  }

  async rotateKey(keyId: string, options?: RotationOptions): Promise<RotationResult> {
    return (await this.#producer('rotateKey', keyId, options)).rotateKey(keyId, options);
  }

  async prepareRotation(keyId: string, options?: RotationOptions): Promise<RotationResult> {
    return (await this.#producer('prepareRotation', keyId, options)).prepareRotation(keyId, options);
  }

  async activateRotation(keyId: string, options?: RotationOptions): Promise<RotationResult> {
    return (await this.#producer('activateRotation', keyId, options)).activateRotation(keyId, options);
  }

  async retire(keyId: string, options?: RetireOptions): Promise<RetirementResult> {
    return (await this.#reader('retire', keyId, options)).retire(keyId, options);
  }

  async setPrimaryVersion(
    keyId: string,
    version: number | string,
    options?: CallOptions,
  ): Promise<KeyMetadata> {
    return (await this.#producer('setPrimaryVersion', keyId, options)).setPrimaryVersion(
      keyId,
      version,
      options,
    );
  }

  async setRotationSchedule(
    keyId: string,
    schedule: RotationSchedule | null,
    options?: CallOptions,
  ): Promise<KeyMetadata> {
    return (await this.#reader('setRotationSchedule', keyId, options)).setRotationSchedule(
      keyId,
      schedule,
      options,
    );
  }

  async updateLabels(
    keyId: string,
    changes: Readonly<Record<string, string | null>>,
    options?: CallOptions,
  ): Promise<KeyMetadata> {
    return (await this.#reader('updateLabels', keyId, options)).updateLabels(keyId, changes, options);
  }

  /** A whole key is destroyed wherever it is: a software key that was left would come back in a rollback. */
  async destroyKey(
    keyId: string,
    destroyAfter?: number,
    options?: DestroyOptions,
  ): Promise<DestructionResult> {
    const route = await this.#route('destroyKey', keyId, 'read', options);
    return destroyBothKinds(this.#router, route, { keyId, destroyAfter, options });
  }

  async restoreKey(keyId: string, options?: RestoreOptions): Promise<KeyMetadata> {
    const route = await this.#route('restoreKey', keyId, 'read', options);
    return restoreBothKinds(this.#router, route, { keyId, options });
  }

  /** @throws AccessControlUnsupportedError for a key that is a software key now; so do the others. */
  grantAccess(keyId: string, member: string, role: string, options?: GrantOptions): Promise<AccessChange> {
    return this.#access.grantAccess(keyId, member, role, options);
  }

  revokeAccess(keyId: string, member: string, role: string, options?: CallOptions): Promise<AccessChange> {
    return this.#access.revokeAccess(keyId, member, role, options);
  }

  listAccess(keyId: string, options?: CallOptions): Promise<readonly AccessBinding[]> {
    return this.#access.listAccess(keyId, options);
  }

  testPermissions(
    keyId: string | undefined,
    permissions: readonly string[],
    options?: CallOptions,
  ): Promise<readonly TestedPermissions[]> {
    return this.#access.testPermissions(keyId, permissions, options);
  }

  /** @throws AttestationUnsupportedError for a key that is a software key now. */
  async attestKey(keyId: string, options?: CallOptions): Promise<KeyAttestation> {
    const provider = await this.#reader('attestKey', keyId, options);
    return requireKeyAttester({ operation: 'attestKey', resource: keyId }, provider).attestKey(
      keyId,
      options,
    );
  }

  async getKey(keyId: string, options?: CallOptions): Promise<KeyMetadata> {
    return (await this.#reader('getKey', keyId, options)).getKey(keyId, options);
  }

  /** The keys of both kinds, each once: as the provider has it that serves it. */
  async listKeys(options?: ListKeysOptions): Promise<readonly KeyMetadata[]> {
    const { hsm, software } = this.#router.providers;
    if (hsm === undefined) return software.listKeys(options);
    const hsmKeys = await hsm.listKeys(options);
    const own = ((await software?.listKeys(options)) ?? []).filter(
      (key) => standingOf(key).kind === 'unmigrated',
    );
    const names = new Set(own.map(({ name }) => name));
    return [...hsmKeys.filter(({ name }) => !names.has(name)), ...own].toSorted((a, b) =>
      a.name < b.name ? -1 : 1,
    );
  }

  async listKeyVersions(keyId: string, options?: CallOptions): Promise<readonly KeyVersionMetadata[]> {
    return (await this.#reader('listKeyVersions', keyId, options)).listKeyVersions(keyId, options);
  }

  async close(): Promise<void> {
    const { hsm, software } = this.#router.providers;
    this.#phaseCheck.close();
    await Promise.all([hsm?.close(), software?.close()]);
  }

  async #reader(operation: string, keyId: string, options: CallOptions | undefined): Promise<KeyProvider> {
    return (await this.#route(operation, keyId, 'read', options)).provider;
  }

  async #producer(operation: string, keyId: string, options: CallOptions | undefined): Promise<KeyProvider> {
    return (await this.#route(operation, keyId, 'produce', options)).provider;
  }

  #route(operation: string, keyId: string, use: KeyUse, options: CallOptions | undefined): Promise<Route> {
    return this.#router.route({ operation, resource: String(keyId) }, keyId, use, callOptionsOf(options));
  }

  /** No signature is handed out before its public key is where the other kind finds it. */
  async #released(
    provider: KeyProvider,
    signed: SignatureDetails,
    options: CallOptions | undefined,
  ): Promise<SignatureDetails> {
    await this.#archived?.ensure(provider, signed.keyVersion, options);
    return signed;
  }
}
