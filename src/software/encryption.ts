/**
 * Encryption with keys in this process. Symmetric keys: AES-256-GCM; the ciphertext names its version and is bound to it.
 * RSA keys: OAEP.
 */

import { constants, privateDecrypt, publicEncrypt } from 'node:crypto';
import { DecryptionFailedError } from '../errors/service.js';
import type { DecryptionAlgorithmEntry } from '../keys/algorithm-types.js';
import { type KeyVersion, keyVersion } from '../keys/resource-name.js';
import {
  checkOaepSize,
  checkSymmetricSize,
  type EncryptionInput,
  refuseAssociatedData,
} from '../provider/encryption-input.js';
import type { Operation } from '../provider/operation.js';
import { addressOf, type NamedKey, PROTECTION_LEVEL } from './key-records.js';
import { type FoundVersion, requireEnabled, wrongPurpose } from './key-versions.js';
import type { SoftwareCore } from './software-calls.js';
import { seal, unseal } from './store/sealing.js';

/** `format[1] ‖ version[8, big endian] ‖ iv[12] ‖ ciphertext ‖ tag[16]`. */
const FORMAT = 1;
const HEADER_BYTES = 9;

const PURPOSES = ['ENCRYPT_DECRYPT', 'ASYMMETRIC_DECRYPT'] as const;

export function encryptWith(
  core: SoftwareCore,
  operation: Operation,
  found: FoundVersion,
  input: EncryptionInput,
): Buffer {
  const { algorithm, key, version, name } = found;
  if (algorithm.purpose === 'ASYMMETRIC_DECRYPT') {
    refuseAssociatedData(operation, input);
    checkOaepSize(operation, algorithm, input.bytes);
    requireEnabled(core, operation, found);
    const publicKey = core.keyObjects.publicKey(name, version.publicKeyPem ?? '');
    return publicEncrypt({ key: publicKey, ...oaep(algorithm) }, input.bytes);
  }
  if (algorithm.purpose !== 'ENCRYPT_DECRYPT') throw wrongPurpose(operation, found, PURPOSES);
  checkSymmetricSize(operation, PROTECTION_LEVEL, input);
  requireEnabled(core, operation, found);
  const secret = core.keyObjects.secret(operation, addressOf(key, version));
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt8(FORMAT);
  header.writeBigUInt64BE(BigInt(version.number), 1);
  return Buffer.concat([header, seal(secret, input.bytes, boundTo(name, input))]);
}

/** @throws DecryptionFailedError for any ciphertext that this key did not make with that additional data. */
export function decryptWith(
  core: SoftwareCore,
  operation: Operation,
  found: FoundVersion,
  input: EncryptionInput,
): Buffer {
  const { algorithm, key, version } = found;
  if (algorithm.purpose === 'ASYMMETRIC_DECRYPT') {
    refuseAssociatedData(operation, input);
    requireEnabled(core, operation, found);
    const privateKey = core.keyObjects.secret(operation, addressOf(key, version));
    try {
      return privateDecrypt({ key: privateKey, ...oaep(algorithm) }, input.bytes);
    } catch (cause) {
      throw new DecryptionFailedError(operation.context(cause));
    }
  }
  if (algorithm.purpose !== 'ENCRYPT_DECRYPT') throw wrongPurpose(operation, found, PURPOSES);
  const named = namedVersion(operation, key, input.bytes);
  const encryptedBy = key.versions.find(({ number }) => number === named.number);
  if (encryptedBy === undefined) throw new DecryptionFailedError(operation.context());
  requireEnabled(core, operation, { ...found, version: encryptedBy, name: named.name });
  const secret = core.keyObjects.secret(operation, addressOf(key, encryptedBy));
  const plaintext = unseal(secret, input.bytes.subarray(HEADER_BYTES), boundTo(named.name, input));
  if (plaintext === undefined) throw new DecryptionFailedError(operation.context());
  return plaintext;
}

/** The version that a ciphertext says it is of. What it says is authenticated when it is decrypted. */
function namedVersion(operation: Operation, key: NamedKey, ciphertext: Uint8Array): KeyVersion {
  const bytes = Buffer.from(ciphertext.buffer, ciphertext.byteOffset, ciphertext.byteLength);
  const number =
    bytes.length > HEADER_BYTES && bytes.readUInt8(0) === FORMAT ? Number(bytes.readBigUInt64BE(1)) : 0;
  if (!Number.isSafeInteger(number) || number < 1) throw new DecryptionFailedError(operation.context());
  return keyVersion(key.name, number);
}

/** A resource name has no line break, so that nothing else comes to the same bytes. */
const boundTo = (versionName: string, { additionalAuthenticatedData }: EncryptionInput): Buffer =>
  Buffer.concat([Buffer.from(`a2a-kms software ciphertext\n${versionName}\n`), additionalAuthenticatedData]);

const oaep = ({ hash: oaepHash }: DecryptionAlgorithmEntry) => ({
  padding: constants.RSA_PKCS1_OAEP_PADDING,
  oaepHash,
});
