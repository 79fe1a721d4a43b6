/** What callers pass to be signed, checked against what the algorithm takes. */

import { hash } from 'node:crypto';
import { DataTooLargeError, InvalidArgumentError } from '../errors/input.js';
import type { SigningAlgorithmEntry } from '../keys/algorithm-types.js';
import type { Operation } from './operation.js';

/** The message, or its digest that the caller computed. */
export type SigningPayload =
  | { readonly kind: 'message'; readonly bytes: Uint8Array }
  | { readonly kind: 'digest'; readonly bytes: Uint8Array };

/** What the key signs: a digest, or the message itself. */
export type SigningInputBytes =
  | { readonly field: 'digest'; readonly digest: 'sha256' | 'sha384' | 'sha512'; readonly bytes: Uint8Array }
  | { readonly field: 'data'; readonly bytes: Uint8Array };

/**
 * What is to be signed, in the form that the algorithm takes.
 * @throws InvalidArgumentError for a digest of another length, or for an algorithm that takes none.
 * @throws DataTooLargeError
 */
export function toSigningInput(
  operation: Operation,
  algorithm: SigningAlgorithmEntry,
  payload: SigningPayload,
): SigningInputBytes {
  const { input } = algorithm;
  if (payload.kind === 'digest') {
    if (input.kind === 'data') {
      throw new InvalidArgumentError(
        operation.context(),
        `${algorithm.name} signs messages, not digests; pass the message to sign.`,
      );
    }
    if (payload.bytes.length !== input.sizeBytes) {
      throw new InvalidArgumentError(
        operation.context(),
        `${algorithm.name} takes a ${input.digest} digest of ${input.sizeBytes} bytes, got ${payload.bytes.length} bytes.`,
      );
    }
    return { field: 'digest', digest: input.digest, bytes: payload.bytes };
  }
  if (input.kind === 'digest') {
    return {
      field: 'digest',
      digest: input.digest,
      bytes: hash(input.digest, payload.bytes, 'buffer'),
    };
  }
  if (payload.bytes.length > input.maxBytes) {
    throw new DataTooLargeError(
      operation.context(),
      {
        what: `a message for ${algorithm.name}`,
        sizeBytes: payload.bytes.length,
        limitBytes: input.maxBytes,
      },
      'Use an algorithm that signs a digest, which has no limit, or sign a digest of the message as the message.',
    );
  }
  return { field: 'data', bytes: payload.bytes };
}
