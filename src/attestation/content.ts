/**
 * The content of an attestation: gzip around a statement and the signature over it. One statement has exactly one
 * accepted compressed form, so that what is filed as evidence cannot be altered in any bit and still pass.
 */

import { crc32, deflateRawSync, inflateRawSync } from 'node:zlib';
import { isCanonicalDeflate } from './deflate.js';

/** Genuine statements have 0.8 to 1 KiB compressed and 2 to 3 KiB inflated; these bounds leave room and stop a bomb. */
const MAX_COMPRESSED_BYTES = 65_536;
const MAX_STATEMENT_BYTES = 262_144;

/** RFC 1952 section 2.3: deflate, no flags, no time, no extra flags; the operating system follows. */
const GZIP_HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0]);
/** 0 as in genuine statements, and what common compressors write: Unix, unknown. No two are one bit apart. */
const GZIP_SYSTEMS: readonly (number | undefined)[] = [0, 3, 255];
const GZIP_HEADER_BYTES = GZIP_HEADER.length + 1;
/** CRC-32 and length, 4 bytes each, little endian. */
const GZIP_TRAILER_BYTES = 8;

/** An RSA-2048 signature (PKCS #1 v1.5, SHA-256) by the key of the HSM partition, over all bytes before it. */
export const SIGNATURE_BYTES = 256;

interface SignedStatement {
  readonly statement: Buffer;
  readonly signature: Buffer;
}

/** @returns the parts, or what is wrong with the content. */
export function decodeContent(content: Uint8Array): SignedStatement | { readonly problem: string } {
  if (content.length > MAX_COMPRESSED_BYTES) return { problem: `more than ${MAX_COMPRESSED_BYTES} bytes` };
  const bytes = Buffer.from(content);
  const deflated = bytes.subarray(GZIP_HEADER_BYTES, -GZIP_TRAILER_BYTES);
  if (
    !bytes.subarray(0, GZIP_HEADER.length).equals(GZIP_HEADER) ||
    !GZIP_SYSTEMS.includes(bytes[GZIP_HEADER.length]) ||
    deflated.length === 0
  ) {
    return { problem: 'no gzip member with the header that statements of the HSMs have' };
  }
  const inflated = inflate(deflated);
  if (inflated === undefined) return { problem: 'damaged compression' };
  const trailer = bytes.subarray(-GZIP_TRAILER_BYTES);
  if (trailer.readUInt32LE(0) !== crc32(inflated) || trailer.readUInt32LE(4) !== inflated.length) {
    return { problem: 'the checksum or the length does not match' };
  }
  // The zlib of Node, which others have too, finds copies by a hash of four bytes, and so by a collision now and then one of
  // three bytes that is not the nearest: its own output is as good a single spelling.
  if (!isCanonicalDeflate(deflated, inflated) && !deflateRawSync(inflated).equals(deflated))
    return { problem: 'not compressed as statements of the HSMs are' };
  if (inflated.length <= SIGNATURE_BYTES) return { problem: 'too short for a signature' };
  return {
    statement: inflated.subarray(0, -SIGNATURE_BYTES),
    signature: inflated.subarray(-SIGNATURE_BYTES),
  };
}

function inflate(deflated: Uint8Array): Buffer | undefined {
  try {
    return inflateRawSync(deflated, { maxOutputLength: MAX_STATEMENT_BYTES });
  } catch {
    return undefined;
  }
}
