/** base64url without padding (RFC 7515 section 2), strictly: one byte string has exactly one text. */

export function encodeBase64url(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64url');
}

/** The bytes, or undefined for padding, foreign characters, white space, or bits set beyond the last byte. */
export function decodeBase64url(text: string): Buffer | undefined {
  // Node skips what it does not know, so only a text that comes back the same was canonical.
  const bytes = Buffer.from(text, 'base64url');
  return bytes.toString('base64url') === text ? bytes : undefined;
}
