/** What callers pass to be encrypted, checked against what the key takes. */

import { DataTooLargeError, InvalidArgumentError } from '../errors/input.js';
import type { DecryptionAlgorithmEntry } from '../keys/algorithm-types.js';
import { HSM_ENCRYPT_MAX_BYTES, SOFTWARE_ENCRYPT_MAX_BYTES } from '../keys/limits.js';
import type { Operation } from './operation.js';

/** Bytes to encrypt or decrypt, and the additional authenticated data. */
export interface EncryptionInput {
  readonly bytes: Uint8Array;
  readonly additionalAuthenticatedData: Uint8Array;
}

const ENVELOPE_HINT =
  'Use envelope encryption (EnvelopeCipher), which takes data of any size and wraps only its data key with this key.';

/**
 * For symmetric keys. The limits stand in the comments of EncryptRequest in service.proto.
 * @throws DataTooLargeError
 */
export function checkSymmetricSize(
  operation: Operation,
  protectionLevel: string,
  input: EncryptionInput,
): void {
  const { bytes, additionalAuthenticatedData: aad } = input;
  const refuse = (what: string, sizeBytes: number, limitBytes: number): never => {
    throw new DataTooLargeError(operation.context(), { what, sizeBytes, limitBytes }, ENVELOPE_HINT);
  };
  if (protectionLevel !== 'SOFTWARE') {
    const together = bytes.length + aad.length;
    if (together > HSM_ENCRYPT_MAX_BYTES) {
      refuse(
        'plaintext and additional authenticated data for an HSM key, together',
        together,
        HSM_ENCRYPT_MAX_BYTES,
      );
    }
    return;
  }
  if (bytes.length > SOFTWARE_ENCRYPT_MAX_BYTES)
    refuse('plaintext', bytes.length, SOFTWARE_ENCRYPT_MAX_BYTES);
  if (aad.length > SOFTWARE_ENCRYPT_MAX_BYTES)
    refuse('additional authenticated data', aad.length, SOFTWARE_ENCRYPT_MAX_BYTES);
}

/**
 * For RSA keys.
 * @throws DataTooLargeError
 */
export function checkOaepSize(
  operation: Operation,
  algorithm: DecryptionAlgorithmEntry,
  plaintext: Uint8Array,
): void {
  const limitBytes = algorithm.maxPlaintextBytes;
  if (plaintext.length <= limitBytes) return;
  throw new DataTooLargeError(
    operation.context(),
    { what: 'plaintext', sizeBytes: plaintext.length, limitBytes },
    ENVELOPE_HINT,
  );
}

/** @throws InvalidArgumentError: RSA keys have no place for additional authenticated data. */
export function refuseAssociatedData(operation: Operation, input: EncryptionInput): void {
  if (input.additionalAuthenticatedData.length === 0) return;
  throw new InvalidArgumentError(
    operation.context(),
    'additional authenticated data is possible with ENCRYPT_DECRYPT keys only; this key is of purpose ASYMMETRIC_DECRYPT.',
  );
}
