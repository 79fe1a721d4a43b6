/**
 * The versions of an agent's encryption key, and whether the HSM has them all. What was encrypted to a version is lost with
 * its private key, so each ENABLED one moves: also those that a rollback made, for a key that was migrated before, and
 * those of a software key that stood in for a key that was born in the HSM. They come in beside the version in use.
 */

import { createPublicKey } from 'node:crypto';
import type { ErrorContext } from '../errors/base.js';
import { MigrationPhaseError } from '../errors/migration.js';
import type { DecryptionAlgorithm } from '../keys/algorithm-types.js';
import { findAlgorithm } from '../keys/algorithms.js';
import type { CallOptions } from '../keys/call-options.js';
import type { KeyMetadata, KeyProvider, KeySpec, KeyVersionMetadata } from '../keys/key-provider.js';
import type { MigrationServices } from './migrate-key.js';

/** A version of a software key that decrypts. */
interface EncryptionVersion {
  /** Full name. */
  readonly name: string;
  readonly algorithm: DecryptionAlgorithm;
}

/** The ENABLED versions of a software encryption key whose keys the HSM key does not have and never had. */
export async function missingVersions(
  services: Pick<MigrationServices, 'hsm' | 'software' | 'archived'>,
  keyName: string,
  options: CallOptions,
): Promise<readonly EncryptionVersion[]> {
  const { hsm, software, archived } = services;
  const known = new Set<string>();
  for (const { name, state } of await hsm.listKeyVersions(keyName, options)) {
    const pem = state === 'ENABLED' ? await hsm.getPublicKey(name, options) : await archived.publicKey(name);
    if (pem !== undefined) known.add(spkiOf(pem));
  }
  const missing: EncryptionVersion[] = [];
  for (const { name, state, algorithm } of await software.listKeyVersions(keyName, options)) {
    const entry = findAlgorithm(algorithm);
    if (state !== 'ENABLED' || entry?.purpose !== 'ASYMMETRIC_DECRYPT') continue;
    const isKnown = known.has(spkiOf(await software.getPublicKey(name, options)));
    if (!isKnown) missing.push({ name, algorithm: entry.name });
  }
  return missing;
}

/** Imports what the HSM key lacks. The version in use stays; those that came in decrypt. */
export async function importMissing(
  services: MigrationServices,
  context: ErrorContext,
  spec: KeySpec,
  options: CallOptions,
): Promise<void> {
  const { software, hsm, archived } = services;
  const missing = await missingVersions(services, spec.name, options);
  if (missing.length === 0) return;
  const importer = requireImporter(services, context);
  for (const { name, algorithm } of missing) {
    await software.withPrivateKey(
      name,
      (pkcs8) => importer.importKeyVersion({ ...spec, algorithm }, pkcs8, options),
      options,
    );
  }
  await archived.exportKey(hsm, spec.name, options);
}

/** Whether the version in use was made in the HSM, so that it is not one that an interrupted migration has left. */
export async function isBornInHsm(
  hsm: KeyProvider,
  { name, primary }: KeyMetadata,
  options: CallOptions,
): Promise<boolean> {
  const isInUse = (version: KeyVersionMetadata): boolean => version.name === primary;
  const inUse = (await hsm.listKeyVersions(name, options)).find(isInUse);
  return inUse !== undefined && inUse.importJob === undefined;
}

/** @throws MigrationPhaseError where the HSM keys are in a place that cannot import. */
export function requireImporter(
  { importer }: MigrationServices,
  context: ErrorContext,
): NonNullable<MigrationServices['importer']> {
  if (importer !== undefined) return importer;
  throw new MigrationPhaseError(
    context,
    'keys cannot be imported where HSM keys are kept in more than one key ring.',
    'Use the strategy "regenerate".',
  );
}

/** One spelling of a public key, whoever wrote the PEM. */
const spkiOf = (pem: Buffer): string =>
  createPublicKey(pem).export({ type: 'spki', format: 'pem' }).toString();
