/** What compressors write is accepted, in all kinds of blocks; other spellings of the same bytes are not. */

import { constants, deflateRawSync, inflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isCanonicalDeflate } from '../../src/attestation/deflate.js';

const texts = fc.array(fc.constantFrom('attested', 'key', 'HSM', '\0\0\0\0', 'x'), { maxLength: 400 });
const { Z_FIXED, Z_DEFAULT_STRATEGY, Z_HUFFMAN_ONLY, Z_RLE } = constants;

describe('deflate', () => {
  it.each([
    ['stored blocks', { level: 0 }],
    ['fixed codes', { level: 6, strategy: Z_FIXED }],
    ['dynamic codes', { level: 6, strategy: Z_DEFAULT_STRATEGY }],
    ['literals only', { level: 6, strategy: Z_HUFFMAN_ONLY }],
    ['runs', { level: 6, strategy: Z_RLE }],
  ])('as zlib writes it with %s is accepted', (_, options) => {
    fc.assert(
      fc.property(texts, (words) => {
        const bytes = Buffer.from(words.join(''));
        expect(isCanonicalDeflate(deflateRawSync(bytes, options), bytes)).toBe(true);
      }),
      { numRuns: 200, examples: [[['attested', 'key', '\0\0\0\0', 'key', 'key']]] },
    );
  });

  it('with a random, hardly compressible text is accepted', () => {
    const bytes = Buffer.from(Array.from({ length: 20_000 }, (_, index) => (index * index * 31) % 97));
    expect(isCanonicalDeflate(deflateRawSync(bytes), bytes)).toBe(true);
  });

  it('with a copy from farther away than the nearest is not', () => {
    // Fixed codes: "a", "b", a copy from distance 2, "x", end of block.
    const bytes = Buffer.from('abababababax');
    const near = deflateRawSync(bytes, { strategy: Z_FIXED });
    const all = Array.from({ length: near.length * 8 }, (_, bit) => {
      const other = Buffer.from(near);
      other.writeUInt8(other.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      return other;
    });
    const same = all.filter((other) => inflated(other)?.equals(bytes));
    expect(same.length).toBeGreaterThan(0);
    expect(same.filter((other) => isCanonicalDeflate(other, bytes))).toEqual([]);
  });

  it('with a byte or a bit after its end is not', () => {
    const bytes = Buffer.from('attested');
    const deflated = deflateRawSync(bytes, { level: 0 });
    expect(isCanonicalDeflate(Buffer.concat([deflated, Buffer.of(0)]), bytes)).toBe(false);
    // The bits between the header of a stored block and its length.
    deflated.writeUInt8(deflated.readUInt8(0) | 0x80, 0);
    expect(inflated(deflated)).toEqual(bytes);
    expect(isCanonicalDeflate(deflated, bytes)).toBe(false);
  });
});

function inflated(bytes: Buffer): Buffer | undefined {
  try {
    return inflateRawSync(bytes);
  } catch {
    return undefined;
  }
}
