/**
 * The receipt as JSON, for messages that are JSON themselves. It says what the bytes say, and the receipts of this library go
 * back to the same bytes; unprotected headers that others added are left out.
 */

import type { ErrorContext } from '../errors/base.js';
import { InvalidReceiptError } from '../errors/identity.js';
import { decodeBase64url, encodeBase64url } from '../identity/base64url.js';
import type { ParseResult } from '../keys/parse-result.js';
import { HASH_BYTES, PATH_MAX_LENGTH } from '../merkle.js';
import { BLINDING_BYTES } from './blinded-message.js';
import { type Cbor, loadCbor } from './cbor.js';
import {
  checkProof,
  decodeReceipt,
  quoted,
  RECEIPT_LIMIT_BYTES,
  type ReceiptContent,
  readProtectedHeader,
} from './receipt-format.js';
import { ReceiptWriter, receiptSize } from './receipt-writer.js';

/** A receipt in JSON. Byte strings are base64url without padding (RFC 7515 section 2). */
export interface ReceiptJson {
  /** The protected header of the COSE_Sign1, CBOR. */
  readonly protected: string;
  /** 32 bytes. */
  readonly blinding: string;
  readonly treeSize: number;
  readonly leafIndex: number;
  /** Nodes of 32 bytes, lowest first. */
  readonly path: readonly string[];
  /** As COSE has it: R ‖ S for ECDSA. */
  readonly signature: string;
}

const NO_HEADERS: ReadonlyMap<unknown, unknown> = new Map();
const MEMBERS = ['protected', 'blinding', 'treeSize', 'leafIndex', 'path', 'signature'];

/**
 * The JSON form of a receipt. Unprotected headers other than the proof and the blinding, which this library never writes,
 * are left out.
 * @throws InvalidReceiptError for what is not a receipt.
 */
export async function receiptToJson(receipt: Uint8Array): Promise<ReceiptJson> {
  const context = { operation: 'receiptToJson', resource: 'receipt' };
  const cbor = await loadCbor();
  const content = required(context, readReceiptBytes(cbor, receipt));
  return {
    protected: encodeBase64url(content.protectedHeader),
    blinding: encodeBase64url(content.blinding),
    treeSize: content.treeSize,
    leafIndex: content.leafIndex,
    path: content.path.map(encodeBase64url),
    signature: encodeBase64url(content.signature),
  };
}

/**
 * The bytes of a receipt that was given as JSON.
 * @param json an object with the members of `ReceiptJson` and no others: what a stranger sent, as `JSON.parse` gave it.
 * @throws InvalidReceiptError for anything else.
 */
export async function receiptFromJson(json: unknown): Promise<Buffer> {
  const context = { operation: 'receiptFromJson', resource: 'receipt' };
  const cbor = await loadCbor();
  const content = required(context, readReceiptJson(cbor, json));
  return new ReceiptWriter(cbor, content).write(content);
}

/** Reads either form. */
export function readReceipt(cbor: Cbor, receipt: unknown): ParseResult<ReceiptContent> {
  return receipt instanceof Uint8Array ? readReceiptBytes(cbor, receipt) : readReceiptJson(cbor, receipt);
}

function readReceiptBytes(cbor: Cbor, receipt: unknown): ParseResult<ReceiptContent> {
  return receipt instanceof Uint8Array ? decodeReceipt(cbor, receipt) : refuse('it is not bytes.');
}

function readReceiptJson(cbor: Cbor, json: unknown): ParseResult<ReceiptContent> {
  if (typeof json !== 'object' || json === null) return refuse('it is neither bytes nor an object.');
  if (ArrayBuffer.isView(json)) return refuse('it is a view of bytes, not a JSON object.');
  const foreign = Object.keys(json).find((name) => !MEMBERS.includes(name));
  if (foreign !== undefined) return refuse(`${quoted(foreign)} is not a member of a receipt.`);
  const member = (name: string): unknown => (Object.hasOwn(json, name) ? Reflect.get(json, name) : undefined);
  const protectedHeader = bytesOf(member('protected'));
  const blinding = bytesOf(member('blinding'));
  const signature = bytesOf(member('signature'));
  if (protectedHeader === undefined || signature === undefined) {
    return refuse('protected or signature is not base64url without padding.');
  }
  if (blinding?.length !== BLINDING_BYTES)
    return refuse(`blinding is not ${BLINDING_BYTES} bytes in base64url.`);
  const path = member('path');
  const proof = checkProof({
    treeSize: member('treeSize'),
    leafIndex: member('leafIndex'),
    path: Array.isArray(path) && path.length <= PATH_MAX_LENGTH ? path.map(nodeOf) : undefined,
  });
  if (!proof.ok) return proof;
  const size = receiptSize({ protectedHeader, signature, ...proof.value });
  if (size > RECEIPT_LIMIT_BYTES) {
    return refuse(`at most ${RECEIPT_LIMIT_BYTES} bytes are read, it has ${size}.`);
  }
  const header = readProtectedHeader(cbor, protectedHeader, NO_HEADERS);
  if (!header.ok) return header;
  return { ok: true, value: { protectedHeader, ...header.value, ...proof.value, blinding, signature } };
}

/** A text of the largest receipt; longer ones are not looked at. */
const TEXT_MAX_LENGTH = Math.ceil((RECEIPT_LIMIT_BYTES * 4) / 3);
const NODE_TEXT_LENGTH = Math.ceil((HASH_BYTES * 4) / 3);

const bytesOf = (text: unknown): Buffer | undefined =>
  typeof text === 'string' && text.length <= TEXT_MAX_LENGTH ? decodeBase64url(text) : undefined;

/** Of a hash: 43 characters. */
const nodeOf = (text: unknown): Buffer | undefined =>
  typeof text === 'string' && text.length === NODE_TEXT_LENGTH ? decodeBase64url(text) : undefined;

const refuse = (problem: string): { readonly ok: false; readonly problem: string } => ({
  ok: false,
  problem,
});

function required<T>(context: ErrorContext, parsed: ParseResult<T>): T {
  if (parsed.ok) return parsed.value;
  throw new InvalidReceiptError(context, parsed.problem);
}
