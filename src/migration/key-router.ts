/**
 * Which provider does what with which key. HSM keys are the rule; a software key signs only where the flags and the phase
 * say so by name, and no signature or ciphertext that fails in one provider is ever made by the other. (Reading is another matter:
 * the software key verifies and decrypts what it made before.) The standing of a key is read from the software store at each
 * call, so that all processes agree.
 */

import type { ErrorContext } from '../errors/base.js';
import { NotFoundError } from '../errors/keys.js';
import { MigrationPhaseError, SoftwareSigningRefusedError } from '../errors/migration.js';
import { agentOfLabels } from '../keys/agent-key-name.js';
import type { CallOptions } from '../keys/call-options.js';
import type { KeyMetadata, KeyProvider } from '../keys/key-provider.js';
import { isSoftwareVersionName } from '../keys/software-version-name.js';
import type { KeyKind } from './archived-keys.js';
import type { SoftwareKeys } from './software-keys.js';
import { standingOf } from './standing.js';

/** The providers, as far as the configuration opens them. At least one is there. */
export type Providers =
  /** Phases 1 to 3. */
  | { readonly hsm: KeyProvider; readonly software: SoftwareKeys; readonly phase: 1 | 2 | 3 }
  /** Phase 4. */
  | { readonly hsm: KeyProvider; readonly software: undefined; readonly phase: 4 }
  /** HSM keys are switched off; the phase does not count. */
  | { readonly hsm: undefined; readonly software: SoftwareKeys; readonly phase: undefined };

/** The provider that serves a key, and of which kind it is. */
export interface Route {
  readonly kind: KeyKind;
  readonly provider: KeyProvider;
}

/** What is to be done: `produce` makes signatures, ciphertexts or versions; `read` looks at the key or undoes. */
export type KeyUse = 'produce' | 'read';

export class KeyRouter {
  readonly providers: Providers;

  constructor(providers: Providers) {
    this.providers = providers;
  }

  /**
   * The provider that serves the key a key id means, now.
   * @throws SoftwareSigningRefusedError for a software key that is to produce something and must not any more.
   */
  async route(context: ErrorContext, keyId: string, use: KeyUse, options?: CallOptions): Promise<Route> {
    const { hsm, software, phase } = this.providers;
    if (hsm === undefined) return { kind: 'software', provider: software };
    if (software === undefined) {
      if (isSoftwareVersionName(keyId)) throw this.#closed(context, use);
      return { kind: 'hsm', provider: hsm };
    }
    const key = await this.softwareKey(keyId, options);
    const unmigrated = key !== undefined && standingOf(key).kind === 'unmigrated';
    if (use === 'read') {
      const isSoftware = unmigrated || isSoftwareVersionName(keyId);
      return isSoftware ? { kind: 'software', provider: software } : { kind: 'hsm', provider: hsm };
    }
    if (unmigrated && phase < 3) return { kind: 'software', provider: software };
    if (unmigrated) throw refuseUnmigrated(context, key);
    if (isSoftwareVersionName(keyId)) throw refuseRetired(context);
    return { kind: 'hsm', provider: hsm };
  }

  /** The software key of that id, if there is one and the store is open. */
  async softwareKey(keyId: string, options?: CallOptions): Promise<KeyMetadata | undefined> {
    try {
      return await this.providers.software?.getKey(keyId, options);
    } catch (error) {
      if (error instanceof NotFoundError) return undefined;
      throw error;
    }
  }

  #closed(context: ErrorContext, use: KeyUse): Error {
    if (use === 'produce') return refuseRetired(context);
    return new MigrationPhaseError(
      context,
      'it is a software key, and the software store is not opened in migration.phase 4.',
      'Use the HSM key, or go back to phase 3.',
    );
  }
}

/** What a caller is told who wants a software key to go on signing in phase 3. */
export function refuseUnmigrated(context: ErrorContext, key: KeyMetadata): SoftwareSigningRefusedError {
  const owner = agentOfLabels(key.labels);
  const next =
    owner === undefined
      ? 'Call generateKey for it, which makes an HSM key of that name.'
      : `Call migrateAgent(${JSON.stringify(owner.agentId)}, { strategy: 'regenerate' }), or go back to phase 2.`;
  return new SoftwareSigningRefusedError(
    context,
    'the key is a software key, which only verifies and decrypts in migration.phase 3.',
    next,
  );
}

const refuseRetired = (context: ErrorContext): SoftwareSigningRefusedError =>
  new SoftwareSigningRefusedError(
    context,
    'it is the version of a software key that an HSM key has replaced.',
    'Use the key without a version.',
  );
