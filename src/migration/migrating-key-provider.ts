/**
 * `MigratingKeyProvider`: HSM keys and software keys behind one interface, for as long as a migration lasts and in its
 * rollback. It chooses the provider for each call and key, and has signatures of either kind verified throughout.
 */

import { DecryptionFailedError, type ErrorContext, NotFoundError, NoUsableVersionError } from '../errors.js';
import { agentOfLabels } from '../keys/agent-key-name.js';
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
import { type KeyRingName, parseKeyReference } from '../keys/resource-name.js';
import {
  fromSoftwareVersionName,
  isSoftwareVersionName,
  toSoftwareVersionName,
} from '../keys/software-version-name.js';
import type { ArchivedKeys } from './archived-keys.js';
import { type KeyRouter, type KeyUse, type Route, refuseUnmigrated } from './key-router.js';
import type { PhaseCheck } from './phase-check.js';
import { STANDBY_LABEL, standingOf } from './standing.js';

export interface MigratingKeyProviderOptions {
  readonly router: KeyRouter;
  readonly keyRing: KeyRingName;
  /** Absent only where software keys are used alone and no archive is configured. */
  readonly archived: ArchivedKeys | undefined;
  /** Whether there are HSM keys that are not to be used now. */
  readonly hsmKeys: 'used' | 'switched-off' | 'none';
  readonly phaseCheck: PhaseCheck;
}

export class MigratingKeyProvider implements KeyProvider {
  readonly #router: KeyRouter;
  readonly #keyRing: KeyRingName;
  readonly #archived: ArchivedKeys | undefined;
  readonly #hsmKeys: MigratingKeyProviderOptions['hsmKeys'];
  readonly #phaseCheck: PhaseCheck;

  constructor(options: MigratingKeyProviderOptions) {
    this.#router = options.router;
    this.#keyRing = options.keyRing;
    this.#archived = options.archived;
    this.#hsmKeys = options.hsmKeys;
    this.#phaseCheck = options.phaseCheck;
  }

  /**
   * Makes the providers ready and checks the phase against what the store holds.
   * @throws UnmigratedAgentsError in phase 4, when there are agents that were not migrated.
   */
  async initialize(options?: CallOptions): Promise<void> {
    const { hsm, software } = this.#router.providers;
    await software?.initialize(options);
    await this.#phaseCheck(options);
    await hsm?.initialize(options);
  }

  /** New keys are HSM keys, unless HSM keys are switched off. An agent that has a software key keeps it until migrated. */
  async generateKey(spec: KeySpec, options?: CallOptions): Promise<KeyMetadata> {
    const { hsm, software, phase } = this.#router.providers;
    if (hsm === undefined) {
      const standsIn = await this.#standsIn(spec);
      const labels = { ...spec.labels, ...(standsIn && { [STANDBY_LABEL]: 'true' }) };
      return software.generateKey({ ...spec, labels }, options);
    }
    const existing = await this.#router.softwareKey(String(spec.name), options);
    if (software === undefined || existing === undefined || standingOf(existing).kind !== 'unmigrated') {
      return hsm.generateKey(spec, options);
    }
    const owner = agentOfLabels(existing.labels);
    if (owner !== undefined && owner.agentId === agentOfLabels(spec.labels ?? {})?.agentId) {
      if (phase === 3) throw refuseUnmigrated(contextOf('generateKey', existing.name), existing);
      return existing;
    }
    // Not an agent's: asking for the key is what moves it. What the software key signed or encrypted stays readable.
    const key = await hsm.generateKey(spec, options);
    await software.updateLabels(key.name, { [STANDBY_LABEL]: 'true' }, options);
    return key;
  }

  async sign(keyId: string, data: Uint8Array, options?: CallOptions): Promise<Buffer> {
    return (
      await this.#sign('sign', keyId, (provider) => provider.signDetailed(keyId, data, options), options)
    ).signature;
  }

  signDetailed(keyId: string, data: Uint8Array, options?: CallOptions): Promise<SignatureDetails> {
    return this.#sign(
      'signDetailed',
      keyId,
      (provider) => provider.signDetailed(keyId, data, options),
      options,
    );
  }

  signDigest(keyId: string, digest: Uint8Array, options?: CallOptions): Promise<SignatureDetails> {
    return this.#sign(
      'signDigest',
      keyId,
      (provider) => provider.signDigest(keyId, digest, options),
      options,
    );
  }

  /**
   * True if the signature is by the key, of either kind: by the one that signs now, by the other one as long as it is
   * there, or by one whose public key is archived.
   */
  async verify(
    keyId: string,
    data: Uint8Array,
    signature: Uint8Array,
    options?: CallOptions,
  ): Promise<boolean> {
    let missing: unknown;
    let answered = false;
    for (const verdict of await this.#verifiers(keyId, { data, signature }, options)) {
      try {
        const valid = await verdict();
        if (valid) return true;
        answered ||= valid !== undefined;
      } catch (error) {
        if (!(error instanceof NotFoundError || error instanceof NoUsableVersionError)) throw error;
        missing ??= error;
      }
    }
    if (!answered && missing !== undefined) throw missing;
    return false;
  }

  encrypt(keyId: string, plaintext: Uint8Array, options?: EncryptionOptions): Promise<Buffer> {
    return this.#serve(
      'encrypt',
      keyId,
      'produce',
      (provider) => provider.encrypt(keyId, plaintext, options),
      options,
    );
  }

  /** Decrypts with the key that serves; what that one did not encrypt, with the other one as long as it is there. */
  async decrypt(keyId: string, ciphertext: Uint8Array, options?: EncryptionOptions): Promise<Buffer> {
    const context = contextOf('decrypt', keyId);
    const { kind, provider } = await this.#router.route(context, keyId, 'read', callOptionsOf(options));
    try {
      return await provider.decrypt(keyId, ciphertext, options);
    } catch (error) {
      const { hsm, software } = this.#router.providers;
      const elsewhere = kind === 'hsm' && hsm !== undefined ? software : undefined;
      if (!(error instanceof DecryptionFailedError) || elsewhere === undefined) throw error;
      if ((await this.#router.softwareKey(keyId, callOptionsOf(options))) === undefined) throw error;
      return elsewhere.decrypt(keyId, ciphertext, options);
    }
  }

  resolveKeyVersion(keyId: string, options?: CallOptions): Promise<KeyVersionInUse> {
    return this.#serve(
      'resolveKeyVersion',
      keyId,
      'read',
      (provider) => provider.resolveKeyVersion(keyId, options),
      options,
    );
  }

  async getPublicKey(keyId: string, options?: CallOptions): Promise<Buffer> {
    const { hsm, software } = this.#router.providers;
    const elsewhere = isSoftwareVersionName(keyId) ? software === undefined : hsm === undefined;
    if (elsewhere && keyId.includes('/cryptoKeyVersions/')) {
      const archived = await this.#archived?.publicKey(keyId);
      if (archived !== undefined) return archived;
    }
    return this.#serve(
      'getPublicKey',
      keyId,
      'read',
      (provider) => provider.getPublicKey(keyId, options),
      options,
    );
  }

  rotateKey(keyId: string, options?: RotationOptions): Promise<RotationResult> {
    return this.#serve(
      'rotateKey',
      keyId,
      'produce',
      (provider) => provider.rotateKey(keyId, options),
      options,
    );
  }

  prepareRotation(keyId: string, options?: RotationOptions): Promise<RotationResult> {
    return this.#serve(
      'prepareRotation',
      keyId,
      'produce',
      (provider) => provider.prepareRotation(keyId, options),
      options,
    );
  }

  activateRotation(keyId: string, options?: RotationOptions): Promise<RotationResult> {
    return this.#serve(
      'activateRotation',
      keyId,
      'produce',
      (provider) => provider.activateRotation(keyId, options),
      options,
    );
  }

  retire(keyId: string, options?: RetireOptions): Promise<RetirementResult> {
    return this.#serve('retire', keyId, 'read', (provider) => provider.retire(keyId, options), options);
  }

  setPrimaryVersion(keyId: string, version: number | string, options?: CallOptions): Promise<KeyMetadata> {
    return this.#serve(
      'setPrimaryVersion',
      keyId,
      'produce',
      (provider) => provider.setPrimaryVersion(keyId, version, options),
      options,
    );
  }

  setRotationSchedule(
    keyId: string,
    schedule: RotationSchedule | null,
    options?: CallOptions,
  ): Promise<KeyMetadata> {
    return this.#serve(
      'setRotationSchedule',
      keyId,
      'read',
      (provider) => provider.setRotationSchedule(keyId, schedule, options),
      options,
    );
  }

  updateLabels(
    keyId: string,
    changes: Readonly<Record<string, string | null>>,
    options?: CallOptions,
  ): Promise<KeyMetadata> {
    return this.#serve(
      'updateLabels',
      keyId,
      'read',
      (provider) => provider.updateLabels(keyId, changes, options),
      options,
    );
  }

  /** A whole key is destroyed wherever it is: a software key that was left would come back in a rollback. */
  async destroyKey(
    keyId: string,
    destroyAfter?: number,
    options?: DestroyOptions,
  ): Promise<DestructionResult> {
    const context = contextOf('destroyKey', keyId);
    const route = await this.#router.route(context, keyId, 'read', callOptionsOf(options));
    const result = await route.provider.destroyKey(keyId, destroyAfter, options);
    const retained = await this.#retained(keyId, route, options);
    if (retained === undefined) return result;
    const { versions } = await retained.destroyKey(keyId, destroyAfter, options);
    return { name: result.name, versions: [...result.versions, ...versions] };
  }

  async restoreKey(keyId: string, options?: RestoreOptions): Promise<KeyMetadata> {
    const context = contextOf('restoreKey', keyId);
    const route = await this.#router.route(context, keyId, 'read', callOptionsOf(options));
    const key = await route.provider.restoreKey(keyId, options);
    const retained = await this.#retained(keyId, route, options);
    const scheduled = await retained?.listKeyVersions(keyId, callOptionsOf(options));
    if (scheduled?.some(({ state }) => state === 'DESTROY_SCHEDULED'))
      await retained?.restoreKey(keyId, options);
    return key;
  }

  getKey(keyId: string, options?: CallOptions): Promise<KeyMetadata> {
    return this.#serve('getKey', keyId, 'read', (provider) => provider.getKey(keyId, options), options);
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

  listKeyVersions(keyId: string, options?: CallOptions): Promise<readonly KeyVersionMetadata[]> {
    return this.#serve(
      'listKeyVersions',
      keyId,
      'read',
      (provider) => provider.listKeyVersions(keyId, options),
      options,
    );
  }

  async close(): Promise<void> {
    const { hsm, software } = this.#router.providers;
    await Promise.all([hsm?.close(), software?.close()]);
  }

  async #serve<T>(
    operation: string,
    keyId: string,
    use: KeyUse,
    call: (provider: KeyProvider) => Promise<T>,
    options: CallOptions | undefined,
  ): Promise<T> {
    const route = await this.#router.route(contextOf(operation, keyId), keyId, use, callOptionsOf(options));
    return call(route.provider);
  }

  /** No signature is handed out before its public key is where the other kind finds it. */
  async #sign(
    operation: string,
    keyId: string,
    call: (provider: KeyProvider) => Promise<SignatureDetails>,
    options: CallOptions | undefined,
  ): Promise<SignatureDetails> {
    const { provider } = await this.#router.route(contextOf(operation, keyId), keyId, 'produce', options);
    const signed = await call(provider);
    await this.#archived?.ensure(provider, signed.keyVersion, options);
    return signed;
  }

  async #verifiers(
    keyId: string,
    signed: { readonly data: Uint8Array; readonly signature: Uint8Array },
    options: CallOptions | undefined,
  ): Promise<readonly (() => Promise<boolean | undefined>)[]> {
    const { data, signature } = signed;
    const { hsm, software } = this.#router.providers;
    const { kind } = await this.#router.route(
      contextOf('verify', keyId),
      fromSoftwareVersionName(keyId),
      'read',
      options,
    );
    const byHsm = (): Promise<boolean | undefined> =>
      hsm === undefined
        ? this.#verifyArchived(keyId, 'hsm', signed)
        : hsm.verify(keyId, data, signature, options);
    const bySoftware = (): Promise<boolean | undefined> =>
      software === undefined
        ? this.#verifyArchived(keyId, 'software', signed)
        : software.verify(keyId, data, signature, options);
    if (isSoftwareVersionName(keyId)) return [bySoftware];
    if (hsm !== undefined && kind === 'software') return [bySoftware];
    const storeLacksKey = kind === 'hsm' && (await this.#router.softwareKey(keyId, options)) === undefined;
    // Of an agent whose software key is in another store, or in none any more, the archive has the public key.
    const second = storeLacksKey
      ? (): Promise<boolean | undefined> => this.#verifyArchived(keyId, 'software', signed)
      : bySoftware;
    return kind === 'hsm' ? [byHsm, second] : [bySoftware, byHsm];
  }

  async #verifyArchived(
    keyId: string,
    kind: 'hsm' | 'software',
    signed: { readonly data: Uint8Array; readonly signature: Uint8Array },
  ): Promise<boolean | undefined> {
    const plain = fromSoftwareVersionName(keyId);
    const parsed = parseKeyReference(plain, this.#keyRing);
    if (!parsed.ok || this.#archived === undefined) return undefined;
    const { key: keyName } = parsed.value;
    const version = parsed.value.kind === 'version' ? parsed.value.version.name : undefined;
    const keyVersion = version && (kind === 'software' ? toSoftwareVersionName(version) : version);
    return this.#archived.verify({ keyName, keyVersion, kind }, signed.data, signed.signature);
  }

  /** Whether a software key that is made while HSM keys are switched off stands in for one of them. */
  async #standsIn(spec: KeySpec): Promise<boolean> {
    const parsed = parseKeyReference(spec.name, this.#keyRing);
    if (!parsed.ok || this.#archived === undefined || this.#hsmKeys === 'none') return false;
    // Only signing keys have public keys in the archive; another key that is no agent's is the one of the HSM.
    if (agentOfLabels(spec.labels ?? {}) === undefined) return true;
    return this.#archived.has(parsed.value.key, 'hsm');
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

const contextOf = (operation: string, keyId: string): ErrorContext => ({
  operation,
  resource: String(keyId),
});

/** The part of a call's options that every call takes. */
const callOptionsOf = (options: CallOptions | undefined): CallOptions | undefined =>
  options && { signal: options.signal, timeoutMs: options.timeoutMs };
