import { createHash, createPublicKey, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { receiptFromJson, receiptToJson, verifyReceipt } from '../../src/index.js';

const vectors = z
  .object({
    receipts: z.array(
      z.object({
        algorithm: z.string(),
        jwk: z.looseObject({ kid: z.string(), kty: z.string(), alg: z.string() }),
        message: z.base64url(),
        receipt: z.hex(),
        json: z.object({
          protected: z.string(),
          blinding: z.string(),
          treeSize: z.int(),
          leafIndex: z.int(),
          path: z.array(z.string()),
          signature: z.string(),
        }),
      }),
    ),
  })
  .parse(
    JSON.parse(readFileSync(new URL('../vectors/batch/receipts.json', import.meta.url), 'utf8')),
  ).receipts;

type Item = number | Buffer | string | null | readonly Item[] | ReadonlyMap<Item, Item>;

/** CBOR as far as a receipt has it (RFC 8949 section 3), written for this test alone. */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** The only item. */
  static read(bytes: Buffer): Item {
    const reader = new Reader(bytes);
    const item = reader.item();
    if (reader.#at !== bytes.length) throw new Error('something follows');
    return item;
  }

  item(): Item {
    const initial = this.#take(1)[0] ?? 0;
    const [major, info] = [initial >> 5, initial & 31];
    if (major === 7) {
      if (info !== 22) throw new Error('not null');
      return null;
    }
    const argument =
      info < 24 ? info : this.#take(2 ** (info - 24)).reduce((sum, byte) => sum * 256 + byte, 0);
    switch (major) {
      case 0:
        return argument;
      case 1:
        return -1 - argument;
      case 2:
        return this.#take(argument);
      case 3:
        return this.#take(argument).toString('utf8');
      case 4:
        return Array.from({ length: argument }, () => this.item());
      case 5:
        return new Map(Array.from({ length: argument }, () => [this.item(), this.item()] as const));
      default:
        if (argument !== 18) throw new Error('another tag');
        return this.item();
    }
  }

  #take(size: number): Buffer {
    if (this.#at + size > this.#bytes.length) throw new Error('cut off');
    this.#at += size;
    return this.#bytes.subarray(this.#at - size, this.#at);
  }
}

const list = (item: Item | undefined): readonly Item[] => z.array(z.custom<Item>()).parse(item);
const map = (item: Item | undefined): ReadonlyMap<Item, Item> =>
  z.map(z.custom<Item>(), z.custom<Item>()).parse(item);
const bytes = (item: Item | undefined): Buffer => z.instanceof(Buffer).parse(item);
const number = (item: Item | undefined): number => z.int().parse(item);

const sha256 = (...parts: readonly Uint8Array[]): Buffer =>
  createHash('sha256').update(Buffer.concat(parts)).digest();

/** From the root downwards, as RFC 9162 section 2.1.1 defines the tree; the path is read from its end. */
function rootOf(leaf: Buffer, index: number, size: number, path: readonly Buffer[]): Buffer {
  if (size === 1) {
    if (path.length > 0) throw new Error('the path is too long');
    return leaf;
  }
  const top = path.at(-1);
  if (top === undefined) throw new Error('the path is too short');
  const k = 2 ** (Math.ceil(Math.log2(size)) - 1);
  return index < k
    ? sha256(Buffer.from([1]), rootOf(leaf, index, k, path.slice(0, -1)), top)
    : sha256(Buffer.from([1]), top, rootOf(leaf, index - k, size - k, path.slice(0, -1)));
}

/** A byte string with its head (RFC 8949 section 3.1); none here is longer than 65,535 bytes. */
function byteString(content: Uint8Array): Buffer {
  const { length } = content;
  const head =
    length < 24 ? [0x40 + length] : length < 256 ? [0x58, length] : [0x59, length >> 8, length & 255];
  return Buffer.concat([Buffer.from(head), content]);
}

const COSE_ALGORITHMS = new Map([
  ['ES256', -7],
  ['ES384', -35],
  ['ES256K', -47],
  ['EdDSA', -8],
  ['RS256', -257],
]);
const HASHES = new Map([
  ['ES384', 'sha384'],
  ['EdDSA', null],
]);

describe.each(vectors.map((vector, index) => ({ ...vector, name: `${index} (${vector.algorithm})` })))(
  'the frozen receipt $name',
  ({ jwk, message: text, receipt: hex, json }) => {
    const message = Buffer.from(text, 'base64url');
    const receipt = Buffer.from(hex, 'hex');

    it('verifies by an independent reading of the format', () => {
      const [protectedHeader, unprotected, payload, signature] = list(Reader.read(receipt));
      const header = map(Reader.read(bytes(protectedHeader)));
      expect([...header]).toEqual([
        [1, COSE_ALGORITHMS.get(jwk.alg)],
        [4, Buffer.from(jwk.kid, 'base64url')],
        [395, 1],
      ]);
      expect(payload).toBeNull();
      const [proof] = list(map(map(unprotected).get(396)).get(-1));
      const [size, index, path] = list(Reader.read(bytes(proof)));
      const leaf = sha256(Buffer.from([0]), bytes(map(unprotected).get(-1_630_691_586)), message);
      const root = rootOf(leaf, number(index), number(size), list(path).map(bytes));
      const signed = Buffer.concat([
        Buffer.from([0x84, 0x6a]),
        Buffer.from('Signature1'),
        byteString(bytes(protectedHeader)),
        byteString(Buffer.alloc(0)),
        byteString(root),
      ]);
      const key = createPublicKey({ key: jwk, format: 'jwk' });
      const digest = HASHES.has(jwk.alg) ? (HASHES.get(jwk.alg) ?? null) : 'sha256';
      expect(verify(digest, signed, { key, dsaEncoding: 'ieee-p1363' }, bytes(signature))).toBe(true);
    });

    it('verifies in both forms, for its message only', async () => {
      expect(await receiptToJson(receipt)).toEqual(json);
      expect(await receiptFromJson(json)).toEqual(receipt);
      for (const form of [receipt, json]) {
        expect(await verifyReceipt(message, form, jwk)).toBe(true);
        expect(await verifyReceipt(Buffer.from('another message'), form, jwk)).toBe(false);
      }
    });
  },
);
