/**
 * Import jobs: the wrapping key pair and unwrapping what clients send. The format is that of PKCS #11's
 * CKM_RSA_AES_KEY_WRAP: RSAES-OAEP of an ephemeral AES-256 key, then AES-KWP (RFC 5649) of the key itself.
 */

import { constants, createDecipheriv, generateKeyPair, type KeyObject, privateDecrypt } from 'node:crypto';
import { promisify } from 'node:util';
import { KeyUnwrapError } from './crypto-errors.js';

interface ImportMethodEntry {
  readonly modulusBits: 3072 | 4096;
  readonly hash: 'sha1' | 'sha256';
  /** What the OAEP ciphertext holds: the key that unwraps the rest, or the imported key itself. */
  readonly oaepCarries: 'aes-key' | 'imported-key';
}

/** `ImportJob.ImportMethod`, those based on RSA. The HPKE methods are not implemented. */
const IMPORT_METHODS = {
  RSA_OAEP_3072_SHA1_AES_256: { modulusBits: 3072, hash: 'sha1', oaepCarries: 'aes-key' },
  RSA_OAEP_4096_SHA1_AES_256: { modulusBits: 4096, hash: 'sha1', oaepCarries: 'aes-key' },
  RSA_OAEP_3072_SHA256_AES_256: { modulusBits: 3072, hash: 'sha256', oaepCarries: 'aes-key' },
  RSA_OAEP_4096_SHA256_AES_256: { modulusBits: 4096, hash: 'sha256', oaepCarries: 'aes-key' },
  RSA_OAEP_3072_SHA256: { modulusBits: 3072, hash: 'sha256', oaepCarries: 'imported-key' },
  RSA_OAEP_4096_SHA256: { modulusBits: 4096, hash: 'sha256', oaepCarries: 'imported-key' },
} as const satisfies Record<string, ImportMethodEntry>;

type ImportMethod = keyof typeof IMPORT_METHODS;

const EPHEMERAL_KEY_BYTES = 32;
/** Alternative initial value of RFC 5649 section 3. */
const KWP_INITIAL_VALUE = Buffer.from('a65959a6', 'hex');
/** Two 64-bit blocks are the least that AES-KWP gives. */
const KWP_MIN_BYTES = 16;

const generateKeyPairAsync = promisify(generateKeyPair);

/** Whether the emulator can run import jobs with a method. */
export function isImportMethod(name: string): name is ImportMethod {
  return Object.hasOwn(IMPORT_METHODS, name);
}

/** A new wrapping key pair, generated off the event loop. */
export function generateImportKeyPair(
  method: ImportMethod,
): Promise<{ publicKey: KeyObject; privateKey: KeyObject }> {
  return generateKeyPairAsync('rsa', { modulusLength: IMPORT_METHODS[method].modulusBits });
}

/**
 * The key material inside `wrappedKey`: PKCS#8 DER or raw symmetric key bytes, not looked at here.
 *
 * @throws KeyUnwrapError on any failure, with what was wrong in the message.
 */
export function unwrapImportedKey(
  method: ImportMethod,
  wrappingPrivateKey: KeyObject,
  wrappedKey: Buffer,
): Buffer {
  const { modulusBits, hash, oaepCarries } = IMPORT_METHODS[method];
  if (oaepCarries === 'imported-key') return decryptOaep(wrappingPrivateKey, hash, wrappedKey);

  const oaepBytes = modulusBits / 8;
  if (wrappedKey.length < oaepBytes + KWP_MIN_BYTES)
    throw new KeyUnwrapError('The wrapped key is too short.');
  const ephemeralKey = decryptOaep(wrappingPrivateKey, hash, wrappedKey.subarray(0, oaepBytes));
  if (ephemeralKey.length !== EPHEMERAL_KEY_BYTES) {
    throw new KeyUnwrapError('The ephemeral wrapping key is not an AES-256 key.');
  }
  return unwrapAesKwp(ephemeralKey, wrappedKey.subarray(oaepBytes));
}

/**
 * AES Key Wrap with Padding, unwrapping (RFC 5649 section 4.2).
 *
 * @param wrappingKey - an AES key of 16, 24 or 32 bytes.
 * @throws KeyUnwrapError when the wrapping key is another, or the wrapped key was altered.
 */
export function unwrapAesKwp(wrappingKey: Buffer, wrapped: Buffer): Buffer {
  try {
    const decipher = createDecipheriv(
      `id-aes${wrappingKey.length * 8}-wrap-pad`,
      wrappingKey,
      KWP_INITIAL_VALUE,
    );
    return Buffer.concat([decipher.update(wrapped), decipher.final()]);
  } catch (cause) {
    throw new KeyUnwrapError('The key cannot be unwrapped with the ephemeral wrapping key.', { cause });
  }
}

function decryptOaep(key: KeyObject, oaepHash: 'sha1' | 'sha256', ciphertext: Buffer): Buffer {
  try {
    return privateDecrypt({ key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash }, ciphertext);
  } catch (cause) {
    throw new KeyUnwrapError("The wrapped key was not encrypted with the import job's public key.", {
      cause,
    });
  }
}
