/** Whether and when an RPC is repeated after a failure. */

import type { ResolvedKMSConfig } from '../config/kms-config.js';
import { jittered } from '../provider/jitter.js';
import type { Operation } from '../provider/operation.js';
import type { RpcName } from './rpc.js';
import { isRepeatable, type RpcFailure, toTypedError } from './service-errors.js';

export type RetrySettings = Pick<ResolvedKMSConfig, 'deadlines' | 'logger' | 'retry'>;

/** An attempt that failed; the first is number 1. */
interface Tried {
  readonly rpc: RpcName;
  readonly attempt: number;
  readonly failure: RpcFailure;
}

/**
 * Waits until the RPC may be repeated.
 * @throws the typed error of the failure when there is no point in that, or no time.
 */
export async function waitToRepeat(
  settings: RetrySettings,
  operation: Operation,
  tried: Tried,
): Promise<void> {
  const { deadlines, retry } = settings;
  const { rpc, attempt, failure } = tried;
  const delayMs = retryDelayMs(retry, attempt, failure);
  const isTooLate = delayMs >= operation.remainingMs;
  const giveUp =
    !isRepeatable(rpc, failure) ||
    attempt >= retry.maxAttempts ||
    (failure.status === 'RESOURCE_EXHAUSTED' && operation.onQuota === 'fail') ||
    isTooLate;
  if (giveUp && failure.status === 'DEADLINE_EXCEEDED' && isTooLate) throw operation.deadlineError('ahead');
  if (giveUp) {
    throw toTypedError(rpc, failure, { context: operation.context(), timeoutMs: deadlines.attemptMs });
  }
  await delay(settings, operation, { ...tried, delayMs });
}

/** Waits until it may be looked up what became of a call whose outcome is not known. */
export const waitToLook = (settings: RetrySettings, operation: Operation, tried: Tried): Promise<void> =>
  delay(settings, operation, {
    ...tried,
    delayMs: retryDelayMs(settings.retry, tried.attempt, tried.failure),
  });

function delay(
  { logger }: RetrySettings,
  operation: Operation,
  { rpc, attempt, failure, delayMs }: Tried & { readonly delayMs: number },
): Promise<void> {
  // Without the message of the failure, which is Cloud KMS's and may name what was sent.
  logger.debug(
    { operation: operation.name, rpc, attempt, status: failure.status, delayMs: Math.round(delayMs) },
    'a call to Cloud KMS failed and goes on after a delay',
  );
  return operation.delay(delayMs);
}

/** Doubles with each attempt; at least half of it is kept, the rest is jitter. A delay that the server named is kept whole. */
function retryDelayMs(
  { initialDelayMs, maxDelayMs }: RetrySettings['retry'],
  attempt: number,
  failure: RpcFailure,
): number {
  const grown = Math.min(maxDelayMs, initialDelayMs * 2 ** (attempt - 1));
  return Math.max(failure.retryAfterMs ?? 0, jittered(grown));
}
