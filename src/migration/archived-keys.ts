/**
 * Public keys of the kind that is not there: of the HSM while HSM keys are switched off, of the software store when it is
 * not opened any more. They come from the archive, into which each version's key goes before its first signature is
 * handed out, so that what one kind signed is verified by the other.
 */

import { createPublicKey, type KeyObject } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../clock.js';
import { findAlgorithm } from '../keys/algorithms.js';
import type { CallOptions, KeyProvider, KeyVersionMetadata } from '../keys/key-provider.js';
import type { ArchivedPublicKey, PublicKeyArchive } from '../keys/public-key-archive.js';
import { isSoftwareVersionName } from '../keys/software-version-name.js';
import { RefreshingCache } from '../provider/refreshing-cache.js';
import { MAX_VERIFICATION_CANDIDATES, verifySignature } from '../provider/signature-check.js';

/** Whose public keys. */
export type KeyKind = 'hsm' | 'software';

/** The whole archive is read at once, and believed for as long as it is believed which version is in use. */
const TTL_MS = 60_000;
const WHOLE = 'archive';

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
  readonly #parsed = new WeakMap<ArchivedPublicKey, KeyObject>();

  constructor(options: ArchivedKeysOptions) {
    const { archive, clock, maxVersions } = options;
    this.#archive = archive;
    this.#cache = new RefreshingCache({ maxEntries: 1, ttlMs: TTL_MS, clock });
    this.#archived = new LRUCache({ max: maxVersions });
  }

  /** Makes sure that the public key of a version is archived: a look for each version, once for each process. */
  async ensure(provider: KeyProvider, keyVersion: string, options?: CallOptions): Promise<void> {
    if (this.#archived.has(keyVersion)) return;
    if ((await this.#archive.get(keyVersion)) === undefined) {
      const version = (await provider.listKeyVersions(keyVersion, options)).find(
        ({ name }) => name === keyVersion,
      );
      if (version !== undefined) await this.#put(provider, version, options);
    }
    this.#archived.set(keyVersion, true);
  }

  /**
   * Archives the public keys of all versions of a key that sign and can still be read: of ENABLED ones, and of software
   * versions whatever became of them, since their store keeps public keys for good.
   * @returns the versions whose public keys are archived now, in ascending order of their numbers.
   */
  async exportKey(
    provider: KeyProvider,
    keyName: string,
    options?: CallOptions,
  ): Promise<readonly KeyVersionMetadata[]> {
    const exported: KeyVersionMetadata[] = [];
    for (const version of await provider.listKeyVersions(keyName, options)) {
      if (findAlgorithm(version.algorithm)?.purpose !== 'ASYMMETRIC_SIGN') continue;
      const isReadable = version.state === 'ENABLED' || isSoftwareVersionName(version.name);
      if (isReadable) await this.#put(provider, version, options);
      if (isReadable || (await this.#archive.get(version.name))) exported.push(version);
    }
    return exported;
  }

  /** Whether a signature is by a version of that kind, as far as the archive knows; undefined when it knows none. */
  async verify(
    target: { readonly keyName: string; readonly keyVersion?: string | undefined; readonly kind: KeyKind },
    data: Uint8Array,
    signature: Uint8Array,
  ): Promise<boolean | undefined> {
    const { keyName, keyVersion, kind } = target;
    const all = (await this.#cache.get(WHOLE, () => this.#load())).get(keyName) ?? [];
    const candidates = all
      .filter((key) => isSoftwareVersionName(key.keyVersion) === (kind === 'software'))
      .filter((key) => keyVersion === undefined || key.keyVersion === keyVersion)
      .slice(0, MAX_VERIFICATION_CANDIDATES);
    for (const candidate of candidates) {
      const algorithm = findAlgorithm(candidate.algorithm);
      if (algorithm?.purpose !== 'ASYMMETRIC_SIGN' || algorithm.key.kind === 'pqc') continue;
      const keyObject = this.#parse(candidate);
      const key = { algorithm, material: { kind: 'key-object', keyObject } } as const;
      if (await verifySignature(key, data, signature)) return true;
    }
    return candidates.length === 0 ? undefined : false;
  }

  /** Whether the archive has a public key of that kind for the key. */
  async has(keyName: string, kind: KeyKind): Promise<boolean> {
    const keys = (await this.#cache.get(WHOLE, () => this.#load())).get(keyName) ?? [];
    return keys.some(({ keyVersion }) => isSoftwareVersionName(keyVersion) === (kind === 'software'));
  }

  /** The public key of a version, PEM. */
  async publicKey(keyVersion: string): Promise<Buffer | undefined> {
    const key = await this.#archive.get(keyVersion);
    return key && Buffer.from(key.pem, 'utf8');
  }

  #parse(key: ArchivedPublicKey): KeyObject {
    const known = this.#parsed.get(key);
    if (known !== undefined) return known;
    const keyObject = createPublicKey(key.pem);
    this.#parsed.set(key, keyObject);
    return keyObject;
  }

  async #put(
    provider: KeyProvider,
    version: KeyVersionMetadata,
    options: CallOptions | undefined,
  ): Promise<void> {
    const { name: keyVersion, algorithm: name, protectionLevel, generateTime, createTime } = version;
    const algorithm = findAlgorithm(name);
    if (algorithm?.purpose !== 'ASYMMETRIC_SIGN') return;
    const pem = (await provider.getPublicKey(keyVersion, options)).toString('utf8');
    const notBefore = generateTime ?? createTime;
    await this.#archive.put({ keyVersion, algorithm: algorithm.name, protectionLevel, pem, notBefore });
    this.#cache.invalidate(WHOLE);
    this.#archived.set(keyVersion, true);
  }

  /** Newest first. */
  async #load(): Promise<ByKey> {
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
