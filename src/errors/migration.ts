/** Software keys on their way into the HSM. */

import { A2AKmsError, type ErrorContext, sentence } from './base.js';

/** A software key was asked to sign where the configuration does not let software keys sign. Nothing was signed. */
export class SoftwareSigningRefusedError extends A2AKmsError {
  readonly code = 'SOFTWARE_SIGNING_REFUSED';

  constructor(context: ErrorContext, problem: string, next: string) {
    super(sentence(context, problem, next), context);
  }
}

/** What was asked for belongs to another phase of the migration. Nothing was touched. */
export class MigrationPhaseError extends A2AKmsError {
  readonly code = 'MIGRATION_PHASE';

  constructor(context: ErrorContext, problem: string, next: string) {
    super(sentence(context, problem, next), context);
  }
}

/** The configuration is for after the migration, and there are agents that were not migrated. */
export class UnmigratedAgentsError extends A2AKmsError {
  readonly code = 'UNMIGRATED_AGENTS';
  readonly agentIds: readonly string[];

  constructor(context: ErrorContext, agentIds: readonly string[]) {
    const shown = agentIds.slice(0, 20).map((agentId) => JSON.stringify(agentId));
    const more = agentIds.length > shown.length ? ` and ${agentIds.length - shown.length} more` : '';
    super(
      sentence(
        context,
        `migration.phase is 4 and ${agentIds.length} agent(s) have software keys that were not migrated: ${shown.join(', ')}${more}.`,
        'Go back to phase 2 or 3, call migrateAllAgents, then start with phase 4 again.',
      ),
      context,
    );
    this.agentIds = agentIds;
  }
}
