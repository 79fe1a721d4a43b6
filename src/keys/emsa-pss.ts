/** EMSA-PSS encoding of a given digest (RFC 8017 section 9.1.1), which node:crypto only does together with hashing. */

import { createHash, randomBytes } from 'node:crypto';
import type { DigestName } from './algorithm-types.js';

/**
 * The encoded message to be passed through the RSA private key without padding. The salt is as long as the digest and
 * MGF1 uses the same hash, as in Cloud KMS.
 *
 * @param modulusBits - a multiple of 8.
 */
export function encodeEmsaPss(digest: Uint8Array, hash: DigestName, modulusBits: number): Buffer {
  const encodedBytes = modulusBits / 8;
  const salt = randomBytes(digest.length);
  const saltedHash = createHash(hash).update(Buffer.alloc(8)).update(digest).update(salt).digest();

  const block = Buffer.alloc(encodedBytes - saltedHash.length - 1);
  block[block.length - salt.length - 1] = 0x01;
  salt.copy(block, block.length - salt.length);

  const masked = xor(block, mgf1(saltedHash, hash, block.length));
  // The encoded message has one bit less than the modulus, so the leftmost bit is 0 (step 11).
  masked.writeUInt8(masked.readUInt8(0) & 0x7f);
  return Buffer.concat([masked, saltedHash, Buffer.from([0xbc])]);
}

/** RFC 8017 appendix B.2.1. */
function mgf1(seed: Buffer, hash: DigestName, lengthBytes: number): Buffer {
  const blocks: Buffer[] = [];
  for (let counter = 0; counter * seed.length < lengthBytes; counter++) {
    const counterBytes = Buffer.alloc(4);
    counterBytes.writeUInt32BE(counter);
    blocks.push(createHash(hash).update(seed).update(counterBytes).digest());
  }
  return Buffer.concat(blocks).subarray(0, lengthBytes);
}

function xor(a: Buffer, b: Buffer): Buffer {
  return Buffer.from(a.map((byte, index) => byte ^ b.readUInt8(index)));
}
