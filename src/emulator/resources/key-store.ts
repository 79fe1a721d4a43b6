/**
 * All resources, and the passage of time: what is pending becomes ready, what is scheduled happens, always seen at the
 * moment a resource is looked at, so that no timers run.
 */

import type { Clock } from '../../clock.js';
import type { AlgorithmEntry } from '../../keys/algorithm-types.js';
import { fingerprintKeyMaterial, generateKeyMaterial, type KeyMaterial } from '../crypto/key-material.js';
import { RpcError } from '../rpc.js';
import type { CryptoKey, ImportJob, PendingOutcome, RetiredResource, Version } from './entities.js';
import { requireCryptoKey, requireImportJob, requireKeyRing, requireVersion } from './names.js';

export interface KeyStoreOptions {
  readonly clock: Clock;
  readonly asymmetricGenerationMs: number;
  readonly hsmGenerationMs: number;
}

export class KeyStore {
  readonly clock: Clock;
  readonly keyRings = new Map<string, { readonly createMs: number }>();
  readonly cryptoKeys = new Map<string, CryptoKey>();
  readonly importJobs = new Map<string, ImportJob>();
  /** By the name of the resource that was deleted, which is never used again. */
  readonly retired = new Map<string, RetiredResource>();
  readonly #options: KeyStoreOptions;
  #generationFailure: string | undefined;
  #transitions = 0;

  constructor(options: KeyStoreOptions) {
    this.#options = options;
    this.clock = options.clock;
  }

  /** Counts what happened by the passage of time, which calls that only read can be the first to see. */
  get transitions(): number {
    return this.#transitions;
  }

  failGeneration(reason: string | undefined): void {
    this.#generationFailure = reason;
  }

  keyRing(name: string): { readonly createMs: number } {
    const found = this.keyRings.get(requireKeyRing(name));
    if (found === undefined) throw new RpcError('NOT_FOUND', `KeyRing ${name} not found.`);
    return found;
  }

  async cryptoKey(name: string): Promise<CryptoKey> {
    const key = this.cryptoKeys.get(name);
    if (key === undefined) {
      throw new RpcError('NOT_FOUND', `CryptoKey ${requireCryptoKey(name)} not found.`);
    }
    await this.#rotateIfDue(key);
    const primary = key.primary === undefined ? undefined : key.versions.get(key.primary);
    if (primary !== undefined) await this.settle(primary);
    return key;
  }

  async version(name: string): Promise<{ readonly key: CryptoKey; readonly version: Version }> {
    const { key: keyName, number } = requireVersion(name);
    const key = this.cryptoKeys.get(keyName);
    if (key !== undefined) await this.#rotateIfDue(key);
    const version = key?.versions.get(number);
    // A number with leading zeros is not the version's name.
    if (key === undefined || version?.name !== name)
      throw new RpcError('NOT_FOUND', `CryptoKeyVersion ${name} not found.`);
    await this.settle(version);
    return { key, version };
  }

  importJob(name: string): ImportJob {
    const job = this.importJobs.get(requireImportJob(name));
    if (job === undefined) throw new RpcError('NOT_FOUND', `ImportJob ${name} not found.`);
    return job;
  }

  /** Lets happen to a version what was due by now. */
  async settle(version: Version): Promise<void> {
    const nowMs = this.clock.now();
    const { pending } = version;
    if (pending !== undefined && pending.readyMs <= nowMs) {
      const outcome = await pending.outcome;
      if (version.pending === pending) {
        finish(version, outcome, pending.readyMs);
        this.#transitions += 1;
      }
    }
    if (
      version.state === 'DESTROY_SCHEDULED' &&
      version.destroyMs !== undefined &&
      version.destroyMs <= nowMs
    ) {
      version.state = 'DESTROYED';
      version.destroyEventMs = version.destroyMs;
      if (version.material?.kind === 'symmetric') version.material.bytes.fill(0);
      version.material = undefined;
      this.#transitions += 1;
    }
  }

  /** Adds the next version to a key. Symmetric material is there at once; a key pair takes its time. */
  async addVersion(key: CryptoKey): Promise<Version> {
    const { algorithm } = key;
    const material = isAsymmetric(algorithm) ? undefined : await generateKeyMaterial(algorithm);
    return this.#insertVersion(key, { algorithm, material, createMs: this.clock.now() });
  }

  /** Adds a new key and, if it is to have one, its first version, both at once. */
  async addKey(key: CryptoKey, options: { readonly withVersion: boolean }): Promise<void> {
    const { algorithm } = key;
    const material =
      isAsymmetric(algorithm) || !options.withVersion ? undefined : await generateKeyMaterial(algorithm);
    // Looked up after the last await: of two calls at once, one makes the key.
    if (this.cryptoKeys.has(key.name) || this.retired.has(key.name))
      throw new RpcError('ALREADY_EXISTS', `CryptoKey ${key.name} already exists.`);
    this.cryptoKeys.set(key.name, key);
    if (!options.withVersion) return;
    const version = this.#insertVersion(key, { algorithm, material, createMs: key.createMs });
    if (key.purpose === 'ENCRYPT_DECRYPT') key.primary = version.number;
  }

  #insertVersion(
    key: CryptoKey,
    made: {
      readonly algorithm: AlgorithmEntry;
      readonly material: KeyMaterial | undefined;
      readonly createMs: number;
    },
  ): Version {
    const version = newVersion(key, made);
    key.versions.set(version.number, version);
    if (made.material === undefined) this.startGeneration(version);
    else finish(version, { ok: true, material: made.material }, made.createMs);
    return version;
  }

  /** Starts to make a key pair; the version is pending until it is there and the time it takes has passed. */
  startGeneration(version: Version): void {
    const failure = this.#generationFailure;
    const { hsmGenerationMs, asymmetricGenerationMs } = this.#options;
    version.pending = {
      readyMs:
        this.clock.now() + (version.protectionLevel === 'HSM' ? hsmGenerationMs : asymmetricGenerationMs),
      outcome:
        failure === undefined ? generate(version.algorithm) : Promise.resolve({ ok: false, reason: failure }),
    };
  }

  /** Makes a version pending until the wrapped material was looked at. */
  startImport(version: Version, outcome: Promise<PendingOutcome>): void {
    version.state = 'PENDING_IMPORT';
    version.destroyMs = undefined;
    version.destroyEventMs = undefined;
    version.pending = { readyMs: this.clock.now() + this.#options.asymmetricGenerationMs, outcome };
  }

  /** Rotates a key that is due: once, also for several periods that passed while nobody looked. */
  async #rotateIfDue(key: CryptoKey): Promise<void> {
    const nowMs = this.clock.now();
    const dueMs = key.nextRotationMs;
    if (dueMs === undefined || dueMs > nowMs) return;
    // Set before anything is awaited, so that two calls at once rotate once.
    const periodMs = key.rotationPeriodMs;
    key.nextRotationMs =
      periodMs === undefined ? undefined : dueMs + periodMs * (Math.floor((nowMs - dueMs) / periodMs) + 1);
    key.primary = (await this.addVersion(key)).number;
    this.#transitions += 1;
  }
}

const isAsymmetric = ({ purpose }: AlgorithmEntry): boolean =>
  purpose === 'ASYMMETRIC_SIGN' || purpose === 'ASYMMETRIC_DECRYPT' || purpose === 'KEY_ENCAPSULATION';

/** An empty version with the next number of its key. */
export function newVersion(
  key: CryptoKey,
  { algorithm, createMs }: { readonly algorithm: AlgorithmEntry; readonly createMs: number },
): Version {
  key.lastNumber += 1;
  return {
    name: `${key.name}/cryptoKeyVersions/${key.lastNumber}`,
    number: key.lastNumber,
    algorithm,
    protectionLevel: key.protectionLevel,
    createMs,
    state: 'PENDING_GENERATION',
    material: undefined,
    pending: undefined,
    generateMs: undefined,
    destroyMs: undefined,
    destroyEventMs: undefined,
    imported: undefined,
    failureReason: '',
  };
}

async function generate(algorithm: AlgorithmEntry): Promise<PendingOutcome> {
  try {
    return { ok: true, material: await generateKeyMaterial(algorithm) };
  } catch (error) {
    return { ok: false, reason: error instanceof Error ? error.message : 'unknown' };
  }
}

function finish(version: Version, outcome: PendingOutcome, atMs: number): void {
  const importing = version.state === 'PENDING_IMPORT';
  version.pending = undefined;
  if (!outcome.ok) {
    version.state = importing ? 'IMPORT_FAILED' : 'GENERATION_FAILED';
    version.failureReason = outcome.reason;
    return;
  }
  version.state = 'ENABLED';
  version.material = outcome.material;
  version.failureReason = '';
  if (version.imported === undefined) version.generateMs = atMs;
  else
    version.imported = {
      job: version.imported.job,
      timeMs: atMs,
      fingerprint: fingerprintKeyMaterial(outcome.material),
    };
}

/** The material of a version that may be used. @throws RpcError FAILED_PRECONDITION for any other. */
export function usableMaterial(version: Version): KeyMaterial {
  if (version.state === 'ENABLED' && version.material !== undefined) return version.material;
  throw notEnabled(version);
}

function notEnabled(version: Version): RpcError {
  return new RpcError(
    'FAILED_PRECONDITION',
    `${version.name} is not enabled, current state is: ${version.state}.`,
    [
      {
        type: 'google.rpc.PreconditionFailure',
        value: {
          // As logged from the service: KEY_PENDING_GENERATION, KEY_DISABLED, KEY_DESTROY_SCHEDULED; clients wait on it.
          violations: [{ type: `KEY_${version.state}`, subject: version.name }],
        },
      },
    ],
  );
}

/** A state in which a request cannot be fulfilled. */
export function wrongState(version: Version): RpcError {
  const field = 'crypto_key_version.state';
  return new RpcError(
    'FAILED_PRECONDITION',
    `The request cannot be fulfilled. Resource ${version.name} has value ${version.state} in field ${field}.`,
    [
      {
        type: 'google.rpc.PreconditionFailure',
        value: {
          violations: [
            { type: version.state, subject: version.name, description: `${field} is ${version.state}` },
          ],
        },
      },
    ],
  );
}
