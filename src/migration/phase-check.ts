/**
 * What is checked and said at each start: whether the store's real content fits the phase, and that software keys sign
 * where they do. In phase 4 the store is not opened by the provider; it is looked into once, where its file exists, and
 * closed again before anything else happens.
 */

import { type ErrorContext, UnmigratedAgentsError } from '../errors.js';
import { agentOfLabels } from '../keys/agent-key-name.js';
import type { CallOptions, KeyMetadata } from '../keys/key-provider.js';
import type { Logger } from '../logger.js';
import type { Providers } from './key-router.js';
import { standingOf } from './standing.js';

export type PhaseCheck = (options?: CallOptions) => Promise<void>;

export interface PhaseCheckOptions {
  readonly providers: Providers;
  /** The keys in a store that is not opened, or none where there is no store. */
  readonly look: () => Promise<readonly KeyMetadata[]>;
  readonly logger: Logger;
  /** `NODE_ENV`. */
  readonly nodeEnv: string | undefined;
}

export function phaseCheck(check: PhaseCheckOptions): PhaseCheck {
  const { providers, look, logger, nodeEnv } = check;
  const { hsm, software, phase } = providers;
  return async (options) => {
    if (hsm === undefined || phase < 3) return announce({ logger, nodeEnv, phase });
    const keys = software === undefined ? await look() : await software.listKeys(options);
    const unmigrated = keys.filter((key) => standingOf(key).kind === 'unmigrated');
    if (unmigrated.length === 0) return;
    const agentIds = [
      ...new Set(unmigrated.flatMap((key) => agentOfLabels(key.labels)?.agentId ?? [])),
    ].sort();
    if (phase === 4 && agentIds.length > 0) throw new UnmigratedAgentsError(STARTING, agentIds);
    const keyNames = unmigrated.map(({ name }) => name).sort();
    logger.warn(
      { phase, agentIds, keyNames },
      phase === 4
        ? 'the software store holds keys that are no agent’s and are not opened any more'
        : 'software keys that were not migrated verify only, and cannot sign',
    );
  };
}

const STARTING: ErrorContext = { operation: 'initialize', resource: 'software key store' };

/** One line for each start in production, so that software keys are never in use unnoticed. */
function announce(start: {
  readonly logger: Logger;
  readonly nodeEnv: string | undefined;
  readonly phase: number | undefined;
}): void {
  const { logger, nodeEnv, phase } = start;
  const record = { event: 'software-keys-sign', phase: phase ?? 'HSM keys are switched off' };
  const message = 'software keys sign: their private keys are in the memory of this process';
  if (nodeEnv === 'production') logger.warn(record, message);
  else logger.info(record, message);
}
