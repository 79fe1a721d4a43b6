/**
 * ECDSA over a digest that the caller computed (FIPS 186-5 section 6.4.1). node:crypto only signs together with hashing, so
 * the step on the curve is done by OpenSSL, as the first half of a Diffie-Hellman exchange with the nonce for its private
 * key, and the arithmetic modulo the order here. JavaScript's integers do not take the same time for all values: the
 * private key and the nonce meet them only multiplied by a random number.
 */

import { createECDH, createHmac, type KeyObject, randomBytes } from 'node:crypto';
import type { AsymmetricKeyType } from './algorithm-types.js';

type EcKeyType = Extract<AsymmetricKeyType, { kind: 'ec' }>;

/** The orders of the base points: NIST SP 800-186 sections 3.2.1.3 and 3.2.1.4, SEC 2 section 2.4.1. */
const ORDERS = {
  'P-256': 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
  'P-384':
    0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n,
  secp256k1: 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n,
} as const satisfies Record<EcKeyType['curve'], bigint>;

/**
 * The signature as DER.
 * @param digest as long as a coordinate of the curve.
 */
export function signEcdsaDigest(type: EcKeyType, privateKey: KeyObject, digest: Uint8Array): Buffer {
  const order = ORDERS[type.curve];
  const scalar = privateScalar(type, privateKey);
  try {
    const z = toInteger(digest);
    for (;;) {
      const nonce = randomScalar(type, (random) =>
        // With the key and the digest in it, a nonce is not repeated even where the random numbers are (RFC 6979).
        createHmac('sha512', scalar).update(digest).update(random).digest(),
      );
      const r = baseMultipleX(type, nonce) % order;
      const blind = toInteger(randomScalar(type, (random) => random));
      const blindedKey = (toInteger(scalar) * blind) % order;
      const blindedNonce = (toInteger(nonce) * blind) % order;
      nonce.fill(0);
      const sum = (blind * z + r * blindedKey) % order;
      const s = (inverse(blindedNonce, order) * sum) % order;
      if (r === 0n || s === 0n) continue;
      const canonical = type.lowS && s > order >> 1n ? order - s : s;
      return derSignature(type, [r, canonical]);
    }
  } finally {
    scalar.fill(0);
  }
}

/** The private key inside ECPrivateKey (RFC 5915 section 3): SEQUENCE { INTEGER 1, OCTET STRING key, … }. */
function privateScalar(type: EcKeyType, privateKey: KeyObject): Buffer {
  const der = privateKey.export({ type: 'sec1', format: 'der' });
  const before = Buffer.from([0x02, 0x01, 0x01, 0x04, type.coordinateBytes]);
  const start = der.indexOf(before) + before.length;
  const scalar = Buffer.from(der.subarray(start, start + type.coordinateBytes));
  der.fill(0);
  return scalar;
}

/** A number from 1 up to the order, evenly spread: one that is too large is thrown away. */
function randomScalar(type: EcKeyType, derive: (random: Buffer) => Buffer): Buffer {
  for (;;) {
    const random = randomBytes(64);
    const candidate = Buffer.from(derive(random).subarray(0, type.coordinateBytes));
    random.fill(0);
    const value = toInteger(candidate);
    if (value > 0n && value < ORDERS[type.curve]) return candidate;
  }
}

/** The first coordinate of the base point times the scalar. */
function baseMultipleX(type: EcKeyType, scalar: Buffer): bigint {
  const exchange = createECDH(type.nodeCurve);
  exchange.setPrivateKey(scalar);
  // An uncompressed point: 04, x, y (SEC 1 section 2.3.3).
  return toInteger(exchange.getPublicKey().subarray(1, 1 + type.coordinateBytes));
}

const toInteger = (bytes: Uint8Array): bigint => BigInt(`0x${Buffer.from(bytes).toString('hex')}`);

/** By the extended Euclidean algorithm; the value is blinded, so that its run time tells nothing. */
function inverse(value: bigint, modulus: bigint): bigint {
  let [a, b, x, y] = [value, modulus, 1n, 0n];
  while (a > 1n) {
    const quotient = a / b;
    [a, b] = [b, a % b];
    [x, y] = [y, x - quotient * y];
  }
  return x < 0n ? x + modulus : x;
}

/** `SEQUENCE { r INTEGER, s INTEGER }` (RFC 3279 section 2.2.3); shorter than 128 bytes for these curves. */
function derSignature(type: EcKeyType, numbers: readonly bigint[]): Buffer {
  const content = Buffer.concat(numbers.map((number) => derInteger(type, number)));
  return Buffer.concat([Buffer.from([0x30, content.length]), content]);
}

/** As short as it can be, with a zero byte in front of a number whose first bit is set (ITU-T X.690 section 8.3). */
function derInteger({ coordinateBytes }: EcKeyType, number: bigint): Buffer {
  const padded = Buffer.from(number.toString(16).padStart(2 * coordinateBytes + 2, '0'), 'hex');
  let start = 0;
  while (padded.readUInt8(start) === 0 && padded.readUInt8(start + 1) < 0x80) start += 1;
  const bytes = padded.subarray(start);
  return Buffer.concat([Buffer.from([0x02, bytes.length]), bytes]);
}
