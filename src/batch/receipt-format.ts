/**
 * The receipt on the wire: a COSE_Sign1 (RFC 9052 section 4.2) that is a Receipt of Inclusion of RFC 9942, with the
 * blinding of the message beside the proof. Reads attacker-controlled bytes: limits first, then one strict form.
 */

import type { ParseResult } from '../keys/parse-result.js';
import { HASH_BYTES, PATH_MAX_LENGTH, TREE_SIZE_MAX } from '../merkle.js';
import { BLINDING_BYTES } from './blinded-message.js';
import type { Cbor } from './cbor.js';

/** Labels of the IANA registry "COSE Header Parameters", and of proofs in "COSE Verifiable Data Structure Proofs". */
export const LABEL = {
  /** RFC 9052 section 3.1. */
  algorithm: 1,
  critical: 2,
  keyId: 4,
  /** RFC 9942: the verifiable data structure, and its proofs. */
  dataStructure: 395,
  proofs: 396,
  /** RFC 9942: the label of inclusion proofs among the proofs of RFC9162_SHA256. */
  inclusionProofs: -1,
  /**
   * No label is registered for a blinding. Integers below -65,536 are for private use (RFC 9052 section 11.1); this one is
   * the bytes "a2a" and 01 as the argument of a negative integer, so that nobody else has it by chance.
   */
  blinding: -1 - 0x61_32_61_01,
} as const;

/** RFC9162_SHA256 in the IANA registry "COSE Verifiable Data Structure Algorithms" (RFC 9942). */
const RFC9162_SHA256 = 1;

/** ML-DSA-87 signs with 4,627 bytes, the largest signature that COSE has a number for; the longest path has 1 KiB. */
export const RECEIPT_LIMIT_BYTES = 8_192;

/** What a receipt says. Nothing of it is believed before it is verified. */
export interface ReceiptContent {
  /** As they were signed. */
  readonly protectedHeader: Uint8Array;
  /** COSE algorithm number. */
  readonly algorithm: number;
  /** RFC 7638 SHA-256 thumbprint of the key. */
  readonly keyId: Uint8Array;
  readonly treeSize: number;
  readonly leafIndex: number;
  readonly path: readonly Uint8Array[];
  readonly blinding: Uint8Array;
  readonly signature: Uint8Array;
}

/** What is the same in all receipts of a batch. */
export interface SignedRoot {
  readonly protectedHeader: Uint8Array;
  readonly signature: Uint8Array;
}

export function encodeProtectedHeader(
  cbor: Cbor,
  key: { readonly algorithm: number; readonly keyId: Uint8Array },
): Uint8Array {
  return cbor.encode(
    new Map<number, unknown>([
      [LABEL.algorithm, key.algorithm],
      [LABEL.keyId, key.keyId],
      [LABEL.dataStructure, RFC9162_SHA256],
    ]),
  );
}

/** What is signed: the Sig_structure of RFC 9052 section 4.4, with the root as payload and no external data. */
export function sigStructure(cbor: Cbor, protectedHeader: Uint8Array, root: Uint8Array): Uint8Array {
  return cbor.encode(['Signature1', protectedHeader, new Uint8Array(0), root]);
}

const refuse = (problem: string): { readonly ok: false; readonly problem: string } => ({
  ok: false,
  problem,
});

/** Reads a receipt. */
export function decodeReceipt(cbor: Cbor, bytes: Uint8Array): ParseResult<ReceiptContent> {
  if (bytes.length > RECEIPT_LIMIT_BYTES) {
    return refuse(`at most ${RECEIPT_LIMIT_BYTES} bytes are read, got ${bytes.length}.`);
  }
  const message = attempt(() => cbor.decodeSign1(bytes));
  if (!cbor.isTagged(message)) return refuse('it is not a tagged COSE_Sign1 in deterministic CBOR.');
  const parts: unknown = message.value;
  if (!Array.isArray(parts) || parts.length !== 4) return refuse('a COSE_Sign1 has four parts.');
  const [protectedHeader, unprotected, payload, signature]: readonly unknown[] = parts;
  if (!isBytes(protectedHeader) || !isBytes(signature) || !isMap(unprotected)) {
    return refuse('its headers or its signature are not what a COSE_Sign1 has there.');
  }
  if (payload !== null) return refuse('its payload is not detached.');
  const header = readProtectedHeader(cbor, protectedHeader, unprotected);
  if (!header.ok) return header;
  const blinding = unprotected.get(LABEL.blinding);
  if (!isBytes(blinding) || blinding.length !== BLINDING_BYTES) {
    return refuse(`its blinding is not ${BLINDING_BYTES} bytes.`);
  }
  const proof = readProof(cbor, unprotected.get(LABEL.proofs));
  if (!proof.ok) return proof;
  return { ok: true, value: { protectedHeader, ...header.value, ...proof.value, blinding, signature } };
}

/** The parts of the protected header that count. */
export function readProtectedHeader(
  cbor: Cbor,
  bytes: Uint8Array,
  unprotected: ReadonlyMap<unknown, unknown>,
): ParseResult<Pick<ReceiptContent, 'algorithm' | 'keyId'>> {
  const header = attempt(() => cbor.decode(bytes));
  if (!isMap(header)) return refuse('its protected header is not a map in deterministic CBOR.');
  for (const label of unprotected.keys()) {
    // RFC 9052 section 3: which of the two counts would be for the reader to guess.
    if (header.has(label)) return refuse(`the label ${quoted(String(label))} is in both headers.`);
  }
  if (unprotected.has(LABEL.critical)) return refuse('crit is not in the protected header.');
  if (header.has(LABEL.critical) && !isUnderstood(header)) {
    return refuse('it calls a header critical that is not known here.');
  }
  const algorithm = header.get(LABEL.algorithm);
  const keyId = header.get(LABEL.keyId);
  if (typeof algorithm !== 'number' || !Number.isInteger(algorithm)) {
    return refuse('its algorithm is not a COSE algorithm number.');
  }
  if (!isBytes(keyId) || keyId.length !== HASH_BYTES) {
    return refuse('its key id is not an RFC 7638 SHA-256 thumbprint.');
  }
  if (header.get(LABEL.dataStructure) !== RFC9162_SHA256) {
    return refuse('its verifiable data structure is not RFC9162_SHA256.');
  }
  return { ok: true, value: { algorithm, keyId } };
}

const UNDERSTOOD: readonly unknown[] = [LABEL.algorithm, LABEL.keyId, LABEL.dataStructure];

/** RFC 9052 section 3.1: at least one label, all of them known and in the protected header. */
function isUnderstood(header: ReadonlyMap<unknown, unknown>): boolean {
  const critical = header.get(LABEL.critical);
  return (
    Array.isArray(critical) &&
    critical.length > 0 &&
    critical.every((label: unknown) => UNDERSTOOD.includes(label) && header.has(label))
  );
}

/** The one inclusion proof (RFC 9942): [tree-size, leaf-index, [+ bstr]] in a byte string. */
function readProof(
  cbor: Cbor,
  proofs: unknown,
): ParseResult<Pick<ReceiptContent, 'treeSize' | 'leafIndex' | 'path'>> {
  const inclusion = isMap(proofs) ? proofs.get(LABEL.inclusionProofs) : undefined;
  if (!Array.isArray(inclusion) || inclusion.length !== 1)
    return refuse('it does not have one inclusion proof.');
  const [encoded]: readonly unknown[] = inclusion;
  const proof = isBytes(encoded) ? attempt(() => cbor.decode(encoded)) : undefined;
  if (!Array.isArray(proof) || proof.length !== 3)
    return refuse('its inclusion proof does not have three parts.');
  const [treeSize, leafIndex, path]: readonly unknown[] = proof;
  return checkProof({ treeSize, leafIndex, path });
}

/** The limits of a proof. A receipt of this format has a path (RFC 9942: one node at least), so its tree has two leaves. */
export function checkProof(proof: {
  readonly treeSize: unknown;
  readonly leafIndex: unknown;
  readonly path: unknown;
}): ParseResult<Pick<ReceiptContent, 'treeSize' | 'leafIndex' | 'path'>> {
  const { treeSize, leafIndex, path } = proof;
  if (!isNumber(treeSize) || !isNumber(leafIndex) || treeSize < 2 || leafIndex >= treeSize) {
    return refuse(`its tree has 2 to ${TREE_SIZE_MAX} leaves, and its leaf is one of them.`);
  }
  if (!Array.isArray(path) || path.length < 1 || path.length > PATH_MAX_LENGTH || !path.every(isHash)) {
    return refuse(`its path is not 1 to ${PATH_MAX_LENGTH} nodes of ${HASH_BYTES} bytes.`);
  }
  return { ok: true, value: { treeSize, leafIndex, path } };
}

/** What a decoder throws says nothing that the caller could use. */
function attempt(work: () => unknown): unknown {
  try {
    return work();
  } catch {
    return undefined;
  }
}

/** What a stranger wrote, as it may be logged: short, and on one line. */
export const quoted = (text: string): string => JSON.stringify(text.slice(0, 50));

const isBytes = (value: unknown): value is Uint8Array => value instanceof Uint8Array;
const isHash = (value: unknown): value is Uint8Array => isBytes(value) && value.length === HASH_BYTES;
const isMap = (value: unknown): value is ReadonlyMap<unknown, unknown> => value instanceof Map;
const isNumber = (value: unknown): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= TREE_SIZE_MAX;
