/**
 * Statements of the HSMs: the attributes of a key as the HSM holds it, in the formats CAVIUM_V1 and CAVIUM_V2. Big endian.
 * Every length is the sender's until the signature was checked, and is held against the bytes that are there all the same.
 */

import { SIGNATURE_BYTES } from './content.js';

/** `KeyOperationAttestation.AttestationFormat` in resources.proto. */
export const ATTESTATION_FORMATS = ['CAVIUM_V1_COMPRESSED', 'CAVIUM_V2_COMPRESSED'] as const;
export type AttestationFormat = (typeof ATTESTATION_FORMATS)[number];

/** Attribute numbers (PKCS #11, CK_ATTRIBUTE_TYPE). */
export const ATTRIBUTE = {
  class: 0x0000,
  keyType: 0x0100,
  id: 0x0102,
  /** RSA: the modulus. EC: the point, uncompressed. */
  modulus: 0x0120,
  publicExponent: 0x0122,
  extractable: 0x0162,
  local: 0x0163,
  neverExtractable: 0x0164,
  alwaysSensitive: 0x0165,
  keyCheckValue: 0x0173,
} as const;

/** Attributes of one object by number. */
export type Attributes = ReadonlyMap<number, Buffer>;

/** One object for a symmetric key; for a pair the public one, then the private one. */
export type AttestedObjects =
  | { readonly kind: 'secret'; readonly secretKey: Attributes }
  | { readonly kind: 'pair'; readonly publicKey: Attributes; readonly privateKey: Attributes };

const UINT32 = 4;
/** Object header: handle, number of attributes, size of the attributes. */
const OBJECT_HEADER_BYTES = 3 * UINT32;
const ATTRIBUTE_HEADER_BYTES = 2 * UINT32;
/** The genuine statements have 35 to 37 attributes. */
const MAX_ATTRIBUTES = 256;
/** V1 has no offsets: objects start at fixed places. */
const V1_SECRET_OFFSET = 24;
const V1_PAIR_OFFSET = 984;

class MalformedStatement extends Error {}

/** @returns the objects, or what is malformed. */
export function parseStatement(
  format: AttestationFormat,
  statement: Buffer,
  kind: AttestedObjects['kind'],
): AttestedObjects | { readonly problem: string } {
  try {
    return format === 'CAVIUM_V2_COMPRESSED' ? parseV2(statement, kind) : parseV1(statement, kind);
  } catch (error) {
    if (error instanceof MalformedStatement) return { problem: error.message };
    throw error;
  }
}

/** Response header of four uint32, the last two of them sizes; at the statement an info header of four uint16. */
function parseV2(bytes: Buffer, kind: AttestedObjects['kind']): AttestedObjects {
  const totalBytes = uint32(bytes, 2 * UINT32);
  const statementBytes = uint32(bytes, 3 * UINT32);
  if (totalBytes !== bytes.length + SIGNATURE_BYTES) malformed('the total size is not that of the content');
  const start = totalBytes - (statementBytes + SIGNATURE_BYTES);
  if (start < 4 * UINT32) malformed('the statement begins before its header ends');
  const [firstOffset, secondOffset] = [uint16(bytes, start + 4), uint16(bytes, start + 6)];
  if ((secondOffset === 0) !== (kind === 'secret'))
    malformed(`the number of objects is not that of a ${kind === 'pair' ? 'key pair' : 'secret key'}`);
  const first = parseObject(bytes, start + firstOffset);
  if (kind === 'secret') return secretOf(bytes, first);
  const second = parseObject(bytes, start + secondOffset);
  if (first.end !== start + secondOffset) malformed('the objects do not follow each other');
  return pairOf(bytes, first, second);
}

function parseV1(bytes: Buffer, kind: AttestedObjects['kind']): AttestedObjects {
  const first = parseObject(bytes, kind === 'secret' ? V1_SECRET_OFFSET : V1_PAIR_OFFSET);
  return kind === 'secret' ? secretOf(bytes, first) : pairOf(bytes, first, parseObject(bytes, first.end));
}

interface ParsedObject {
  readonly attributes: Attributes;
  readonly end: number;
}

function secretOf(bytes: Buffer, object: ParsedObject): AttestedObjects {
  requireEnd(bytes, object);
  return { kind: 'secret', secretKey: object.attributes };
}

function pairOf(bytes: Buffer, publicKey: ParsedObject, privateKey: ParsedObject): AttestedObjects {
  requireEnd(bytes, privateKey);
  return { kind: 'pair', publicKey: publicKey.attributes, privateKey: privateKey.attributes };
}

function requireEnd(bytes: Buffer, last: ParsedObject): void {
  if (last.end !== bytes.length) malformed('bytes follow the last object');
}

function parseObject(bytes: Buffer, start: number): ParsedObject {
  const count = uint32(bytes, start + UINT32);
  const end = start + OBJECT_HEADER_BYTES + uint32(bytes, start + 2 * UINT32);
  if (count > MAX_ATTRIBUTES) malformed(`an object has ${count} attributes`);
  if (end > bytes.length) malformed('an object ends behind the statement');
  const attributes = new Map<number, Buffer>();
  let offset = start + OBJECT_HEADER_BYTES;
  for (let index = 0; index < count; index++) {
    const type = uint32(bytes, offset);
    const valueStart = offset + ATTRIBUTE_HEADER_BYTES;
    offset = valueStart + uint32(bytes, offset + UINT32);
    if (offset > end) malformed('an attribute ends behind its object');
    if (attributes.has(type)) malformed(`attribute 0x${type.toString(16)} stands twice`);
    attributes.set(type, bytes.subarray(valueStart, offset));
  }
  if (offset !== end) malformed('bytes follow the last attribute');
  return { attributes, end };
}

function uint32(bytes: Buffer, offset: number): number {
  if (offset + UINT32 > bytes.length) malformed('it ends early');
  return bytes.readUInt32BE(offset);
}

function uint16(bytes: Buffer, offset: number): number {
  if (offset + 2 > bytes.length) malformed('it ends early');
  return bytes.readUInt16BE(offset);
}

function malformed(problem: string): never {
  throw new MalformedStatement(problem);
}
