/**
 * Creates keys and key rings so that any number of processes may do it at once and a crash between two calls is made
 * good by the next one: what exists is adopted if it is what was asked for, and never silently used if it is not.
 */

import {
  AlreadyExistsError,
  KeyGenerationFailedError,
  NotFoundError,
  NoUsableVersionError,
} from '../errors/keys.js';
import { type CryptoKeyName, keyIdOf, keyVersion } from '../keys/resource-name.js';
import { jittered } from '../provider/jitter.js';
import { type CheckedKeySpec, requireSameSpec } from '../provider/key-spec.js';
import type { Operation } from '../provider/operation.js';
import type { KmsCore } from './core.js';
import { type KeyRecord, toVersionRecord, type VersionRecord } from './resources.js';
import { currentVersion, type KeySnapshot } from './version-resolver.js';

/** Key generation in an HSM takes about half a second; asking sooner costs reads for nothing. */
const FIRST_POLL_MS = 100;
const MAX_POLL_MS = 2_000;
const POLL_GROWTH = 1.6;

/** Makes sure that the key ring exists. Key rings cannot be deleted, so once is enough. */
export async function ensureKeyRing(core: KmsCore, operation: Operation): Promise<void> {
  const { keyRing, caller, config } = core;
  try {
    await caller.call(operation, {
      rpc: 'getKeyRing',
      request: { name: keyRing },
      routeBy: ['name', keyRing],
    });
    return;
  } catch (error) {
    if (!(error instanceof NotFoundError)) throw error;
  }
  const parent = `projects/${config.projectId}/locations/${config.locationId}`;
  try {
    await caller.call(operation, {
      rpc: 'createKeyRing',
      request: { parent, keyRingId: config.keyRingId, keyRing: {} },
      routeBy: ['parent', parent],
    });
  } catch (error) {
    // Another process was first.
    if (!(error instanceof AlreadyExistsError)) throw error;
  }
}

/** Creates the key or adopts the one that exists, and waits until it has a version that can be used. */
export async function ensureKey(
  core: KmsCore,
  operation: Operation,
  spec: CheckedKeySpec,
): Promise<KeySnapshot> {
  const existing = await findKey(core, operation, spec.key);
  const key = existing ?? (await createKey(core, operation, spec));
  requireSameSpec(
    operation.context(),
    { ...key, algorithm: await algorithmInUse(core, operation, key) },
    spec,
  );
  if (key.purpose !== 'ENCRYPT_DECRYPT') {
    await awaitFirstVersion(core, operation, key.name, existing === undefined ? 'created' : 'adopted');
  } else if (key.primary?.metadata.state !== 'ENABLED') {
    const problem =
      key.primary === undefined
        ? 'has no primary version'
        : `its primary version ${key.primary.number} is ${key.primary.metadata.state}`;
    throw new NoUsableVersionError(operation.context(), `the key exists and ${problem}.`);
  }
  return core.resolver.refresh(operation, key.name);
}

/** The key, if it exists. */
export async function findKey(
  core: KmsCore,
  operation: Operation,
  name: CryptoKeyName,
): Promise<KeyRecord | undefined> {
  try {
    return await core.reader.getKey(operation, name);
  } catch (error) {
    if (error instanceof NotFoundError) return undefined;
    throw error;
  }
}

/** Creates the key, or finds what another process created in the same moment. */
export async function createKey(
  core: KmsCore,
  operation: Operation,
  spec: CheckedKeySpec,
  initialVersion: 'generated' | 'none' = 'generated',
): Promise<KeyRecord> {
  try {
    await core.caller.call(operation, {
      rpc: 'createCryptoKey',
      request: {
        parent: core.keyRing,
        cryptoKeyId: keyIdOf(spec.key),
        cryptoKey: {
          purpose: spec.purpose,
          versionTemplate: { algorithm: spec.algorithm.name, protectionLevel: spec.protectionLevel },
          labels: { ...spec.labels },
          destroyScheduledDuration: { seconds: spec.destroyScheduledDurationSeconds },
        },
        skipInitialVersionCreation: initialVersion === 'none',
      },
      routeBy: ['parent', core.keyRing],
    });
  } catch (error) {
    // Another process was first, or an earlier attempt of this call was and its answer was lost.
    if (!(error instanceof AlreadyExistsError)) throw error;
  }
  return core.reader.getKey(operation, spec.key);
}

/**
 * A rotation may have moved the key to another algorithm, or be about to: what counts is the version in use. Only a key
 * without one is judged by what its new versions would be.
 */
export async function algorithmInUse(core: KmsCore, operation: Operation, key: KeyRecord): Promise<string> {
  if (key.purpose === 'ENCRYPT_DECRYPT') return key.algorithm;
  const versions = await core.reader.listVersions(operation, key.name);
  return currentVersion(key, versions)?.metadata.algorithm ?? key.algorithm;
}

/**
 * Waits until the key has an ENABLED version. A key that a crash left without a version, or whose generation or import failed
 * in an earlier call, gets a new one; a key whose versions were all disabled or destroyed on purpose does not.
 */
async function awaitFirstVersion(
  core: KmsCore,
  operation: Operation,
  key: CryptoKeyName,
  origin: 'created' | 'adopted',
): Promise<void> {
  const found = await core.reader.listVersions(operation, key);
  const isEnabled = ({ metadata }: VersionRecord): boolean => metadata.state === 'ENABLED';
  if (found.some(isEnabled)) return;
  const pending = found.find(({ metadata }) => metadata.state === 'PENDING_GENERATION');
  if (pending !== undefined) {
    await awaitGeneration(core, operation, key, pending);
    return;
  }
  const versions: VersionRecord[] = [];
  for (const version of found) versions.push(await awaitOutcome(core, operation, key, version));
  if (versions.some(isEnabled)) return;
  if (versions.every(hasFailed)) {
    const [failed] = versions;
    if (origin === 'created' && failed !== undefined) {
      throw new KeyGenerationFailedError(operation.context(), failed.metadata.failureReason ?? '');
    }
    const created = await createVersion(core, operation, key, versions);
    await awaitGeneration(core, operation, key, created);
    return;
  }
  throw new NoUsableVersionError(operation.context(), 'the key exists, and none of its versions is ENABLED.');
}

/** Whether it never had key material. */
const hasFailed = ({ metadata: { state } }: VersionRecord): boolean =>
  state === 'GENERATION_FAILED' || state === 'IMPORT_FAILED';

/**
 * Creates a version. The call is not repeated blindly: after a failure that leaves open whether it happened, a version
 * that was not there before is taken as the one.
 */
export async function createVersion(
  core: KmsCore,
  operation: Operation,
  key: CryptoKeyName,
  before: readonly VersionRecord[],
): Promise<VersionRecord> {
  const newest = before.reduce((max, version) => Math.max(max, version.number), 0);
  for (;;) {
    const outcome = await core.caller.callCarefully(operation, {
      rpc: 'createCryptoKeyVersion',
      request: { parent: key, cryptoKeyVersion: {} },
      routeBy: ['parent', key],
    });
    if (outcome.kind === 'done') return toVersionRecord(outcome.response, { key }, operation.context());
    const created = (await core.reader.listVersions(operation, key)).find(
      (version) => version.number > newest,
    );
    if (created !== undefined) return created;
  }
}

/**
 * Waits until the version leaves PENDING_GENERATION, asking less and less often, as long as the operation may take.
 * @throws KeyGenerationFailedError with the reason that Cloud KMS gives.
 */
async function awaitGeneration(
  core: KmsCore,
  operation: Operation,
  key: CryptoKeyName,
  created: VersionRecord,
): Promise<VersionRecord> {
  const version = await awaitOutcome(core, operation, key, created);
  if (version.metadata.state === 'GENERATION_FAILED') {
    throw new KeyGenerationFailedError(operation.context(), version.metadata.failureReason ?? '');
  }
  return version;
}

/** As `awaitGeneration`, whatever comes of it; for imports too. */
export async function awaitOutcome(
  core: KmsCore,
  operation: Operation,
  key: CryptoKeyName,
  created: VersionRecord,
): Promise<VersionRecord> {
  let version = created;
  for (
    let delayMs = FIRST_POLL_MS;
    version.metadata.state === 'PENDING_GENERATION' || version.metadata.state === 'PENDING_IMPORT';
    delayMs = Math.min(MAX_POLL_MS, delayMs * POLL_GROWTH)
  ) {
    operation.waitsFor = `version ${version.number} was still ${version.metadata.state}`;
    await operation.delay(jittered(delayMs));
    version = await core.reader.getVersion(operation, key, keyVersion(key, version.number));
  }
  operation.waitsFor = undefined;
  return version;
}
