/** CBOR (RFC 8949) as receipts need it: deterministic when written, strict when read. Loaded on first use. */

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
  /** The item that the bytes are, with maps as Map. Throws for what is not exactly one item in its shortest form. */
  decode(bytes: Uint8Array): unknown;
  /** As `decode`, of what may have the tag of a COSE_Sign1; any other one throws. */
  decodeSign1(bytes: Uint8Array): unknown;
  isTagged(value: unknown): value is TaggedItem;
}

/** Refuses what has a shorter form, lengths that are not given in front, a key twice, and anything behind the item. */
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
  const { decode, encode, rfc8949EncodeOptions, Tagged } = await import('cborg');
  const strictSign1 = { ...STRICT, tags: Tagged.preserve(COSE_SIGN1_TAG) };
  loaded ??= {
    encode: (value) => encode(value, rfc8949EncodeOptions),
    encodeSign1: (value) => encode(new Tagged(COSE_SIGN1_TAG, value), rfc8949EncodeOptions),
    decode: (bytes) => decode(bytes, STRICT),
    decodeSign1: (bytes) => decode(bytes, strictSign1),
    isTagged: (value) => value instanceof Tagged,
  };
  return loaded;
}
