import { generateKeyPairSync, sign } from 'node:crypto';
import { decode, encode, rfc8949EncodeOptions, Tagged } from 'cborg';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { LABEL, RECEIPT_LIMIT_BYTES } from '../../src/batch/receipt-format.js';
import { type BatchKey, signBlinded } from '../../src/batch/sign-batch.js';
import {
  BlindedMessage,
  examineReceipt,
  IntegrityError,
  InvalidArgumentError,
  InvalidConfigError,
  InvalidJwkError,
  InvalidReceiptError,
  type ReceiptJson,
  ReceiptTrust,
  receiptFromJson,
  receiptToJson,
  UnsupportedAlgorithmError,
  verifyReceipt,
} from '../../src/index.js';
import type { SigningAlgorithm } from '../../src/keys/algorithm-types.js';
import type { CallOptions } from '../../src/keys/call-options.js';
import { handOver, LocalBatchKey } from '../support/batch.js';

const context = { operation: 'test', resource: 'key' };
const message = Buffer.from('pay 10 EUR to Käthe');
const other = Buffer.from('pay 99 EUR to mallory');
const ALGORITHMS: readonly (readonly [SigningAlgorithm, number])[] = [
  ['EC_SIGN_P256_SHA256', -7],
  ['EC_SIGN_P384_SHA384', -35],
  ['EC_SIGN_SECP256K1_SHA256', -47],
  ['EC_SIGN_ED25519', -8],
  ['RSA_SIGN_PKCS1_2048_SHA256', -257],
];

/** A receipt taken apart, to be put together otherwise. */
interface Parts {
  protected: Map<unknown, unknown>;
  unprotected: Map<unknown, unknown>;
  payload: unknown;
  signature: unknown;
  tag: number;
}

const map = (value: unknown): Map<unknown, unknown> => {
  if (value instanceof Map) return value;
  throw new Error('not a map');
};
const bytes = (value: unknown): Uint8Array => {
  if (value instanceof Uint8Array) return value;
  throw new Error('not bytes');
};
const list = (value: unknown): unknown[] => {
  if (Array.isArray(value)) return value;
  throw new Error('not a list');
};
/** What a caller without types could pass. */
const untyped = (value: unknown) => JSON.parse(JSON.stringify(value));
const options = { useMaps: true, tags: Tagged.preserve(18) };

function takeApart(receipt: Uint8Array): Parts {
  const tagged: unknown = decode(receipt, options);
  const value = list(tagged instanceof Tagged ? tagged.value : undefined);
  return {
    protected: map(decode(bytes(value[0]), options)),
    unprotected: map(value[1]),
    payload: value[2],
    signature: value[3],
    tag: 18,
  };
}

function putTogether(parts: Parts): Uint8Array {
  const body = [
    encode(parts.protected, rfc8949EncodeOptions),
    parts.unprotected,
    parts.payload,
    parts.signature,
  ];
  return encode(new Tagged(parts.tag, body), rfc8949EncodeOptions);
}

const proofOf = (parts: Parts): unknown[] => {
  const [proof] = list(map(parts.unprotected.get(396)).get(-1));
  return list(decode(bytes(proof)));
};
const setProof = (parts: Parts, proof: unknown): void => {
  parts.unprotected.set(396, new Map([[-1, [encode(proof)]]]));
};

describe('a receipt', () => {
  let key: LocalBatchKey;
  let receipt: Buffer;
  let trust: ReceiptTrust;
  beforeAll(async () => {
    key = new LocalBatchKey();
    receipt = await key.receiptOf(message);
    trust = new ReceiptTrust(key.jwk);
  });

  const changed = (change: (parts: Parts) => void): Uint8Array => {
    const parts = takeApart(receipt);
    change(parts);
    return putTogether(parts);
  };

  describe.each(ALGORITHMS)('by %s', (algorithm, coseAlgorithm) => {
    it('verifies for its message only, in both forms', async () => {
      const signer = new LocalBatchKey(algorithm);
      const signed = await signer.receiptOf(message);
      const json = await receiptToJson(signed);
      for (const form of [signed, json]) {
        expect(await verifyReceipt(message, form, signer.jwk)).toBe(true);
        expect(await verifyReceipt(other, form, signer.jwk)).toBe(false);
      }
      expect(takeApart(signed).protected.get(1)).toBe(coseAlgorithm);
      expect(await receiptFromJson(json)).toEqual(signed);
    });
  });

  it('by RSA with SHA-512 verifies with either padding, and with no other', async () => {
    const pair = generateKeyPairSync('rsa', { modulusLength: 4096 });
    const pem = pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    const [pkcs1, pss] = [
      new LocalBatchKey('RSA_SIGN_PKCS1_4096_SHA512', pem),
      new LocalBatchKey('RSA_SIGN_PSS_4096_SHA512', pem),
    ];
    for (const [signer, stranger, coseAlgorithm] of [
      [pkcs1, pss, -259],
      [pss, pkcs1, -39],
    ] as const) {
      const signed = await signer.receiptOf(message);
      expect(takeApart(signed).protected.get(1)).toBe(coseAlgorithm);
      expect(await verifyReceipt(message, signed, signer.jwk)).toBe(true);
      expect(await verifyReceipt(message, signed, stranger.jwk)).toBe(false);
    }
  });

  it('says by which key it is', async () => {
    expect(await examineReceipt(message, receipt, trust)).toEqual({
      valid: true,
      keyId: key.jwk.kid,
      algorithm: 'EC_SIGN_P256_SHA256',
    });
  });

  it('is what RFC 9942 and RFC 9052 say: tag, labels, detached payload, one proof', () => {
    const parts = takeApart(receipt);
    expect([...parts.protected.keys()]).toEqual([1, 4, 395]);
    expect(parts.protected.get(395)).toBe(1);
    expect(bytes(parts.protected.get(4))).toEqual(Uint8Array.from(Buffer.from(key.jwk.kid, 'base64url')));
    expect([...parts.unprotected.keys()]).toEqual([396, LABEL.blinding]);
    expect(LABEL.blinding).toBeLessThan(-65_536);
    expect(parts.payload).toBeNull();
    expect(proofOf(parts).slice(0, 2)).toEqual([7, 0]);
    expect(receipt[0]).toBe(0xd2);
  });

  it('is deterministic CBOR', () => {
    expect(Buffer.from(putTogether(takeApart(receipt)))).toEqual(receipt);
  });

  it('of a batch of 4,096 with P-384 has a few hundred bytes', async () => {
    const signer = new LocalBatchKey('EC_SIGN_P384_SHA384');
    const [first, ...rest] = await signer.signBatch(Array.from({ length: 4_096 }, () => message));
    expect(first?.length).toBeLessThan(700);
    expect(rest).toHaveLength(4_095);
    expect(signer.signatures).toBe(1);
  });

  it('of every message of batches of many sizes verifies', async () => {
    for (const size of [1, 2, 3, 4, 5, 7, 8, 9, 31, 33, 513]) {
      const messages = Array.from({ length: size }, (_, index) => Buffer.from(`message ${index}`));
      const receipts = await key.signBatch(messages);
      const verdicts = await Promise.all(
        receipts.map((each, index) => verifyReceipt(messages[index] ?? message, each, trust)),
      );
      expect(verdicts).toEqual(messages.map(() => true));
    }
  });

  it('of a single message has a path all the same, as the format demands', async () => {
    const [single] = await key.signBatch([message]);
    expect(single).toBeDefined();
    const [treeSize, leafIndex, path] = proofOf(takeApart(single ?? receipt));
    expect([treeSize, leafIndex]).toEqual([2, 0]);
    expect(path).toHaveLength(1);
    expect(await verifyReceipt(message, single ?? receipt, trust)).toBe(true);
  });

  it('of an empty message verifies', async () => {
    expect(await verifyReceipt(Buffer.alloc(0), await key.receiptOf(Buffer.alloc(0)), trust)).toBe(true);
  });

  it('covers the message as it was when it was passed', async () => {
    const buffer = Buffer.from(message);
    const signing = key.signBatch([buffer]);
    buffer.fill(0);
    const [signed] = await signing;
    expect(await verifyReceipt(message, signed ?? receipt, trust)).toBe(true);
  });

  it('reveals nothing of equal neighbours: equal messages have unequal leaves', async () => {
    const [first, second] = await key.signBatch([message, message]);
    const blindings = [first, second].map((each) =>
      takeApart(each ?? receipt).unprotected.get(LABEL.blinding),
    );
    expect(blindings[0]).not.toEqual(blindings[1]);
    const [sibling] = list(proofOf(takeApart(first ?? receipt))[2]);
    const guess = new BlindedMessage(message).leafHash;
    expect(Buffer.from(bytes(sibling))).not.toEqual(guess);
    expect(await verifyReceipt(message, second ?? receipt, trust)).toBe(true);
  });

  it('with any single bit changed is refused, but for the tree size, which no root says', async () => {
    // [7, 0, [h, h, h]]: the byte behind the head of the list.
    const treeSizeAt = receipt.indexOf(Buffer.from([0x83, 7, 0, 0x83])) + 1;
    const accepted: number[] = [];
    for (let bit = 0; bit < receipt.length * 8; bit++) {
      const damaged = Buffer.from(receipt);
      damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      if (await verifyReceipt(message, damaged, trust)) accepted.push(bit);
    }
    // Seven leaves are five or six to a path of three nodes, too.
    expect(new Set(accepted.map((bit) => bit >> 3))).toEqual(new Set([treeSizeAt]));
  });

  /** Big-endian float16 (RFC 8949 section 3.3). */
  const FLOATS = { 7: [0xf9, 0x47, 0x00], 396: [0xf9, 0x5e, 0x30], '-1': [0xf9, 0xbc, 0x00] } as const;
  const replaced = (it: Buffer, old: readonly number[], by: readonly number[]): Buffer => {
    const at = it.indexOf(Buffer.from(old));
    if (at === -1) throw new Error('it is not there');
    return Buffer.concat([it.subarray(0, at), Buffer.from(by), it.subarray(at + old.length)]);
  };
  /** The proof with its head, whose length is in one byte. */
  const withProof = (it: Buffer, change: (proof: Buffer) => Buffer): Buffer => {
    const proof = Buffer.from(encode(proofOf(takeApart(it))));
    const changedProof = change(proof);
    return replaced(it, [0x58, proof.length, ...proof], [0x58, changedProof.length, ...changedProof]);
  };
  const header = (it: Buffer): Buffer => Buffer.from(encode(takeApart(it).protected, rfc8949EncodeOptions));
  const otherForms: readonly (readonly [string, (it: Buffer) => Uint8Array])[] = [
    [
      'with its unprotected headers the other way round',
      (it) => {
        const parts = takeApart(it);
        const [proofs, blinding] = [396, LABEL.blinding].map((label) =>
          Buffer.concat([encode(label), encode(parts.unprotected.get(label), rfc8949EncodeOptions)]),
        );
        if (proofs === undefined || blinding === undefined) throw new Error('no headers');
        return replaced(it, [...proofs, ...blinding], [...blinding, ...proofs]);
      },
    ],
    ['whose tree size is a float', (it) => withProof(it, (proof) => replaced(proof, [7], FLOATS[7]))],
    [
      'whose leaf index is a float',
      (it) => withProof(it, (proof) => replaced(proof, [7, 0], [7, 0xf9, 0, 0])),
    ],
    ['whose label of the proofs is a float', (it) => replaced(it, [0x19, 0x01, 0x8c], FLOATS[396])],
    ['whose label among the proofs is a float', (it) => replaced(it, [0xa1, 0x20], [0xa1, ...FLOATS['-1']])],
    ['whose tree size has a longer head', (it) => withProof(it, (proof) => replaced(proof, [7], [0x18, 7]))],
    [
      'with unknown headers out of order',
      (it) => {
        const parts = takeApart(it);
        parts.unprotected.set('b', 1).set('a', 2);
        const sorted = Buffer.from(putTogether(parts));
        return replaced(sorted, [0x61, 0x61, 2, 0x61, 0x62, 1], [0x61, 0x62, 1, 0x61, 0x61, 2]);
      },
    ],
    [
      'with an unknown header whose map is out of order',
      (it) => {
        const parts = takeApart(it);
        parts.unprotected.set('a', [
          new Map([
            [1, 2],
            [-1, 3],
          ]),
        ]);
        const sorted = Buffer.from(putTogether(parts));
        return replaced(sorted, [0xa2, 1, 2, 0x20, 3], [0xa2, 0x20, 3, 1, 2]);
      },
    ],
    [
      'with a protected header out of order',
      (it) => {
        const ordered = header(it);
        const [first, kid, last] = [ordered.subarray(1, 3), ordered.subarray(3, -4), ordered.subarray(-4)];
        return replaced(it, [...ordered], [0xa3, ...kid, ...first, ...last]);
      },
    ],
  ];

  it.each(otherForms)('%s is refused: there is one form only', async (_, change) => {
    expect(await verifyReceipt(message, receipt, trust)).toBe(true);
    expect(await examineReceipt(message, change(receipt), trust)).toMatchObject({
      valid: false,
      check: 'format',
    });
  });

  it('says on one line and in short what a stranger wrote', async () => {
    const label = `forged\n${'A'.repeat(1_000)}`;
    const verdict = await examineReceipt(
      message,
      changed((parts) => {
        parts.protected.set(label, 1);
        parts.unprotected.set(label, 1);
      }),
      trust,
    );
    if (verdict.valid) throw new Error('it is valid');
    expect(verdict.problem).toContain('forged');
    expect(verdict.problem).not.toContain('\n');
    expect(verdict.problem.length).toBeLessThan(120);
  });

  it('of random bytes is refused and never throws', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (noise) => {
        expect(await verifyReceipt(message, noise, trust)).toBe(false);
      }),
    );
  });

  const refusals: readonly (readonly [string, string, (parts: Parts) => void])[] = [
    ['another algorithm than the trusted key has', 'algorithm', (parts) => parts.protected.set(1, -35)],
    ['an algorithm that is a text', 'format', (parts) => parts.protected.set(1, 'ES256')],
    ['an unknown key', 'key', (parts) => parts.protected.set(4, Buffer.alloc(32))],
    ['a key id of another length', 'format', (parts) => parts.protected.set(4, Buffer.alloc(31))],
    ['no key id', 'format', (parts) => parts.protected.delete(4)],
    ['another data structure', 'format', (parts) => parts.protected.set(395, 2)],
    ['a critical header that is unknown', 'format', (parts) => parts.protected.set(2, [99]).set(99, 1)],
    ['a critical header that is not there', 'format', (parts) => parts.protected.set(2, [16])],
    ['an empty list of critical headers', 'format', (parts) => parts.protected.set(2, [])],
    ['a critical header that is no list', 'format', (parts) => parts.protected.set(2, 395)],
    ['critical headers outside of the signature', 'format', (parts) => parts.unprotected.set(2, [395])],
    ['a label in both headers', 'format', (parts) => parts.unprotected.set(4, Buffer.alloc(32))],
    ['a header added to what was signed', 'signature', (parts) => parts.protected.set(3, 'text/plain')],
    [
      'a header that is known and critical, but not signed',
      'signature',
      (parts) => parts.protected.set(2, [395]),
    ],
    ['another blinding', 'signature', (parts) => parts.unprotected.set(LABEL.blinding, Buffer.alloc(32))],
    ['no blinding', 'format', (parts) => parts.unprotected.delete(LABEL.blinding)],
    [
      'a blinding that is too short',
      'format',
      (parts) => parts.unprotected.set(LABEL.blinding, Buffer.alloc(31)),
    ],
    ['an attached payload', 'format', (parts) => (parts.payload = Buffer.alloc(32))],
    ['a signature of zeros', 'signature', (parts) => (parts.signature = Buffer.alloc(64))],
    ['a signature of another length', 'signature', (parts) => (parts.signature = Buffer.alloc(65, 1))],
    ['a signature that is no byte string', 'format', (parts) => (parts.signature = 'signature')],
    ['another tag', 'format', (parts) => (parts.tag = 17)],
    ['no proofs', 'format', (parts) => parts.unprotected.delete(396)],
    ['proofs that are no map', 'format', (parts) => parts.unprotected.set(396, [])],
    ['no inclusion proof', 'format', (parts) => parts.unprotected.set(396, new Map([[-2, []]]))],
    [
      'two inclusion proofs',
      'format',
      (parts) => parts.unprotected.set(396, new Map([[-1, Array(2).fill(encode(proofOf(parts)))]])),
    ],
    [
      'a proof that is no byte string',
      'format',
      (parts) => parts.unprotected.set(396, new Map([[-1, [[7, 0, []]]]])),
    ],
    ['a proof of two parts', 'format', (parts) => setProof(parts, [7, 0])],
    ['an index outside of the tree', 'format', (parts) => setProof(parts, [7, 7, proofOf(parts)[2]])],
    ['a tree of one leaf', 'format', (parts) => setProof(parts, [1, 0, proofOf(parts)[2]])],
    ['a tree size that is no number', 'format', (parts) => setProof(parts, ['7', 0, proofOf(parts)[2]])],
    ['a tree that is too large', 'format', (parts) => setProof(parts, [2 ** 33, 0, proofOf(parts)[2]])],
    ['no path', 'format', (parts) => setProof(parts, [7, 0, []])],
    ['a path that is no list', 'format', (parts) => setProof(parts, [7, 0, 'path'])],
    ['a node of another size', 'format', (parts) => setProof(parts, [7, 0, [Buffer.alloc(31)]])],
    [
      'a path that is too long for the tree',
      'inclusion',
      (parts) => setProof(parts, [2, 0, proofOf(parts)[2]]),
    ],
    ['another index', 'signature', (parts) => setProof(parts, [7, 1, proofOf(parts)[2]])],
  ];

  it.each(refusals)('with %s is refused (%s)', async (_, check, change) => {
    // The true one first, so that what is remembered of it is there to be misused.
    expect(await verifyReceipt(message, receipt, trust)).toBe(true);
    expect(await examineReceipt(message, changed(change), trust)).toMatchObject({ valid: false, check });
  });

  it('with an unknown header that is neither signed nor critical is read', async () => {
    expect(
      await verifyReceipt(
        message,
        changed((parts) => parts.unprotected.set(99, 'note')),
        trust,
      ),
    ).toBe(true);
  });

  it('whose signer called a known header critical is read', async () => {
    const pair = generateKeyPairSync('ed25519');
    const ours = new LocalBatchKey(
      'EC_SIGN_ED25519',
      pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    );
    const parts = takeApart(await ours.receiptOf(message));
    parts.protected.set(2, [395]);
    const header = encode(parts.protected, rfc8949EncodeOptions);
    const { rootOfInclusion, hashLeaf } = await import('../../src/merkle.js');
    const [treeSize, leafIndex, path] = proofOf(parts);
    const leafHash = hashLeaf(bytes(parts.unprotected.get(LABEL.blinding)), message);
    const root = rootOfInclusion({
      leafHash,
      leafIndex: Number(leafIndex),
      treeSize: Number(treeSize),
      path: list(path).map(bytes),
    });
    if (root === undefined) throw new Error('no root');
    parts.signature = sign(null, encode(['Signature1', header, new Uint8Array(0), root]), pair.privateKey);
    expect(await verifyReceipt(message, putTogether(parts), ours.jwk)).toBe(true);
  });

  const raw: readonly (readonly [string, (receipt: Buffer) => Uint8Array])[] = [
    ['nothing', () => Buffer.alloc(0)],
    ['something behind it', (it) => Buffer.concat([it, Buffer.from([0])])],
    ['its end cut off', (it) => it.subarray(0, -1)],
    ['no tag', (it) => it.subarray(1)],
    [
      'a list of indefinite length',
      (it) => Buffer.concat([Buffer.from([0xd2, 0x9f]), it.subarray(2), Buffer.from([0xff])]),
    ],
    ['a tag in more bytes than it needs', (it) => Buffer.concat([Buffer.from([0xd8, 18]), it.subarray(1)])],
    ['five parts', (it) => Buffer.concat([Buffer.from([0xd2, 0x85]), it.subarray(2), Buffer.from([0xf6])])],
    ['a header twice', (it) => duplicateHeader(it)],
    ['deep nesting', () => Buffer.concat([Buffer.from([0xd2]), Buffer.alloc(8_000, 0x81)])],
    ['more bytes than a receipt has', (it) => padded(it)],
  ];

  it.each(raw)('that is %s is refused', async (_, change) => {
    expect(await examineReceipt(message, change(receipt), trust)).toMatchObject({
      valid: false,
      check: 'format',
    });
  });

  /** Good but for its size. */
  function padded(it: Buffer): Uint8Array {
    const parts = takeApart(it);
    parts.unprotected.set('note', Buffer.alloc(RECEIPT_LIMIT_BYTES - it.length));
    return putTogether(parts);
  }

  /** The map of unprotected headers with three entries, the last one a repetition of the blinding. */
  function duplicateHeader(it: Buffer): Buffer {
    const label = Buffer.from(encode(LABEL.blinding));
    const at = it.indexOf(label);
    const entry = it.subarray(at, at + label.length + 2 + 32);
    const start = it.indexOf(Buffer.from([0xa2, 0x19, 0x01, 0x8c]));
    const before = Buffer.from(it.subarray(0, at + entry.length));
    before[start] = 0xa3;
    return Buffer.concat([before, entry, it.subarray(at + entry.length)]);
  }

  describe('as JSON', () => {
    let json: ReceiptJson;
    beforeAll(async () => {
      json = await receiptToJson(receipt);
    });

    it('with any size and index gives the bytes of a general encoder', async () => {
      const nodes = Array.from({ length: 32 }, (_, index) => Buffer.alloc(32, index));
      for (const treeSize of [2, 23, 24, 25, 255, 256, 257, 65_535, 65_536, 65_537, 2 ** 32 - 1]) {
        for (const length of [1, 23, 24, 32]) {
          const path = nodes.slice(0, length);
          const leafIndex = treeSize - 2;
          const written = await receiptFromJson({
            ...json,
            treeSize,
            leafIndex,
            path: path.map((node) => node.toString('base64url')),
          });
          expect(written).toEqual(
            Buffer.from(changed((parts) => setProof(parts, [treeSize, leafIndex, path]))),
          );
        }
      }
    });

    it('is as large as a receipt may be and no larger', async () => {
      const largest = Buffer.alloc(RECEIPT_LIMIT_BYTES - receipt.length + 64);
      const form = (size: number) => ({
        ...json,
        signature: largest.subarray(0, size).toString('base64url'),
      });
      // The head of a longer signature has one more byte.
      const written = await receiptFromJson(form(largest.length - 1));
      expect(written).toHaveLength(RECEIPT_LIMIT_BYTES);
      expect(await receiptToJson(written)).toEqual(form(largest.length - 1));
      await expect(receiptFromJson(form(largest.length))).rejects.toThrow(/at most 8192 bytes/);
      expect(await examineReceipt(message, form(largest.length), trust)).toMatchObject({ check: 'format' });
    });

    it('with a path of very many nodes is refused before they are read', async () => {
      const path = new Proxy(Array.from({ length: 33 }), {
        get: (target, name) => {
          if (name === '0') throw new Error('it was read');
          return Reflect.get(target, name);
        },
      });
      expect(await examineReceipt(message, { ...json, path }, trust)).toMatchObject({
        check: 'format',
      });
    });

    it('survives JSON', async () => {
      expect(await verifyReceipt(message, JSON.parse(JSON.stringify(json)), trust)).toBe(true);
    });

    const changes: readonly (readonly [string, Record<string, unknown>])[] = [
      ['padding', { blinding: `${'A'.repeat(43)}=` }],
      ['a blinding that is too short', { blinding: 'AA' }],
      ['a blinding that is no text', { blinding: 1 }],
      ['a header that is no CBOR', { protected: 'AAAA' }],
      ['a header that is not base64url', { protected: '*' }],
      ['a signature that is missing', { signature: undefined }],
      ['a text longer than any receipt', { signature: 'A'.repeat(20_000) }],
      ['a path that is no list', { path: 'AAAA' }],
      ['a node that is too short', { path: ['AAAA'] }],
      ['a node that is too long', { path: ['A'.repeat(44)] }],
      ['an index outside of the tree', { leafIndex: 7 }],
      ['a size that is a text', { treeSize: '7' }],
      ['a member that is unknown', { payload: '' }],
    ];

    it.each(changes)('with %s is refused in either direction', async (_, change) => {
      const damaged = { ...json, ...change };
      expect(await examineReceipt(message, damaged, trust)).toMatchObject({ valid: false, check: 'format' });
      await expect(receiptFromJson(damaged)).rejects.toThrow(InvalidReceiptError);
    });

    it('is taken as it came from a stranger, of unknown type', async () => {
      const received: unknown = JSON.parse(JSON.stringify(json));
      expect(await verifyReceipt(message, received, trust)).toBe(true);
      expect(await examineReceipt(message, received, trust)).toMatchObject({ valid: true });
      expect(await receiptFromJson(received)).toEqual(receipt);
    });

    const others: readonly unknown[] = [
      ...[null, undefined, 'receipt', 7, 7n, true, Symbol('receipt'), () => receipt],
      ...[{}, [], [{}], new Map(Object.entries({ receipt })), new DataView(new ArrayBuffer(300))],
    ];
    it.each(others.map((value) => [value]))('that is %s is refused in either direction', async (value) => {
      expect(await verifyReceipt(message, value, trust)).toBe(false);
      expect(await examineReceipt(message, value, trust)).toMatchObject({ valid: false, check: 'format' });
      await expect(receiptFromJson(value)).rejects.toThrow(InvalidReceiptError);
    });

    it('is not bytes', async () => {
      await expect(receiptFromJson(receipt)).rejects.toThrow(/view of bytes/);
    });

    it('is not made of what is no receipt', async () => {
      await expect(receiptToJson(Buffer.from('d2', 'hex'))).rejects.toThrow(InvalidReceiptError);
      await expect(receiptToJson(untyped('AA'))).rejects.toThrow(/not bytes/);
    });
  });
});

describe('trust', () => {
  it('is a key in any form, several keys, or a JWK Set, by thumbprint', async () => {
    const [key, stranger] = [new LocalBatchKey(), new LocalBatchKey()];
    const receipt = await key.receiptOf(message);
    const jwk = { ...key.jwk, kid: 'a name that its owner chose' };
    for (const trusted of [
      jwk,
      key.pem,
      Buffer.from(key.pem),
      [stranger.jwk, key.pem],
      { keys: [stranger.jwk, jwk] },
    ]) {
      expect(await verifyReceipt(message, receipt, trusted)).toBe(true);
    }
    expect(await verifyReceipt(message, receipt, stranger.jwk)).toBe(false);
  });

  it('passes over what does not sign in a JWK Set, and refuses it elsewhere', async () => {
    const key = new LocalBatchKey();
    const encryption = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({
      format: 'jwk',
    });
    const foreign = [{ ...encryption, alg: 'RSA-OAEP-256' }, { kty: 'OKP', crv: 'X448' }, { kty: 'oct' }];
    const receipt = await key.receiptOf(message);
    expect(await verifyReceipt(message, receipt, { keys: [...foreign, key.jwk] })).toBe(true);
    for (const each of foreign) expect(() => new ReceiptTrust(each)).toThrow(InvalidJwkError);
    expect(() => new ReceiptTrust({ keys: foreign })).toThrow(InvalidJwkError);
    expect(() => new ReceiptTrust([])).toThrow(InvalidJwkError);
  });

  it('takes the algorithm from the trusted key: an RSA key is bound to one', async () => {
    const key = new LocalBatchKey('RSA_SIGN_PKCS1_2048_SHA256');
    const receipt = await key.receiptOf(message);
    const pss = { ...key.jwk, alg: 'PS256' };
    expect(await examineReceipt(message, receipt, pss)).toMatchObject({ valid: false, check: 'algorithm' });
  });

  it('is for each algorithm that an RSA key is given with, in any order', async () => {
    const pair = generateKeyPairSync('rsa', { modulusLength: 4096 });
    const pem = pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    const [pkcs1, pss, other] = [
      new LocalBatchKey('RSA_SIGN_PKCS1_4096_SHA256', pem),
      new LocalBatchKey('RSA_SIGN_PSS_4096_SHA256', pem),
      new LocalBatchKey('RSA_SIGN_PSS_4096_SHA512', pem),
    ];
    const refused = await other.receiptOf(message);
    for (const jwks of [
      [pkcs1.jwk, pss.jwk],
      [pss.jwk, pkcs1.jwk],
    ]) {
      for (const trust of [jwks, { keys: jwks }]) {
        for (const signer of [pkcs1, pss]) {
          expect(await verifyReceipt(message, await signer.receiptOf(message), trust)).toBe(true);
        }
        expect(await examineReceipt(message, refused, trust)).toMatchObject({
          valid: false,
          check: 'algorithm',
        });
      }
    }
  });

  it.each([0, 1.5, 1_000_001])('refuses to remember %s roots', (maxCachedRoots) => {
    expect(() => new ReceiptTrust(new LocalBatchKey().jwk, { maxCachedRoots })).toThrow(InvalidConfigError);
  });

  it('remembers no root that the key did not sign', async () => {
    const key = new LocalBatchKey();
    const parts = takeApart(await key.receiptOf(message));
    parts.signature = Buffer.alloc(64, 1);
    const forged = putTogether(parts);
    const trust = new ReceiptTrust(key.jwk);
    for (let round = 0; round < 3; round++) expect(await verifyReceipt(message, forged, trust)).toBe(false);
  });

  it('refuses a message that is not bytes', async () => {
    const key = new LocalBatchKey();
    const receipt = await key.receiptOf(message);
    await expect(verifyReceipt(untyped('text'), receipt, key.jwk)).rejects.toThrow(InvalidArgumentError);
  });

  it('refuses a receipt that was not awaited, which only the caller itself can get wrong', async () => {
    const key = new LocalBatchKey();
    const unfinished = key.receiptOf(message);
    await expect(verifyReceipt(message, unfinished, key.jwk)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringContaining('awaited'),
    });
    await unfinished;
  });
});

describe('signing a batch', () => {
  it('asks for the version that signed in the place of the expected one, and names that one', async () => {
    const key = new LocalBatchKey();
    key.versions = ['key/2'];
    const named: string[] = [];
    const { keyOf } = key.versionKeys;
    const versionKeys: BatchKey['versionKeys'] = {
      keyOf: (context, version, options) => {
        named.push(version.keyVersion);
        return keyOf(context, version, options);
      },
    };
    const batchKey = { provider: key.provider, keyId: 'key', versionKeys };
    const [receipt] = await signBlinded(context, batchKey, [new BlindedMessage(message)]);
    expect(await verifyReceipt(message, receipt ?? Buffer.alloc(0), key.jwk)).toBe(true);
    expect(key.signers).toEqual(['key', 'key/2']);
    expect(named).toEqual(['key/1', 'key/2']);
  });

  it('has look-ups wait for their own quota, with the deadline that each call has', async () => {
    const key = new LocalBatchKey();
    const { resolveKeyVersion, signDetailed } = key.provider;
    const { keyOf } = key.versionKeys;
    const seen: unknown[] = [];
    const saw = (call: string, { timeoutMs, onQuota }: CallOptions = {}): void =>
      void seen.push([call, timeoutMs, onQuota]);
    const watched: BatchKey = {
      keyId: 'key',
      provider: {
        resolveKeyVersion: (keyId, options) => {
          saw('resolve', options);
          return resolveKeyVersion(keyId);
        },
        signDetailed: (keyId, data, options) => {
          saw('sign', options);
          return signDetailed(keyId, data);
        },
      },
      versionKeys: {
        keyOf: (context, version, options) => {
          saw('public key', options);
          return keyOf(context, version);
        },
      },
    };
    await signBlinded(context, watched, [new BlindedMessage(message)], { timeoutMs: 1_000, onQuota: 'fail' });
    expect(seen).toEqual([
      ['resolve', 1_000, 'retry'],
      ['public key', 1_000, 'retry'],
      ['sign', 1_000, 'fail'],
    ]);
  });

  it.each([
    [512, 0],
    [513, 1],
  ])(
    'of %d messages says %d times that the root is signed before its receipts are there',
    async (count, times) => {
      const key = new LocalBatchKey();
      const seen: string[] = [];
      const receipts = await signBlinded(
        context,
        key,
        Array.from({ length: count }, () => new BlindedMessage(message)),
        { onRootSigned: () => seen.push(`after ${key.signatures} signature`) },
      );
      expect(seen).toEqual(Array.from({ length: times }, () => 'after 1 signature'));
      expect(receipts).toHaveLength(count);
    },
  );

  it('stops writing receipts when its caller aborts', async () => {
    const key = new LocalBatchKey();
    const controller = new AbortController();
    const messages = Array.from({ length: 2_000 }, () => new BlindedMessage(message));
    key.tamper = (signature) => {
      // Behind the first part of the receipts.
      setImmediate(() => controller.abort('no longer needed'));
      return signature;
    };
    const signing = signBlinded(context, key, messages, {
      signal: controller.signal,
    });
    await expect(signing).rejects.toMatchObject({ code: 'ABORTED', cause: 'no longer needed' });
  });

  it('gives up when the versions never agree', async () => {
    const key = new LocalBatchKey();
    key.versions = ['key/2', 'key/3'];
    await expect(key.receiptOf(message)).rejects.toThrow(/key\/3 signed in the place of key\/2/);
    expect(key.signatures).toBe(2);
  });

  it('refuses a signature that is not strict DER (P14)', async () => {
    const key = new LocalBatchKey();
    key.tamper = (signature) => Buffer.concat([signature, Buffer.from([0])]);
    await expect(key.receiptOf(message)).rejects.toThrow(IntegrityError);
  });

  it.each([
    ['no messages', []],
    ['too many', Array.from({ length: 65_537 }, () => message)],
    ['what is no list', 'messages'],
    ['a text', [message, 'text']],
    ['null', [null]],
  ])('refuses %s without signing', async (_, messages) => {
    const key = new LocalBatchKey();
    expect(() => Reflect.apply(key.signBatch, key, [messages])).toThrow(InvalidArgumentError);
    expect(key.signatures).toBe(0);
  });

  it('gives each receipt memory of its own, where no other receipt is', async () => {
    const key = new LocalBatchKey();
    for (const receipt of await key.signBatch([message, other])) {
      expect(receipt.buffer.byteLength).toBe(receipt.length);
    }
  });

  it('gives each message a blinding of its own, however many there are', () => {
    const count = 3 * 256 + 1;
    const blindings = Array.from({ length: count }, () => new BlindedMessage(message).blinding);
    expect(new Set(blindings.map((blinding) => Buffer.from(blinding).toString('hex'))).size).toBe(count);
  });

  it('leaves nothing of other messages in the memory of a blinding', () => {
    const [first, second] = [new BlindedMessage(message), new BlindedMessage(message)];
    expect(first.blinding.buffer.byteLength).toBe(32);
    const kept = Buffer.from(second.blinding);
    handOver(first.blinding);
    expect(Buffer.from(second.blinding)).toEqual(kept);
  });

  it('of one message adds a second leaf that is random, so that no two roots are alike', async () => {
    const key = new LocalBatchKey();
    const siblings = await Promise.all(
      Array.from({ length: 2 }, async () => {
        const [receipt] = await key.signBatch([message]);
        const [sibling] = list(proofOf(takeApart(receipt ?? Buffer.alloc(0)))[2]);
        return Buffer.from(bytes(sibling)).toString('hex');
      }),
    );
    expect(siblings[0]).not.toBe(siblings[1]);
    expect(siblings[0]).not.toBe('00'.repeat(32));
  });

  it.each([
    ['leafHash', new Uint8Array(31)],
    ['blinding', new Uint8Array(33)],
    ['blinding', 'text'],
  ])('refuses a blinded message whose %s is %o', async (name, value) => {
    const blinded = Object.assign(Object.create(BlindedMessage.prototype), new BlindedMessage(message), {
      [name]: value,
    });
    expect(() => new BlindedMessage(blinded)).toThrow(InvalidArgumentError);
    const key = new LocalBatchKey();
    expect(() => key.signBatch([message, blinded])).toThrow(/messages\[1\] must have a blinding of 32 bytes/);
  });

  it('refuses to blind what is not bytes', () => {
    expect(() => new BlindedMessage(untyped('text'))).toThrow(InvalidArgumentError);
  });

  it('refuses an algorithm that COSE has no number for', async () => {
    const key = new LocalBatchKey();
    const algorithm = { name: 'RSA_SIGN_RAW_PKCS1_2048' };
    const versionKeys = { keyOf: async () => ({ thumbprint: 'AAAA', algorithm }) };
    const signing = signBlinded(
      context,
      {
        provider: key.provider,
        keyId: 'key',
        versionKeys: versionKeys,
      },
      [new BlindedMessage(message)],
    );
    await expect(signing).rejects.toThrow(UnsupportedAlgorithmError);
    expect(key.signatures).toBe(0);
  });
});
