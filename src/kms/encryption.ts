/**
 * Encryption and decryption. Symmetric keys: both in Cloud KMS. Asymmetric keys: encryption here with the public key,
 * decryption in the HSM.
 */

import { constants, publicEncrypt } from 'node:crypto';
import { DataTooLargeError, IntegrityError, InvalidArgumentError } from '../errors.js';
import {
  type DecryptionAlgorithmEntry,
  HSM_ENCRYPT_MAX_BYTES,
  SOFTWARE_ENCRYPT_MAX_BYTES,
} from '../keys/algorithms.js';
import { type KeyReference, parseVersionOf } from '../keys/resource-name.js';
import type { Operation } from '../provider/operation.js';
import type { KmsCore } from './core.js';
import { checkedBytes, checksumOf, requireEqual, requireVerified, withIntegrityRetry } from './integrity.js';
import { withUsableVersion } from './usable-version.js';
import type { UsableVersion } from './version-resolver.js';

/** Bytes to encrypt or decrypt, and the additional authenticated data. */
export interface EncryptionInput {
  readonly bytes: Uint8Array;
  readonly additionalAuthenticatedData: Uint8Array;
}

const PURPOSES = ['ENCRYPT_DECRYPT', 'ASYMMETRIC_DECRYPT'] as const;
const ENVELOPE_HINT =
  'Use envelope encryption (EnvelopeCipher), which takes data of any size and has only its data key wrapped by this key.';

export function encryptWith(
  core: KmsCore,
  operation: Operation,
  reference: KeyReference,
  input: EncryptionInput,
): Promise<Buffer> {
  return withUsableVersion(core, operation, { reference, purposes: PURPOSES }, async (version) => {
    const { algorithm } = version;
    if (algorithm.purpose === 'ASYMMETRIC_DECRYPT') {
      refuseAssociatedData(operation, input);
      return encryptLocally(core, operation, { version, algorithm, plaintext: input.bytes });
    }
    checkSize(operation, version.protectionLevel, input);
    return withIntegrityRetry(() => encryptSymmetric(core, operation, { reference, version, input }));
  });
}

export function decryptWith(
  core: KmsCore,
  operation: Operation,
  reference: KeyReference,
  input: EncryptionInput,
): Promise<Buffer> {
  return withUsableVersion(core, operation, { reference, purposes: PURPOSES }, async (version) => {
    if (version.algorithm.purpose === 'ASYMMETRIC_DECRYPT') {
      refuseAssociatedData(operation, input);
      return withIntegrityRetry(() =>
        decryptAsymmetric(core, operation, { version, ciphertext: input.bytes }),
      );
    }
    return withIntegrityRetry(() => decryptSymmetric(core, operation, { version, input }));
  });
}

/** The limits stand in the comments of EncryptRequest in service.proto. */
function checkSize(operation: Operation, protectionLevel: string, input: EncryptionInput): void {
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

async function encryptSymmetric(
  core: KmsCore,
  operation: Operation,
  target: {
    readonly reference: KeyReference;
    readonly version: UsableVersion;
    readonly input: EncryptionInput;
  },
): Promise<Buffer> {
  const { reference, version, input } = target;
  const { bytes: plaintext, additionalAuthenticatedData } = input;
  // Given the key, the service takes its primary at this moment, which is never older than what is cached here.
  const name = reference.kind === 'version' ? reference.version.name : reference.key;
  const answer = await core.caller.call(operation, {
    rpc: 'encrypt',
    request: {
      name,
      plaintext,
      plaintextCrc32c: checksumOf(plaintext),
      additionalAuthenticatedData,
      additionalAuthenticatedDataCrc32c: checksumOf(additionalAuthenticatedData),
    },
    routeBy: ['name', name],
  });
  const encryptedBy =
    typeof answer.name === 'string' ? parseVersionOf(reference.key, answer.name) : undefined;
  if (
    encryptedBy === undefined ||
    (reference.kind === 'version' && encryptedBy.name !== reference.version.name)
  ) {
    throw new IntegrityError(
      operation.context(),
      `the version that encrypted is ${String(answer.name)}, expected ${name}`,
    );
  }
  requireEqual(operation, 'the protection level', {
    expected: version.protectionLevel,
    actual: answer.protectionLevel,
  });
  requireVerified(operation, 'plaintext', answer.verifiedPlaintextCrc32c);
  requireVerified(
    operation,
    'additional authenticated data',
    answer.verifiedAdditionalAuthenticatedDataCrc32c,
  );
  return checkedBytes(operation, 'the ciphertext', {
    bytes: answer.ciphertext,
    checksum: answer.ciphertextCrc32c,
  });
}

async function decryptSymmetric(
  core: KmsCore,
  operation: Operation,
  target: { readonly version: UsableVersion; readonly input: EncryptionInput },
): Promise<Buffer> {
  const { bytes: ciphertext, additionalAuthenticatedData } = target.input;
  // Decrypt takes a key only: the ciphertext names its version itself.
  const name = target.version.key;
  const answer = await core.caller.call(operation, {
    rpc: 'decrypt',
    request: {
      name,
      ciphertext,
      ciphertextCrc32c: checksumOf(ciphertext),
      additionalAuthenticatedData,
      additionalAuthenticatedDataCrc32c: checksumOf(additionalAuthenticatedData),
    },
    routeBy: ['name', name],
  });
  requireEqual(operation, 'the protection level', {
    expected: target.version.protectionLevel,
    actual: answer.protectionLevel,
  });
  return checkedBytes(operation, 'the plaintext', {
    bytes: answer.plaintext,
    checksum: answer.plaintextCrc32c,
  });
}

async function decryptAsymmetric(
  core: KmsCore,
  operation: Operation,
  target: { readonly version: UsableVersion; readonly ciphertext: Uint8Array },
): Promise<Buffer> {
  const { version, ciphertext } = target;
  const { name } = version;
  const answer = await core.caller.call(operation, {
    rpc: 'asymmetricDecrypt',
    request: { name, ciphertext, ciphertextCrc32c: checksumOf(ciphertext) },
    routeBy: ['name', name],
  });
  requireVerified(operation, 'ciphertext', answer.verifiedCiphertextCrc32c);
  requireEqual(operation, 'the protection level', {
    expected: version.protectionLevel,
    actual: answer.protectionLevel,
  });
  return checkedBytes(operation, 'the plaintext', {
    bytes: answer.plaintext,
    checksum: answer.plaintextCrc32c,
  });
}

async function encryptLocally(
  core: KmsCore,
  operation: Operation,
  target: {
    readonly version: UsableVersion;
    readonly algorithm: DecryptionAlgorithmEntry;
    readonly plaintext: Uint8Array;
  },
): Promise<Buffer> {
  const { version, algorithm, plaintext } = target;
  const limitBytes = algorithm.maxPlaintextBytes;
  if (plaintext.length > limitBytes) {
    throw new DataTooLargeError(
      operation.context(),
      { what: 'plaintext', sizeBytes: plaintext.length, limitBytes },
      ENVELOPE_HINT,
    );
  }
  const { material } = await core.publicKeys.get(operation, version);
  if (material.kind !== 'key-object')
    throw new IntegrityError(operation.context(), 'the public key is not an RSA key');
  return publicEncrypt(
    { key: material.keyObject, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: algorithm.hash },
    plaintext,
  );
}

function refuseAssociatedData(operation: Operation, input: EncryptionInput): void {
  if (input.additionalAuthenticatedData.length === 0) return;
  throw new InvalidArgumentError(
    operation.context(),
    'additional authenticated data is possible with ENCRYPT_DECRYPT keys only; this key is of purpose ASYMMETRIC_DECRYPT.',
  );
}
