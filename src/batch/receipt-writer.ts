/**
 * Writes the receipts of a batch. They differ in proof and blinding only: what stands around these is encoded once, by the
 * CBOR library, and the rest is put in between. A general encoder would take most of the time that a batch takes here.
 */

import { BLINDING_BYTES } from './blinded-message.js';
import type { Cbor } from './cbor.js';
import { LABEL, type ReceiptContent, type SignedRoot } from './receipt-format.js';

/** Major types (RFC 8949 section 3.1), in the upper three bits of the first byte. */
const UNSIGNED = 0 << 5;
const BYTES = 2 << 5;
const LIST = 4 << 5;

/** Tag, list, map, label 396, map, label -1, list, label of the blinding, and nil: what is the same in every receipt. */
const FRAME_SIZE = 1 + 1 + 1 + 3 + 1 + 1 + 1 + 5 + 1;

/** Place of the proof and of the blinding in what is encoded once: as CBOR one byte. */
const EMPTY = new Uint8Array(0);
const EMPTY_SIZE = 1;

export class ReceiptWriter {
  readonly #beforeProof: Uint8Array;
  readonly #beforeBlinding: Uint8Array;
  readonly #afterBlinding: Uint8Array;

  constructor(cbor: Cbor, { protectedHeader, signature }: SignedRoot) {
    const unprotected = new Map<number, unknown>([
      [LABEL.proofs, new Map([[LABEL.inclusionProofs, [EMPTY]]])],
      [LABEL.blinding, EMPTY],
    ]);
    const frame = cbor.encodeSign1([protectedHeader, unprotected, null, signature]);
    const blindingAt = frame.length - cbor.encode(signature).length - cbor.encode(null).length - EMPTY_SIZE;
    const labelAt = blindingAt - cbor.encode(LABEL.blinding).length;
    this.#beforeProof = frame.subarray(0, labelAt - EMPTY_SIZE);
    this.#beforeBlinding = frame.subarray(labelAt, blindingAt);
    this.#afterBlinding = frame.subarray(blindingAt + EMPTY_SIZE);
  }

  /** The receipt with its tag; the payload is nil, for whoever verifies it computes the root. */
  write(content: Pick<ReceiptContent, 'treeSize' | 'leafIndex' | 'path' | 'blinding'>): Buffer {
    const { treeSize, leafIndex, path, blinding } = content;
    const proofSize = sizeOfProof(content);
    // In memory of its own: what lies next to it would be the blindings of others, and travel to other threads with it.
    const receipt = Buffer.allocUnsafeSlow(
      this.#beforeProof.length +
        headSize(proofSize) +
        proofSize +
        this.#beforeBlinding.length +
        headSize(blinding.length) +
        blinding.length +
        this.#afterBlinding.length,
    );
    let at = put(receipt, 0, this.#beforeProof);
    at = putHead(receipt, at, BYTES, proofSize);
    at = putHead(receipt, at, LIST, 3);
    at = putHead(receipt, at, UNSIGNED, treeSize);
    at = putHead(receipt, at, UNSIGNED, leafIndex);
    at = putHead(receipt, at, LIST, path.length);
    for (const node of path) {
      at = putHead(receipt, at, BYTES, node.length);
      at = put(receipt, at, node);
    }
    at = put(receipt, at, this.#beforeBlinding);
    at = putHead(receipt, at, BYTES, blinding.length);
    at = put(receipt, at, blinding);
    put(receipt, at, this.#afterBlinding);
    return receipt;
  }
}

/** Bytes of the receipt, without writing it. */
export function receiptSize(
  content: SignedRoot & Pick<ReceiptContent, 'treeSize' | 'leafIndex' | 'path'>,
): number {
  const { protectedHeader, signature } = content;
  const proofSize = sizeOfProof(content);
  return (
    FRAME_SIZE +
    stringSize(protectedHeader.length) +
    stringSize(proofSize) +
    stringSize(BLINDING_BYTES) +
    stringSize(signature.length)
  );
}

/** A list of three parts: tree size, leaf index, path. */
function sizeOfProof({
  treeSize,
  leafIndex,
  path,
}: Pick<ReceiptContent, 'treeSize' | 'leafIndex' | 'path'>): number {
  let size = 1 + headSize(treeSize) + headSize(leafIndex) + headSize(path.length);
  for (const node of path) size += stringSize(node.length);
  return size;
}

const stringSize = (length: number): number => headSize(length) + length;

/** Bytes of the shortest head for the argument (RFC 8949 section 4.2.1). Nothing in a receipt is above 2^32. */
function headSize(argument: number): number {
  if (argument < 24) return 1;
  if (argument <= 0xff) return 2;
  return argument <= 0xffff ? 3 : 5;
}

function putHead(target: Buffer, at: number, major: number, argument: number): number {
  const size = headSize(argument);
  if (size === 1) return target.writeUInt8(major | argument, at);
  // 24, 25 and 26 announce one, two and four bytes.
  target[at] = major | (size === 2 ? 24 : size === 3 ? 25 : 26);
  return target.writeUIntBE(argument, at + 1, size - 1);
}

function put(target: Buffer, at: number, bytes: Uint8Array): number {
  target.set(bytes, at);
  return at + bytes.length;
}
