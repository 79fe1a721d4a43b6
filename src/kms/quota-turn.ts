/** The turn that a call gets of a quota, and what became of it. */

import type { Slot } from '../provider/pace.js';

/** A call that may be made. Report how it ended. */
export interface Turn {
  readonly slot: Slot;
  readonly tokens: number;
  /** Whether it is the one that tries if the quota is back. */
  readonly isProbe: boolean;
  /** Whether it passes a limit that is only assumed. */
  readonly isBeyond: boolean;
  /** Who does not wait for a quota, but comes back. */
  readonly caller: string | undefined;
}

export type TurnOutcome =
  | { readonly kind: 'served' }
  | { readonly kind: 'refused'; readonly retryAfterMs: number | undefined }
  /** Nothing is known of the quota: there was no answer. */
  | { readonly kind: 'unknown' }
  /** The call was never made. */
  | { readonly kind: 'unsent' };
