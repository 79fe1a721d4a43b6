/** The part of the configuration about quotas of Cloud KMS. */

import { z } from 'zod';
import type { KeyAlgorithm } from '../keys/algorithm-types.js';
import { isKeyAlgorithm } from '../keys/algorithms.js';

/**
 * Tokens a minute; administrative requests cost one each. For what is left out, the limits that Google publishes are assumed.
 */
export interface QuotaLimitsConfig {
  /** Get and list requests, public keys too. */
  readonly read?: number | undefined;
  /** Requests that create or change keys. */
  readonly write?: number | undefined;
  /** Use of keys of protection level `HSM`. */
  readonly hsm?: number | undefined;
  /** Use of keys of protection level `SOFTWARE`. */
  readonly software?: number | undefined;
  /** Use of keys outside of Google. */
  readonly external?: number | undefined;
}

/** How calls keep within the quotas of the project, for each location and kind of request. */
export interface QuotaConfig {
  /**
   * `adaptive`, the default: once Cloud KMS answers RESOURCE_EXHAUSTED, all calls of that kind in this process wait for their
   * turn, at a rate that the quota bears and that grows again; until then `limits` say what is held back. `off`: no call
   * waits; a quota answer is repeated like any other transient failure.
   */
  readonly mode?: 'adaptive' | 'off' | undefined;
  /**
   * Limits that this process keeps to by itself: yours, or `published` for those that a project has until they are raised.
   * By default the published ones are assumed only: what is beyond them is not held back until the minute is over, but ten
   * calls go at once, and one more for each that Cloud KMS serves. So few are refused if the project has these limits, and
   * higher ones are found out within a few answers. `none`: nothing is held back until a call is refused.
   */
  readonly limits?: 'published' | 'none' | QuotaLimitsConfig | undefined;
  /** Tokens that one use of an HSM key costs, by algorithm, in place of the published ones. */
  readonly hsmTokens?: Readonly<Partial<Record<KeyAlgorithm, number>>> | undefined;
}

const tokens = z
  .int('a whole number is required')
  .min(1, 'at least 1 is required')
  .max(1_000_000_000_000, 'at most 1,000,000,000,000 are possible');
const perMinute = tokens.optional();

export const quotaSchema = z
  .strictObject({
    mode: z.enum(['adaptive', 'off'], 'must be adaptive or off').default('adaptive'),
    limits: z
      .union(
        [
          z.enum(['published', 'none']),
          z.strictObject({
            read: perMinute,
            write: perMinute,
            hsm: perMinute,
            software: perMinute,
            external: perMinute,
          }),
        ],
        'must be published, none, or tokens a minute for read, write, hsm, software or external',
      )
      .optional(),
    hsmTokens: z.record(z.string().refine(isKeyAlgorithm, 'is not a Cloud KMS algorithm'), tokens).optional(),
  })
  .refine(
    ({ mode, limits, hsmTokens }) => mode === 'adaptive' || (limits === undefined && hsmTokens === undefined),
    'has limits and hsmTokens only with mode adaptive',
  )
  .prefault({});
