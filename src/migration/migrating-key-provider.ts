/**
 * `MigratingKeyProvider`: HSM keys and software keys behind one interface, for as long as a migration lasts and in its
 * rollback. It chooses the provider for each call and key, and has signatures of either kind verified throughout.
 */

import type { KeyAttestation } from '../attestation/key-attestation.js';
import type { ErrorContext } from '../errors/base.js';
import { FailedPreconditionError, NoUsableVersionError } from '../errors/keys.js';
import { DecryptionFailedError } from '../errors/service.js';
import type {
  AccessBinding,
  AccessChange,
  AccessManager,
  GrantOptions,
  TestedPermissions,
} from '../keys/access.js';
import { agentKeyId, agentOfLabels } from '../keys/agent-key-name.js';
import type { SigningAlgorithm } from '../keys/algorithm-types.js';
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
import { cryptoKeyName, type KeyRingName } from '../keys/resource-name.js';
import { isSoftwareVersionName } from '../keys/software-version-name.js';
import { requireAccessManager } from '../provider/access-manager.js';
import { callOptionsOf } from '../provider/call-input.js';
import { type KeyAttester, requireKeyAttester } from '../provider/key-attester.js';
import { checkKeySpec, requireSameSpec } from '../provider/key-spec.js';
import type { ArchivedKeys } from './archived-keys.js';
import { type KeyRouter, type KeyUse, type Route, refuseUnmigrated } from './key-router.js';
import type { PhaseCheck } from './phase-check.js';
import { remainsOf } from './remains.js';
import { STANDBY_LABEL, standingOf } from './standing.js';
import { EitherKindVerification } from './verification.js';

interface MigratingKeyProviderOptions {
  readonly router: KeyRouter;
  readonly keyRing: KeyRingName;
  /** Absent only where software keys are used alone and no archive is configured. */
  readonly archived: ArchivedKeys | undefined;
  /** Whether there are HSM keys that are not to be used now. */
  readonly hsmKeys: 'used' | 'switched-off' | 'none';
  readonly phaseCheck: PhaseCheck;
  /** What an agent's signing key is, unless asked for otherwise. */
  readonly defaultAlgorithm: SigningAlgorithm;
  /** Whether statements of the HSM are required of every key that is used: software keys only verify then. */
  readonly requiresAttestation: boolean;
}

export class MigratingKeyProvider implements KeyProvider, AccessManager, KeyAttester {
  readonly #router: KeyRouter;
  readonly #keyRing: KeyRingName;
  readonly #archived: ArchivedKeys | undefined;
  readonly #verification: EitherKindVerification;
  readonly #hsmKeys: MigratingKeyProviderOptions['hsmKeys'];
  readonly #phaseCheck: PhaseCheck;
  readonly #defaultAlgorithm: SigningAlgorithm;
  readonly #requiresAttestation: boolean;

  constructor(options: MigratingKeyProviderOptions) {
    this.#router = options.router;
    this.#keyRing = options.keyRing;
    this.#archived = options.archived;
    this.#verification = new EitherKindVerification(options);
    this.#hsmKeys = options.hsmKeys;
    this.#phaseCheck = options.phaseCheck;
    this.#defaultAlgorithm = options.defaultAlgorithm;
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
  async generateKey(spec: KeySpec, options?: CallOptions): Promise<KeyMetadata> {
    const { hsm, software, phase } = this.#router.providers;
    if (hsm === undefined) {
      const standsIn = await this.#standsIn(spec);
      const labels = { ...spec.labels, ...(standsIn && { [STANDBY_LABEL]: 'true' }) };
      return software.generateKey({ ...spec, labels }, options);
    }
    const existing = await this.#router.softwareKey(String(spec.name), options);
    if (software === undefined || existing === undefined || standingOf(existing).kind !== 'unmigrated') {
      return this.#generateInHsm(hsm, spec, options);
    }
    const isAgents = agentOfLabels(existing.labels) !== undefined;
    if (isAgents && (await remainsOf(software, existing.name, options)) !== 'destroyed') {
      const context = { operation: 'generateKey', resource: existing.name };
      if (phase === 3) throw refuseUnmigrated(context, existing);
      this.#requireAskedFor(context, existing, spec);
      return existing;
    }
    // Not an agent's, or gone: asking for the key is what moves it. What the software key signed or encrypted stays
    // readable.
    const key = await this.#generateInHsm(hsm, spec, options);
    await software.updateLabels(key.name, { [STANDBY_LABEL]: 'true' }, options);
    return key;
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
  verify(keyId: string, data: Uint8Array, signature: Uint8Array, options?: CallOptions): Promise<boolean> {
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
    const result = await route.provider.destroyKey(keyId, destroyAfter, options);
    const retained = await this.#retained(keyId, route, options);
    if (retained === undefined) return result;
    const { versions } = await retained.destroyKey(keyId, destroyAfter, options);
    return { name: result.name, versions: [...result.versions, ...versions] };
  }

  async restoreKey(keyId: string, options?: RestoreOptions): Promise<KeyMetadata> {
    const route = await this.#route('restoreKey', keyId, 'read', options);
    const retained = await this.#retained(keyId, route, options);
    const isScheduled = await this.#isScheduled(retained, keyId, options);
    const key = await route.provider.restoreKey(keyId, options).catch((error: unknown) => {
      // After a crash in between, only the software key is left to be restored.
      if (!isScheduled || !(error instanceof FailedPreconditionError)) throw error;
      return route.provider.getKey(keyId, callOptionsOf(options));
    });
    if (isScheduled) await retained?.restoreKey(keyId, options);
    return key;
  }

  /** @throws AccessControlUnsupportedError for a key that is a software key now; so do the others. */
  async grantAccess(
    keyId: string,
    member: string,
    role: string,
    options?: GrantOptions,
  ): Promise<AccessChange> {
    const manager = await this.#accessTo('grantAccess', keyId, options);
    return manager.grantAccess(keyId, member, role, options);
  }

  async revokeAccess(
    keyId: string,
    member: string,
    role: string,
    options?: CallOptions,
  ): Promise<AccessChange> {
    const manager = await this.#accessTo('revokeAccess', keyId, options);
    return manager.revokeAccess(keyId, member, role, options);
  }

  async listAccess(keyId: string, options?: CallOptions): Promise<readonly AccessBinding[]> {
    return (await this.#accessTo('listAccess', keyId, options)).listAccess(keyId, options);
  }

  async testPermissions(
    keyId: string | undefined,
    permissions: readonly string[],
    options?: CallOptions,
  ): Promise<readonly TestedPermissions[]> {
    const { hsm, software } = this.#router.providers;
    const context = { operation: 'testPermissions', resource: this.#keyRing };
    const manager =
      keyId === undefined
        ? requireAccessManager(context, hsm ?? software)
        : await this.#accessTo('testPermissions', keyId, options);
    return manager.testPermissions(keyId, permissions, options);
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

  async #accessTo(
    operation: string,
    keyId: string,
    options: CallOptions | undefined,
  ): Promise<AccessManager> {
    const provider = await this.#reader(operation, keyId, callOptionsOf(options));
    return requireAccessManager({ operation, resource: keyId }, provider);
  }

  /** The public key is archived at once: in a rollback it tells that there is an HSM key, also one that never signed. */
  async #generateInHsm(
    hsm: KeyProvider,
    spec: KeySpec,
    options: CallOptions | undefined,
  ): Promise<KeyMetadata> {
    const key = await hsm.generateKey(spec, options);
    const hasPublicKey = key.purpose !== 'ENCRYPT_DECRYPT';
    if (hasPublicKey && key.primary !== undefined) await this.#archived?.ensure(hsm, key.primary, options);
    return key;
  }

  /** As for a key that the HSM has, except for an algorithm that the HSM has not, which nobody can ask for any more. */
  #requireAskedFor(context: ErrorContext, existing: KeyMetadata, spec: KeySpec): void {
    const isInHsm = (name: string): boolean => findAlgorithm(name)?.protectionLevels.includes('HSM') === true;
    const isKept = !isInHsm(existing.algorithm) && spec.algorithm === this.#defaultAlgorithm;
    const algorithm = isKept ? existing.algorithm : spec.algorithm;
    // Checked in a level that there is of it, and compared in the one that was asked for.
    const protectionLevel = isInHsm(algorithm) ? 'HSM' : 'SOFTWARE';
    requireSameSpec(context, existing, {
      ...checkKeySpec({ ...spec, algorithm, protectionLevel }, this.#keyRing, context),
      protectionLevel: spec.protectionLevel ?? 'SOFTWARE',
    });
    if (existing.primary === undefined) {
      throw new NoUsableVersionError(context, 'the key exists, and none of its versions is ENABLED.');
    }
  }

  /** Whether a software key that is made while HSM keys are switched off stands in for one of them. */
  async #standsIn(spec: KeySpec): Promise<boolean> {
    if (this.#archived === undefined || this.#hsmKeys === 'none') return false;
    const owner = agentOfLabels(spec.labels ?? {});
    // A key that is no agent's is the one of the HSM.
    if (owner === undefined) return true;
    // One key of the agent in the HSM is enough: in a rollback nobody knows of the others what was archived when.
    for (const role of ['signing', 'encryption'] as const) {
      const keyName = cryptoKeyName(this.#keyRing, agentKeyId(owner.agentId, role));
      if (await this.#archived.has(keyName, 'hsm')) return true;
    }
    return false;
  }

  async #isScheduled(
    retained: KeyProvider | undefined,
    keyId: string,
    options: CallOptions | undefined,
  ): Promise<boolean> {
    const versions = (await retained?.listKeyVersions(keyId, callOptionsOf(options))) ?? [];
    return versions.some(({ state }) => state === 'DESTROY_SCHEDULED');
  }

  /** The software keys, for a whole key that is served by the HSM and has a software key too. */
  async #retained(
    keyId: string,
    route: Route,
    options: CallOptions | undefined,
  ): Promise<KeyProvider | undefined> {
    const { software } = this.#router.providers;
    if (route.kind !== 'hsm' || keyId.includes('/cryptoKeyVersions/')) return undefined;
    return (await this.#router.softwareKey(keyId, callOptionsOf(options))) === undefined
      ? undefined
      : software;
  }
}
