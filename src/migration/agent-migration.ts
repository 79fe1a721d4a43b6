/**
 * `AgentMigration`: agents from software keys to HSM keys. What was done is in the software store and in the key ring, so a
 * run that ended half-way, in this process or another, is taken up by calling again.
 */

import { mapBounded } from '../bounded.js';
import type { KeySource } from '../config/flags.js';
import { A2AKmsError, type ErrorContext } from '../errors/base.js';
import { AgentKeyNotFoundError } from '../errors/keys.js';
import { MigrationPhaseError } from '../errors/migration.js';
import { ownerOf, requireAgentId } from '../hierarchy/agent-keys.js';
import {
  type AgentId,
  type AgentKeyRole,
  agentContext,
  agentKeyId,
  agentOfLabels,
} from '../keys/agent-key-name.js';
import { findAlgorithm } from '../keys/algorithms.js';
import type { CallOptions } from '../keys/call-options.js';
import type { KeyMetadata, KeyProvider } from '../keys/key-provider.js';
import { importMissing } from './encryption-versions.js';
import {
  describeMigrated,
  findKey,
  hsmSpecOf,
  type KeyToMigrate,
  type MigrationServices,
  migrateKey,
  planKey,
  requireImportable,
} from './migrate-key.js';
import { parseMigrateAgent, parseMigrateAll, parsePurge } from './migration-input.js';
import type {
  AgentMigrationReport,
  AgentMigration as AgentMigrationResult,
  MigrateAgentOptions,
  MigrateAllAgentsOptions,
  MigratedKey,
  MigrationReport,
  PurgeMigratedKeysOptions,
  PurgeReport,
} from './migration-report.js';
import { purgeKeys } from './purge.js';
import { type Remains, remainsOf } from './remains.js';
import type { SoftwareKeys } from './software-keys.js';
import { type MigrationStrategy, standingOf } from './standing.js';

const ROLES = ['signing', 'encryption'] as const satisfies readonly AgentKeyRole[];

export interface AgentMigrationOptions {
  /** The key with that id, if HSM keys are switched off and the archive has public keys of it. */
  readonly archivedKeyName?: ((keyId: string) => Promise<string | undefined>) | undefined;
  /** Only where HSM keys and the software store are both open. */
  readonly services: MigrationServices | undefined;
  readonly source: Pick<KeySource<unknown>, 'kind'> & {
    readonly phase?: number;
    readonly retentionDays?: number;
    readonly softwareKeys?: 'allowed' | 'forbidden';
  };
}

export class AgentMigration {
  readonly #services: MigrationServices | undefined;
  readonly #source: AgentMigrationOptions['source'];

  readonly #archivedKeyName: AgentMigrationOptions['archivedKeyName'];

  constructor(options: AgentMigrationOptions) {
    this.#archivedKeyName = options.archivedKeyName;
    this.#services = options.services;
    this.#source = options.source;
  }

  /** Migrates the keys of one agent; what was migrated before is left as it is. */
  async migrateAgent(agentId: string, options: MigrateAgentOptions): Promise<AgentMigrationResult> {
    const context = agentContext('migrateAgent', agentId);
    const { strategy, dryRun, ...callOptions } = parseMigrateAgent(context, options);
    const agent = requireAgentId(context, agentId);
    const services = this.#open(context, dryRun ? undefined : strategy);
    const keys: KeyToMigrate[] = [];
    for (const role of ROLES) {
      const key = await findKey(services.software, agentKeyId(agent, role), callOptions);
      if (key === undefined || ownerOf(key, role) !== agent) continue;
      if ((await toDoWith(services.software, key, callOptions)) !== 'destroyed')
        keys.push({ agentId: agent, role, key });
    }
    if (keys.length === 0) throw new AgentKeyNotFoundError(context, agent);
    return this.#migrate(
      services,
      { agentId: agent, keys, strategy, mode: dryRun ? 'plan' : 'do' },
      callOptions,
    );
  }

  /** Migrates all agents with software keys and reports each. One that fails does not stop the others. */
  async migrateAllAgents(options: MigrateAllAgentsOptions): Promise<MigrationReport> {
    const context = { operation: 'migrateAllAgents', resource: 'software key store' };
    const { strategy, dryRun, concurrency, onProgress, ...callOptions } = parseMigrateAll(context, options);
    const services = this.#open(context, dryRun ? undefined : strategy);
    const found: KeyMetadata[] = [];
    for (const key of await services.software.listKeys(callOptions)) {
      if ((await toDoWith(services.software, key, callOptions)) === 'kept') found.push(key);
    }
    const agents = byAgent(found);
    let done = 0;
    const reports = await mapBounded(agents, concurrency, async ({ agentId, keys }) => {
      const mode = dryRun ? 'plan' : 'do-new';
      const latest = await this.#report(services, { agentId, keys, strategy, mode }, callOptions);
      done += 1;
      onProgress?.({ done, total: agents.length, latest });
      return latest;
    });
    const count = (outcome: AgentMigrationReport['outcome']): number =>
      reports.filter((report) => report.outcome === outcome).length;
    return {
      migrated: count('migrated'),
      alreadyMigrated: count('already-migrated'),
      wouldMigrate: count('would-migrate'),
      failed: count('failed'),
      notStarted: count('not-started'),
      agents: reports,
    };
  }

  /** Lists migrated software keys and when their retention ends, and deletes those that are past it where asked to. */
  async purgeMigratedKeys(options?: PurgeMigratedKeysOptions): Promise<readonly PurgeReport[]> {
    const context = { operation: 'purgeMigratedKeys', resource: 'software key store' };
    const { dryRun, ...callOptions } = parsePurge(context, options);
    const services = this.#open(context, undefined);
    const { retentionDays = 0 } = this.#source;
    return purgeKeys(services, { retentionDays, mode: dryRun ? 'list' : 'delete' }, callOptions);
  }

  /** The software key that an agent's HSM key took the place of, as long as it is there, and who keeps it. */
  async retained(
    keyName: string,
    options?: CallOptions,
  ): Promise<{ readonly key: KeyMetadata; readonly provider: KeyProvider } | undefined> {
    const provider = this.#services?.software;
    const key = provider && (await findKey(provider, keyName, options));
    if (key === undefined || provider === undefined || standingOf(key).kind === 'unmigrated')
      return undefined;
    return { key, provider };
  }

  /** Full name of an agent's signing key that is known by its archived public keys, while HSM keys are switched off. */
  async archivedKeyName(agent: AgentId): Promise<string | undefined> {
    return this.#archivedKeyName?.(agentKeyId(agent, 'signing'));
  }

  async #report(
    services: MigrationServices,
    wish: AgentWish,
    options: CallOptions,
  ): Promise<AgentMigrationReport> {
    const { agentId } = wish;
    if (options.signal?.aborted) return { agentId, outcome: 'not-started' };
    try {
      return await this.#migrate(services, wish, options);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      const code = error instanceof A2AKmsError ? { code: error.code } : {};
      return { agentId, outcome: 'failed', reason, ...code };
    }
  }

  async #migrate(
    services: MigrationServices,
    wish: AgentWish,
    options: CallOptions,
  ): Promise<AgentMigrationResult> {
    const { agentId, strategy, mode } = wish;
    const context = agentContext('migrateAgent', agentId);
    // All keys before the first is touched: an agent is not to be left with one of two keys migrated.
    for (const { role, key } of wish.keys) {
      if (standingOf(key).kind === 'unmigrated') requireImportable(services, context, { role, strategy });
    }
    const keys: MigratedKey[] = [];
    let moved = 0;
    for (const listed of wish.keys) {
      // A listing does not say which version is in use, and another run may have migrated the key since.
      const each = { ...listed, key: await services.software.getKey(listed.key.name, options) };
      const standing = standingOf(each.key);
      if (standing.kind === 'migrated') {
        // A rollback may have rotated the software key since.
        if (mode !== 'plan') await this.#takeAlong(services, context, each, options);
        const mayHandOver = mode === 'do' && this.#source.softwareKeys !== 'forbidden';
        const handover = mayHandOver ? 'again' : 'left-out';
        keys.push(await describeMigrated(services, context, { ...each, ...standing, handover }, options));
        continue;
      }
      moved += 1;
      if (mode !== 'plan') {
        keys.push(await migrateKey(services, context, { ...each, strategy }, options));
        continue;
      }
      const plan = await planKey(services, context, { ...each, strategy }, options);
      const { algorithm, from } = plan;
      const planned = { algorithm, from, strategy: plan.strategy, to: undefined, migratedTime: undefined };
      keys.push({ keyName: each.key.name, role: each.role, ...planned });
    }
    const done = mode === 'plan' ? 'would-migrate' : 'migrated';
    return { agentId, outcome: moved === 0 ? 'already-migrated' : done, keys };
  }

  /** What a rollback made of a key that was migrated before: public keys, and versions that agents were encrypted to. */
  async #takeAlong(
    services: MigrationServices,
    context: ErrorContext,
    { key, role }: KeyToMigrate,
    options: CallOptions,
  ): Promise<void> {
    await services.archived.exportKey(services.software, key.name, options);
    const algorithm = findAlgorithm(key.algorithm)?.name;
    if (role !== 'encryption' || algorithm === undefined) return;
    await importMissing(services, context, hsmSpecOf(key, algorithm), options);
  }

  /** @throws MigrationPhaseError where there is nothing to migrate from or to, or it is not time for it. */
  #open(context: ErrorContext, strategy: MigrationStrategy | undefined): MigrationServices {
    const { kind, phase, softwareKeys } = this.#source;
    const services = this.#services;
    if (services === undefined) {
      const problem =
        kind === 'migration'
          ? `the software store is not opened in migration.phase ${phase}.`
          : kind === 'software'
            ? 'HSM keys are switched off.'
            : 'there is no software store: no migration is configured.';
      throw new MigrationPhaseError(
        context,
        problem,
        'Set migration.phase to 2 or 3, with HSM keys switched on.',
      );
    }
    if (phase === 1 && (strategy !== undefined || context.operation === 'purgeMigratedKeys')) {
      throw new MigrationPhaseError(
        context,
        'software agents are left alone in migration.phase 1.',
        'Set migration.phase to 2.',
      );
    }
    if (strategy === 'regenerate' && softwareKeys === 'forbidden') {
      throw new MigrationPhaseError(
        context,
        'softwareKeys is "forbidden", so the old key cannot sign the handover.',
        'Use the strategy "import", or allow software keys for the migration.',
      );
    }
    return services;
  }
}

interface AgentWish {
  readonly agentId: string;
  readonly keys: readonly KeyToMigrate[];
  readonly strategy: MigrationStrategy;
  /** `do-new` leaves the handovers of earlier runs alone: each costs a signature in the HSM. */
  readonly mode: 'plan' | 'do' | 'do-new';
}

/** What there is to do with a software key: nothing with one that is gone, unless an HSM key took its place before. */
async function toDoWith(software: SoftwareKeys, key: KeyMetadata, options: CallOptions): Promise<Remains> {
  return standingOf(key).kind === 'migrated' ? 'kept' : remainsOf(software, key.name, options);
}

/** The agents that have software keys, in the order of their ids, each with its keys, the signing key first. */
function byAgent(
  keys: readonly KeyMetadata[],
): readonly { readonly agentId: string; readonly keys: readonly KeyToMigrate[] }[] {
  const agents = new Map<string, KeyToMigrate[]>();
  for (const key of keys) {
    const owner = agentOfLabels(key.labels);
    if (owner === undefined || ownerOf(key, owner.role) === undefined) continue;
    const { agentId, role } = owner;
    agents.set(agentId, [...(agents.get(agentId) ?? []), { agentId, role, key }]);
  }
  return [...agents]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([agentId, found]) => ({
      agentId,
      keys: found.toSorted((a, b) => ROLES.indexOf(a.role) - ROLES.indexOf(b.role)),
    }));
}
