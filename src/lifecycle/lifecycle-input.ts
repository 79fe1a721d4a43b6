/** What callers pass to the lifecycle of agents, parsed once; every problem is named. */

import { z } from 'zod';
import type { ErrorContext } from '../errors/base.js';
import { InvalidArgumentError } from '../errors/input.js';
import { AGENT_ALGORITHM_NAMES, resolveAgentAlgorithm } from '../hierarchy/agent-key-spec.js';
import { agentKeyRole } from '../hierarchy/role-options.js';
import { isKeyAlgorithm } from '../keys/algorithms.js';
import { checkPolicy, type RotationPolicy } from '../keys/rotation-policy.js';
import { callback, callShape, parseOptions, rotationOptions } from '../provider/call-input.js';
import type { AgentRotationOptions } from './agent-lifecycle.js';
import type { DestroyAgentOptions } from './destroy-agent.js';
import type { RotateDueKeysOptions } from './rotate-due-keys.js';
import { type RotationSchedulerOptions, SCHEDULER_INTERVAL_MAX_SECONDS } from './rotation-scheduler.js';
import {
  CONFIRM_AFTER_MIN_SECONDS,
  type PruneStaleAgentsOptions,
  UNUSED_FOR_MIN_SECONDS,
} from './stale-agents.js';

const wholeSeconds = (min: number) =>
  z.int('must be whole seconds').min(min, `must be at least ${min} seconds`);
const concurrency = z
  .int('must be a whole number')
  .min(1, 'must be at least 1')
  .max(64, 'must be at most 64')
  .optional();

const rotateDue = z.strictObject({
  ...callShape,
  concurrency,
  onProgress: callback<NonNullable<RotateDueKeysOptions['onProgress']>>(),
});

const scheduler = z.strictObject({
  intervalSeconds: wholeSeconds(1)
    .max(SCHEDULER_INTERVAL_MAX_SECONDS, `must be at most ${SCHEDULER_INTERVAL_MAX_SECONDS} seconds`)
    .optional(),
  concurrency,
  onReport: callback<NonNullable<RotationSchedulerOptions['onReport']>>(),
});

const destruction = z.strictObject({
  ...callShape,
  destroyAfter: wholeSeconds(0).optional(),
  force: z.boolean('must be true or false').optional(),
});

const prune = z.strictObject({
  ...callShape,
  unusedFor: wholeSeconds(UNUSED_FOR_MIN_SECONDS),
  dryRun: z.boolean('must be true or false').optional(),
  confirmAfter: wholeSeconds(CONFIRM_AFTER_MIN_SECONDS).optional(),
  destroyAfter: wholeSeconds(0).optional(),
});

const rotation = z.strictObject({
  ...rotationOptions.shape,
  role: agentKeyRole,
  algorithm: z
    .string('must be an algorithm name')
    .transform(resolveAgentAlgorithm)
    .refine(
      isKeyAlgorithm,
      `is no algorithm: take a Cloud KMS name such as EC_SIGN_P384_SHA384, or one of ${AGENT_ALGORITHM_NAMES.join(', ')}`,
    )
    .optional(),
});

/** Of a rotation of an agent's key, with the Cloud KMS name in place of a short one. */
export const parseRotationOptions = (
  context: ErrorContext,
  options: AgentRotationOptions,
): z.output<typeof rotation> => parseOptions(context, rotation, options);

export const parseRotateDueOptions = (options: RotateDueKeysOptions = {}): RotateDueKeysOptions =>
  parseOptions({ operation: 'rotateDueKeys', resource: 'options' }, rotateDue, options);

export const parseSchedulerOptions = (options: RotationSchedulerOptions = {}): RotationSchedulerOptions =>
  parseOptions({ operation: 'startRotationScheduler', resource: 'options' }, scheduler, options);

export const parsePruneOptions = (options: PruneStaleAgentsOptions): PruneStaleAgentsOptions =>
  parseOptions({ operation: 'pruneStaleAgents', resource: 'options' }, prune, options);

export const parseDestroyOptions = (
  context: ErrorContext,
  options: DestroyAgentOptions = {},
): DestroyAgentOptions => parseOptions(context, destruction, options);

/** @throws InvalidArgumentError naming every field that is wrong. */
export function requirePolicy(context: ErrorContext, policy: unknown): RotationPolicy {
  const parsed = checkPolicy(policy);
  if (!parsed.ok) throw new InvalidArgumentError(context, parsed.problem);
  return parsed.value;
}
