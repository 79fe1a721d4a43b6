/**
 * Brings a private key that was made elsewhere into Cloud KMS. Any step may be repeated, by any process: an existing key
 * is adopted if it holds the same material, and is never taken for it otherwise. The material is in this process only as
 * the caller's buffer and a copy that is wiped, and leaves it only wrapped for the import job.
 */

import { createPrivateKey, createPublicKey } from 'node:crypto';
import type { ErrorContext } from '../errors/base.js';
import { InvalidArgumentError, KeySpecMismatchError } from '../errors/input.js';
import { KeyImportFailedError, NoUsableVersionError } from '../errors/keys.js';
import { IntegrityError } from '../errors/service.js';
import type { CryptoKeyName } from '../keys/resource-name.js';
import { wasActivated, withTimes } from '../keys/version-history.js';
import { type CheckedKeySpec, requireSameSpec } from '../provider/key-spec.js';
import type { Operation } from '../provider/operation.js';
import type { KmsCore } from './core.js';
import { activeImportJob } from './import-job.js';
import { wrapForImport } from './import-wrapping.js';
import { algorithmInUse, awaitOutcome, createKey, findKey } from './key-creation.js';
import { changeLabels } from './labels.js';
import { holdPrimary } from './primary.js';
import { isOfType } from './public-keys.js';
import { toVersionRecord, type VersionRecord } from './resources.js';
import { readRotationState } from './rotation-state.js';
import type { KeySnapshot } from './version-resolver.js';

/** Works on a copy of a private key, which is there before this returns and is wiped when the work is over. */
export async function withCopy<T>(pkcs8: Uint8Array, work: (copy: Uint8Array) => Promise<T>): Promise<T> {
  // What is not bytes is for the work to refuse.
  if (!(pkcs8 instanceof Uint8Array)) return work(pkcs8);
  const copy = Uint8Array.from(pkcs8);
  try {
    return await work(copy);
  } finally {
    copy.fill(0);
  }
}

/** A private key, and what tells it from others. */
export interface ImportMaterial {
  /** PKCS#8 DER. */
  readonly pkcs8: Uint8Array;
  /** Its public key as PEM, in node's own rendering. */
  readonly publicKeyPem: string;
}

/**
 * Checks that the bytes are a private key for the algorithm.
 * @throws InvalidArgumentError before any call.
 */
export function checkPrivateKey(
  spec: CheckedKeySpec,
  pkcs8: Uint8Array,
  context: ErrorContext,
): ImportMaterial {
  const { algorithm } = spec;
  if (!('key' in algorithm) || algorithm.key.kind === 'pqc') {
    throw new InvalidArgumentError(context, `keys of ${algorithm.name} cannot be imported by this library.`);
  }
  const bytes = Buffer.from(pkcs8.buffer, pkcs8.byteOffset, pkcs8.byteLength);
  const { key: type } = algorithm;
  // What node says of a key that it cannot read may quote it, so it is not kept as the cause.
  const publicKey = publicKeyOf(bytes);
  if (publicKey === undefined || !isOfType(publicKey, type)) {
    throw new InvalidArgumentError(
      context,
      `pkcs8 is not a private key for ${algorithm.name} in PKCS#8 DER without a passphrase.`,
    );
  }
  return { pkcs8, publicKeyPem: publicKey.export({ type: 'spki', format: 'pem' }).toString() };
}

function publicKeyOf(pkcs8: Buffer): ReturnType<typeof createPublicKey> | undefined {
  try {
    return createPublicKey(createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' }));
  } catch {
    return undefined;
  }
}

/** Imports the key, or adopts the one that exists if it holds the same material and no other. */
export async function ensureImported(
  core: KmsCore,
  operation: Operation,
  spec: CheckedKeySpec,
  material: ImportMaterial,
): Promise<KeySnapshot> {
  const key = await ensureKey(core, operation, spec);
  const algorithm = await algorithmInUse(core, operation, key);
  requireSameSpec(operation.context(), { ...key, algorithm }, spec);
  const versions = await settledVersions(core, operation, spec);
  const known = await findImported(core, operation, spec, { material, versions });
  if (known === undefined) {
    requireImportable(operation, versions);
    await importVersion(core, operation, spec, { material, versions });
  }
  return core.resolver.refresh(operation, key.name);
}

/**
 * As `ensureImported`, beside other versions where the key has some: they stay as they are, also in their algorithm, and so
 * does the one in use. A version that came in beside it is no new one that a rotation could lead to, or dispose of.
 */
export async function ensureImportedVersion(
  core: KmsCore,
  operation: Operation,
  spec: CheckedKeySpec,
  material: ImportMaterial,
): Promise<VersionRecord> {
  const key = await ensureKey(core, operation, spec);
  requireSameSpec(operation.context(), { ...key, algorithm: spec.algorithm.name }, spec);
  const versions = await settledVersions(core, operation, spec);
  const known = await findImported(core, operation, spec, { material, versions });
  const before = await readRotationState(core, operation, spec.key);
  if (known === undefined) await holdPrimary(core, operation, before);
  const version = known ?? (await importVersion(core, operation, spec, { material, versions }));
  await keepFromRotations(core, operation, spec.key, version);
  await core.resolver.refresh(operation, key.name);
  return version;
}

async function keepFromRotations(
  core: KmsCore,
  operation: Operation,
  key: CryptoKeyName,
  version: VersionRecord,
): Promise<void> {
  const { candidates } = await readRotationState(core, operation, key);
  if (candidates.every(({ number }) => number !== version.number)) return;
  const replacedTime = new Date(core.config.clock.now());
  await changeLabels(core, operation, key, ({ labels }) =>
    wasActivated(labels, version.number) ? labels : withTimes(labels, version.number, { replacedTime }),
  );
}

/** Not an import-only key: it can be rotated to a key that is born in the HSM, which is the way out of an imported one. */
async function ensureKey(
  core: KmsCore,
  operation: Operation,
  spec: CheckedKeySpec,
): ReturnType<typeof createKey> {
  return (await findKey(core, operation, spec.key)) ?? createKey(core, operation, spec, 'none');
}

async function settledVersions(
  core: KmsCore,
  operation: Operation,
  spec: CheckedKeySpec,
): Promise<readonly VersionRecord[]> {
  const versions = await core.reader.listVersions(operation, spec.key);
  return Promise.all(versions.map((version) => awaitOutcome(core, operation, spec.key, version)));
}

interface Versions {
  readonly material: ImportMaterial;
  readonly versions: readonly VersionRecord[];
}

/** The version that holds the material already. */
async function findImported(
  core: KmsCore,
  operation: Operation,
  spec: CheckedKeySpec,
  { material, versions }: Versions,
): Promise<VersionRecord | undefined> {
  const candidates = versions.filter(
    ({ metadata }) => metadata.state === 'ENABLED' && metadata.algorithm === spec.algorithm.name,
  );
  for (const version of candidates) {
    if ((await publicKeyPem(core, operation, spec, version)) === material.publicKeyPem) return version;
  }
  return undefined;
}

/** Material goes into a key without any only, or in place of an import that failed. */
function requireImportable(operation: Operation, versions: readonly VersionRecord[]): void {
  if (versions.some(({ metadata }) => metadata.state === 'ENABLED')) {
    throw new KeySpecMismatchError(operation.context(), [
      { field: 'key material', expected: 'the key to import', actual: 'another one' },
    ]);
  }
  if (versions.some(({ metadata }) => metadata.state !== 'IMPORT_FAILED')) {
    throw new NoUsableVersionError(
      operation.context(),
      'the key exists, and none of its versions is ENABLED.',
    );
  }
}

/**
 * Imports into a new version, or once more into one whose import failed. The call is not repeated blindly: after a failure
 * that leaves open whether it happened, the versions are looked at first.
 */
async function importVersion(
  core: KmsCore,
  operation: Operation,
  spec: CheckedKeySpec,
  { material, versions }: Versions,
): Promise<VersionRecord> {
  const job = await activeImportJob(core, operation, spec.protectionLevel);
  const wrappedKey = wrapForImport(job.wrappingKey, material.pkcs8);
  const retried = versions.find(
    ({ metadata }) => metadata.state === 'IMPORT_FAILED' && metadata.algorithm === spec.algorithm.name,
  );
  const newest = versions.reduce((max, version) => Math.max(max, version.number), 0);
  for (;;) {
    const outcome = await core.caller.callCarefully(operation, {
      rpc: 'importCryptoKeyVersion',
      request: {
        parent: spec.key,
        algorithm: spec.algorithm.name,
        importJob: job.name,
        wrappedKey,
        ...(retried && { cryptoKeyVersion: retried.name }),
      },
      routeBy: ['parent', spec.key],
    });
    if (outcome.kind === 'done') {
      const started = toVersionRecord(outcome.response, { key: spec.key }, operation.context());
      return awaitImport(core, operation, spec, { material, started });
    }
    const started = (await core.reader.listVersions(operation, spec.key)).find(
      ({ name, number, metadata }) =>
        retried === undefined ? number > newest : name === retried.name && metadata.state !== 'IMPORT_FAILED',
    );
    if (started !== undefined) return awaitImport(core, operation, spec, { material, started });
  }
}

async function awaitImport(
  core: KmsCore,
  operation: Operation,
  spec: CheckedKeySpec,
  { material, started }: { readonly material: ImportMaterial; readonly started: VersionRecord },
): Promise<VersionRecord> {
  const version = await awaitOutcome(core, operation, spec.key, started);
  if (version.metadata.state === 'IMPORT_FAILED') {
    throw new KeyImportFailedError(operation.context(), version.metadata.failureReason ?? '');
  }
  if ((await publicKeyPem(core, operation, spec, version)) !== material.publicKeyPem) {
    throw new IntegrityError(operation.context(), 'the public key of the imported version is another one');
  }
  return version;
}

/** The public key of a version of the algorithm asked for, in node's own rendering. */
async function publicKeyPem(
  core: KmsCore,
  operation: Operation,
  spec: CheckedKeySpec,
  version: VersionRecord,
): Promise<string> {
  const { key, algorithm, protectionLevel } = spec;
  const { name, number } = version;
  const { pem } = await core.publicKeys.get(operation, { name, number, key, algorithm, protectionLevel });
  return createPublicKey(pem).export({ type: 'spki', format: 'pem' }).toString();
}
