/** What a call asks of a quota, the turn that it gets, and what became of it. */

import type { Slot } from '../provider/pace.js';
import type { QuotaLimit } from './quota-limits.js';

/** What a call needs of the quota. */
export interface QuotaRequest {
  readonly tokens: number;
  /** Undefined for no limit. */
  readonly limit: QuotaLimit | undefined;
}

/** A call that may be made. Report how it ended. */
export interface Turn {
  readonly slot: Slot;
  readonly tokens: number;
  readonly limit: QuotaLimit | undefined;
  /** Whether it is the one that tries if the quota is back. */
  readonly isProbe: boolean;
  /** Whether it passes a limit that is only assumed. */
  readonly isBeyond: boolean;
  /** Who does not wait for it. */
  readonly caller?: string;
}

export type TurnOutcome =
  | { readonly kind: 'served' }
  | { readonly kind: 'refused'; readonly retryAfterMs: number | undefined }
  /** Nothing is known of the quota: there was no answer. */
  | { readonly kind: 'unknown' }
  /** The call was never made. */
  | { readonly kind: 'unsent' };
