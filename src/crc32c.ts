/**
 * CRC32C (Castagnoli, RFC 3720 appendix B.4), the checksum that Cloud KMS uses in both directions. Not to be confused
 * with zlib's CRC32. A leaf module: the SDK and the emulator both use it.
 */

import { createRequire } from 'node:module';

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

/** The Castagnoli polynomial, lowest bit first. */
const POLYNOMIAL = 0x82f63b78;
/** The checksum of each byte by itself. Made when it is needed: there is a native implementation for most platforms. */
let table: Uint32Array | undefined;

function inJavaScript(bytes: Uint8Array): number {
  table ??= Uint32Array.from({ length: 256 }, (_, byte) => {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
    return crc;
  });
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ (table[(crc ^ byte) & 0xff] ?? 0);
  return (crc ^ 0xffffffff) >>> 0;
}

function hasCrc32c(loaded: unknown): loaded is { crc32c: Crc32c } {
  return (
    typeof loaded === 'object' && loaded !== null && 'crc32c' in loaded && typeof loaded.crc32c === 'function'
  );
}
