/** Reads fields of decoded requests: what is not of the field's type is INVALID_ARGUMENT, and nothing is cast. */

import { crc32c } from '../crc32c.js';
import { RpcError, type RpcMessage } from './rpc.js';

const EMPTY = Buffer.alloc(0);

export const invalidArgument = (message: string): RpcError => new RpcError('INVALID_ARGUMENT', message);

export function isMessage(value: unknown): value is RpcMessage {
  return (
    typeof value === 'object' && value !== null && !(value instanceof Uint8Array) && !Array.isArray(value)
  );
}

export function text(message: RpcMessage, field: string): string {
  const value = message[field];
  return typeof value === 'string' ? value : '';
}

/** The name of an enum's value; a number, in digits, for one that the descriptors do not know. */
export function enumName(message: RpcMessage, field: string): string {
  const value = message[field];
  return typeof value === 'number' ? String(value) : text(message, field);
}

export function bytes(message: RpcMessage, field: string): Buffer {
  const value = message[field];
  if (Buffer.isBuffer(value)) return value;
  return value instanceof Uint8Array ? Buffer.from(value) : EMPTY;
}

export function message(parent: RpcMessage, field: string): RpcMessage | undefined {
  const value = parent[field];
  return isMessage(value) ? value : undefined;
}

/** A map<string, string>. */
export function stringMap(parent: RpcMessage, field: string): Record<string, string> {
  return Object.fromEntries(
    Object.entries(message(parent, field) ?? {}).map(([key, value]) => [key, String(value)]),
  );
}

/** A google.protobuf.Duration or Timestamp in milliseconds, to the microsecond, which is what the service keeps. */
export function timeMs(parent: RpcMessage, field: string): number | undefined {
  const value = message(parent, field);
  if (value === undefined) return undefined;
  return Number(value['seconds'] ?? 0) * 1_000 + Math.floor(Number(value['nanos'] ?? 0) / 1_000) / 1_000;
}

/** Milliseconds as a Duration or Timestamp. */
export function toTime(ms: number): RpcMessage {
  const seconds = Math.floor(ms / 1_000);
  return { seconds, nanos: Math.round((ms - seconds * 1_000) * 1_000) * 1_000 };
}

/** A google.protobuf.Int64Value that is there, also when it is 0. */
export function checksum(parent: RpcMessage, field: string): number | undefined {
  const value = message(parent, field);
  return value === undefined ? undefined : Number(value['value'] ?? 0);
}

/**
 * Compares a request's checksum with the bytes it is of. True if there was one, for the `verified_*` field of the answer.
 * @throws RpcError INVALID_ARGUMENT when it does not match.
 */
export function verifyChecksum(
  request: RpcMessage,
  fields: { readonly checksum: string; readonly data: string; readonly payload: Buffer },
): boolean {
  const expected = checksum(request, fields.checksum);
  if (expected === undefined) return false;
  if (expected !== crc32c(fields.payload)) {
    throw invalidArgument(
      `The checksum in field ${toSnakeCase(fields.checksum)} did not match the data in field ${toSnakeCase(fields.data)}.`,
    );
  }
  return true;
}

/** The Int64Value of the checksum of an answer's payload. */
export function checksumValue(payload: Uint8Array): RpcMessage {
  return { value: crc32c(payload) };
}

/** Paths of a google.protobuf.FieldMask: names as in the proto, in snake_case, as they are on the wire. */
export function maskPaths(parent: RpcMessage, field: string): readonly string[] {
  const paths = message(parent, field)?.['paths'];
  return Array.isArray(paths) ? paths.map(String) : [];
}

const toSnakeCase = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** CryptoKeyVersionView: only FULL includes the attestation (service.proto). */
export function viewOf(message: RpcMessage, field: string): 'basic' | 'full' {
  return text(message, field) === 'FULL' ? 'full' : 'basic';
}
