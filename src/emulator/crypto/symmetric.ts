/**
 * Encrypt and Decrypt (GOOGLE_SYMMETRIC_ENCRYPTION). The ciphertext names the key and the version that made it, because
 * Decrypt is told only the key:
 *
 *     0a ‖ uint8 n ‖ keyId[n] ‖ uint32_be version ‖ iv[12] ‖ AES-256-GCM ciphertext ‖ tag[16]
 *
 * Everything before the IV is authenticated together with the caller's associated data; it delimits itself, so the two
 * cannot be shifted into each other. Clients must not rely on the layout: Cloud KMS' own is opaque, and differs.
 */

import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { CiphertextError, CryptoInputError } from './crypto-errors.js';
import { type KeyMaterial, symmetricKey } from './key-material.js';

/** Which key a ciphertext belongs to. */
interface CiphertextKey {
  /** The random id of the CryptoKey, made with the key and stable; not its name, so that a ciphertext tells no names. */
  readonly keyId: string;
  /** Number of the CryptoKeyVersion, from 1. */
  readonly version: number;
}

const CIPHER = 'aes-256-gcm';
/** First byte of a ciphertext; the real service's start with the same. */
const FORMAT = 0x0a;
const VERSION_BYTES = 4;
/** NIST SP 800-38D section 8.2: 96-bit IVs, full-length tags. */
const IV_BYTES = 12;
const TAG_BYTES = 16;
const KEY_ID = /^[A-Za-z0-9-]{1,255}$/;

/**
 * Encrypts under a version of a CryptoKey.
 *
 * @throws CryptoInputError when `keyId` is not 1 to 255 letters, digits and hyphens, or `version` not a positive uint32.
 */
export function encryptSymmetric(
  options: CiphertextKey & {
    readonly material: KeyMaterial;
    readonly plaintext: Buffer;
    /** Additional authenticated data; empty and absent are the same. */
    readonly aad: Buffer;
  },
): Buffer {
  const header = encodeHeader(options);
  const iv = randomBytes(IV_BYTES);
  const cipher = createCipheriv(CIPHER, symmetricKey(options.material), iv);
  cipher.setAAD(Buffer.concat([header, options.aad]));
  const body = Buffer.concat([cipher.update(options.plaintext), cipher.final()]);
  return Buffer.concat([header, iv, body, cipher.getAuthTag()]);
}

/**
 * The key a ciphertext says it belongs to, not authenticated yet; undefined for bytes that are no ciphertext of the
 * emulator.
 */
export function readCiphertextKey(ciphertext: Buffer): CiphertextKey | undefined {
  return parseCiphertext(ciphertext)?.key;
}

/**
 * Decrypts with the key of the version that {@link readCiphertextKey} named.
 *
 * @throws CiphertextError when the ciphertext, its header or the associated data were altered, or the key is another.
 */
export function decryptSymmetric(options: {
  readonly material: KeyMaterial;
  readonly ciphertext: Buffer;
  readonly aad: Buffer;
}): Buffer {
  const parts = parseCiphertext(options.ciphertext);
  if (parts === undefined) throw invalidCiphertext();
  const decipher = createDecipheriv(CIPHER, symmetricKey(options.material), parts.iv);
  decipher.setAAD(Buffer.concat([parts.header, options.aad]));
  decipher.setAuthTag(parts.tag);
  const plaintext = decipher.update(parts.body);
  try {
    return Buffer.concat([plaintext, decipher.final()]);
  } catch (cause) {
    throw invalidCiphertext(cause);
  }
}

function encodeHeader({ keyId, version }: CiphertextKey): Buffer {
  if (!KEY_ID.test(keyId))
    throw new CryptoInputError('The key id must be 1 to 255 letters, digits and hyphens.');
  if (!isVersion(version)) throw new CryptoInputError('The version must be from 1 to 4294967295.');
  const header = Buffer.alloc(2 + keyId.length + VERSION_BYTES);
  header[0] = FORMAT;
  header[1] = keyId.length;
  header.write(keyId, 2, 'latin1');
  header.writeUInt32BE(version, 2 + keyId.length);
  return header;
}

function parseCiphertext(ciphertext: Buffer) {
  if (ciphertext[0] !== FORMAT) return undefined;
  const keyIdBytes = ciphertext[1] ?? 0;
  const headerBytes = 2 + keyIdBytes + VERSION_BYTES;
  if (ciphertext.length < headerBytes + IV_BYTES + TAG_BYTES) return undefined;

  const keyId = ciphertext.toString('latin1', 2, 2 + keyIdBytes);
  const version = ciphertext.readUInt32BE(2 + keyIdBytes);
  if (!KEY_ID.test(keyId) || !isVersion(version)) return undefined;

  return {
    key: { keyId, version },
    header: ciphertext.subarray(0, headerBytes),
    iv: ciphertext.subarray(headerBytes, headerBytes + IV_BYTES),
    body: ciphertext.subarray(headerBytes + IV_BYTES, -TAG_BYTES),
    tag: ciphertext.subarray(-TAG_BYTES),
  };
}

function isVersion(version: number): boolean {
  return Number.isInteger(version) && version >= 1 && version <= 0xffff_ffff;
}

function invalidCiphertext(cause?: unknown): CiphertextError {
  return new CiphertextError('Decryption failed: the ciphertext is invalid.', { cause });
}
