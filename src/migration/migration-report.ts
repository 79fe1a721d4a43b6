/** What is asked of a migration, and what it tells of each agent. */

import type { ErrorCode } from '../errors/error-code.js';
import type { AgentKeyRole } from '../keys/agent-key-name.js';
import type { CallOptions } from '../keys/call-options.js';
import type { MigrationStrategy } from './standing.js';

/** Options of `migrateAgent`. */
export interface MigrateAgentOptions extends CallOptions {
  /**
   * `regenerate`: a new signing key that is born in the HSM; the old one hands over to it in a statement that peers check
   * offline. `import`: the same key moves into the HSM, and is marked as one that once lived outside. An encryption key is
   * always imported, because what was encrypted to it has to stay readable.
   */
  readonly strategy: MigrationStrategy;
  /** Says what would be done and changes nothing. Default false. */
  readonly dryRun?: boolean | undefined;
}

/** Options of `migrateAllAgents`. */
export interface MigrateAllAgentsOptions extends MigrateAgentOptions {
  /** Agents that are worked on at once, 1 to 64. Default 4: making HSM keys has a small quota. */
  readonly concurrency?: number | undefined;
  /** Called after each agent. If it throws, no further agent is begun. */
  readonly onProgress?: ((progress: MigrationProgress) => void) | undefined;
}

/** How far `migrateAllAgents` is, in agents. */
export interface MigrationProgress {
  readonly done: number;
  readonly total: number;
  readonly latest: AgentMigrationReport;
}

/** A key of an agent that is migrated, or would be. */
export interface MigratedKey {
  /** Full CryptoKey name, the same before and after. */
  readonly keyName: string;
  readonly role: AgentKeyRole;
  /** How it was migrated: `import` also where another run had imported the key before. */
  readonly strategy: MigrationStrategy;
  readonly algorithm: string;
  /** Full name of the version of the software key that was in use; undefined when it was purged. */
  readonly from: string | undefined;
  /** Full name of the version of the HSM key in use; undefined in a dry run. */
  readonly to: string | undefined;
  /** When the HSM key took over; undefined in a dry run. */
  readonly migratedTime: Date | undefined;
  /**
   * The statement in which the old signing key hands over to the new one. Absent for an imported key, which is the same
   * key, after the old one was purged, and where software keys are forbidden to sign. Keep it with the agent's published key. `migrateAgent` signs it again for an
   * agent that was migrated before; `migrateAllAgents` does not.
   */
  readonly handover?: string;
}

/** What became of an agent. */
export interface AgentMigration {
  readonly agentId: string;
  readonly outcome: 'migrated' | 'already-migrated' | 'would-migrate';
  readonly keys: readonly MigratedKey[];
}

/** What `migrateAllAgents` did about one agent. */
export type AgentMigrationReport =
  | AgentMigration
  | {
      readonly agentId: string;
      readonly outcome: 'failed';
      readonly reason: string;
      readonly code?: ErrorCode;
    }
  /** The run was aborted before its turn came. */
  | { readonly agentId: string; readonly outcome: 'not-started' };

/** What a run of `migrateAllAgents` did, in agents. */
export interface MigrationReport {
  readonly migrated: number;
  readonly alreadyMigrated: number;
  readonly wouldMigrate: number;
  readonly failed: number;
  readonly notStarted: number;
  /** One report for each agent with a software key, in the order of their ids. */
  readonly agents: readonly AgentMigrationReport[];
}

/** Options of `purgeMigratedKeys`. */
export interface PurgeMigratedKeysOptions extends CallOptions {
  /** Default true: the call lists what it would delete. With false it deletes that. */
  readonly dryRun?: boolean | undefined;
}

/** What becomes, or became, of a software key that was migrated. */
export interface PurgeReport {
  readonly agentId: string;
  readonly role: AgentKeyRole;
  /** Full CryptoKey name. */
  readonly keyName: string;
  /** Full names of the versions with key material. */
  readonly keyVersions: readonly string[];
  /** When its retention ends, or ended. */
  readonly retainedUntil: Date;
  readonly outcome: 'would-purge' | 'purged' | 'retained' | 'failed';
  /** Why it is kept, or was not purged. */
  readonly reason?: string;
}
