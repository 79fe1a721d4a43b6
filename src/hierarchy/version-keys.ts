/**
 * Public keys of key versions as JWKs, and from a thumbprint back to its version. A version's key never changes, so only
 * the list of versions is ever read again, and a stranger who makes up key ids cannot make that happen often.
 */

import { LRUCache } from 'lru-cache';
import type { Clock } from '../clock.js';
import type { ErrorContext } from '../errors/base.js';
import { UnknownKeyIdError } from '../errors/identity.js';
import { AttestationFailedError, FailedPreconditionError, NoUsableVersionError } from '../errors/keys.js';
import { findJoseAlgorithm } from '../identity/jose-algorithm.js';
import { type JosePublicKey, parsePublicKey } from '../identity/jwk.js';
import { isKeyAlgorithm } from '../keys/algorithms.js';
import type { CallOptions } from '../keys/call-options.js';
import type { KeyProvider, KeyVersionMetadata } from '../keys/key-provider.js';
import { KeyReadAllowances } from '../provider/read-allowance.js';
import { joseAlgorithm } from './public-jwks.js';

/**
 * Reads of the list of versions for key ids that are not in it, for one key: so many at once, and one more each time the
 * interval has passed. A rotation by another process takes one; what a stranger can cause stays far below the quota.
 */
const REFRESHES = { burst: 5, intervalMs: 10_000 };
/** Public keys that are fetched at once, so that a key with many versions does not take all streams. */
const FETCH_CONCURRENCY = 4;
/** Versions of a key that can be named by thumbprint; the newest count. */
const MAX_VERSIONS = 256;

/** A version by its full name, and its public key. */
export interface VersionKey {
  readonly keyVersion: string;
  readonly key: JosePublicKey;
}

/** The versions of a key by thumbprint. */
type Directory = ReadonlyMap<string, VersionKey>;

export class VersionKeys {
  readonly #provider: KeyProvider;
  readonly #keys: LRUCache<string, JosePublicKey>;
  readonly #directories: LRUCache<string, Directory>;
  readonly #loading = new Map<string, Promise<Directory>>();
  readonly #allowances: KeyReadAllowances;

  constructor(provider: KeyProvider, options: { readonly clock: Clock; readonly maxCachedKeys: number }) {
    this.#provider = provider;
    const { clock, maxCachedKeys } = options;
    this.#keys = new LRUCache({ max: maxCachedKeys });
    this.#directories = new LRUCache({ max: maxCachedKeys });
    this.#allowances = new KeyReadAllowances(clock, { each: REFRESHES, maxKeys: maxCachedKeys });
  }

  /** The public key of the version that a key id means now, and the version's full name. */
  async current(context: ErrorContext, keyId: string, options?: CallOptions): Promise<VersionKey> {
    const { keyVersion, algorithm } = await this.#provider.resolveKeyVersion(keyId, options);
    return { keyVersion, key: await this.keyOf(context, { keyVersion, algorithm }, options) };
  }

  /** The public key of a version. */
  async keyOf(
    context: ErrorContext,
    version: { readonly keyVersion: string; readonly algorithm: string },
    options?: CallOptions,
  ): Promise<JosePublicKey> {
    const { keyVersion, algorithm } = version;
    const known = this.#keys.get(keyVersion);
    if (known !== undefined) return known;
    const { name: keyAlgorithm } = joseAlgorithm(context, algorithm);
    const pem = await this.#provider.getPublicKey(keyVersion, options);
    const key = parsePublicKey(context, pem, { keyAlgorithm });
    this.#keys.set(keyVersion, key);
    return key;
  }

  /** The public keys of a key's ENABLED versions, newest first. */
  async enabled(context: ErrorContext, keyId: string, options?: CallOptions): Promise<readonly VersionKey[]> {
    const versions = (await this.#provider.listKeyVersions(keyId, options))
      .filter(isUsable)
      .toReversed()
      .slice(0, MAX_VERSIONS);
    const keys: VersionKey[] = [];
    for (let start = 0; start < versions.length; start += FETCH_CONCURRENCY) {
      const batch = versions
        .slice(start, start + FETCH_CONCURRENCY)
        .map((version) => this.#ifStillEnabled(context, version, options));
      keys.push(...(await Promise.all(batch)).flat());
    }
    return keys;
  }

  /**
   * The ENABLED version whose thumbprint is `kid`. Reads are shared: `options` say why they are made, not how long.
   * @throws UnknownKeyIdError when there is none.
   */
  async versionOf(
    context: ErrorContext,
    named: { readonly keyName: string; readonly kid: string },
    options?: CallOptions,
  ): Promise<VersionKey> {
    const { keyName, kid } = named;
    const known = (): VersionKey | undefined => this.#directories.get(keyName)?.get(kid);
    // The list may have been read again by another caller while this one waited.
    const version = known() ?? (await this.#currentIf(context, named, options)) ?? known();
    if (version !== undefined) return version;
    if (!this.#allowances.isLeft(keyName)) throw new UnknownKeyIdError(context, kid);
    const found = (await this.#load(context, keyName, options)).get(kid);
    if (found === undefined) throw new UnknownKeyIdError(context, kid);
    return found;
  }

  /** The version in use if it has that thumbprint: known without a call, also right after a rotation. */
  async #currentIf(
    context: ErrorContext,
    { keyName, kid }: { readonly keyName: string; readonly kid: string },
    options: CallOptions | undefined,
  ): Promise<VersionKey | undefined> {
    try {
      const current = await this.current(context, keyName, options);
      return current.key.thumbprint === kid ? current : undefined;
    } catch (error) {
      if (error instanceof NoUsableVersionError) return undefined;
      throw error;
    }
  }

  /** A version may be disabled after it was listed, or lack the statement that is required: it has no public key then. */
  async #ifStillEnabled(
    context: ErrorContext,
    { name: keyVersion, algorithm }: KeyVersionMetadata,
    options: CallOptions | undefined,
  ): Promise<readonly VersionKey[]> {
    try {
      return [{ keyVersion, key: await this.keyOf(context, { keyVersion, algorithm }, options) }];
    } catch (error) {
      if (error instanceof FailedPreconditionError || error instanceof AttestationFailedError) return [];
      throw error;
    }
  }

  /** One load for any number of callers, with the provider's own deadlines: a caller who leaves takes nobody along. */
  #load(context: ErrorContext, keyName: string, options: CallOptions | undefined): Promise<Directory> {
    const running = this.#loading.get(keyName);
    if (running !== undefined) return running;
    const load = async (): Promise<Directory> => {
      const enabled = await this.enabled(context, keyName, options);
      const directory = new Map(enabled.map((version) => [version.key.thumbprint, version]));
      // One that failed is not counted: whoever asks next is told why, not that the key id is unknown.
      this.#allowances.spend(keyName);
      this.#directories.set(keyName, directory);
      return directory;
    };
    const started = load().finally(() => this.#loading.delete(keyName));
    this.#loading.set(keyName, started);
    return started;
  }
}

const isUsable = ({ state, algorithm }: KeyVersionMetadata): boolean =>
  state === 'ENABLED' && isKeyAlgorithm(algorithm) && findJoseAlgorithm(algorithm) !== undefined;
