/** Options of `signBatch`, parsed once. */

import { z } from 'zod';
import type { ErrorContext } from '../errors/base.js';
import type { CallOptions } from '../keys/call-options.js';
import { callback, callShape, parseOptions } from '../provider/call-input.js';

/** Options of `signBatch`. */
export interface SignBatchOptions extends CallOptions {
  /**
   * Deadline of each call that it takes, in milliseconds, in place of the configured one: of the signature, and of looking up
   * the key and its version where they are not cached. Waiting for a quota or a free stream does not count.
   */
  readonly timeoutMs?: number | undefined;
  /**
   * Called when the HSM has signed a batch of more than 512 messages, and its receipts are still to be written: it is free
   * for the next one from then on. What it throws ends the batch.
   */
  readonly onRootSigned?: (() => void) | undefined;
}

const schema = z.strictObject({
  ...callShape,
  onRootSigned: callback<() => void>(),
});

/** @throws InvalidArgumentError naming every option that is wrong. */
export function parseSignBatchOptions(context: ErrorContext, options: SignBatchOptions): SignBatchOptions {
  return parseOptions(context, schema, options);
}
