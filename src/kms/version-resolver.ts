/**
 * Which version of a key is in use. ENCRYPT_DECRYPT keys have a primary; other keys have none in Cloud KMS: theirs is
 * the ENABLED version that the label `a2a-primary` names, else the ENABLED version with the highest number.
 */

import type { ResolvedKMSConfig } from '../config/kms-config.js';
import type { ErrorContext } from '../errors/base.js';
import { UnsupportedAlgorithmError } from '../errors/input.js';
import { NoUsableVersionError } from '../errors/keys.js';
import { IntegrityError } from '../errors/service.js';
import type { AlgorithmEntry, KeyPurpose } from '../keys/algorithm-types.js';
import { algorithmsOf, findAlgorithm } from '../keys/algorithms.js';
import type { CryptoKeyName, KeyReference, KeyRingName, KeyVersion } from '../keys/resource-name.js';
import { PRIMARY_LABEL, primaryNumber } from '../keys/version-history.js';
import type { ObservedVersion } from '../provider/observer.js';
import type { Operation } from '../provider/operation.js';
import { KeyReadAllowances } from '../provider/read-allowance.js';
import { RefreshingCache } from '../provider/refreshing-cache.js';
import type { CacheStats } from '../provider/stats.js';
import type { KeyReader } from './key-reader.js';
import { parsePinned } from './pinned-versions.js';
import type { KeyRecord, VersionRecord } from './resources.js';

/** Reads again of a key that had no usable version: somebody may have restored one a moment ago. */
const READS_OF_ONE_KEY = { burst: 1, intervalMs: 1_000 };
/** Of all keys together, so that agents who go on trying to sign with what was destroyed do not use up the quota. */
const READS_OF_ALL_KEYS = { burst: 20, intervalMs: 3_000 };

/** A version to work with. */
export interface UsableVersion extends KeyVersion {
  readonly key: CryptoKeyName;
  readonly algorithm: AlgorithmEntry;
  /** The level that was promised for the key; every answer must name it. */
  readonly protectionLevel: string;
}

/** A version as it is told to those who watch the operation. */
const toObserved = (version: UsableVersion): ObservedVersion => ({
  keyVersion: version.name,
  algorithm: version.algorithm.name,
  protectionLevel: version.protectionLevel,
});

/** A key and, for asymmetric keys, its versions in ascending order of their numbers. */
export interface KeySnapshot {
  readonly key: KeyRecord;
  readonly versions: readonly VersionRecord[];
  /** The version in use; undefined when no version is usable. */
  readonly current: VersionRecord | undefined;
  /** `current` as it is worked with, if this library knows its algorithm. */
  readonly usable: UsableVersion | undefined;
  /** Which read of the resolver it is of, counted from 1 in the order in which they began; 0 for what was read elsewhere. */
  readonly read: number;
}

/** Immutable facts of a version that was asked for by its name. */
interface VersionFacts {
  readonly algorithm: string;
  readonly protectionLevel: string;
}

/** The version in use of a key whose versions are known. */
export function currentVersion(
  key: KeyRecord,
  versions: readonly VersionRecord[],
): VersionRecord | undefined {
  if (key.purpose === 'ENCRYPT_DECRYPT') return key.primary;
  const number = primaryNumber(
    key.labels,
    versions.map((version) => version.metadata),
  );
  return versions.find((version) => version.number === number);
}

export class VersionResolver {
  readonly #reader: KeyReader;
  readonly #snapshots: RefreshingCache<KeySnapshot>;
  readonly #facts: RefreshingCache<VersionFacts>;
  readonly #pinned: ReadonlyMap<CryptoKeyName, UsableVersion>;
  readonly #pinnedByName: ReadonlyMap<string, UsableVersion>;
  readonly #readsOfUnusable: KeyReadAllowances;
  #reads = 0;

  constructor(reader: KeyReader, config: ResolvedKMSConfig, keyRing: KeyRingName) {
    this.#reader = reader;
    const { clock, cache } = config;
    this.#snapshots = new RefreshingCache({ maxEntries: cache.maxKeys, ttlMs: cache.keyVersionTtlMs, clock });
    this.#facts = new RefreshingCache({ maxEntries: cache.maxKeys, clock });
    this.#readsOfUnusable = new KeyReadAllowances(clock, {
      each: READS_OF_ONE_KEY,
      all: READS_OF_ALL_KEYS,
      maxKeys: cache.maxKeys,
    });
    const pinned = parsePinned(config, keyRing);
    this.#pinnedByName = new Map(pinned.map((version) => [version.name, version]));
    // Of several pinned versions of a key the newest is the one in use, like everywhere else.
    this.#pinned = new Map(
      pinned.toSorted((a, b) => a.number - b.number).map((version) => [version.key, version]),
    );
  }

  /** The version a reference means, fit for the purpose. */
  resolve(
    operation: Operation,
    reference: KeyReference,
    purposes: readonly KeyPurpose[],
  ): UsableVersion | Promise<UsableVersion> {
    const found = this.resolveWarm(reference) ?? this.#resolveCold(operation, reference);
    return found instanceof Promise
      ? found.then((version) => fitFor(operation, version, purposes))
      : fitFor(operation, found, purposes);
  }

  /** The version a reference means, if that is known without a call. */
  resolveWarm(reference: KeyReference): UsableVersion | undefined {
    if (reference.kind === 'key') return this.#pinned.get(reference.key);
    return this.#pinnedByName.get(reference.version.name);
  }

  /** Of the cache of versions in use. */
  get stats(): CacheStats {
    return this.#snapshots.stats;
  }

  /** How many reads of keys have begun. What was made before now is in all that come. */
  get reads(): number {
    return this.#reads;
  }

  /** Whether the version in use is fixed by the configuration. */
  isPinned(key: CryptoKeyName): boolean {
    return this.#pinned.has(key);
  }

  /** The key and its versions, from the cache or from Cloud KMS; one lookup for any number of callers. */
  snapshot(operation: Operation, key: CryptoKeyName): KeySnapshot | Promise<KeySnapshot> {
    const found = this.#snapshots.get(key, () => this.#loadShared(operation, key));
    return found instanceof Promise ? operation.waitFor(found) : found;
  }

  /** As `snapshot`, but read again: what is in the cache serves others until then, and for good if the read fails. */
  reload(operation: Operation, key: CryptoKeyName): Promise<KeySnapshot> {
    return this.#snapshots.reload(key, () => this.#loadShared(operation, key));
  }

  /** The key and its versions if they are in the cache. */
  peek(key: CryptoKeyName): KeySnapshot | undefined {
    return this.#snapshots.peek(key);
  }

  /** Reads the key and its versions from Cloud KMS, whatever the cache holds, and puts them into it. */
  async refresh(operation: Operation, key: CryptoKeyName): Promise<KeySnapshot> {
    this.#snapshots.invalidate(key);
    const snapshot = await this.#load(operation, key);
    this.#snapshots.set(key, snapshot);
    return snapshot;
  }

  /** Puts into the cache what was just read. */
  learn(operation: Operation, key: KeyRecord, versions: readonly VersionRecord[]): KeySnapshot {
    const own = key.purpose === 'ENCRYPT_DECRYPT' ? [] : versions;
    const snapshot = toSnapshot(operation, { key, versions: own, read: 0 });
    this.#snapshots.set(key.name, snapshot);
    return snapshot;
  }

  /** Forgets what is known of a key. */
  invalidate(key: CryptoKeyName): void {
    this.#snapshots.invalidate(key);
  }

  #resolveCold(operation: Operation, reference: KeyReference): UsableVersion | Promise<UsableVersion> {
    if (reference.kind === 'version') return this.#resolveVersion(operation, reference);
    const { key } = reference;
    const reads = this.#reads;
    const found = this.snapshot(operation, key);
    if (!(found instanceof Promise)) return found.usable ?? this.#resolveAgain(operation, found);
    return found.then((snapshot) =>
      // What was read now is not read again.
      snapshot.usable === undefined && snapshot.read <= reads
        ? this.#resolveAgain(operation, snapshot)
        : usableOf(operation, snapshot),
    );
  }

  /** Without a usable version there is nothing that a cached snapshot could be good for but to spare a read. */
  async #resolveAgain(operation: Operation, snapshot: KeySnapshot): Promise<UsableVersion> {
    const { name } = snapshot.key;
    if (!this.#snapshots.isLoading(name)) {
      if (!this.#readsOfUnusable.isLeft(name)) return usableOf(operation, snapshot);
      this.#readsOfUnusable.spend(name);
    }
    return usableOf(operation, await operation.waitFor(this.reload(operation, name)));
  }

  async #resolveVersion(
    operation: Operation,
    { key, version }: Extract<KeyReference, { kind: 'version' }>,
  ): Promise<UsableVersion> {
    const known = this.#snapshots
      .peek(key)
      ?.versions.find((record) => record.name === version.name)?.metadata;
    const loaded =
      known ??
      this.#facts.get(version.name, () =>
        this.#reader.detached(
          operation,
          async (own) => (await this.#reader.getVersion(own, key, version)).metadata,
        ),
      );
    const facts = loaded instanceof Promise ? await operation.waitFor(loaded) : loaded;
    return {
      ...version,
      key,
      algorithm: entryOf(operation.context(), facts.algorithm),
      protectionLevel: facts.protectionLevel,
    };
  }

  #loadShared(operation: Operation, key: CryptoKeyName): Promise<KeySnapshot> {
    return this.#reader.detached(operation, (own) => this.#load(own, key));
  }

  async #load(operation: Operation, name: CryptoKeyName): Promise<KeySnapshot> {
    this.#reads += 1;
    const read = this.#reads;
    const key = await this.#reader.getKey(operation, name);
    if (key.purpose === 'ENCRYPT_DECRYPT') return toSnapshot(operation, { key, versions: [], read });
    const versions = await this.#reader.listVersions(operation, name);
    // Others may have begun a rotation between the two reads: the version in use was written down before the new one
    // was made, so without another look the new one would be used before its time.
    const isGuessed = !isNamedUsable(key, versions) && versions.filter(isEnabled).length > 1;
    const latest = isGuessed ? await this.#reader.getKey(operation, name) : key;
    return toSnapshot(operation, { key: latest, versions, read });
  }
}

function fitFor(
  operation: Operation,
  version: UsableVersion,
  purposes: readonly KeyPurpose[],
): UsableVersion {
  if (!purposes.includes(version.algorithm.purpose)) {
    throw new UnsupportedAlgorithmError(
      operation.context(),
      `${version.algorithm.name} is of purpose ${version.algorithm.purpose}, which cannot ${operation.name}.`,
      purposes.flatMap((purpose) => algorithmsOf(purpose)),
    );
  }
  operation.observation?.uses(toObserved(version));
  return version;
}

const isEnabled = ({ metadata }: VersionRecord): boolean => metadata.state === 'ENABLED';

/** Whether the key itself names the version in use. */
const isNamedUsable = (key: KeyRecord, versions: readonly VersionRecord[]): boolean =>
  versions.some((version) => String(version.number) === key.labels[PRIMARY_LABEL] && isEnabled(version));

function toSnapshot(
  operation: Operation,
  { key, versions, read }: Pick<KeySnapshot, 'key' | 'versions' | 'read'>,
): KeySnapshot {
  const current = currentVersion(key, versions);
  if (current !== undefined && current.metadata.protectionLevel !== key.protectionLevel) {
    throw new IntegrityError(
      operation.context(),
      `the key was created with protection level ${key.protectionLevel}, its version ${current.number} has ${current.metadata.protectionLevel}`,
    );
  }
  const algorithm = current && findAlgorithm(current.metadata.algorithm);
  const usable = algorithm && {
    name: current.name,
    number: current.number,
    key: key.name,
    algorithm,
    protectionLevel: key.protectionLevel,
  };
  return { key, versions, current, usable, read };
}

function usableOf(operation: Operation, { current, usable }: KeySnapshot): UsableVersion {
  if (usable !== undefined) return usable;
  if (current !== undefined) throw unknownAlgorithm(operation.context(), current.metadata.algorithm);
  throw new NoUsableVersionError(operation.context(), 'the key has no ENABLED version.');
}

function entryOf(context: ErrorContext, algorithm: string): AlgorithmEntry {
  const entry = findAlgorithm(algorithm);
  if (entry !== undefined) return entry;
  throw unknownAlgorithm(context, algorithm);
}

const unknownAlgorithm = (context: ErrorContext, algorithm: string): UnsupportedAlgorithmError =>
  new UnsupportedAlgorithmError(
    context,
    `${algorithm} is not known to this library.`,
    algorithmsOf('ASYMMETRIC_SIGN'),
  );
