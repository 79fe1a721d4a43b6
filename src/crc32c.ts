/**
 * CRC32C (Castagnoli, RFC 3720 appendix B.4), the checksum that Cloud KMS uses in both directions. Not to be confused
 * with zlib's CRC32. A leaf module: the SDK and the emulator both use it.
 */

import { createRequire } from 'node:module';
// Imported, not required: the only way in which every bundler takes it along.
import { crc32c as inJavaScript } from '@aws-crypto/crc32c';

type Crc32c = (bytes: Uint8Array) => number;

let implementation: Crc32c | undefined;

/** The CRC32C of `bytes`, as an unsigned 32-bit number. */
export function crc32c(bytes: Uint8Array): number {
  implementation ??= chooseCrc32c(requirePackage);
  return implementation(bytes);
}

/** In a bundle in CommonJS `import.meta` is empty; where it is not, there is no `__filename`. */
function requirePackage(specifier: string): unknown {
  return createRequire(typeof __filename === 'string' ? __filename : import.meta.url)(specifier);
}

/**
 * The native implementation; the JavaScript one where that cannot be loaded: there is no binary for the platform, or no
 * package beside a bundle.
 *
 * @param load - resolves and loads a package synchronously, as `require` does; throws where it cannot.
 */
export function chooseCrc32c(load: (specifier: string) => unknown): Crc32c {
  try {
    const loaded = load('@node-rs/crc32');
    if (hasCrc32c(loaded)) return loaded.crc32c;
  } catch {
    // Both give the same values: nobody needs to know which one it is.
  }
  return inJavaScript;
}

function hasCrc32c(loaded: unknown): loaded is { crc32c: Crc32c } {
  return (
    typeof loaded === 'object' && loaded !== null && 'crc32c' in loaded && typeof loaded.crc32c === 'function'
  );
}
