/** Envelopes and encrypted streams. */

import { A2AKmsError, type ErrorContext, sentence } from './base.js';

/** Bytes that are not an envelope, or not the header of an encrypted stream. */
export class InvalidEnvelopeError extends A2AKmsError {
  readonly code = 'INVALID_ENVELOPE';
  /** The check that failed. All but `data-key` fail before any call: what was unwrapped is not a key for this format. */
  readonly check: 'size' | 'wrapped-key-size' | 'stream-header' | 'data-key';

  constructor(context: ErrorContext, check: InvalidEnvelopeError['check'], problem: string) {
    super(
      sentence(
        context,
        `not an envelope (${check}): ${problem}`,
        'Check that the bytes are whole, and that streams are read with decryptStream and messages with decrypt.',
      ),
      context,
    );
    this.check = check;
  }
}

/**
 * An encrypted stream is damaged, cut short, extended or put together from parts, or the associated data differs. What was
 * received of it so far must be discarded: it is not the whole of what was encrypted.
 */
export class StreamDecryptionError extends A2AKmsError {
  readonly code = 'STREAM_DECRYPTION_FAILED';
  /** Plaintext that was handed out before the failure, in bytes; all of it must be discarded. */
  readonly releasedBytes: number;

  constructor(context: ErrorContext, failure: { readonly segment: number; readonly releasedBytes: number }) {
    super(
      sentence(
        context,
        `segment ${failure.segment} is damaged, missing or out of place, or the associated data differs.`,
        `Discard the ${failure.releasedBytes} bytes that were already received.`,
      ),
      context,
    );
    this.releasedBytes = failure.releasedBytes;
  }
}
