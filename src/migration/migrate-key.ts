/**
 * One key from the software store into the HSM. Every step may be repeated, by any process: public keys to the archive, the
 * HSM key, its public key to the archive, the handover, and last the label that has the HSM key sign from then on. Up to
 * that label the software key signs as before.
 */

import type { ErrorContext } from '../errors/base.js';
import { UnsupportedAlgorithmError } from '../errors/input.js';
import { NotFoundError, NoUsableVersionError } from '../errors/keys.js';
import { MigrationPhaseError } from '../errors/migration.js';
import { findJoseAlgorithm } from '../identity/jose-algorithm.js';
import { parsePublicKey } from '../identity/jwk.js';
import type { AgentKeyRole } from '../keys/agent-key-name.js';
import type { KeyAlgorithm, SigningAlgorithm } from '../keys/algorithm-types.js';
import { algorithmsOf, findAlgorithm } from '../keys/algorithms.js';
import type { CallOptions } from '../keys/call-options.js';
import type { KeyMetadata, KeyProvider, KeySpec, KeyVersionMetadata } from '../keys/key-provider.js';
import { isHistoryLabel } from '../keys/version-history.js';
import type { ArchivedKeys } from './archived-keys.js';
import { importMissing, isBornInHsm, requireImporter } from './encryption-versions.js';
import { type HandoverParty, issueHandover } from './handover.js';
import type { MigratedKey } from './migration-report.js';
import type { SoftwareKeys } from './software-keys.js';
import { MIGRATED_LABEL, type MigrationStrategy, migratedLabels, STANDBY_LABEL } from './standing.js';

/** A provider that takes in private keys that were made elsewhere. */
export interface KeyImporter {
  importKey(spec: KeySpec, pkcs8: Uint8Array, options?: CallOptions): Promise<KeyMetadata>;
  /** Beside the versions that the key has. */
  importKeyVersion(spec: KeySpec, pkcs8: Uint8Array, options?: CallOptions): Promise<KeyVersionMetadata>;
}

export interface MigrationServices {
  readonly hsm: KeyProvider;
  /** Absent where the HSM keys are in a place that cannot import. */
  readonly importer: KeyImporter | undefined;
  /**
   * Present where statements of the HSM are required: throws for a version without a valid one, which no imported version
   * has, so that nothing is handed over to a key that would be refused from then on.
   */
  readonly requireAttested: ((keyVersion: string, options: CallOptions) => Promise<void>) | undefined;
  readonly software: SoftwareKeys;
  readonly archived: ArchivedKeys;
  /** Of a new signing key where the HSM has no key of the old one's algorithm. */
  readonly defaultAlgorithm: SigningAlgorithm;
  readonly now: () => number;
}

/** A key to migrate. */
export interface KeyToMigrate {
  readonly agentId: string;
  readonly role: AgentKeyRole;
  /** The software key as it was just read. */
  readonly key: KeyMetadata;
}

/** What would be done with a key, found out without changing anything. */
interface Plan {
  readonly strategy: MigrationStrategy;
  readonly algorithm: KeyAlgorithm;
  /** The version of the software key in use. */
  readonly from: string;
}

const strategyFor = (role: AgentKeyRole, wish: MigrationStrategy): MigrationStrategy =>
  role === 'encryption' ? 'import' : wish;

/** @throws MigrationPhaseError for a key that would have to be imported where imported keys are refused. */
export function requireImportable(
  { requireAttested }: MigrationServices,
  context: ErrorContext,
  { role, strategy }: { readonly role: AgentKeyRole; readonly strategy: MigrationStrategy },
): void {
  if (requireAttested === undefined || strategyFor(role, strategy) !== 'import') return;
  throw new MigrationPhaseError(
    context,
    `the ${role} key would be imported, and requireAttestation refuses imported keys.`,
    role === 'signing'
      ? 'Use the strategy "regenerate".'
      : 'An encryption key can only be imported, so that what was encrypted to it stays readable. Migrate without requireAttestation.',
  );
}

/** @throws UnsupportedAlgorithmError, NoUsableVersionError, MigrationPhaseError or AttestationFailedError when it cannot be done. */
export async function planKey(
  services: MigrationServices,
  context: ErrorContext,
  wish: KeyToMigrate & { readonly strategy: MigrationStrategy },
  options: CallOptions,
): Promise<Plan> {
  const { role, key } = wish;
  const strategy = strategyFor(role, wish.strategy);
  requireImportable(services, context, wish);
  if (key.primary === undefined) {
    throw new NoUsableVersionError(context, 'the software key has no version that could be migrated.');
  }
  if (strategy === 'import') requireImporter(services, context);
  const existing = strategy === 'regenerate' ? await findKey(services.hsm, key.name, options) : undefined;
  // An earlier run may have imported it.
  if (existing?.primary !== undefined) await services.requireAttested?.(existing.primary, options);
  const old = findAlgorithm(key.algorithm);
  const inHsm = old?.protectionLevels.includes('HSM') ? old.name : undefined;
  const algorithm =
    findAlgorithm(existing?.algorithm ?? '')?.name ??
    (strategy === 'import' ? inHsm : (inHsm ?? services.defaultAlgorithm));
  if (algorithm === undefined) {
    throw new UnsupportedAlgorithmError(
      context,
      `there are no HSM keys of ${key.algorithm}, so the key cannot be imported; the strategy "regenerate" makes a new one.`,
      algorithmsOf('ASYMMETRIC_SIGN', 'HSM'),
    );
  }
  const withoutName = [key.algorithm, algorithm].find((name) => findJoseAlgorithm(name) === undefined);
  if (strategy === 'regenerate' && withoutName !== undefined) {
    throw new UnsupportedAlgorithmError(
      context,
      `JOSE has no name for ${withoutName}, so no handover could be signed; the strategy "import" moves the same key.`,
      algorithmsOf('ASYMMETRIC_SIGN', 'HSM'),
    );
  }
  return { strategy, algorithm, from: key.primary };
}

/** Migrates a key, from wherever an earlier run has left it. */
export async function migrateKey(
  services: MigrationServices,
  context: ErrorContext,
  wish: KeyToMigrate & { readonly strategy: MigrationStrategy },
  options: CallOptions,
): Promise<MigratedKey> {
  const { hsm, software, archived, now } = services;
  const { role, key } = wish;
  const { name } = key;
  const plan = await planKey(services, context, wish, options);
  await archived.exportKey(software, name, options);
  const spec = hsmSpecOf(key, plan.algorithm);
  const hsmKey = await ensureHsmKey(services, context, { plan, key, spec }, options);
  if (hsmKey.primary !== undefined) await services.requireAttested?.(hsmKey.primary, options);
  await archived.exportKey(hsm, name, options);
  const timeMs = Math.floor(now() / 1_000) * 1_000;
  const migratedTime = new Date(timeMs);
  const handover =
    plan.strategy === 'regenerate'
      ? await handOver(services, context, { ...wish, hsmKey, migratedTime }, options)
      : undefined;
  // A run that was to make a new key may find the old one imported by an earlier run: what counts is what is there.
  const strategy = handover === undefined ? 'import' : plan.strategy;
  await software.updateLabels(name, migratedLabels(timeMs, strategy), options);
  // Another process may have rotated the software key while this one was at it; from the label on none does.
  if (role === 'encryption') await importMissing(services, context, spec, options);
  const { algorithm, primary: to } = hsmKey;
  return {
    ...{ keyName: name, role, strategy, algorithm, from: plan.from, to, migratedTime },
    ...(handover !== undefined && { handover }),
  };
}

/** A key that was migrated before; with its handover signed once more if asked to, as long as the old key is there. */
export async function describeMigrated(
  services: MigrationServices,
  context: ErrorContext,
  migrated: KeyToMigrate & {
    readonly migratedTime: Date;
    readonly strategy: MigrationStrategy;
    readonly handover: 'again' | 'left-out';
  },
  options: CallOptions,
): Promise<MigratedKey> {
  const { agentId, role, key, migratedTime, strategy } = migrated;
  const hsmKey = await services.hsm.getKey(key.name, options);
  const handover =
    migrated.handover === 'again' && strategy === 'regenerate' && key.primary !== undefined
      ? await handOver(services, context, { agentId, role, key, hsmKey, migratedTime }, options)
      : undefined;
  const { algorithm, primary: to } = hsmKey;
  return {
    ...{ keyName: key.name, role, strategy, algorithm, from: key.primary, to, migratedTime },
    ...(handover !== undefined && { handover }),
  };
}

/** The HSM key in the place of a software key. */
export function hsmSpecOf(key: KeyMetadata, algorithm: KeyAlgorithm): KeySpec {
  const purpose = findAlgorithm(algorithm)?.purpose;
  return {
    name: key.name,
    purpose: purpose === 'ASYMMETRIC_DECRYPT' ? 'ASYMMETRIC_DECRYPT' : 'ASYMMETRIC_SIGN',
    algorithm,
    protectionLevel: 'HSM',
    labels: carriedLabels(key),
    destroyScheduledDurationSeconds: key.destroyScheduledDurationSeconds,
  };
}

async function ensureHsmKey(
  services: MigrationServices,
  context: ErrorContext,
  wish: { readonly plan: Plan; readonly key: KeyMetadata; readonly spec: KeySpec },
  options: CallOptions,
): Promise<KeyMetadata> {
  const { hsm, software } = services;
  const { plan, key, spec } = wish;
  if (plan.strategy === 'regenerate') return hsm.generateKey(spec, options);
  const importer = requireImporter(services, context);
  if (spec.purpose === 'ASYMMETRIC_DECRYPT') {
    const existing = await findKey(hsm, key.name, options);
    if (existing !== undefined && (await isBornInHsm(hsm, existing, options))) {
      await importMissing(services, context, spec, options);
      return existing;
    }
  }
  const others =
    spec.purpose === 'ASYMMETRIC_DECRYPT' ? await otherVersions(software, key.name, { plan, options }) : [];
  if (others.length === 0) {
    return software.withPrivateKey(plan.from, (pkcs8) => importer.importKey(spec, pkcs8, options), options);
  }
  const importVersion = (from: string, algorithm: string): Promise<KeyVersionMetadata> =>
    software.withPrivateKey(
      from,
      (pkcs8) =>
        importer.importKeyVersion(
          { ...spec, algorithm: findAlgorithm(algorithm)?.name ?? spec.algorithm },
          pkcs8,
          options,
        ),
      options,
    );
  for (const { name, algorithm } of others) await importVersion(name, algorithm);
  // The last, so that it is the newest; and by name, should another process have imported an older one after it.
  const inUse = await importVersion(plan.from, plan.algorithm);
  return hsm.setPrimaryVersion(key.name, inUse.name, options);
}

/** The versions beside the one in use: what was encrypted to them before has to be decrypted yet. */
async function otherVersions(
  software: SoftwareKeys,
  keyName: string,
  { plan, options }: { readonly plan: Plan; readonly options: CallOptions },
): Promise<readonly KeyVersionMetadata[]> {
  const versions = await software.listKeyVersions(keyName, options);
  return versions.filter(({ name, state }) => state === 'ENABLED' && name !== plan.from);
}

/** Whose key it is, its rotation policy, when it was last used, and the owner's own labels; not the history of versions. */
function carriedLabels({ labels }: KeyMetadata): Record<string, string> {
  return Object.fromEntries(
    Object.entries(labels).filter(
      ([label]) => !isHistoryLabel(label) && label !== MIGRATED_LABEL && label !== STANDBY_LABEL,
    ),
  );
}

/** Undefined where both keys are one. */
async function handOver(
  services: MigrationServices,
  context: ErrorContext,
  move: KeyToMigrate & { readonly hsmKey: KeyMetadata; readonly migratedTime: Date },
  options: CallOptions,
): Promise<string | undefined> {
  const { agentId, key, hsmKey, migratedTime: issuedAt } = move;
  const from = await partyOf(services.software, context, key, options);
  const to = await partyOf(services.hsm, context, hsmKey, options);
  if (from.key.thumbprint === to.key.thumbprint) return undefined;
  return issueHandover({ agentId, from, to, issuedAt, ...options });
}

async function partyOf(
  signer: KeyProvider,
  context: ErrorContext,
  { primary: keyVersion, algorithm }: KeyMetadata,
  options: CallOptions,
): Promise<HandoverParty> {
  const keyAlgorithm = findAlgorithm(algorithm)?.name;
  if (keyVersion === undefined || keyAlgorithm === undefined) {
    throw new NoUsableVersionError(context, 'the key has no version in use that could sign the handover.');
  }
  const pem = await signer.getPublicKey(keyVersion, options);
  return { signer, keyVersion, key: parsePublicKey(context, pem, { keyAlgorithm }) };
}

/** The key, if it exists. */
export async function findKey(
  provider: KeyProvider,
  name: string,
  options?: CallOptions,
): Promise<KeyMetadata | undefined> {
  try {
    return await provider.getKey(name, options);
  } catch (error) {
    if (error instanceof NotFoundError) return undefined;
    throw error;
  }
}
