/**
 * What is checked and said at each start: whether the store's real content fits the phase, and that software keys sign
 * where they do. In phase 4 the store is not opened by the provider; it is looked into once, where its file exists, and
 * closed again before anything else happens.
 */

import type { ErrorContext } from '../errors/base.js';
import { UnmigratedAgentsError } from '../errors/migration.js';
import { StoredKeyDamagedError } from '../errors/storage.js';
import { agentOfLabels } from '../keys/agent-key-name.js';
import type { CallOptions } from '../keys/call-options.js';
import type { KeyRingName } from '../keys/resource-name.js';
import type { Logger } from '../logger.js';
import { observe, type ProviderObserver } from '../provider/observer.js';
import type { Providers } from './key-router.js';
import { type LeftKey, listLeftKeys } from './remains.js';
import type { SoftwareKeys } from './software-keys.js';

export interface PhaseCheck {
  /** @throws UnmigratedAgentsError in phase 4, when there are agents that were not migrated. */
  run(options?: CallOptions): Promise<void>;
  /** Forgets what it would open the store with. */
  close(): void;
}

/** What observers, and so the audit trail, are told at each start where software keys sign. */
const SOFTWARE_SIGNING_EVENT = 'softwareKeysSign';

/** Into a store that is not opened. */
export interface StoreLook {
  /** The keys in it that were not migrated; undefined where there is no store. */
  leftKeys(options?: CallOptions): Promise<readonly LeftKey[] | undefined>;
  /** Forgets what opens the store. Nothing is looked at after it. */
  forget(): void;
}

interface PhaseCheckOptions {
  readonly providers: Providers;
  readonly keyRing: KeyRingName;
  readonly look: StoreLook;
  readonly logger: Logger;
  readonly observers: readonly ProviderObserver[];
  /** `NODE_ENV`. */
  readonly nodeEnv: string | undefined;
}

export function phaseCheck(check: PhaseCheckOptions): PhaseCheck {
  const { providers, look, logger } = check;
  const { hsm, software, phase } = providers;
  const run: PhaseCheck['run'] = async (options) => {
    if (hsm === undefined || phase < 3) return announce(check, phase);
    const left =
      software === undefined ? await look.leftKeys(options) : await listReadable(software, logger, options);
    if (left === undefined) {
      const message = 'there is no software store at the configured place, so no agent in it was looked for';
      return logger.warn({ event: 'software-store-not-found', phase }, message);
    }
    const kept = left.filter(({ remains }) => remains === 'kept');
    const agentIds = agentsOf(kept);
    if (phase === 4 && agentIds.length > 0) throw new UnmigratedAgentsError(STARTING, agentIds);
    look.forget();
    warn(logger, phase, {
      left: kept,
      message:
        phase === 4
          ? 'the software store holds keys that are no agent’s and are not opened any more'
          : 'software keys that were not migrated verify and decrypt only, and cannot sign',
    });
    if (phase === 4) {
      const message = 'software keys that are scheduled for destruction cannot be restored in this phase';
      warn(logger, phase, { left: left.filter(({ remains }) => remains === 'scheduled'), message });
    }
  };
  return { run, close: () => look.forget() };
}

const agentsOf = (left: readonly LeftKey[]): readonly string[] =>
  [...new Set(left.flatMap(({ key }) => agentOfLabels(key.labels)?.agentId ?? []))].sort();

function warn(
  logger: Logger,
  phase: number,
  { left, message }: { readonly left: readonly LeftKey[]; readonly message: string },
): void {
  if (left.length === 0) return;
  const keyNames = left.map(({ key }) => key.name).sort();
  logger.warn({ phase, agentIds: agentsOf(left), keyNames }, message);
}

const STARTING: ErrorContext = { operation: 'initialize', resource: 'software key store' };

/** In phase 3 nothing depends on the list, so that a record that is damaged keeps nobody from starting. */
async function listReadable(
  software: SoftwareKeys,
  logger: Logger,
  options: CallOptions | undefined,
): Promise<readonly LeftKey[]> {
  try {
    return await listLeftKeys(software, options);
  } catch (error) {
    if (!(error instanceof StoredKeyDamagedError)) throw error;
    const record = { event: 'stored-key-damaged', damaged: error.damaged };
    logger.error(record, 'it is not known who was not migrated: a record of the software store is damaged');
    return [];
  }
}

/** One line, and one event for observers, at each start, so that software keys are never in use unnoticed. */
async function announce(check: PhaseCheckOptions, phase: number | undefined): Promise<void> {
  const { logger, nodeEnv, observers, keyRing } = check;
  const call = { method: SOFTWARE_SIGNING_EVENT, keyRing, keyId: keyRing } as const;
  const unknown = { subject: undefined, reason: undefined, correlationId: undefined } as const;
  await observe(observers, { ...call, ...unknown }, async () => {});
  const record = { event: 'software-keys-sign', phase: phase ?? 'HSM keys are switched off' };
  const message = 'software keys sign: their private keys are in the memory of this process';
  if (nodeEnv === 'production') logger.warn(record, message);
  else logger.info(record, message);
}
