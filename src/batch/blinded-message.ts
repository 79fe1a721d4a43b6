/**
 * A message as it goes into a batch: blinded and hashed. The blinding makes the leaf hash unguessable, so that the nodes
 * in one message's receipt tell nothing about its neighbours, not even to somebody who can guess what they say.
 */

import { randomFillSync } from 'node:crypto';
import type { ErrorContext } from '../errors/base.js';
import { InvalidArgumentError } from '../errors/input.js';
import { HASH_BYTES, hashLeaf } from '../merkle.js';

/** As long as the hash: guessing a blinding is no easier than guessing the leaf hash. */
export const BLINDING_BYTES = 32;

/** Random bytes are drawn for this many messages at once; a call for each would cost more than the hash. */
const POOL_MESSAGES = 256;
let pool = Buffer.alloc(0);

/**
 * A message that was blinded and hashed. It holds no reference to the message, which may be changed or dropped.
 *
 * @example
 * ```ts
 * const blinded = new BlindedMessage(Buffer.from('pay 10 EUR to alice'));
 * const [receipt] = await exchange.signBatch('invoice-bot', [blinded]);
 * ```
 */
export class BlindedMessage {
  /** 32 random bytes, which travel in the receipt. */
  readonly blinding: Uint8Array;
  /** SHA-256(00 ‖ blinding ‖ message): the leaf of RFC 9162 section 2.1.1 whose entry is blinding ‖ message. */
  readonly leafHash: Uint8Array;

  /**
   * @param message bytes; or one that was blinded before, which is copied.
   * @throws InvalidArgumentError for what is not bytes. Strings are not taken: their encoding would be a guess.
   */
  constructor(message: Uint8Array | BlindedMessage) {
    if (message instanceof BlindedMessage) {
      requireIntact({ operation: 'BlindedMessage', resource: 'message' }, 'it', message);
      this.blinding = new Uint8Array(message.blinding);
      this.leafHash = new Uint8Array(message.leafHash);
      return;
    }
    if (!(message instanceof Uint8Array)) {
      throw new InvalidArgumentError(
        { operation: 'BlindedMessage', resource: 'message' },
        notBytes('it', message),
      );
    }
    this.blinding = nextBlinding();
    this.leafHash = hashLeaf(this.blinding, message);
  }
}

/** @throws InvalidArgumentError for what is neither bytes nor blinded before, nor both parts of it any more. */
export function blind(context: ErrorContext, name: string, message: unknown): BlindedMessage {
  if (message instanceof BlindedMessage) return requireIntact(context, name, message);
  if (message instanceof Uint8Array) return new BlindedMessage(message);
  throw new InvalidArgumentError(context, notBytes(name, message));
}

/** One whose bytes were handed over to another thread, or that is none but by its prototype, would spoil the whole batch. */
function requireIntact(context: ErrorContext, name: string, message: BlindedMessage): BlindedMessage {
  const { blinding, leafHash } = message;
  if (isBytes(blinding, BLINDING_BYTES) && isBytes(leafHash, HASH_BYTES)) return message;
  throw new InvalidArgumentError(
    context,
    `${name} must have a blinding of ${BLINDING_BYTES} bytes and a leaf hash of ${HASH_BYTES}.`,
  );
}

/** Random bytes that no other message has, in memory of their own: what is next to them belongs to other messages. */
export function nextBlinding(): Uint8Array {
  if (pool.length === 0) pool = randomFillSync(Buffer.allocUnsafeSlow(POOL_MESSAGES * BLINDING_BYTES));
  const blinding = new Uint8Array(pool.subarray(0, BLINDING_BYTES));
  pool = pool.subarray(BLINDING_BYTES);
  return blinding;
}

const isBytes = (value: unknown, length: number): boolean =>
  value instanceof Uint8Array && value.length === length;

const notBytes = (name: string, value: unknown): string =>
  `${name} must be bytes (Buffer or Uint8Array), got ${value === null ? 'null' : typeof value}.`;
