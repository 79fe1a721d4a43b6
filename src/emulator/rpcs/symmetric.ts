/** Encrypt and Decrypt, RawEncrypt and RawDecrypt, MacSign and MacVerify. */

import type { AlgorithmEntry, KeyPurpose } from '../../keys/algorithm-types.js';
import { HSM_ENCRYPT_MAX_BYTES, SIGN_DATA_MAX_BYTES, SOFTWARE_ENCRYPT_MAX_BYTES } from '../../keys/limits.js';
import { CiphertextError, CryptoInputError } from '../crypto/crypto-errors.js';
import { macSign, macVerify } from '../crypto/mac.js';
import { rawDecrypt, rawEncrypt } from '../crypto/raw-symmetric.js';
import { decryptSymmetric, encryptSymmetric, readCiphertextKey } from '../crypto/symmetric.js';
import { bytes, checksumValue, invalidArgument, text, verifyChecksum } from '../request-fields.js';
import type { CryptoKey, Version } from '../resources/entities.js';
import { type KeyStore, usableMaterial } from '../resources/key-store.js';
import { type CallContext, RpcError, type RpcMessage, type ServiceHandlers } from '../rpc.js';

export function symmetricHandlers(store: KeyStore): ServiceHandlers {
  return {
    Encrypt: (request, context) => encrypt(store, request, context),
    Decrypt: (request, context) => decrypt(store, request, context),
    RawEncrypt: (request, context) => encryptRaw(store, request, context),
    RawDecrypt: (request, context) => decryptRaw(store, request, context),
    MacSign: (request, context) => signMac(store, request, context),
    MacVerify: (request, context) => verifyMac(store, request, context),
  };
}

/** What the answers of all operations with a version have in common. */
export const answerOf = (version: Version): RpcMessage => ({
  name: version.name,
  protectionLevel: version.protectionLevel,
});

export const wait = (version: Version, context: CallContext): Promise<void> =>
  version.protectionLevel === 'HSM' ? context.delayForHsm() : Promise.resolve();

/** The algorithm of a version whose key is of the purpose. @throws RpcError FAILED_PRECONDITION */
export function requirePurpose<Purpose extends KeyPurpose>(
  version: Version,
  purpose: Purpose,
): Extract<AlgorithmEntry, { purpose: Purpose }> {
  const { algorithm } = version;
  if (isOfPurpose(algorithm, purpose)) return algorithm;
  throw new RpcError(
    'FAILED_PRECONDITION',
    `${version.name} has purpose ${algorithm.purpose}, which does not allow this operation; it needs ${purpose}.`,
  );
}

const isOfPurpose = <Purpose extends KeyPurpose>(
  algorithm: AlgorithmEntry,
  purpose: Purpose,
): algorithm is Extract<AlgorithmEntry, { purpose: Purpose }> => algorithm.purpose === purpose;

/** What cryptography refuses of a request is INVALID_ARGUMENT; anything else is a defect of the emulator. */
export async function refusing<T>(work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof CryptoInputError || error instanceof CiphertextError)
      throw invalidArgument(error.message);
    throw error;
  }
}

async function encrypt(store: KeyStore, request: RpcMessage, context: CallContext): Promise<RpcMessage> {
  const name = text(request, 'name');
  const { key, version } = name.includes('/cryptoKeyVersions/')
    ? await store.version(name)
    : await primaryOf(store, name);
  requirePurpose(version, 'ENCRYPT_DECRYPT');
  const material = usableMaterial(version);
  const plaintext = bytes(request, 'plaintext');
  const aad = bytes(request, 'additionalAuthenticatedData');
  checkSizes(version, plaintext, aad);
  const verifiedPlaintextCrc32c = verifyChecksum(request, {
    checksum: 'plaintextCrc32c',
    data: 'plaintext',
    payload: plaintext,
  });
  const verifiedAdditionalAuthenticatedDataCrc32c = verifyAad(request, aad);
  await wait(version, context);
  const ciphertext = encryptSymmetric({ material, keyId: key.id, version: version.number, plaintext, aad });
  return {
    ...answerOf(version),
    ciphertext,
    ciphertextCrc32c: checksumValue(ciphertext),
    verifiedPlaintextCrc32c,
    verifiedAdditionalAuthenticatedDataCrc32c,
  };
}

async function primaryOf(
  store: KeyStore,
  name: string,
): Promise<{ readonly key: CryptoKey; readonly version: Version }> {
  const key = await store.cryptoKey(name);
  if (key.purpose !== 'ENCRYPT_DECRYPT') {
    throw new RpcError(
      'FAILED_PRECONDITION',
      `CryptoKey ${name} has purpose ${key.purpose}, which does not allow this operation; it needs ENCRYPT_DECRYPT.`,
    );
  }
  const version = key.primary === undefined ? undefined : key.versions.get(key.primary);
  if (version === undefined)
    throw new RpcError('FAILED_PRECONDITION', `CryptoKey ${name} has no primary version.`);
  return { key, version };
}

/** EncryptRequest.plaintext and .additional_authenticated_data. */
function checkSizes(version: Version, plaintext: Buffer, aad: Buffer): void {
  if (version.protectionLevel === 'HSM') {
    if (plaintext.length + aad.length > HSM_ENCRYPT_MAX_BYTES) {
      throw invalidArgument(
        'The combined length of plaintext and additional_authenticated_data must be no larger than 8KiB for HSM keys.',
      );
    }
    return;
  }
  if (plaintext.length > SOFTWARE_ENCRYPT_MAX_BYTES)
    throw invalidArgument('plaintext must be no larger than 64KiB.');
  if (aad.length > SOFTWARE_ENCRYPT_MAX_BYTES)
    throw invalidArgument('additional_authenticated_data must be no larger than 64KiB.');
}

const verifyAad = (request: RpcMessage, aad: Buffer): boolean =>
  verifyChecksum(request, {
    checksum: 'additionalAuthenticatedDataCrc32c',
    data: 'additionalAuthenticatedData',
    payload: aad,
  });

async function decrypt(store: KeyStore, request: RpcMessage, context: CallContext): Promise<RpcMessage> {
  const key = await store.cryptoKey(text(request, 'name'));
  if (key.purpose !== 'ENCRYPT_DECRYPT') {
    throw new RpcError(
      'FAILED_PRECONDITION',
      `CryptoKey ${key.name} has purpose ${key.purpose}, which does not allow this operation; it needs ENCRYPT_DECRYPT.`,
    );
  }
  const ciphertext = bytes(request, 'ciphertext');
  const aad = bytes(request, 'additionalAuthenticatedData');
  verifyChecksum(request, { checksum: 'ciphertextCrc32c', data: 'ciphertext', payload: ciphertext });
  verifyAad(request, aad);
  const madeBy = readCiphertextKey(ciphertext);
  if (madeBy === undefined) throw invalidArgument('Decryption failed: the ciphertext is invalid.');
  const version = madeBy.keyId === key.id ? key.versions.get(madeBy.version) : undefined;
  if (version === undefined)
    throw invalidArgument("Decryption failed: verify that 'name' refers to the correct CryptoKey.");
  await store.settle(version);
  const material = usableMaterial(version);
  await wait(version, context);
  const plaintext = decryptOrRefuse(material, ciphertext, aad);
  return {
    plaintext,
    plaintextCrc32c: checksumValue(plaintext),
    usedPrimary: version.number === key.primary,
    protectionLevel: version.protectionLevel,
  };
}

function decryptOrRefuse(
  material: ReturnType<typeof usableMaterial>,
  ciphertext: Buffer,
  aad: Buffer,
): Buffer {
  try {
    return decryptSymmetric({ material, ciphertext, aad });
  } catch (error) {
    if (error instanceof CiphertextError)
      throw invalidArgument('Decryption failed: the ciphertext is invalid.');
    throw error;
  }
}

async function encryptRaw(store: KeyStore, request: RpcMessage, context: CallContext): Promise<RpcMessage> {
  const { version, entry, material } = await rawVersion(store, request);
  const plaintext = bytes(request, 'plaintext');
  const aad = bytes(request, 'additionalAuthenticatedData');
  const givenIv = bytes(request, 'initializationVector');
  checkSizes(version, plaintext, aad);
  const verifiedPlaintextCrc32c = verifyChecksum(request, {
    checksum: 'plaintextCrc32c',
    data: 'plaintext',
    payload: plaintext,
  });
  const verifiedAdditionalAuthenticatedDataCrc32c = verifyAad(request, aad);
  const verifiedInitializationVectorCrc32c = verifyIv(request, givenIv);
  await wait(version, context);
  const { ciphertext, iv, tagLengthBytes } = await refusing(() =>
    rawEncrypt(entry, { material, plaintext, aad, iv: givenIv }),
  );
  return {
    ...answerOf(version),
    ciphertext,
    initializationVector: iv,
    tagLength: tagLengthBytes,
    ciphertextCrc32c: checksumValue(ciphertext),
    initializationVectorCrc32c: checksumValue(iv),
    verifiedPlaintextCrc32c,
    verifiedAdditionalAuthenticatedDataCrc32c,
    verifiedInitializationVectorCrc32c,
  };
}

async function decryptRaw(store: KeyStore, request: RpcMessage, context: CallContext): Promise<RpcMessage> {
  const { version, entry, material } = await rawVersion(store, request);
  const ciphertext = bytes(request, 'ciphertext');
  const aad = bytes(request, 'additionalAuthenticatedData');
  const iv = bytes(request, 'initializationVector');
  const verifiedCiphertextCrc32c = verifyChecksum(request, {
    checksum: 'ciphertextCrc32c',
    data: 'ciphertext',
    payload: ciphertext,
  });
  const verifiedAdditionalAuthenticatedDataCrc32c = verifyAad(request, aad);
  const verifiedInitializationVectorCrc32c = verifyIv(request, iv);
  await wait(version, context);
  const tagLengthBytes = Number(request['tagLength'] ?? 0);
  const plaintext = await refusing(() =>
    rawDecrypt(entry, { material, ciphertext, aad, iv, tagLengthBytes }),
  );
  return {
    plaintext,
    plaintextCrc32c: checksumValue(plaintext),
    protectionLevel: version.protectionLevel,
    verifiedCiphertextCrc32c,
    verifiedAdditionalAuthenticatedDataCrc32c,
    verifiedInitializationVectorCrc32c,
  };
}

const verifyIv = (request: RpcMessage, iv: Buffer): boolean =>
  verifyChecksum(request, {
    checksum: 'initializationVectorCrc32c',
    data: 'initializationVector',
    payload: iv,
  });

async function rawVersion(store: KeyStore, request: RpcMessage) {
  const { version } = await store.version(text(request, 'name'));
  const entry = requirePurpose(version, 'RAW_ENCRYPT_DECRYPT');
  const material = usableMaterial(version);
  return { version, entry, material };
}

async function macVersion(store: KeyStore, request: RpcMessage) {
  const { version } = await store.version(text(request, 'name'));
  const entry = requirePurpose(version, 'MAC');
  const material = usableMaterial(version);
  const data = bytes(request, 'data');
  if (data.length > SIGN_DATA_MAX_BYTES) throw invalidArgument('data must be no larger than 64KiB.');
  const verifiedDataCrc32c = verifyChecksum(request, { checksum: 'dataCrc32c', data: 'data', payload: data });
  return { version, entry, material, data, verifiedDataCrc32c };
}

async function signMac(store: KeyStore, request: RpcMessage, context: CallContext): Promise<RpcMessage> {
  const { version, entry, material, data, verifiedDataCrc32c } = await macVersion(store, request);
  await wait(version, context);
  const mac = macSign(entry, material, data);
  return { ...answerOf(version), mac, macCrc32c: checksumValue(mac), verifiedDataCrc32c };
}

async function verifyMac(store: KeyStore, request: RpcMessage, context: CallContext): Promise<RpcMessage> {
  const { version, entry, material, data, verifiedDataCrc32c } = await macVersion(store, request);
  const mac = bytes(request, 'mac');
  const verifiedMacCrc32c = verifyChecksum(request, { checksum: 'macCrc32c', data: 'mac', payload: mac });
  await wait(version, context);
  const success = await refusing(() => macVerify(entry, material, { data, mac }));
  return {
    ...answerOf(version),
    success,
    verifiedDataCrc32c,
    verifiedMacCrc32c,
    verifiedSuccessIntegrity: success,
  };
}
