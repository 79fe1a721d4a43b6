/**
 * Verifies receipts in this process, without any call. Whatever a stranger sends in place of a receipt is `false`, never
 * an error; only what the caller itself gets wrong (the trusted keys, a message that is not bytes) throws.
 */

import { InvalidArgumentError } from '../errors/input.js';
import type { SigningAlgorithm } from '../keys/algorithm-types.js';
import { hashLeaf, rootOfInclusion } from '../merkle.js';
import { TurnBudget } from '../provider/turn-budget.js';
import { type Cbor, loadCbor } from './cbor.js';
import { RECEIPT_LIMIT_BYTES, type ReceiptContent } from './receipt-format.js';
import { readReceipt } from './receipt-json.js';
import {
  keysToRead,
  type ReceiptTrust,
  rootsOf,
  type TrustedKey,
  type TrustedKeys,
} from './receipt-trust.js';

/**
 * The result of examining a receipt. Its tree size and leaf index are not part of it: the root does not say how many
 * leaves it has, so a receipt can be changed to claim another size for which its path has the same form.
 */
export type ReceiptVerdict =
  | {
      readonly valid: true;
      /** RFC 7638 thumbprint of the key that signed, base64url. */
      readonly keyId: string;
      readonly algorithm: SigningAlgorithm;
    }
  | {
      readonly valid: false;
      /**
       * The check that failed: the form of the receipt, a key that is not trusted, an algorithm that is not that key's, a
       * proof that is none, or the signature, which also fails for another message.
       */
      readonly check: 'format' | 'key' | 'algorithm' | 'inclusion' | 'signature';
      readonly problem: string;
    };

/**
 * What one turn of the event loop examines: a few milliseconds. One unit is a receipt whose root is known, less than a
 * fiftieth of a millisecond. Signatures have a budget of their own.
 */
const turn = new TurnBudget(200);
/** SHA-256 of so much takes about as long. */
const MESSAGE_BYTES_PER_UNIT = 16_384;
/** A P-384 key that is not in a `ReceiptTrust` takes half a millisecond to read. */
const UNITS_PER_KEY = 32;

/**
 * Whether the receipt shows that a trusted key signed the message. Done at once as long as this turn of the event loop has
 * time for it; what is more waits for a turn, so that a loop over many receipts does not hold up the rest of the process. The
 * message, and a receipt that is bytes, may be changed after the call.
 * @param receipt a `Uint8Array`, or its JSON form (`ReceiptJson`) as an object: what a stranger sent, as it came. Anything else is
 *   false.
 * @param trust the keys that are believed. A `ReceiptTrust` is read once; anything else is read with each call.
 * @throws InvalidJwkError for trusted keys that are none; InvalidArgumentError for a message that is not bytes, and
 *   for a receipt that is a promise.
 *
 * @example
 * ```ts
 * await verifyReceipt(message, receipt, jwk); // true
 * ```
 */
export async function verifyReceipt(
  message: Uint8Array,
  receipt: unknown,
  trust: ReceiptTrust | TrustedKeys,
): Promise<boolean> {
  return (await examineReceipt(message, receipt, trust)).valid;
}

/**
 * As `verifyReceipt`, and says by which key, or why not: for logs, not for deciding differently.
 * @param receipt a `Uint8Array`, or its JSON form (`ReceiptJson`) as an object. Anything else is a verdict, with `check: 'format'`.
 * @throws what `verifyReceipt` throws.
 */
export async function examineReceipt(
  message: Uint8Array,
  receipt: unknown,
  trust: ReceiptTrust | TrustedKeys,
): Promise<ReceiptVerdict> {
  if (!(message instanceof Uint8Array)) {
    throw mistake('message', 'the message must be bytes (Buffer or Uint8Array).');
  }
  // No stranger can send one: `await` was forgotten, and every receipt would be refused.
  if (receipt instanceof Promise) throw mistake('receipt', 'the receipt must be awaited first.');
  const units = 1 + Math.floor(message.length / MESSAGE_BYTES_PER_UNIT) + UNITS_PER_KEY * keysToRead(trust);
  const cbor = loadCbor();
  if (!(cbor instanceof Promise) && turn.take(units)) return examine(cbor, { message, receipt, trust });
  // As they are now: the caller may use its buffers for something else in the meantime.
  const held = { message: Buffer.from(message), receipt: heldReceipt(receipt), trust };
  await turn.wait(units);
  return examine(cbor instanceof Promise ? await cbor : cbor, held);
}

/** What is too long is not read, only its length. */
const heldReceipt = (receipt: unknown): unknown =>
  receipt instanceof Uint8Array && receipt.length <= RECEIPT_LIMIT_BYTES ? Buffer.from(receipt) : receipt;

interface Claim {
  readonly message: Uint8Array;
  readonly receipt: unknown;
  readonly trust: ReceiptTrust | TrustedKeys;
}

async function examine(cbor: Cbor, { message, receipt, trust }: Claim): Promise<ReceiptVerdict> {
  const keys = rootsOf(trust);
  const parsed = readReceipt(cbor, receipt);
  if (!parsed.ok) return { valid: false, check: 'format', problem: parsed.problem };
  const content = parsed.value;
  const { treeSize, leafIndex, path } = content;
  const candidates = keys.keysOf(content.keyId);
  const trusted = candidates.find(({ coseAlgorithm }) => coseAlgorithm === content.algorithm);
  if (trusted === undefined) return untrusted(content, candidates);
  const leafHash = hashLeaf(content.blinding, message);
  const root = rootOfInclusion({ leafHash, leafIndex, treeSize, path });
  if (root === undefined) {
    return {
      valid: false,
      check: 'inclusion',
      problem: 'its path is not one of that leaf in a tree of that size.',
    };
  }
  const signed = keys.isSigned(cbor, trusted, { content, root });
  if (!(signed === true || (await signed))) {
    return { valid: false, check: 'signature', problem: 'the key did not sign this message in this batch.' };
  }
  return { valid: true, keyId: trusted.key.thumbprint, algorithm: trusted.algorithm.name };
}

function untrusted({ algorithm }: ReceiptContent, candidates: readonly TrustedKey[]): ReceiptVerdict {
  if (candidates.length === 0) {
    return { valid: false, check: 'key', problem: 'its key is not one of those that are trusted.' };
  }
  const trusted = candidates.map(({ coseAlgorithm }) => coseAlgorithm).join(', ');
  return {
    valid: false,
    check: 'algorithm',
    problem: `it names algorithm ${algorithm}, the trusted key has ${trusted}.`,
  };
}

const mistake = (resource: string, problem: string): InvalidArgumentError =>
  new InvalidArgumentError({ operation: 'verifyReceipt', resource }, problem);
