/**
 * The Merkle tree of RFC 9162 section 2.1 with SHA-256: root, inclusion proofs and their verification. Pure functions on
 * bytes. What comes from a stranger (index, size, path) is checked against its limits before anything is hashed.
 */

import { createHash, hash } from 'node:crypto';

export const HASH_BYTES = 32;
/** Far above any batch; indexes and sizes stay numbers that 32-bit shifts are exact for. */
export const TREE_SIZE_MAX = 0xffff_ffff;
/** Nodes on the way from a leaf to the root of the largest tree. */
export const PATH_MAX_LENGTH = 32;

/** RFC 9162 section 2.1.1: a leaf can never be taken for a node, nor a node for a leaf. */
const LEAF_PREFIX = 0x00;
const NODE_PREFIX = 0x01;

/** One call to OpenSSL costs more than the hash of a short entry; longer ones are not copied to save it. */
const ONE_CALL_LIMIT_BYTES = 2_048;

/** Input of one hash at a time: nothing here waits between filling it and hashing it. */
const nodeInput = Buffer.alloc(1 + 2 * HASH_BYTES, NODE_PREFIX);
const leafInput = Buffer.alloc(1 + ONE_CALL_LIMIT_BYTES, LEAF_PREFIX);

/** A tree that is complete. */
export interface MerkleTree {
  readonly size: number;
  readonly root: Buffer;
  /** The path from a leaf to the root (RFC 9162 section 2.1.3.1), lowest node first. Views of the tree's own memory. */
  inclusionPath(leafIndex: number): Uint8Array[];
}

/** What is claimed of a leaf. */
export interface InclusionProof {
  readonly leafHash: Uint8Array;
  readonly leafIndex: number;
  readonly treeSize: number;
  readonly path: readonly Uint8Array[];
}

/** MTH({d}) = SHA-256(00 ‖ d), for an entry in two parts. */
export function hashLeaf(head: Uint8Array, tail: Uint8Array): Buffer {
  const size = head.length + tail.length;
  if (size > ONE_CALL_LIMIT_BYTES) {
    return createHash('sha256').update(Uint8Array.of(LEAF_PREFIX)).update(head).update(tail).digest();
  }
  leafInput.set(head, 1);
  leafInput.set(tail, 1 + head.length);
  return hash('sha256', leafInput.subarray(0, 1 + size), 'buffer');
}

/** Pairs that are hashed before others in the process may have their turn; a few milliseconds. */
const PAIRS_PER_STEP = 4_096;

/**
 * The tree over leaf hashes, built in steps of a few milliseconds. The leaf hashes are copied with the first one.
 * @throws RangeError without a leaf, with more than `TREE_SIZE_MAX`, or with a hash of another size.
 */
export function* merkleTreeInSteps(
  leafHashes: readonly Uint8Array[],
): Generator<undefined, MerkleTree, undefined> {
  const size = leafHashes.length;
  if (size < 1 || size > TREE_SIZE_MAX) throw new RangeError(`a tree has 1 to ${TREE_SIZE_MAX} leaves`);
  const leaves = Buffer.allocUnsafe(size * HASH_BYTES);
  for (const [index, leafHash] of leafHashes.entries()) {
    if (leafHash.length !== HASH_BYTES) throw new RangeError(`a leaf hash has ${HASH_BYTES} bytes`);
    leaves.set(leafHash, index * HASH_BYTES);
  }
  // Splitting at the largest power of two below the size is the same as pairing from the left, level by level, with the
  // last one of an odd number moving up as it is.
  const levels: Buffer[] = [leaves];
  for (let level: Buffer = leaves; level.length > HASH_BYTES; ) {
    const above = Buffer.allocUnsafe(Math.ceil(level.length / HASH_BYTES / 2) * HASH_BYTES);
    const pairs = Math.floor(level.length / HASH_BYTES / 2);
    for (let from = 0; from < pairs; from += PAIRS_PER_STEP) {
      if (from > 0) yield;
      hashPairs(level, above, { from, to: Math.min(pairs, from + PAIRS_PER_STEP) });
    }
    level.copy(above, pairs * HASH_BYTES, 2 * pairs * HASH_BYTES);
    level = above;
    levels.push(level);
  }
  return {
    size,
    root: Buffer.from(levels.at(-1) ?? leaves),
    inclusionPath(leafIndex) {
      if (!Number.isInteger(leafIndex) || leafIndex < 0 || leafIndex >= size) {
        throw new RangeError(`leaf ${leafIndex} is not one of ${size}`);
      }
      const path: Uint8Array[] = [];
      let index = leafIndex;
      for (const level of levels) {
        const sibling = (index ^ 1) * HASH_BYTES;
        if (sibling < level.length && level.length > HASH_BYTES) {
          path.push(level.subarray(sibling, sibling + HASH_BYTES));
        }
        index >>>= 1;
      }
      return path;
    },
  };
}

/**
 * The root that a proof leads to (RFC 9162 section 2.1.3.2); the proof is right if it is the root that is trusted.
 * Undefined when the proof is none for that index and size.
 */
export function rootOfInclusion(proof: InclusionProof): Buffer | undefined {
  const { leafHash, leafIndex, treeSize, path } = proof;
  if (!isTreeNumber(treeSize) || !isTreeNumber(leafIndex) || leafIndex >= treeSize) return undefined;
  if (path.length > PATH_MAX_LENGTH || leafHash.length !== HASH_BYTES) return undefined;
  let fn = leafIndex;
  let sn = treeSize - 1;
  // A hash as a latin1 string costs half of what a Buffer for each node does.
  let running = latin1(leafHash);
  for (const node of path) {
    if (node.length !== HASH_BYTES || sn === 0) return undefined;
    if ((fn & 1) === 1 || fn === sn) {
      nodeInput.set(node, 1);
      nodeInput.write(running, 1 + HASH_BYTES, HASH_BYTES, 'latin1');
      while ((fn & 1) === 0 && fn !== 0) {
        fn >>>= 1;
        sn >>>= 1;
      }
    } else {
      nodeInput.write(running, 1, HASH_BYTES, 'latin1');
      nodeInput.set(node, 1 + HASH_BYTES);
    }
    running = hash('sha256', nodeInput, 'binary');
    fn >>>= 1;
    sn >>>= 1;
  }
  return sn === 0 ? Buffer.from(running, 'latin1') : undefined;
}

/** The root over leaf hashes that come one after the other, in memory for one hash per level. */
export class GrowingMerkleTree {
  #size = 0;
  /** Roots of the complete subtrees that the leaves so far make up, largest first. */
  readonly #peaks: Buffer[] = [];

  get size(): number {
    return this.#size;
  }

  /** Adds the next leaf. @throws RangeError for a hash of another size. */
  add(leafHash: Uint8Array): void {
    if (leafHash.length !== HASH_BYTES) throw new RangeError(`a leaf hash has ${HASH_BYTES} bytes`);
    let node: Buffer = Buffer.from(leafHash);
    // A complete subtree stands for each bit that is set; adding one carries like adding to a number.
    for (let rest = this.#size; rest % 2 === 1; rest = (rest - 1) / 2) {
      node = hashNode(this.#peaks.pop() ?? node, node);
    }
    this.#peaks.push(node);
    this.#size += 1;
  }

  /** The root over the leaves so far, as `merkleTreeInSteps` has it. @throws RangeError without a leaf. */
  root(): Buffer {
    const [last, ...larger] = this.#peaks.toReversed();
    if (last === undefined) throw new RangeError('a tree has at least one leaf');
    return larger.reduce<Buffer>((right, left) => hashNode(left, right), last);
  }
}

/** SHA-256(01 ‖ left ‖ right). */
function hashNode(left: Uint8Array, right: Uint8Array): Buffer {
  nodeInput.set(left, 1);
  nodeInput.set(right, 1 + HASH_BYTES);
  return hash('sha256', nodeInput, 'buffer');
}

/** SHA-256(01 ‖ left ‖ right) of each pair, to the level above. */
function hashPairs(level: Buffer, above: Buffer, { from, to }: { from: number; to: number }): void {
  for (let pair = from; pair < to; pair++) {
    level.copy(nodeInput, 1, 2 * pair * HASH_BYTES, 2 * (pair + 1) * HASH_BYTES);
    above.write(hash('sha256', nodeInput, 'binary'), pair * HASH_BYTES, HASH_BYTES, 'latin1');
  }
}

const isTreeNumber = (value: number): boolean =>
  Number.isInteger(value) && value >= 0 && value <= TREE_SIZE_MAX;

const latin1 = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
