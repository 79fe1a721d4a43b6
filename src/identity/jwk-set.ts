/** JWK Sets (RFC 7517 section 5), which may hold keys that their reader has no use for. */

import { InvalidJwkError } from '../errors/identity.js';
import type { JwkLike } from './jwk.js';

export const isJwkSet = (input: unknown): input is { readonly keys: readonly JwkLike[] } =>
  typeof input === 'object' && input !== null && 'keys' in input && Array.isArray(input.keys);

/** What was read of a key of a set; nothing when the reader refused it. */
export function unlessForeign<Key>(read: () => Key): readonly Key[] {
  try {
    return [read()];
  } catch (error) {
    if (error instanceof InvalidJwkError) return [];
    throw error;
  }
}
