/** Whether and when an RPC is repeated after a failure. */

import type { ResolvedKMSConfig } from '../config/kms-config.js';
import { jittered } from '../provider/jitter.js';
import type { Operation } from '../provider/operation.js';
import type { RpcName } from './rpc.js';
import { isRepeatable, type RpcFailure, toTypedError } from './service-errors.js';

export type RetrySettings = Pick<ResolvedKMSConfig, 'deadlines' | 'retry'>;

/**
 * Waits until the RPC may be repeated.
 * @throws the typed error of the failure when there is no point in that, or no time.
 */
export async function waitToRepeat(
  { deadlines, retry }: RetrySettings,
  operation: Operation,
  tried: { readonly rpc: RpcName; readonly attempt: number; readonly failure: RpcFailure },
): Promise<void> {
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
  await operation.delay(delayMs);
}

/** Doubles with each attempt; at least half of it is kept, the rest is jitter. A delay that the server named is kept whole. */
export function retryDelayMs(
  { initialDelayMs, maxDelayMs }: RetrySettings['retry'],
  attempt: number,
  failure: RpcFailure,
): number {
  const grown = Math.min(maxDelayMs, initialDelayMs * 2 ** (attempt - 1));
  return Math.max(failure.retryAfterMs ?? 0, jittered(grown));
}
