/** CBOR (RFC 8949) as receipts need it: deterministic when written, strict when read. Loaded on first use. */

/** A tagged item (RFC 8949 section 3.4). */
export interface TaggedItem {
  readonly tag: number;
  readonly value: unknown;
}

export interface Cbor {
  /** Core deterministic encoding (RFC 8949 section 4.2.1). */
  encode(value: unknown): Uint8Array;
  /** Encodes with a tag around it. */
  encodeTagged(tag: number, value: unknown): Uint8Array;
  /** The item that the bytes are, with maps as Map. Throws for what is not exactly one item in its shortest form. */
  decode(bytes: Uint8Array): unknown;
  /** As `decode`, with the only tag that is accepted; any other one throws. */
  decodeTagged(tag: number, bytes: Uint8Array): unknown;
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

let loaded: Cbor | undefined;

/** The codec; without a promise as soon as it is there, so that verification does not wait for nothing. */
export function loadCbor(): Cbor | Promise<Cbor> {
  return loaded ?? load();
}

async function load(): Promise<Cbor> {
  const { decode, encode, rfc8949EncodeOptions, Tagged } = await import('cborg');
  loaded ??= {
    encode: (value) => encode(value, rfc8949EncodeOptions),
    encodeTagged: (tag, value) => encode(new Tagged(tag, value), rfc8949EncodeOptions),
    decode: (bytes) => decode(bytes, STRICT),
    decodeTagged: (tag, bytes) => decode(bytes, { ...STRICT, tags: Tagged.preserve(tag) }),
    isTagged: (value) => value instanceof Tagged,
  };
  return loaded;
}
