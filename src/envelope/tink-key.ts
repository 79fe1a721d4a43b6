/**
 * The data keys as Tink serialises them: the protobuf messages `AesGcmKey` (messages) and `AesGcmHkdfStreamingKey`
 * (streams) of Tink's aes_gcm.proto and aes_gcm_hkdf_streaming.proto. Only the one set of parameters that this library
 * uses is read: what was wrapped does not get to choose an algorithm.
 */

import { CIPHERTEXT_SEGMENT_BYTES, DATA_KEY_BYTES } from './format.js';

/** What a data key is for. */
export type DataKeyKind = 'message' | 'stream';

/** Tink's HashType SHA256 (common.proto). */
const HASH_SHA256 = 3;

/** Wire types (protobuf.dev, "Encoding"). */
const VARINT = 0;
const LENGTH_DELIMITED = 2;

/** Everything before the 32 bytes of the key: field 3, `key_value`, comes last; a `version` of 0 is left out. */
const PREFIXES = {
  message: keyField(),
  stream: Buffer.concat([lengthDelimited(2, streamParameters()), keyField()]),
} as const satisfies Record<DataKeyKind, Buffer>;

/** Serialises a data key. The result holds the key: the caller zeroes it. */
export function serializeTinkKey(kind: DataKeyKind, key: Uint8Array): Buffer {
  const prefix = PREFIXES[kind];
  const serialized = Buffer.allocUnsafeSlow(prefix.length + key.length);
  serialized.set(prefix);
  serialized.set(key, prefix.length);
  return serialized;
}

/**
 * Reads a serialised data key. `key` is a view of the input, which the caller zeroes.
 * @returns undefined for anything but a key of the parameters that this library uses.
 */
export function parseTinkKey(
  serialized: Uint8Array,
): { readonly kind: DataKeyKind; readonly key: Uint8Array } | undefined {
  const fields = readFields(serialized);
  if (fields === undefined) return undefined;
  const version = fields.get(1) ?? 0;
  const parameters = fields.get(2);
  const key = fields.get(3);
  const known = [...fields.keys()].every((field) => field >= 1 && field <= 3);
  if (!known || version !== 0 || !(key instanceof Uint8Array) || key.length !== DATA_KEY_BYTES)
    return undefined;
  if (parameters === undefined) return { kind: 'message', key };
  return parameters instanceof Uint8Array && areStreamParameters(parameters)
    ? { kind: 'stream', key }
    : undefined;
}

function areStreamParameters(serialized: Uint8Array): boolean {
  const fields = readFields(serialized);
  return (
    fields?.size === 3 &&
    fields.get(1) === CIPHERTEXT_SEGMENT_BYTES &&
    fields.get(2) === DATA_KEY_BYTES &&
    fields.get(3) === HASH_SHA256
  );
}

function keyField(): Buffer {
  return Buffer.from([(3 << 3) | LENGTH_DELIMITED, DATA_KEY_BYTES]);
}

function streamParameters(): Buffer {
  return Buffer.concat([
    varintField(1, CIPHERTEXT_SEGMENT_BYTES),
    varintField(2, DATA_KEY_BYTES),
    varintField(3, HASH_SHA256),
  ]);
}

function varintField(field: number, value: number): Buffer {
  const bytes = [field << 3];
  let rest = value;
  for (; rest > 0x7f; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  return Buffer.from([...bytes, rest]);
}

function lengthDelimited(field: number, content: Buffer): Buffer {
  return Buffer.concat([Buffer.from([(field << 3) | LENGTH_DELIMITED, content.length]), content]);
}

/** The fields of a message. Undefined for damaged bytes, for a field that comes twice and for other wire types. */
function readFields(bytes: Uint8Array): Map<number, number | Uint8Array> | undefined {
  const fields = new Map<number, number | Uint8Array>();
  let offset = 0;
  const readVarint = (): number => {
    let value = 0;
    // Five groups of seven bits hold any uint32.
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = bytes[offset];
      if (byte === undefined) return Number.NaN;
      offset += 1;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    return Number.NaN;
  };
  while (offset < bytes.length) {
    const tag = readVarint();
    const [field, wireType] = [Math.floor(tag / 8), tag % 8];
    const value = readVarint();
    if (Number.isNaN(value) || fields.has(field)) return undefined;
    if (wireType === VARINT) fields.set(field, value);
    else if (wireType === LENGTH_DELIMITED && value <= bytes.length - offset) {
      fields.set(field, bytes.subarray(offset, offset + value));
      offset += value;
    } else return undefined;
  }
  return fields;
}
