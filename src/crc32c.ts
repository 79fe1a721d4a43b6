/**
 * CRC32C (Castagnoli, RFC 3720 appendix B.4), the checksum that Cloud KMS uses in both directions. Not to be confused
 * with zlib's CRC32. A leaf module: the SDK and the emulator both use it.
 */

import { createRequire } from 'node:module';

type Crc32c = (bytes: Uint8Array) => number;

/** The native module first; the JavaScript one where the platform has no prebuilt binary. */
const IMPLEMENTATIONS = ['@node-rs/crc32', '@aws-crypto/crc32c'] as const;

let implementation: Crc32c | undefined;

/** The CRC32C of `bytes`, as an unsigned 32-bit number. */
export function crc32c(bytes: Uint8Array): number {
  implementation ??= loadCrc32c(createRequire(import.meta.url));
  return implementation(bytes);
}

/**
 * The first implementation that `load` can load.
 *
 * @param load - resolves and loads a package synchronously, as `require` does; throws where it cannot.
 * @throws Error when no implementation can be loaded; its `cause` is the last failure.
 */
export function loadCrc32c(load: (specifier: string) => unknown): Crc32c {
  let cause: unknown;
  for (const specifier of IMPLEMENTATIONS) {
    try {
      const loaded = load(specifier);
      if (hasCrc32c(loaded)) return loaded.crc32c;
    } catch (error) {
      cause = error;
    }
  }
  throw new Error('No CRC32C implementation can be loaded', { cause });
}

function hasCrc32c(loaded: unknown): loaded is { crc32c: Crc32c } {
  return (
    typeof loaded === 'object' && loaded !== null && 'crc32c' in loaded && typeof loaded.crc32c === 'function'
  );
}
