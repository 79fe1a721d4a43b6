/**
 * Public keys of the kind that is not there: of the HSM while HSM keys are switched off, of the software store when it is
 * not opened any more. They come from the archive, into which each version's key goes before its first signature is
 * handed out, so that what one kind signed is verified by the other.
 */

import { createPublicKey } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../clock.js';
import { NotFoundError } from '../errors/keys.js';
import { ArchiveError } from '../errors/storage.js';
import type { SigningAlgorithmEntry } from '../keys/algorithm-types.js';
import { findAlgorithm } from '../keys/algorithms.js';
import type { CallOptions } from '../keys/call-options.js';
import type { KeyProvider, KeyVersionMetadata } from '../keys/key-provider.js';
import type { ArchivedPublicKey, PublicKeyArchive } from '../keys/public-key-archive.js';
import { isSoftwareVersionName } from '../keys/software-version-name.js';
import { postQuantumBytesOfPem } from '../keys/spki.js';
import { RefreshingCache } from '../provider/refreshing-cache.js';
import {
  MAX_VERIFICATION_CANDIDATES,
  type VerificationKey,
  verifySignature,
} from '../provider/signature-check.js';

/** Whose public keys. */
export type KeyKind = 'hsm' | 'software';

/** The whole archive is read at once, and believed for as long as it is believed which version is in use. */
const TTL_MS = 60_000;
const WHOLE = 'archive';
/**
 * What is not found may have been archived by another process since: the archive is read again, but not more often than
 * this, whatever a stranger sends.
 */
const REFRESH_INTERVAL_MS = 10_000;

interface ArchivedKeysOptions {
  readonly archive: PublicKeyArchive;
  readonly clock: Clock;
  /** Versions that are remembered to be archived. */
  readonly maxVersions: number;
}

type ByKey = ReadonlyMap<string, readonly ArchivedPublicKey[]>;

export class ArchivedKeys {
  readonly #archive: PublicKeyArchive;
  readonly #cache: RefreshingCache<ByKey>;
  readonly #archived: LRUCache<string, true>;
  readonly #parsed = new WeakMap<ArchivedPublicKey, VerificationKey['material']>();
  readonly #clock: Clock;
  #loadedAt = 0;

  constructor(options: ArchivedKeysOptions) {
    const { archive, clock, maxVersions } = options;
    this.#archive = archive;
    this.#clock = clock;
    this.#cache = new RefreshingCache({ maxEntries: 1, ttlMs: TTL_MS, clock });
    this.#archived = new LRUCache({ max: maxVersions });
  }

  /**
   * Makes sure that the public key of a version is archived: a look for each version, once for each process.
   * @throws NotFoundError when the provider does not know the version.
   */
  async ensure(provider: KeyProvider, keyVersion: string, options?: CallOptions): Promise<void> {
    if (this.#archived.has(keyVersion)) return;
    if ((await this.#archive.get(keyVersion)) === undefined) {
      const versions = await provider.listKeyVersions(keyVersion, options);
      const version = versions.find(({ name }) => name === keyVersion);
      if (version === undefined) throw new NotFoundError({ operation: 'archive', resource: keyVersion });
      await this.#put(provider, version, options);
    }
    this.#archived.set(keyVersion, true);
  }

  /**
   * Archives the public keys of all versions of a key that have one and can still be read: of ENABLED ones, and of software
   * versions whatever became of them, since their store keeps public keys for good.
   */
  async exportKey(provider: KeyProvider, keyName: string, options?: CallOptions): Promise<void> {
    for (const version of await provider.listKeyVersions(keyName, options)) {
      const isReadable = version.state === 'ENABLED' || isSoftwareVersionName(version.name);
      if (isReadable) await this.#put(provider, version, options);
    }
  }

  /** Whether a signature is by a version of that kind, as far as the archive knows; undefined when it knows none. */
  async verify(target: Target, data: Uint8Array, signature: Uint8Array): Promise<boolean | undefined> {
    const check = async (byKey: ByKey): Promise<boolean | undefined> => {
      const candidates = candidatesOf(byKey, target);
      for (const { key, algorithm } of candidates) {
        if (await verifySignature({ algorithm, material: this.#parse(key, algorithm) }, data, signature))
          return true;
      }
      return candidates.length === 0 ? undefined : false;
    };
    const verdict = await check(await this.#keys());
    if (verdict === true || !this.#mayRefresh()) return verdict;
    return check(await this.#keys());
  }

  /** Whether the archive has a public key of that kind for the key. */
  async has(keyName: string, kind: KeyKind): Promise<boolean> {
    const isThere = (byKey: ByKey): boolean =>
      (byKey.get(keyName) ?? []).some(({ keyVersion }) => kindOf(keyVersion) === kind);
    if (isThere(await this.#keys())) return true;
    // What was just made by another process: its first version, without reading everything once more.
    const first = kind === 'hsm' ? `${keyName}/cryptoKeyVersions/1` : undefined;
    return first !== undefined && (await this.#archive.get(first)) !== undefined;
  }

  /** The public key of a version, PEM. */
  async publicKey(keyVersion: string): Promise<Buffer | undefined> {
    const key = await this.#archive.get(keyVersion);
    return key && Buffer.from(key.pem, 'utf8');
  }

  #keys(): ByKey | Promise<ByKey> {
    return this.#cache.get(WHOLE, () => this.#load());
  }

  /** Has the archive read again if it was not read just now. */
  #mayRefresh(): boolean {
    const age = this.#clock.now() - this.#loadedAt;
    // A negative age is that of a clock that was set back.
    if (age >= 0 && age < REFRESH_INTERVAL_MS) return false;
    this.#cache.invalidate(WHOLE);
    return true;
  }

  #parse(key: ArchivedPublicKey, algorithm: SigningAlgorithmEntry): VerificationKey['material'] {
    const known = this.#parsed.get(key);
    if (known !== undefined) return known;
    const material = toMaterial(key, algorithm);
    this.#parsed.set(key, material);
    return material;
  }

  async #put(
    provider: KeyProvider,
    version: KeyVersionMetadata,
    options: CallOptions | undefined,
  ): Promise<void> {
    const { name: keyVersion, algorithm: name, protectionLevel, generateTime, createTime } = version;
    const algorithm = findAlgorithm(name);
    if (algorithm?.purpose !== 'ASYMMETRIC_SIGN' && algorithm?.purpose !== 'ASYMMETRIC_DECRYPT') return;
    const pem = (await provider.getPublicKey(keyVersion, options)).toString('utf8');
    const notBefore = generateTime ?? createTime;
    await this.#archive.put({ keyVersion, algorithm: algorithm.name, protectionLevel, pem, notBefore });
    this.#cache.invalidate(WHOLE);
    this.#archived.set(keyVersion, true);
  }

  /** Newest first. */
  async #load(): Promise<ByKey> {
    this.#loadedAt = this.#clock.now();
    const byKey = new Map<string, ArchivedPublicKey[]>();
    for (const key of await this.#archive.list()) {
      const keyName = key.keyVersion.slice(0, key.keyVersion.indexOf('/cryptoKeyVersions/'));
      const known = byKey.get(keyName);
      if (known === undefined) byKey.set(keyName, [key]);
      else known.push(key);
    }
    for (const keys of byKey.values()) keys.sort((a, b) => b.notBefore.getTime() - a.notBefore.getTime());
    return byKey;
  }
}

interface Target {
  readonly keyName: string;
  readonly keyVersion?: string | undefined;
  readonly kind: KeyKind;
}

/** The archived keys that a signature may be by, newest first. */
function candidatesOf(
  byKey: ByKey,
  { keyName, keyVersion, kind }: Target,
): readonly { readonly key: ArchivedPublicKey; readonly algorithm: SigningAlgorithmEntry }[] {
  return (byKey.get(keyName) ?? [])
    .flatMap((key) => {
      const algorithm = findAlgorithm(key.algorithm);
      return algorithm?.purpose === 'ASYMMETRIC_SIGN' ? [{ key, algorithm }] : [];
    })
    .filter(({ key }) => kindOf(key.keyVersion) === kind)
    .filter(({ key }) => keyVersion === undefined || key.keyVersion === keyVersion)
    .slice(0, MAX_VERIFICATION_CANDIDATES);
}

const kindOf = (keyVersion: string): KeyKind => (isSoftwareVersionName(keyVersion) ? 'software' : 'hsm');

/** @throws ArchiveError when the archive has something else than a key of that algorithm. */
function toMaterial(
  { keyVersion, pem }: ArchivedPublicKey,
  { name, key }: SigningAlgorithmEntry,
): VerificationKey['material'] {
  if (key.kind !== 'pqc') return { kind: 'key-object', keyObject: createPublicKey(pem) };
  const { parameterSet } = key;
  const bytes = postQuantumBytesOfPem(parameterSet, pem);
  if (bytes !== undefined) return { kind: 'raw', parameterSet, bytes };
  const context = { operation: 'verify', resource: keyVersion };
  throw new ArchiveError(context, `the archived public key is not one for ${name}.`);
}
