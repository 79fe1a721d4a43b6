/**
 * Encryption and decryption. Symmetric keys: both in Cloud KMS. Asymmetric keys: encryption here with the public key,
 * decryption in the HSM.
 */

import { constants, publicEncrypt } from 'node:crypto';
import { IntegrityError } from '../errors/service.js';
import type { DecryptionAlgorithmEntry } from '../keys/algorithm-types.js';
import { type KeyReference, parseVersionOf } from '../keys/resource-name.js';
import {
  checkOaepSize,
  checkSymmetricSize,
  type EncryptionInput,
  refuseAssociatedData,
} from '../provider/encryption-input.js';
import type { Operation } from '../provider/operation.js';
import type { KmsCore } from './core.js';
import { checkedBytes, checksumOf, requireEqual, requireVerified, withIntegrityRetry } from './integrity.js';
import { withUsableVersion } from './usable-version.js';
import type { UsableVersion } from './version-resolver.js';

const PURPOSES = ['ENCRYPT_DECRYPT', 'ASYMMETRIC_DECRYPT'] as const;

export function encryptWith(
  core: KmsCore,
  operation: Operation,
  reference: KeyReference,
  input: EncryptionInput,
): Promise<Buffer> {
  return withUsableVersion(core, operation, { reference, purposes: PURPOSES }, async (version) => {
    const { algorithm } = version;
    await core.attestations.require(operation, version);
    if (algorithm.purpose === 'ASYMMETRIC_DECRYPT') {
      refuseAssociatedData(operation, input);
      return encryptLocally(core, operation, { version, algorithm, plaintext: input.bytes });
    }
    checkSymmetricSize(operation, version.protectionLevel, input);
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
      await core.attestations.require(operation, version);
      return withIntegrityRetry(() =>
        decryptAsymmetric(core, operation, { version, ciphertext: input.bytes }),
      );
    }
    await core.attestations.requireAll(operation, version);
    return withIntegrityRetry(() => decryptSymmetric(core, operation, { version, input }));
  });
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
  // Given the key, the service takes its primary at this moment, which is never older than what is cached here; but only
  // the version that was looked at is attested.
  const isFree = reference.kind === 'key' && !core.attestations.isRequired;
  const name = isFree ? reference.key : version.name;
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
    uses: version,
  });
  const encryptedBy =
    typeof answer.name === 'string' ? parseVersionOf(reference.key, answer.name) : undefined;
  if (encryptedBy === undefined || (!isFree && encryptedBy.name !== version.name)) {
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
    uses: target.version,
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
    uses: version,
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
  checkOaepSize(operation, algorithm, plaintext);
  const { material } = await core.publicKeys.get(operation, version);
  if (material.kind !== 'key-object')
    throw new IntegrityError(operation.context(), 'the public key is not an RSA key');
  return publicEncrypt(
    { key: material.keyObject, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: algorithm.hash },
    plaintext,
  );
}
