/**
 * CBOR (RFC 8949) as receipts need it: core deterministic encoding (section 4.2.1), when written and when read, so that a
 * receipt has one form. Loaded on first use.
 */

import type { DecodeOptions, Token } from 'cborg';

/** A tagged item (RFC 8949 section 3.4). */
interface TaggedItem {
  readonly tag: number;
  readonly value: unknown;
}

export interface Cbor {
  /** Core deterministic encoding (RFC 8949 section 4.2.1). */
  encode(value: unknown): Uint8Array;
  /** Encodes with the tag of a COSE_Sign1 around it. */
  encodeSign1(value: unknown): Uint8Array;
  /**
   * The item that the bytes are, with maps as Map. Throws for what is not exactly one item in deterministic encoding, and
   * for floating-point numbers, which no receipt has: one of them would be read as the integer that it equals.
   */
  decode(bytes: Uint8Array): unknown;
  /** As `decode`, of what may have the tag of a COSE_Sign1; any other one throws. */
  decodeSign1(bytes: Uint8Array): unknown;
  isTagged(value: unknown): value is TaggedItem;
}

/** Refuses what has a shorter form, lengths that are not given in front, and a key twice. */
const STRICT = {
  strict: true,
  allowIndefinite: false,
  allowUndefined: false,
  allowInfinity: false,
  allowNaN: false,
  allowBigInt: false,
  useMaps: true,
  rejectDuplicateMapKeys: true,
} as const;

/** CBOR tag of a COSE_Sign1 (RFC 9052 section 2); a Receipt must have it (RFC 9942). */
const COSE_SIGN1_TAG = 18;

let loaded: Cbor | undefined;

/** The codec; without a promise as soon as it is there, so that verification does not wait for nothing. */
export function loadCbor(): Cbor | Promise<Cbor> {
  return loaded ?? load();
}

async function load(): Promise<Cbor> {
  const cborg = await import('cborg');
  loaded ??= codec(cborg);
  return loaded;
}

function codec(cborg: typeof import('cborg')): Cbor {
  const { encode, rfc8949EncodeOptions, Tagged, Tokenizer, tokensToObject, Type } = cborg;
  /** The items, but for floating-point numbers. */
  class Tokens extends Tokenizer {
    override next(): Token {
      const token = super.next();
      if (token.type === Type.float) throw new Error('a floating-point number');
      return token;
    }
  }
  const encodeItem = (value: unknown): Uint8Array => encode(value, rfc8949EncodeOptions);
  const decodeItem = (bytes: Uint8Array, options: DecodeOptions): unknown => {
    // A Buffer would be cut into Buffers, which takes longer.
    const plain = Buffer.isBuffer(bytes)
      ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      : bytes;
    const tokens = new Tokens(plain, options);
    const item: unknown = tokensToObject(tokens, options);
    // A symbol stands for nothing at all.
    if (typeof item === 'symbol' || !tokens.done()) throw new Error('not one item');
    requireOrder(item);
    return item;
  };
  /** Throws for a map whose keys do not ascend by their encoding (RFC 8949 section 4.2.1). */
  const requireOrder = (item: unknown): void => {
    if (typeof item !== 'object' || item === null || item instanceof Uint8Array) return;
    if (Array.isArray(item)) {
      for (const part of item) requireOrder(part);
    } else if (item instanceof Map) {
      let before: unknown;
      for (const [key, value] of item) {
        if (before !== undefined && !isBefore(before, key)) throw new Error('keys of a map out of order');
        requireOrder(key);
        requireOrder(value);
        before = key;
      }
    } else if (item instanceof Tagged) {
      requireOrder(item.value);
    }
  };
  const isBefore = (a: unknown, b: unknown): boolean => {
    if (typeof a !== 'number' || typeof b !== 'number')
      return Buffer.compare(encodeItem(a), encodeItem(b)) < 0;
    // Those that are not negative first, each kind by its distance from zero.
    return a >= 0 ? b < 0 || a < b : b < a;
  };
  const sign1 = { ...STRICT, tags: Tagged.preserve(COSE_SIGN1_TAG) };
  return {
    encode: encodeItem,
    encodeSign1: (value) => encodeItem(new Tagged(COSE_SIGN1_TAG, value)),
    decode: (bytes) => decodeItem(bytes, STRICT),
    decodeSign1: (bytes) => decodeItem(bytes, sign1),
    isTagged: (value) => value instanceof Tagged,
  };
}
