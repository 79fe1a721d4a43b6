/**
 * Compact JWE (RFC 7516) with RSA-OAEP-256 and A256GCM, and nothing else: made here from a public key, and opened here
 * with a content key that the HSM unwrapped. Whatever can be refused is refused before the HSM is asked.
 */

import {
  constants,
  createCipheriv,
  createDecipheriv,
  type KeyObject,
  publicEncrypt,
  randomBytes,
} from 'node:crypto';
import { z } from 'zod';
import type { ErrorContext } from '../errors/base.js';
import { InvalidJweError, InvalidJwkError } from '../errors/identity.js';
import { DataTooLargeError, InvalidArgumentError } from '../errors/input.js';
import { DecryptionFailedError } from '../errors/service.js';
import { parseOptions } from '../provider/call-input.js';
import { decodeBase64url, encodeBase64url } from './base64url.js';
import { type JoseHeader, memberOf, parseJoseHeader } from './jose-header.js';
import { type PublicKeyInput, parsePublicKey } from './jwk.js';

/** RFC 7518 section 4.3: OAEP with SHA-256 and MGF1 with SHA-256. */
const JWE_KEY_ALGORITHM = 'RSA-OAEP-256';
/** RFC 7518 section 5.3. */
const JWE_CONTENT_ALGORITHM = 'A256GCM';
/** A JWE is in memory as a whole; what is larger is a case for envelope encryption and its streams. 16 MiB. */
export const JWE_PLAINTEXT_MAX_BYTES = 16_777_216;

const CONTENT_KEY_BYTES = 32;
/** RFC 7518 section 5.3: an IV of 96 bits and a tag of 128 bits. */
const IV_BYTES = 12;
const TAG_BYTES = 16;
/** The plaintext in base64url, a wrapped key of an RSA key of 4,096 bits, and the header. */
const JWE_MAX_CHARACTERS = Math.ceil((JWE_PLAINTEXT_MAX_BYTES * 4) / 3) + 16_384;

/** Header parameters of a JWE (RFC 7516 section 4.1.11 and 4.1.12). */
export interface JweOptions {
  /** Media type of the whole JWE. */
  readonly typ?: string | undefined;
  /** Media type of the plaintext. */
  readonly cty?: string | undefined;
}

const mediaType = z.string('must be a string').optional();
const jweOptions = z.strictObject({ typ: mediaType, cty: mediaType });

/** A JWE whose header is acceptable. Nothing of it is authentic before it is opened. */
export interface ParsedJwe {
  readonly header: JoseHeader;
  readonly kid: string | undefined;
  /** The content key, encrypted with RSA-OAEP. */
  readonly encryptedKey: Buffer;
  readonly iv: Buffer;
  readonly ciphertext: Buffer;
  readonly tag: Buffer;
  /** The protected header as it stands in the JWE. */
  readonly associatedData: Buffer;
}

/**
 * Encrypts to a public RSA key, in this process and without any call.
 * @throws InvalidJwkError when the key is not an RSA key for RSA-OAEP-256; DataTooLargeError; InvalidArgumentError.
 */
export function encryptCompactJwe(
  publicKey: PublicKeyInput,
  plaintext: Uint8Array,
  options: JweOptions = {},
): string {
  const context = { operation: 'encryptCompactJwe', resource: 'JWE' };
  const { typ, cty } = parseOptions(context, jweOptions, options);
  const { material, jwk } = parsePublicKey(context, publicKey, { algorithm: JWE_KEY_ALGORITHM, use: 'enc' });
  if (material.kind !== 'key-object') throw new InvalidJwkError(context, 'it is not an RSA key.');
  requireJwePlaintext(context, plaintext);
  const header = { alg: JWE_KEY_ALGORITHM, enc: JWE_CONTENT_ALGORITHM, kid: jwk.kid, typ, cty };
  const encodedHeader = encodeBase64url(Buffer.from(JSON.stringify(header), 'utf8'));
  return [encodedHeader, ...seal(material.keyObject, plaintext, encodedHeader)].join('.');
}

/** @throws InvalidArgumentError for what is not bytes; DataTooLargeError for more than fit into a JWE. */
export function requireJwePlaintext(context: ErrorContext, plaintext: unknown): void {
  if (!(plaintext instanceof Uint8Array)) {
    throw new InvalidArgumentError(context, 'plaintext must be bytes (Buffer or Uint8Array).');
  }
  if (plaintext.length > JWE_PLAINTEXT_MAX_BYTES) {
    throw new DataTooLargeError(
      context,
      { what: 'plaintext', sizeBytes: plaintext.length, limitBytes: JWE_PLAINTEXT_MAX_BYTES },
      'Encrypt the data with an EnvelopeCipher and send its location.',
    );
  }
}

function seal(publicKey: KeyObject, plaintext: Uint8Array, encodedHeader: string): readonly string[] {
  const contentKey = randomBytes(CONTENT_KEY_BYTES);
  try {
    const iv = randomBytes(IV_BYTES);
    const cipher = createCipheriv('aes-256-gcm', contentKey, iv, { authTagLength: TAG_BYTES });
    cipher.setAAD(Buffer.from(encodedHeader, 'ascii'));
    const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final()]);
    const encryptedKey = publicEncrypt(
      { key: publicKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' },
      contentKey,
    );
    return [encryptedKey, iv, ciphertext, cipher.getAuthTag()].map(encodeBase64url);
  } finally {
    contentKey.fill(0);
  }
}

/**
 * Takes a compact JWE apart and refuses what this library does not open.
 * @throws InvalidJweError saying which check failed.
 */
export function parseCompactJwe(context: ErrorContext, jwe: string): ParsedJwe {
  if (typeof jwe !== 'string') throw refuse(context, 'format', 'a compact JWE is a string.');
  if (jwe.length > JWE_MAX_CHARACTERS) {
    throw refuse(
      context,
      'size',
      `at most ${JWE_MAX_CHARACTERS} characters are accepted, got ${jwe.length}.`,
    );
  }
  const [encodedHeader = '', ...encodedParts] = jwe.split('.', 6);
  if (encodedParts.length !== 4) throw refuse(context, 'format', 'it does not have five parts.');
  const parsed = parseJoseHeader(encodedHeader);
  if (!parsed.ok) throw refuse(context, parsed.check, parsed.problem);
  const { header } = parsed;
  checkAlgorithms(context, header);
  const kid = memberOf(header, 'kid');
  if (kid !== undefined && typeof kid !== 'string') throw refuse(context, 'format', 'kid is not a string.');
  const [encryptedKey, iv, ciphertext, tag] = encodedParts.map(decodeBase64url);
  if (encryptedKey === undefined || iv === undefined || ciphertext === undefined || tag === undefined) {
    throw refuse(context, 'format', 'a part is not canonical base64url without padding.');
  }
  if (iv.length !== IV_BYTES || tag.length !== TAG_BYTES) {
    throw refuse(context, 'format', `${JWE_CONTENT_ALGORITHM} has an IV of 12 bytes and a tag of 16 bytes.`);
  }
  return {
    header,
    kid,
    encryptedKey,
    iv,
    ciphertext,
    tag,
    associatedData: Buffer.from(encodedHeader, 'ascii'),
  };
}

/**
 * Opens a JWE with its content key, which is left to the caller to zero.
 * @throws DecryptionFailedError for a wrong key of any length and for damage alike.
 */
export function openJwe(context: ErrorContext, jwe: ParsedJwe, contentKey: Uint8Array): Buffer {
  if (contentKey.length !== CONTENT_KEY_BYTES) throw new DecryptionFailedError(context);
  const decipher = createDecipheriv('aes-256-gcm', contentKey, jwe.iv, { authTagLength: TAG_BYTES });
  decipher.setAAD(jwe.associatedData);
  decipher.setAuthTag(jwe.tag);
  const plaintext = decipher.update(jwe.ciphertext);
  try {
    decipher.final();
  } catch {
    plaintext.fill(0);
    throw new DecryptionFailedError(context);
  }
  return plaintext;
}

function checkAlgorithms(context: ErrorContext, header: JoseHeader): void {
  if (memberOf(header, 'alg') !== JWE_KEY_ALGORITHM || memberOf(header, 'enc') !== JWE_CONTENT_ALGORITHM) {
    throw refuse(
      context,
      'algorithm',
      `only alg ${JWE_KEY_ALGORITHM} with enc ${JWE_CONTENT_ALGORITHM} is opened.`,
    );
  }
  // What is compressed before it is encrypted tells of itself by its length, and may be a bomb (RFC 8725 section 3.6).
  if (memberOf(header, 'zip') !== undefined) {
    throw refuse(context, 'compression', 'compressed content (zip) is not opened.');
  }
  const foreign = FOREIGN_MEMBERS.find((name) => memberOf(header, name) !== undefined);
  if (foreign !== undefined) {
    throw refuse(context, 'algorithm', `${foreign} does not belong to ${JWE_KEY_ALGORITHM}.`);
  }
}

/** Parameters of other key management algorithms (RFC 7518 sections 4.6 to 4.8). */
const FOREIGN_MEMBERS = ['epk', 'apu', 'apv', 'iv', 'tag', 'p2s', 'p2c'];

const refuse = (context: ErrorContext, check: InvalidJweError['check'], problem: string): InvalidJweError =>
  new InvalidJweError(context, check, problem);
