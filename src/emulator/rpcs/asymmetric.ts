/** AsymmetricSign, AsymmetricDecrypt, Decapsulate and GenerateRandomBytes. */

import { randomBytes } from 'node:crypto';
import { crc32c } from '../../crc32c.js';
import { SIGN_DATA_MAX_BYTES } from '../../keys/limits.js';
import { decapsulate } from '../crypto/kem.js';
import { decryptOaep } from '../crypto/rsa-decrypt.js';
import { signData, signDigest } from '../crypto/signing.js';
import { bytes, checksumValue, invalidArgument, message, text, verifyChecksum } from '../request-fields.js';
import { type KeyStore, usableMaterial } from '../resources/key-store.js';
import { requireLocation } from '../resources/names.js';
import { type CallContext, RpcError, type RpcMessage, type ServiceHandlers } from '../rpc.js';
import { answerOf, refusing, requirePurpose, wait } from './symmetric.js';

/** GenerateRandomBytesRequest.length_bytes. */
const RANDOM_MIN_BYTES = 8;
const RANDOM_MAX_BYTES = 1_024;

export function asymmetricHandlers(store: KeyStore): ServiceHandlers {
  return {
    AsymmetricSign: (request, context) => sign(store, request, context),
    AsymmetricDecrypt: (request, context) => decrypt(store, request, context),
    Decapsulate: (request, context) => openCapsule(store, request, context),
    GenerateRandomBytes: async (request, context) => {
      requireLocation(text(request, 'location'));
      const level = text(request, 'protectionLevel');
      if (level !== 'HSM')
        throw new RpcError('UNIMPLEMENTED', `Random bytes are not available with protection level ${level}.`);
      const length = Number(request['lengthBytes'] ?? 0);
      if (length < RANDOM_MIN_BYTES || length > RANDOM_MAX_BYTES) {
        throw invalidArgument(`length_bytes must be between ${RANDOM_MIN_BYTES} and ${RANDOM_MAX_BYTES}.`);
      }
      await context.delayForHsm();
      const data = randomBytes(length);
      return { data, dataCrc32c: checksumValue(data) };
    },
  };
}

async function sign(store: KeyStore, request: RpcMessage, context: CallContext): Promise<RpcMessage> {
  const { version } = await store.version(text(request, 'name'));
  const entry = requirePurpose(version, 'ASYMMETRIC_SIGN');
  const material = usableMaterial(version);
  const digestMessage = message(request, 'digest');
  const data = bytes(request, 'data');
  const digest = digestMessage === undefined ? undefined : readDigest(digestMessage);
  if (digest !== undefined && data.length > 0)
    throw invalidArgument('Exactly one of digest and data must be set.');
  if (digest === undefined && data.length === 0 && entry.input.kind === 'digest')
    throw invalidArgument('A digest is required.');

  const verifiedDigestCrc32c =
    digest === undefined
      ? refuseChecksum(request, 'digestCrc32c')
      : verifyChecksum(request, { checksum: 'digestCrc32c', data: 'digest', payload: digest.bytes });
  const verifiedDataCrc32c =
    digest === undefined
      ? verifyChecksum(request, { checksum: 'dataCrc32c', data: 'data', payload: data })
      : refuseChecksum(request, 'dataCrc32c');

  if (digest !== undefined && (entry.input.kind !== 'digest' || entry.input.digest !== digest.name)) {
    throw invalidArgument(`The digest type ${digest.name} does not fit algorithm ${entry.name}.`);
  }
  if (data.length > SIGN_DATA_MAX_BYTES) throw invalidArgument('data must be no larger than 64KiB.');
  await wait(version, context);
  const signature = await refusing(() =>
    digest === undefined ? signData(entry, material, data) : signDigest(entry, material, digest.bytes),
  );
  return {
    ...answerOf(version),
    signature,
    signatureCrc32c: checksumValue(signature),
    verifiedDigestCrc32c,
    verifiedDataCrc32c,
  };
}

function readDigest(digest: RpcMessage): { readonly name: string; readonly bytes: Buffer } {
  // The virtual oneof field names the member that was set.
  const name = text(digest, 'digest');
  if (name === '') throw invalidArgument('The digest is empty.');
  return { name, bytes: bytes(digest, name) };
}

/** A checksum of something that was not sent cannot match. */
function refuseChecksum(request: RpcMessage, field: 'digestCrc32c' | 'dataCrc32c'): boolean {
  if (message(request, field) !== undefined)
    throw invalidArgument(
      `${field === 'dataCrc32c' ? 'data_crc32c' : 'digest_crc32c'} was sent without what it is of.`,
    );
  return false;
}

async function decrypt(store: KeyStore, request: RpcMessage, context: CallContext): Promise<RpcMessage> {
  const { version } = await store.version(text(request, 'name'));
  const entry = requirePurpose(version, 'ASYMMETRIC_DECRYPT');
  const material = usableMaterial(version);
  const ciphertext = bytes(request, 'ciphertext');
  const verifiedCiphertextCrc32c = verifyChecksum(request, {
    checksum: 'ciphertextCrc32c',
    data: 'ciphertext',
    payload: ciphertext,
  });
  await wait(version, context);
  const plaintext = await refusing(() => decryptOaep(entry, material, ciphertext));
  return {
    plaintext,
    plaintextCrc32c: checksumValue(plaintext),
    verifiedCiphertextCrc32c,
    protectionLevel: version.protectionLevel,
  };
}

async function openCapsule(store: KeyStore, request: RpcMessage, context: CallContext): Promise<RpcMessage> {
  const { version } = await store.version(text(request, 'name'));
  const entry = requirePurpose(version, 'KEY_ENCAPSULATION');
  const material = usableMaterial(version);
  const ciphertext = bytes(request, 'ciphertext');
  const verifiedCiphertextCrc32c = verifyChecksum(request, {
    checksum: 'ciphertextCrc32c',
    data: 'ciphertext',
    payload: ciphertext,
  });
  await wait(version, context);
  const sharedSecret = await refusing(() => decapsulate(entry, material, ciphertext));
  return {
    ...answerOf(version),
    sharedSecret,
    // `optional int64`, not Int64Value, here (DecapsulateResponse.shared_secret_crc32c).
    sharedSecretCrc32c: crc32c(sharedSecret),
    verifiedCiphertextCrc32c,
  };
}
