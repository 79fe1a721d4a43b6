/**
 * One spelling of compressed data. Deflate (RFC 1951) can say the same bytes in many ways: a back-reference may point to
 * any earlier copy, and bits after the end are ignored. Compressors take the nearest copy and fill with zeros, so that is
 * the only spelling accepted here: before the last copy it leaves no bit that could be changed without a trace.
 */

/** RFC 1951 section 3.2.5: lengths from symbol 257 on, and distances, each with the number of extra bits. */
const LENGTH_BASES = [
  3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195,
  227, 258,
];
const LENGTH_EXTRA_BITS = [
  0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0,
];
const DISTANCE_EXTRA_BITS = Array.from({ length: 30 }, (_, symbol) => Math.max(0, (symbol >> 1) - 1));
const DISTANCE_BASES = DISTANCE_EXTRA_BITS.map((_, symbol) =>
  DISTANCE_EXTRA_BITS.slice(0, symbol).reduce((sum, bits) => sum + 2 ** bits, 1),
);
/** RFC 1951 section 3.2.7: the order of the code lengths of a dynamic block. */
const CODE_LENGTH_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
const END_OF_BLOCK = 256;
const MAX_CODE_BITS = 15;

/** Symbols by `keyOf` of their codes. */
type Codes = ReadonlyMap<number, number>;

/** One number for a code and its length. */
const keyOf = (length: number, code: number): number => (length << MAX_CODE_BITS) | code;

/** RFC 1951 section 3.2.6. */
const FIXED_LITERALS = codesOf(
  Array.from({ length: 288 }, (_, symbol) => (symbol < 144 ? 8 : symbol < 256 ? 9 : symbol < 280 ? 7 : 8)),
);
const FIXED_DISTANCES = codesOf(new Array<number>(30).fill(5));

/**
 * Whether data that inflates to `inflated` says so in the way compressors do.
 * @param deflated data that zlib inflated without an error.
 */
export function isCanonicalDeflate(deflated: Buffer, inflated: Buffer): boolean {
  const bits = new BitReader(deflated);
  let written = 0;
  for (let last = false; !last; ) {
    last = bits.read(1) === 1;
    const type = bits.read(2);
    if (type === 0) {
      if (!bits.skipToByte()) return false;
      const length = bits.read(16);
      bits.read(16);
      bits.skipBytes(length);
      written += length;
      continue;
    }
    const [literals, distances] = type === 1 ? [FIXED_LITERALS, FIXED_DISTANCES] : readCodes(bits);
    for (let symbol = bits.symbol(literals); symbol !== END_OF_BLOCK; symbol = bits.symbol(literals)) {
      if (symbol < END_OF_BLOCK) {
        written += 1;
        continue;
      }
      const length = (LENGTH_BASES[symbol - 257] ?? 0) + bits.read(LENGTH_EXTRA_BITS[symbol - 257] ?? 0);
      const distanceSymbol = bits.symbol(distances);
      const distance =
        (DISTANCE_BASES[distanceSymbol] ?? 0) + bits.read(DISTANCE_EXTRA_BITS[distanceSymbol] ?? 0);
      const copied = inflated.subarray(written, written + length);
      const nearest = inflated.subarray(0, written + length - 1).lastIndexOf(copied);
      written += length;
      // Zlib as Node has it looks for 4 bytes: a copy at the very end, where there are fewer, is found by chance. What is
      // compressed here ends with a signature, so hardly ever with a copy.
      if (nearest !== written - length - distance && written !== inflated.length) return false;
    }
  }
  return bits.skipToByte() && bits.atEnd;
}

class BitReader {
  readonly #bytes: Buffer;
  #position = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get atEnd(): boolean {
    return this.#position === this.#bytes.length * 8;
  }

  /** Least significant bit first; zeros behind the end, where data that zlib accepts never leads. */
  read(count: number): number {
    let value = 0;
    for (let bit = 0; bit < count; bit++) {
      const byte = this.#bytes[this.#position >> 3] ?? 0;
      value |= ((byte >> (this.#position & 7)) & 1) << bit;
      this.#position += 1;
    }
    return value;
  }

  /** @returns whether the bits up to the next byte are zeros. */
  skipToByte(): boolean {
    return this.read(-this.#position & 7) === 0;
  }

  skipBytes(count: number): void {
    this.#position += count * 8;
  }

  /** Huffman codes are packed from their most significant bit on. */
  symbol(codes: Codes): number {
    let code = 0;
    for (let length = 1; length <= MAX_CODE_BITS; length++) {
      code = (code << 1) | this.read(1);
      const symbol = codes.get(keyOf(length, code));
      if (symbol !== undefined) return symbol;
    }
    return END_OF_BLOCK;
  }
}

function readCodes(bits: BitReader): readonly [literals: Codes, distances: Codes] {
  const literalCount = bits.read(5) + 257;
  const distanceCount = bits.read(5) + 1;
  const lengthCount = bits.read(4) + 4;
  const lengths = new Array<number>(CODE_LENGTH_ORDER.length).fill(0);
  for (const symbol of CODE_LENGTH_ORDER.slice(0, lengthCount)) lengths[symbol] = bits.read(3);
  const lengthCodes = codesOf(lengths);
  const all: number[] = [];
  while (all.length < literalCount + distanceCount) {
    const symbol = bits.symbol(lengthCodes);
    if (symbol < 16) all.push(symbol);
    else if (symbol === 16) all.push(...repeated(all.at(-1) ?? 0, 3 + bits.read(2)));
    else all.push(...repeated(0, symbol === 17 ? 3 + bits.read(3) : 11 + bits.read(7)));
  }
  return [codesOf(all.slice(0, literalCount)), codesOf(all.slice(literalCount))];
}

const repeated = (value: number, count: number): number[] => new Array<number>(count).fill(value);

/** Canonical Huffman codes from their lengths (RFC 1951 section 3.2.2). */
function codesOf(lengths: readonly number[]): Codes {
  const codes = new Map<number, number>();
  let code = 0;
  for (let length = 1; length <= MAX_CODE_BITS; length++) {
    code <<= 1;
    for (const [symbol, own] of lengths.entries()) {
      if (own === length) codes.set(keyOf(length, code++), symbol);
    }
  }
  return codes;
}
