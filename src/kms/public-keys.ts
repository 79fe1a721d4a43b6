/**
 * Public keys of key versions. A version is immutable, so its key is fetched once, checked, parsed, and kept until it is
 * evicted; nothing that a caller or a peer sends ever empties this cache. Cloud KMS gives out the keys of ENABLED versions
 * only; those of others come from the archive, where there is one.
 */

import { createPublicKey, type KeyObject } from 'node:crypto';
import type { ResolvedKMSConfig } from '../config/kms-config.js';
import { FailedPreconditionError, NotFoundError } from '../errors/keys.js';
import { IntegrityError } from '../errors/service.js';
import type { AlgorithmEntry, AsymmetricKeyType } from '../keys/algorithm-types.js';
import type { ArchivedPublicKey, PublicKeyArchive } from '../keys/public-key-archive.js';
import { hasSpki, postQuantumBytesOfPem, postQuantumSpki, toPem } from '../keys/spki.js';
import type { Operation } from '../provider/operation.js';
import { RefreshingCache } from '../provider/refreshing-cache.js';
import type { VerificationKey } from '../provider/signature-check.js';
import type { CacheStats } from '../provider/stats.js';
import { checkedBytes, requireEqual, withIntegrityRetry } from './integrity.js';
import type { KeyReader } from './key-reader.js';
import type { RpcCaller } from './rpc-caller.js';
import type { UsableVersion } from './version-resolver.js';

/** A public key, ready to verify with. */
export interface PublicKey extends VerificationKey {
  /** SubjectPublicKeyInfo (RFC 7468 section 13). */
  readonly pem: string;
}

export class PublicKeys {
  readonly #caller: RpcCaller;
  readonly #reader: KeyReader;
  readonly #cache: RefreshingCache<PublicKey>;
  readonly #archive: PublicKeyArchive | undefined;
  /** What the archive has, or lacks: remembered for a while, so that a forgery does not have it searched each time. */
  readonly #archived: RefreshingCache<{ readonly key: PublicKey | undefined }>;

  constructor(caller: RpcCaller, reader: KeyReader, config: ResolvedKMSConfig) {
    this.#caller = caller;
    this.#reader = reader;
    const { cache, clock } = config;
    this.#cache = new RefreshingCache({ maxEntries: cache.maxPublicKeys, clock });
    this.#archive = config.publicKeyArchive;
    this.#archived = new RefreshingCache({
      maxEntries: cache.maxPublicKeys,
      ttlMs: cache.keyVersionTtlMs,
      clock,
    });
  }

  get stats(): CacheStats {
    return this.#cache.stats;
  }

  /** Whether `recall` could have the key: it is in the cache, or the archive is not known to lack it. */
  mayBeRecalled(versionName: string): boolean {
    if (this.#cache.peek(versionName) !== undefined) return true;
    if (this.#archive === undefined) return false;
    const known = this.#archived.peek(versionName);
    return known === undefined || known.key !== undefined;
  }

  /** The key if it is in the cache. */
  peek(versionName: string): PublicKey | undefined {
    return this.#cache.peek(versionName);
  }

  /** The key of a version; one fetch for any number of callers. */
  get(operation: Operation, version: UsableVersion): PublicKey | Promise<PublicKey> {
    const found = this.#cache.get(version.name, () =>
      this.#reader.detached(operation, (own) => withIntegrityRetry(() => this.#fetchOrRecall(own, version))),
    );
    return found instanceof Promise ? operation.waitFor(found) : found;
  }

  /** The key of a version that is not ENABLED any more: from the cache or the archive. */
  async recall(operation: Operation, version: UsableVersion): Promise<PublicKey | undefined> {
    const known = this.#cache.peek(version.name);
    const archive = this.#archive;
    if (known !== undefined || archive === undefined) return known;
    const load = async (): Promise<{ readonly key: PublicKey | undefined }> => {
      const archived = await archive.get(version.name);
      return { key: archived && fromArchive(operation, version, archived) };
    };
    const found = this.#archived.get(version.name, load);
    const { key } = found instanceof Promise ? await operation.waitFor(found) : found;
    if (key !== undefined) this.#cache.set(version.name, key);
    return key;
  }

  async #fetchOrRecall(operation: Operation, version: UsableVersion): Promise<PublicKey> {
    try {
      return await this.#fetch(operation, version);
    } catch (error) {
      if (!(error instanceof FailedPreconditionError || error instanceof NotFoundError)) throw error;
      const archived = await this.recall(operation, version);
      if (archived === undefined) throw error;
      return archived;
    }
  }

  async #fetch(operation: Operation, version: UsableVersion): Promise<PublicKey> {
    const { name, algorithm, protectionLevel } = version;
    const postQuantum = 'key' in algorithm && algorithm.key.kind === 'pqc' ? algorithm.key : undefined;
    const answer = await this.#caller.call(operation, {
      rpc: 'getPublicKey',
      // Post-quantum keys have no default format (GetPublicKeyRequest.public_key_format in service.proto).
      request: postQuantum ? { name, publicKeyFormat: 'NIST_PQC' } : { name },
      routeBy: ['name', name],
    });
    requireEqual(operation, 'the name of the public key', { expected: name, actual: answer.name });
    requireEqual(operation, 'the algorithm of the public key', {
      expected: algorithm.name,
      actual: answer.algorithm,
    });
    requireEqual(operation, 'the protection level', {
      expected: protectionLevel,
      actual: answer.protectionLevel,
    });
    if (postQuantum) {
      const bytes = checkedBytes(operation, 'the public key', {
        bytes: answer.publicKey?.data,
        checksum: answer.publicKey?.crc32cChecksum,
      });
      return postQuantumKey(algorithm, postQuantum.parameterSet, bytes);
    }
    const pem = checkedBytes(operation, 'the PEM', {
      bytes:
        typeof answer.pem === 'string' && answer.pem !== '' ? Buffer.from(answer.pem, 'utf8') : undefined,
      checksum: answer.pemCrc32c,
    }).toString('utf8');
    return {
      algorithm,
      pem,
      material: { kind: 'key-object', keyObject: parsePem(operation, algorithm, pem) },
    };
  }
}

/** What the archive holds is checked like an answer of Cloud KMS. */
function fromArchive(operation: Operation, version: UsableVersion, archived: ArchivedPublicKey): PublicKey {
  const { name, algorithm, protectionLevel } = version;
  requireEqual(operation, 'the name of the archived key', { expected: name, actual: archived.keyVersion });
  requireEqual(operation, 'the algorithm of the archived key', {
    expected: algorithm.name,
    actual: archived.algorithm,
  });
  requireEqual(operation, 'the protection level of the archived key', {
    expected: protectionLevel,
    actual: archived.protectionLevel,
  });
  if ('key' in algorithm && algorithm.key.kind === 'pqc') {
    const bytes = postQuantumBytesOfPem(algorithm.key.parameterSet, archived.pem);
    if (bytes === undefined)
      throw new IntegrityError(operation.context(), `the archived key is not one for ${algorithm.name}`);
    return postQuantumKey(algorithm, algorithm.key.parameterSet, bytes);
  }
  const keyObject = parsePem(operation, algorithm, archived.pem);
  return { algorithm, pem: archived.pem, material: { kind: 'key-object', keyObject } };
}

function postQuantumKey(algorithm: AlgorithmEntry, parameterSet: string, bytes: Buffer): PublicKey {
  const pem = hasSpki(parameterSet) ? toPem('PUBLIC KEY', postQuantumSpki(parameterSet, bytes)) : '';
  return { algorithm, pem, material: { kind: 'raw', parameterSet, bytes } };
}

/** Parses the PEM and refuses a key that is not of the type, curve and size that the algorithm declares. */
function parsePem(operation: Operation, algorithm: AlgorithmEntry, pem: string): KeyObject {
  let keyObject: KeyObject;
  try {
    keyObject = createPublicKey({ key: pem, format: 'pem', type: 'spki' });
  } catch (cause) {
    throw new IntegrityError(operation.context(cause), 'the PEM is not a public key');
  }
  if (!('key' in algorithm) || !isOfType(keyObject, algorithm.key)) {
    throw new IntegrityError(operation.context(), `the public key is not one for ${algorithm.name}`);
  }
  return keyObject;
}

/** Whether a key is of the type, curve and size that an algorithm needs. Post-quantum keys are none of Node's. */
export function isOfType(keyObject: KeyObject, type: AsymmetricKeyType): boolean {
  const details = keyObject.asymmetricKeyDetails;
  switch (type.kind) {
    case 'ec':
      return keyObject.asymmetricKeyType === 'ec' && details?.namedCurve === type.nodeCurve;
    case 'rsa':
      return keyObject.asymmetricKeyType === 'rsa' && details?.modulusLength === type.modulusBits;
    case 'okp':
      return keyObject.asymmetricKeyType === 'ed25519';
    case 'pqc':
      return false;
  }
}
