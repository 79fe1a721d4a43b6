/**
 * RawEncrypt and RawDecrypt: AES in the mode the algorithm names, with the IV and the tag in the open. The rules are those
 * of `RawEncryptRequest` and `RawDecryptRequest` in service.proto.
 */

import { type CipherGCMTypes, createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import type { RawSymmetricAlgorithmEntry } from '../../keys/algorithm-types.js';
import { CiphertextError, CryptoInputError } from './crypto-errors.js';
import { type KeyMaterial, symmetricKey } from './key-material.js';

/** AES block, and with it the CBC and CTR IV. */
const BLOCK_BYTES = 16;
/** `RawDecryptRequest.tag_length`: the default for AES-GCM, and the only length that RawEncrypt makes. */
const GCM_TAG_BYTES = 16;
const GCM_IV_BYTES = 12;

const CIPHERS = {
  16: { gcm: 'aes-128-gcm', cbc: 'aes-128-cbc', ctr: 'aes-128-ctr' },
  32: { gcm: 'aes-256-gcm', cbc: 'aes-256-cbc', ctr: 'aes-256-ctr' },
} as const satisfies Record<number, { gcm: CipherGCMTypes; cbc: string; ctr: string }>;

interface RawCiphertext {
  /** With the tag at its end for GCM. */
  readonly ciphertext: Buffer;
  readonly iv: Buffer;
  /** 16 for GCM, 0 for the modes without a tag. */
  readonly tagLengthBytes: number;
}

/**
 * Encrypts with an IV of the service's or, for CBC and CTR, the caller's making.
 *
 * @throws CryptoInputError for an IV with GCM or of the wrong length, associated data with CBC or CTR, and CBC plaintext
 *   that is not whole blocks: there is no padding.
 */
export function rawEncrypt(
  entry: RawSymmetricAlgorithmEntry,
  options: {
    readonly material: KeyMaterial;
    readonly plaintext: Buffer;
    /** Empty for none. */
    readonly aad: Buffer;
    /** Empty to have one made. */
    readonly iv: Buffer;
  },
): RawCiphertext {
  const key = symmetricKey(options.material);
  if (entry.mode === 'gcm') {
    if (options.iv.length > 0) {
      throw new CryptoInputError(`${entry.name} does not accept an initialization vector.`);
    }
    return encryptGcm(CIPHERS[entry.keyBytes].gcm, key, options);
  }
  refuseAad(entry, options.aad);
  if (options.iv.length > 0) checkIv(entry, options.iv);
  if (entry.mode === 'cbc') checkBlocks('plaintext', options.plaintext);

  const iv = options.iv.length > 0 ? Buffer.from(options.iv) : randomBytes(BLOCK_BYTES);
  const cipher = createCipheriv(CIPHERS[entry.keyBytes][entry.mode], key, iv).setAutoPadding(false);
  const ciphertext = Buffer.concat([cipher.update(options.plaintext), cipher.final()]);
  return { ciphertext, iv, tagLengthBytes: 0 };
}

/**
 * Decrypts what {@link rawEncrypt} made.
 *
 * @throws CryptoInputError for an IV or tag of the wrong length, associated data with CBC or CTR, CBC ciphertext that is
 *   not whole blocks.
 * @throws CiphertextError when the GCM tag does not match.
 */
export function rawDecrypt(
  entry: RawSymmetricAlgorithmEntry,
  options: {
    readonly material: KeyMaterial;
    readonly ciphertext: Buffer;
    readonly aad: Buffer;
    readonly iv: Buffer;
    /** 0 for the algorithm's default. */
    readonly tagLengthBytes: number;
  },
): Buffer {
  const key = symmetricKey(options.material);
  checkIv(entry, options.iv);
  const tagBytes = entry.mode === 'gcm' ? GCM_TAG_BYTES : 0;
  if (options.tagLengthBytes !== 0 && options.tagLengthBytes !== tagBytes) {
    throw new CryptoInputError(`The tag length for ${entry.name} must be ${tagBytes}.`);
  }
  if (entry.mode === 'gcm') return decryptGcm(CIPHERS[entry.keyBytes].gcm, key, options);

  refuseAad(entry, options.aad);
  if (entry.mode === 'cbc') checkBlocks('ciphertext', options.ciphertext);
  const cipher = CIPHERS[entry.keyBytes][entry.mode];
  const decipher = createDecipheriv(cipher, key, options.iv).setAutoPadding(false);
  return Buffer.concat([decipher.update(options.ciphertext), decipher.final()]);
}

function encryptGcm(
  cipherName: CipherGCMTypes,
  key: Buffer,
  { plaintext, aad }: { plaintext: Buffer; aad: Buffer },
): RawCiphertext {
  const iv = randomBytes(GCM_IV_BYTES);
  const cipher = createCipheriv(cipherName, key, iv).setAAD(aad);
  const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
  return { ciphertext, iv, tagLengthBytes: GCM_TAG_BYTES };
}

function decryptGcm(
  cipherName: CipherGCMTypes,
  key: Buffer,
  { ciphertext, aad, iv }: { ciphertext: Buffer; aad: Buffer; iv: Buffer },
): Buffer {
  if (ciphertext.length < GCM_TAG_BYTES) throw invalidCiphertext();
  const decipher = createDecipheriv(cipherName, key, iv).setAAD(aad);
  decipher.setAuthTag(ciphertext.subarray(-GCM_TAG_BYTES));
  const plaintext = decipher.update(ciphertext.subarray(0, -GCM_TAG_BYTES));
  try {
    return Buffer.concat([plaintext, decipher.final()]);
  } catch (cause) {
    throw invalidCiphertext(cause);
  }
}

function checkIv(entry: RawSymmetricAlgorithmEntry, iv: Buffer): void {
  const expected = entry.mode === 'gcm' ? GCM_IV_BYTES : BLOCK_BYTES;
  if (iv.length !== expected) {
    throw new CryptoInputError(
      `The initialization vector for ${entry.name} must have ${expected} bytes, not ${iv.length}.`,
    );
  }
}

function refuseAad(entry: RawSymmetricAlgorithmEntry, aad: Buffer): void {
  if (aad.length > 0) {
    throw new CryptoInputError(`${entry.name} does not accept additional authenticated data.`);
  }
}

function checkBlocks(field: 'plaintext' | 'ciphertext', bytes: Buffer): void {
  if (bytes.length % BLOCK_BYTES !== 0) {
    throw new CryptoInputError(`The ${field} for AES-CBC must be a multiple of ${BLOCK_BYTES} bytes.`);
  }
}

function invalidCiphertext(cause?: unknown): CiphertextError {
  return new CiphertextError('Decryption failed: the ciphertext is invalid.', { cause });
}
