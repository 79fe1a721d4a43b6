/**
 * Checksums both ways. Every request that can carry a CRC32C does, also when it is 0, and the service must say that it
 * checked it; every answer's checksum, name and protection level are compared. A mismatch is tried once more.
 *
 * Source: "Verifying end-to-end data integrity" in the comments of service.proto, e.g. EncryptRequest.plaintext_crc32c.
 */

import { crc32c } from '../crc32c.js';
import { IntegrityError } from '../errors/service.js';
import type { Operation } from '../provider/operation.js';

/** A google.protobuf.Int64Value: a message, so that 0 is told apart from "not sent". */
interface ChecksumValue {
  readonly value: number;
}

/** The checksum of bytes that are about to be sent. */
export function checksumOf(bytes: Uint8Array): ChecksumValue {
  return { value: crc32c(bytes) };
}

/** Bytes of an answer, if their checksum is there and right. */
export function checkedBytes(
  operation: Operation,
  field: string,
  answer: {
    readonly bytes: Uint8Array | string | null | undefined;
    readonly checksum: { readonly value?: number | string | object | null } | null | undefined;
  },
): Buffer {
  const { bytes, checksum } = answer;
  if (!(bytes instanceof Uint8Array)) throw new IntegrityError(operation.context(), `${field} is missing`);
  if (checksum?.value === undefined || checksum.value === null) {
    throw new IntegrityError(operation.context(), `the CRC32C of ${field} is missing`);
  }
  if (crc32c(bytes) !== Number(checksum.value)) {
    throw new IntegrityError(operation.context(), `the CRC32C of ${field} does not match`);
  }
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Refuses an answer of a service that did not confirm the checksum it was sent. */
export function requireVerified(operation: Operation, field: string, verified: unknown): void {
  if (verified !== true)
    throw new IntegrityError(operation.context(), `Cloud KMS did not confirm the CRC32C of ${field}`);
}

/** Refuses an answer whose field is not exactly what was expected. */
export function requireEqual(
  operation: Operation,
  field: string,
  values: { readonly expected: string; readonly actual: unknown },
): void {
  if (values.actual !== values.expected) {
    throw new IntegrityError(
      operation.context(),
      `${field} is ${String(values.actual)}, expected ${values.expected}`,
    );
  }
}

/** Makes a call whose answer is checked, and makes it once more if the check fails. */
export function withIntegrityRetry<T>(call: () => Promise<T>): Promise<T> {
  return call().catch((error: unknown) => {
    if (!(error instanceof IntegrityError)) throw error;
    return call();
  });
}
