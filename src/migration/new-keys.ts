/** Which kind of key is made when one is asked for during a migration and in its rollback. */

import type { ErrorContext } from '../errors/base.js';
import { NoUsableVersionError } from '../errors/keys.js';
import { agentKeyId, agentOfLabels } from '../keys/agent-key-name.js';
import type { SigningAlgorithm } from '../keys/algorithm-types.js';
import { findAlgorithm } from '../keys/algorithms.js';
import type { CallOptions } from '../keys/call-options.js';
import type { KeyMetadata, KeyProvider, KeySpec } from '../keys/key-provider.js';
import { cryptoKeyName, type KeyRingName } from '../keys/resource-name.js';
import { checkKeySpec, requireSameSpec } from '../provider/key-spec.js';
import type { ArchivedKeys } from './archived-keys.js';
import { type KeyRouter, refuseUnmigrated } from './key-router.js';
import { remainsOf } from './remains.js';
import { STANDBY_LABEL, standingOf } from './standing.js';

export interface NewKeysOptions {
  readonly router: KeyRouter;
  readonly keyRing: KeyRingName;
  /** Absent only where software keys are used alone and no archive is configured. */
  readonly archived: ArchivedKeys | undefined;
  /** Whether there are HSM keys that are not to be used now. */
  readonly hsmKeys: 'used' | 'switched-off' | 'none';
  /** What an agent's signing key is, unless asked for otherwise. */
  readonly defaultAlgorithm: SigningAlgorithm;
}

export class NewKeys {
  readonly #router: KeyRouter;
  readonly #keyRing: KeyRingName;
  readonly #archived: ArchivedKeys | undefined;
  readonly #hsmKeys: NewKeysOptions['hsmKeys'];
  readonly #defaultAlgorithm: SigningAlgorithm;

  constructor({ router, keyRing, archived, hsmKeys, defaultAlgorithm }: NewKeysOptions) {
    this.#router = router;
    this.#keyRing = keyRing;
    this.#archived = archived;
    this.#hsmKeys = hsmKeys;
    this.#defaultAlgorithm = defaultAlgorithm;
  }

  /** As `generateKey` of `MigratingKeyProvider`, which says what it throws. */
  async generate(spec: KeySpec, options: CallOptions | undefined): Promise<KeyMetadata> {
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
}
