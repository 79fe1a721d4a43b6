/**
 * Verifies signatures of either kind, whichever of the providers is open: by the key that signs now first, then by the
 * other one, and by public keys in the archive where a provider is not open or does not have the key.
 */

import type { ErrorContext } from '../errors/base.js';
import { NotFoundError, NoUsableVersionError } from '../errors/keys.js';
import type { VerifyOptions } from '../keys/call-options.js';
import { type KeyRingName, parseKeyReference } from '../keys/resource-name.js';
import {
  fromSoftwareVersionName,
  isSoftwareVersionName,
  toSoftwareVersionName,
} from '../keys/software-version-name.js';
import type { ArchivedKeys, KeyKind } from './archived-keys.js';
import type { KeyRouter } from './key-router.js';

interface SignedData {
  readonly data: Uint8Array;
  readonly signature: Uint8Array;
}

/** Undefined where nothing is known of the key. */
type Verdict = boolean | undefined;

interface EitherKindVerificationOptions {
  readonly router: KeyRouter;
  readonly keyRing: KeyRingName;
  readonly archived: ArchivedKeys | undefined;
}

export class EitherKindVerification {
  readonly #router: KeyRouter;
  readonly #keyRing: KeyRingName;
  readonly #archived: ArchivedKeys | undefined;

  constructor(options: EitherKindVerificationOptions) {
    this.#router = options.router;
    this.#keyRing = options.keyRing;
    this.#archived = options.archived;
  }

  /** @throws what the provider that serves the key throws when neither knows a public key of it. */
  async verify(keyId: string, signed: SignedData, options?: VerifyOptions): Promise<boolean> {
    let missing: unknown;
    let answered = false;
    for (const verdict of await this.#verdicts(keyId, signed, options)) {
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

  async #verdicts(
    keyId: string,
    signed: SignedData,
    { newVersions = 'look', ...options }: VerifyOptions = {},
  ): Promise<readonly (() => Promise<Verdict>)[]> {
    const { data, signature } = signed;
    const { hsm, software } = this.#router.providers;
    const archived = (kind: KeyKind) => () => this.#byArchive(keyId, kind, signed);
    const byHsm = hsm
      ? () => hsm.verify(keyId, data, signature, { ...options, newVersions })
      : archived('hsm');
    const byKnownHsm =
      hsm && (() => hsm.verify(keyId, data, signature, { ...options, newVersions: 'ignore' }));
    const bySoftware = software
      ? () => software.verify(keyId, data, signature, options)
      : archived('software');
    if (isSoftwareVersionName(keyId)) return [bySoftware];
    const { kind } = await this.#router.route(contextOf(keyId), keyId, 'read', options);
    if (kind === 'software') return hsm === undefined ? [bySoftware, byHsm] : [bySoftware];
    // Of an agent whose software key is in another store, or in none any more, the archive has the public key.
    const isInStore = (await this.#router.softwareKey(keyId, options)) !== undefined;
    const byOther = isInStore ? bySoftware : archived('software');
    // What the other kind signed must not wait until the HSM was asked for new versions, nor use up the looks for them.
    return byKnownHsm && newVersions === 'look' ? [byKnownHsm, byOther, byHsm] : [byHsm, byOther];
  }

  async #byArchive(keyId: string, kind: KeyKind, { data, signature }: SignedData): Promise<Verdict> {
    const parsed = parseKeyReference(fromSoftwareVersionName(keyId), this.#keyRing);
    if (!parsed.ok || this.#archived === undefined) return undefined;
    const { key: keyName } = parsed.value;
    const version = parsed.value.kind === 'version' ? parsed.value.version.name : undefined;
    const keyVersion = version && (kind === 'software' ? toSoftwareVersionName(version) : version);
    return this.#archived.verify({ keyName, keyVersion, kind }, data, signature);
  }
}

const contextOf = (keyId: string): ErrorContext => ({ operation: 'verify', resource: String(keyId) });
