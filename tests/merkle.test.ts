import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  GrowingMerkleTree,
  hashLeaf,
  type MerkleTree,
  merkleTreeInSteps,
  rootOfInclusion,
  TREE_SIZE_MAX,
} from '../src/merkle.js';

const sha256 = (...parts: readonly Uint8Array[]): Buffer => {
  const digest = createHash('sha256');
  for (const part of parts) digest.update(part);
  return digest.digest();
};
const NONE = new Uint8Array(0);
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** RFC 9162 section 2.1.1, word by word. */
function treeHash(entries: readonly Uint8Array[]): Buffer {
  const [only] = entries;
  if (entries.length === 1 && only !== undefined) return sha256(Uint8Array.of(0), only);
  const k = splitOf(entries.length);
  return sha256(Uint8Array.of(1), treeHash(entries.slice(0, k)), treeHash(entries.slice(k)));
}

/** RFC 9162 section 2.1.3.1, word by word. */
function pathOf(m: number, entries: readonly Uint8Array[]): Buffer[] {
  const n = entries.length;
  if (n === 1) return [];
  const k = splitOf(n);
  return m < k
    ? [...pathOf(m, entries.slice(0, k)), treeHash(entries.slice(k))]
    : [...pathOf(m - k, entries.slice(k)), treeHash(entries.slice(0, k))];
}

/** The largest power of two below n. */
const splitOf = (n: number): number => 2 ** (Math.ceil(Math.log2(n)) - 1);

const entriesOf = (size: number): Buffer[] =>
  Array.from({ length: size }, (_, index) => Buffer.from(`entry ${index}`));
function buildMerkleTree(leafHashes: readonly Uint8Array[]): MerkleTree {
  const steps = merkleTreeInSteps(leafHashes);
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}
const treeOf = (entries: readonly Uint8Array[]) =>
  buildMerkleTree(entries.map((entry) => hashLeaf(entry, NONE)));

/** The tree that the tests of Certificate Transparency use: its entries, and its root at each size. */
const CT_ENTRIES = [
  '',
  '00',
  '10',
  '2021',
  '3031',
  '40414243',
  '5051525354555657',
  '606162636465666768696a6b6c6d6e6f',
].map((entry) => Buffer.from(entry, 'hex'));
const CT_ROOTS = [
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
];

describe('the Merkle tree', () => {
  it('has the roots of the Certificate Transparency tests', () => {
    const roots = CT_ENTRIES.map((_, index) => hex(treeOf(CT_ENTRIES.slice(0, index + 1)).root));
    expect(roots).toEqual(CT_ROOTS);
  });

  it('has the inclusion path of the Certificate Transparency tests', () => {
    expect(treeOf(CT_ENTRIES).inclusionPath(0).map(hex)).toEqual([
      '96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7',
      '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
      '6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4',
    ]);
  });

  it('of every size from 1 to 300 has the root and the paths of the definition, and each path leads to the root', () => {
    const entries = entriesOf(300);
    for (let size = 1; size <= entries.length; size++) {
      const some = entries.slice(0, size);
      const tree = treeOf(some);
      expect(tree.size).toBe(size);
      // The definition is exponential in effort for paths: every leaf of small trees, the interesting ones of large.
      const leaves =
        size <= 40 ? some.keys() : new Set([0, 1, size >> 1, splitOf(size) - 1, size - 2, size - 1]);
      if (size <= 40 || size % 16 < 2) {
        expect(tree.root).toEqual(treeHash(some));
        for (const leafIndex of leaves) {
          expect(tree.inclusionPath(leafIndex).map(hex)).toEqual(pathOf(leafIndex, some).map(hex));
        }
      }
      for (let leafIndex = 0; leafIndex < size; leafIndex++) {
        const leafHash = hashLeaf(some[leafIndex] ?? NONE, NONE);
        const path = tree.inclusionPath(leafIndex);
        const root = rootOfInclusion({ leafHash, leafIndex, treeSize: size, path });
        if (!root?.equals(tree.root)) expect.fail(`leaf ${leafIndex} of ${size}`);
      }
    }
  });

  it('hashes an entry in two parts as one, whatever its size', () => {
    for (const size of [0, 1, 2_015, 2_016, 2_017, 100_000]) {
      const head = Buffer.alloc(32, 1);
      const tail = Buffer.alloc(size, 2);
      expect(hashLeaf(head, tail)).toEqual(sha256(Uint8Array.of(0), head, tail));
    }
  });

  it('keeps nothing of the hashes it was built from', () => {
    const leaves = entriesOf(3).map((entry) => hashLeaf(entry, NONE));
    const tree = buildMerkleTree(leaves);
    const before = tree.inclusionPath(0).map(hex);
    for (const leaf of leaves) leaf.fill(0);
    expect(tree.inclusionPath(0).map(hex)).toEqual(before);
    expect(tree.root).toEqual(treeHash(entriesOf(3)));
  });

  it.each([
    [2 * 4_096, 0],
    [2 * 4_096 + 2, 1],
    [65_535, 7 + 3 + 1],
  ])('of %d leaves lets others have their turn %d times', (size, turns) => {
    const leaves = Array.from({ length: size }, (_, index) => sha256(Buffer.from(`${index}`)));
    const steps = merkleTreeInSteps(leaves);
    let count = 0;
    let step = steps.next();
    for (const leaf of leaves) leaf.fill(0);
    for (; !step.done; step = steps.next()) count += 1;
    const grown = new GrowingMerkleTree();
    for (let index = 0; index < size; index++) grown.add(sha256(Buffer.from(`${index}`)));
    expect(step.value.root).toEqual(grown.root());
    expect(count).toBe(turns);
  });

  it('is refused without leaves, and with a hash of another size', () => {
    expect(() => buildMerkleTree([])).toThrow(RangeError);
    expect(() => buildMerkleTree([Buffer.alloc(31)])).toThrow(RangeError);
  });

  it.each([-1, 3, 0.5, Number.NaN])('has no path for leaf %s of three', (leafIndex) => {
    expect(() => treeOf(entriesOf(3)).inclusionPath(leafIndex)).toThrow(RangeError);
  });
});

describe('an inclusion proof', () => {
  const size = 21;
  const tree = treeOf(entriesOf(size));
  const proofOf = (leafIndex: number) => ({
    leafHash: hashLeaf(Buffer.from(`entry ${leafIndex}`), NONE),
    leafIndex,
    treeSize: size,
    path: tree.inclusionPath(leafIndex),
  });
  const leadsToRoot = (proof: Parameters<typeof rootOfInclusion>[0]): boolean =>
    rootOfInclusion(proof)?.equals(tree.root) ?? false;

  it('with any single bit changed leads elsewhere', () => {
    const arbitrary = fc.tuple(fc.nat(size - 1), fc.nat(), fc.nat(255));
    fc.assert(
      fc.property(arbitrary, ([leafIndex, where, bit]) => {
        const proof = proofOf(leafIndex);
        const path = proof.path.map((node) => Uint8Array.from(node));
        const node = path[where % path.length];
        if (node === undefined) return;
        node[bit >> 3] = (node[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        expect(leadsToRoot({ ...proof, path })).toBe(false);
      }),
    );
  });

  it('for another index or another leaf leads elsewhere', () => {
    for (let leafIndex = 0; leafIndex < size; leafIndex++) {
      for (let other = 0; other < size; other++) {
        expect(leadsToRoot({ ...proofOf(leafIndex), leafIndex: other })).toBe(other === leafIndex);
        expect(leadsToRoot({ ...proofOf(leafIndex), leafHash: proofOf(other).leafHash })).toBe(
          other === leafIndex,
        );
      }
    }
  });

  it('that is longer or shorter than the tree is high is none', () => {
    const proof = proofOf(20);
    expect(rootOfInclusion({ ...proof, path: [...proof.path, Buffer.alloc(32)] })).toBeUndefined();
    expect(rootOfInclusion({ ...proof, path: proof.path.slice(0, -1) })).toBeUndefined();
    expect(rootOfInclusion({ ...proofOf(0), path: [] })).toBeUndefined();
  });

  it.each([
    ['an index that is the size', { leafIndex: size }],
    ['the index of a second leaf in a tree of one', { leafIndex: 1, treeSize: 1, path: [] }],
    ['an index below zero', { leafIndex: -1 }],
    ['an index that is no whole number', { leafIndex: 1.5 }],
    ['an empty tree', { leafIndex: 0, treeSize: 0 }],
    ['a tree that is too large', { treeSize: TREE_SIZE_MAX + 1 }],
    ['a node that is too short', { path: [Buffer.alloc(31)] }],
    ['a leaf hash that is too long', { leafHash: Buffer.alloc(33) }],
    ['more nodes than the largest tree has', { path: Array.from({ length: 33 }, () => Buffer.alloc(32)) }],
  ])('with %s is none', (_, change) => {
    expect(rootOfInclusion({ ...proofOf(3), ...change })).toBeUndefined();
  });

  it.each([
    [0, 32],
    [2 ** 31, 32],
    [TREE_SIZE_MAX - 1, 31],
  ])('of leaf %i in the largest tree is followed to its end', (leafIndex, length) => {
    const path = Array.from({ length }, () => Buffer.alloc(32));
    const proof = { leafHash: Buffer.alloc(32), leafIndex, treeSize: TREE_SIZE_MAX, path };
    expect(rootOfInclusion(proof)).toBeInstanceOf(Buffer);
    expect(rootOfInclusion({ ...proof, path: path.slice(1) })).toBeUndefined();
  });

  it('cannot pass a node off as a leaf', () => {
    const [left, right] = [hashLeaf(Buffer.from('entry 0'), NONE), hashLeaf(Buffer.from('entry 1'), NONE)];
    const forged = {
      leafHash: hashLeaf(left, right),
      leafIndex: 0,
      treeSize: 11,
      path: tree.inclusionPath(0).slice(1),
    };
    expect(leadsToRoot(forged)).toBe(false);
  });
});
