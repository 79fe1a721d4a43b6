/**
 * The end of migrated software keys: their private keys are deleted when the retention is over and somebody calls for it.
 * Nothing is deleted whose signatures could not be verified afterwards, whose agent has no HSM key in use, or that decrypts
 * what the HSM key could not.
 */

import { A2AKmsError } from '../errors/base.js';
import { agentOfLabels } from '../keys/agent-key-name.js';
import type { CallOptions } from '../keys/call-options.js';
import type { KeyMetadata } from '../keys/key-provider.js';
import { missingVersions } from './encryption-versions.js';
import type { MigrationServices } from './migrate-key.js';
import type { PurgeReport } from './migration-report.js';
import { standingOf } from './standing.js';

const DAY_MS = 86_400_000;

/** States in which a version still has its private key. */
const WITH_MATERIAL: readonly string[] = ['ENABLED', 'DISABLED', 'DESTROY_SCHEDULED'];

const WITHOUT_SUCCESSOR = 'the HSM key in its place has no version that could be used.';

export async function purgeKeys(
  services: MigrationServices,
  purge: { readonly retentionDays: number; readonly mode: 'list' | 'delete' },
  options: CallOptions,
): Promise<readonly PurgeReport[]> {
  const keys = (await services.software.listKeys(options)).toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const reports: PurgeReport[] = [];
  for (const key of keys) {
    const report = await purgeKey(services, key, { ...purge, options });
    if (report !== undefined) reports.push(report);
  }
  return reports;
}

/** Undefined for a key that is no migrated agent's, or is purged already. */
async function purgeKey(
  services: MigrationServices,
  key: KeyMetadata,
  purge: {
    readonly retentionDays: number;
    readonly mode: 'list' | 'delete';
    readonly options: CallOptions;
  },
): Promise<PurgeReport | undefined> {
  const { software, now } = services;
  const { retentionDays, mode, options } = purge;
  const standing = standingOf(key);
  const owner = agentOfLabels(key.labels);
  if (standing.kind !== 'migrated' || owner === undefined) return undefined;
  const versions = (await software.listKeyVersions(key.name, options)).filter(({ state }) =>
    WITH_MATERIAL.includes(state),
  );
  if (versions.length === 0) return undefined;
  const retainedUntil = new Date(standing.migratedTime.getTime() + retentionDays * DAY_MS);
  const keyVersions = versions.map(({ name }) => name);
  const common = { ...owner, keyName: key.name, keyVersions, retainedUntil };
  if (now() < retainedUntil.getTime()) {
    return { ...common, outcome: 'retained', reason: `it is kept until ${retainedUntil.toISOString()}.` };
  }
  try {
    const hsmKey = await services.hsm.getKey(key.name, options);
    if (hsmKey.primary === undefined) return { ...common, outcome: 'retained', reason: WITHOUT_SUCCESSOR };
    await services.archived.exportKey(software, key.name, options);
    const lost = owner.role === 'encryption' ? await missingVersions(services, key.name, options) : [];
    if (lost.length > 0) {
      const reason = `what was encrypted to ${lost.map(({ name }) => name).join(', ')} would be lost: the HSM key does not have that key. Call migrateAgent(${JSON.stringify(owner.agentId)}, { strategy: 'import' }).`;
      return { ...common, outcome: 'retained', reason };
    }
    if (mode === 'list') return { ...common, outcome: 'would-purge' };
    for (const { name } of versions) await software.purgeKeyVersion(name, options);
    return { ...common, outcome: 'purged' };
  } catch (error) {
    if (!(error instanceof A2AKmsError)) throw error;
    return { ...common, outcome: 'failed', reason: error.message };
  }
}
