/**
 * ECDSA signatures between the DER of Cloud KMS (RFC 3279 section 2.2.3) and the fixed-size R ‖ S of JOSE and COSE
 * (IEEE P1363; RFC 7518 section 3.4). Strict both ways: the caller says which encoding it has, it is never guessed, and
 * what is not the one encoding of two positive integers is refused. Must never repair anything.
 */

import type { ParseResult } from '../keys/parse-result.js';

const SEQUENCE = 0x30;
const INTEGER = 0x02;
/** Longest content whose length takes one byte (ITU-T X.690 section 8.1.3.4). */
const SHORT_FORM_MAX = 0x7f;
/** With longer coordinates the SEQUENCE would need a long-form length; Cloud KMS has no such curve. */
const COORDINATE_MAX_BYTES = (SHORT_FORM_MAX - 2 * 3) / 2;

const refuse = (problem: string): { readonly ok: false; readonly problem: string } => ({
  ok: false,
  problem,
});

/**
 * R ‖ S (IEEE P1363) from the DER of an ECDSA signature. `coordinateBytes` is the size of each: 32 for P-256 and
 * secp256k1, 48 for P-384. Anything but the one canonical DER form is `{ ok: false }`, with the reason as `problem`.
 */
export function derToP1363(der: Uint8Array, coordinateBytes: number): ParseResult<Buffer> {
  requireCoordinateSize(coordinateBytes);
  if (der[0] !== SEQUENCE) return refuse('the signature is not a DER SEQUENCE.');
  // A long-form length begins with 0x80 or more, which no content of these sizes needs and the equality rules out.
  if (der[1] !== der.length - 2 || der.length - 2 > SHORT_FORM_MAX) {
    return refuse('the length of the SEQUENCE is not that of its content.');
  }
  const r = readInteger(der, 2, coordinateBytes);
  if (!r.ok) return r;
  const s = readInteger(der, r.value.end, coordinateBytes);
  if (!s.ok) return s;
  if (s.value.end !== der.length) return refuse('something follows the two integers.');
  const raw = Buffer.alloc(2 * coordinateBytes);
  raw.set(r.value.magnitude, coordinateBytes - r.value.magnitude.length);
  raw.set(s.value.magnitude, 2 * coordinateBytes - s.value.magnitude.length);
  return { ok: true, value: raw };
}

/** The DER of an ECDSA signature that is given as R ‖ S (IEEE P1363), each of `coordinateBytes` bytes. */
export function p1363ToDer(signature: Uint8Array, coordinateBytes: number): ParseResult<Buffer> {
  requireCoordinateSize(coordinateBytes);
  if (signature.length !== 2 * coordinateBytes) {
    return refuse(`R and S have ${2 * coordinateBytes} bytes together, got ${signature.length}.`);
  }
  const r = writeInteger(signature.subarray(0, coordinateBytes));
  const s = writeInteger(signature.subarray(coordinateBytes));
  if (r === undefined || s === undefined) return refuse('R and S are not zero.');
  return { ok: true, value: Buffer.concat([Buffer.from([SEQUENCE, r.length + s.length]), r, s]) };
}

function requireCoordinateSize(coordinateBytes: number): void {
  if (!Number.isInteger(coordinateBytes) || coordinateBytes < 1 || coordinateBytes > COORDINATE_MAX_BYTES) {
    throw new RangeError(`coordinates of ${coordinateBytes} bytes are not supported`);
  }
}

/** A positive INTEGER in its shortest form (X.690 section 8.3.2) at `start`, without its sign byte. */
function readInteger(
  der: Uint8Array,
  start: number,
  coordinateBytes: number,
): ParseResult<{ readonly magnitude: Uint8Array; readonly end: number }> {
  const length = der[start + 1];
  const first = der[start + 2];
  if (der[start] !== INTEGER || length === undefined || first === undefined || length === 0) {
    return refuse('R and S are DER INTEGERs.');
  }
  const end = start + 2 + length;
  if (length > SHORT_FORM_MAX || end > der.length) return refuse('an INTEGER is longer than the signature.');
  if (first >= 0x80) return refuse('an INTEGER is negative.');
  const second = length > 1 ? (der[start + 3] ?? 0) : undefined;
  if (first === 0 && second === undefined) return refuse('R and S are not zero.');
  if (first === 0 && second !== undefined && second < 0x80) {
    return refuse('an INTEGER has a zero byte that it does not need.');
  }
  const magnitude = der.subarray(first === 0 ? start + 3 : start + 2, end);
  if (magnitude.length > coordinateBytes) {
    return refuse(`R and S have at most ${coordinateBytes} bytes, got ${magnitude.length}.`);
  }
  return { ok: true, value: { magnitude, end } };
}

function writeInteger(coordinate: Uint8Array): Buffer | undefined {
  const start = coordinate.findIndex((byte) => byte !== 0);
  if (start < 0) return undefined;
  const magnitude = coordinate.subarray(start);
  const sign = (magnitude[0] ?? 0) >= 0x80 ? [0] : [];
  return Buffer.from([INTEGER, sign.length + magnitude.length, ...sign, ...magnitude]);
}
