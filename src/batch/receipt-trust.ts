/**
 * The keys whose receipts are believed, by thumbprint, and which roots they are known to have signed. The algorithm is
 * that of the trusted key; what a receipt names is only compared with it.
 */

import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import type { ErrorContext } from '../errors/base.js';
import { InvalidJwkError } from '../errors/identity.js';
import { InvalidConfigError } from '../errors/input.js';
import { p1363ToDer } from '../identity/der.js';
import { type JosePublicKey, type JwkLike, type PublicKeyInput, parsePublicKey } from '../identity/jwk.js';
import { isJwkSet, unlessForeign } from '../identity/jwk-set.js';
import type { SigningAlgorithmEntry } from '../keys/algorithm-types.js';
import { verifySignature } from '../provider/signature-check.js';
import { schemaProblems } from '../schema-problems.js';
import type { Cbor } from './cbor.js';
import { type ReceiptContent, sigStructure } from './receipt-format.js';

/**
 * Keys whose receipts are believed: one, several, or a JWK Set (RFC 7517 section 5). In a JWK Set, keys that do not sign
 * or are of unknown kinds are passed over; anywhere else they are refused.
 */
export type TrustedKeys = PublicKeyInput | readonly PublicKeyInput[] | { readonly keys: readonly JwkLike[] };

/** Options of a `ReceiptTrust`. */
export interface ReceiptTrustOptions {
  /**
   * Signed roots that this one remembers for itself, so that their further receipts cost hashes only, 1 to 1,000,000. By
   * default it shares a memory of 1,000 roots with all others in the process that name no number.
   */
  readonly maxCachedRoots?: number | undefined;
}

/** A key that verifies receipts. */
export interface TrustedKey {
  readonly algorithm: SigningAlgorithmEntry;
  readonly key: JosePublicKey;
  readonly coseAlgorithm: number;
}

const SHARED_ROOTS = 1_000;
const MAX_CACHED_ROOTS = 1_000_000;

const rootCount = `must be a whole number from 1 to ${MAX_CACHED_ROOTS}`;
const optionsSchema = z.strictObject({
  maxCachedRoots: z.int(rootCount).min(1, rootCount).max(MAX_CACHED_ROOTS, rootCount).optional(),
});

/** The keys and roots behind a `ReceiptTrust`, or those of keys that are given as they are. */
export let rootsOf: (trust: ReceiptTrust | TrustedKeys) => TrustedRoots;

/** Facts that hold whoever asks: this key signed this root. */
interface SignedRoots {
  readonly known: LRUCache<string, true>;
  /** Signatures that are being verified: receipts of one batch that come in at once wait for one of them. */
  readonly running: Map<string, Promise<boolean>>;
}

const newRoots = (max: number): SignedRoots => ({ known: new LRUCache({ max }), running: new Map() });

/** Also for trust that is given anew with each call. */
const sharedRoots = newRoots(SHARED_ROOTS);

/**
 * Keys whose receipts are believed, read once. Make one and pass it to `verifyReceipt` wherever many receipts come in.
 *
 * @example
 * ```ts
 * const trust = new ReceiptTrust({ keys: jwks });
 * await verifyReceipt(message, receipt, trust); // true
 * ```
 */
export class ReceiptTrust {
  readonly #roots: TrustedRoots;

  /** @throws InvalidJwkError when a key is not usable, or there is none; InvalidConfigError for options. */
  constructor(keys: TrustedKeys, options: ReceiptTrustOptions = {}) {
    this.#roots = new TrustedRoots(keys, parseOptions(options));
  }

  static {
    rootsOf = (trust) => (trust instanceof ReceiptTrust ? trust.#roots : new TrustedRoots(trust, {}));
  }
}

/** What `verifyReceipt` works with. */
export class TrustedRoots {
  readonly #keys: ReadonlyMap<string, readonly TrustedKey[]>;
  readonly #roots: SignedRoots;

  constructor(keys: TrustedKeys, options: ReceiptTrustOptions) {
    const context = { operation: 'ReceiptTrust', resource: 'trusted keys' };
    const { maxCachedRoots } = options;
    this.#roots = maxCachedRoots === undefined ? sharedRoots : newRoots(maxCachedRoots);
    this.#keys = readKeys(context, keys);
  }

  /** What is trusted of the key with that thumbprint: an RSA key may be trusted with several algorithms. */
  keysOf(keyId: Uint8Array): readonly TrustedKey[] {
    return this.#keys.get(latin1(keyId)) ?? [];
  }

  /** Whether the key signed the root; by arithmetic once, from memory afterwards. Only what is right is remembered. */
  isSigned(
    cbor: Cbor,
    trusted: TrustedKey,
    signed: { readonly content: ReceiptContent; readonly root: Uint8Array },
  ): boolean | Promise<boolean> {
    const { content, root } = signed;
    const { algorithm } = trusted;
    const { protectedHeader, signature } = content;
    // All that the signature depends on, the root first: its length is fixed. The key's thumbprint is in the header.
    const fact = `${algorithm.name} ${signature.length} ${latin1(root)}${latin1(signature)}${latin1(protectedHeader)}`;
    const { known, running } = this.#roots;
    if (known.get(fact) === true) return true;
    const begun = running.get(fact);
    if (begun !== undefined) return begun;
    const started = this.#verify(cbor, trusted, signed)
      .then((valid) => {
        if (valid) known.set(fact, true);
        return valid;
      })
      .finally(() => running.delete(fact));
    running.set(fact, started);
    return started;
  }

  async #verify(
    cbor: Cbor,
    { algorithm, key: { material } }: TrustedKey,
    { content, root }: { readonly content: ReceiptContent; readonly root: Uint8Array },
  ): Promise<boolean> {
    const data = sigStructure(cbor, content.protectedHeader, root);
    if (algorithm.key.kind !== 'ec') return verifySignature({ algorithm, material }, data, content.signature);
    // RFC 9053 section 2.1: ECDSA is R ‖ S.
    const der = p1363ToDer(content.signature, algorithm.key.coordinateBytes);
    return der.ok && verifySignature({ algorithm, material }, data, der.value);
  }
}

/** How many keys are read before a receipt can be verified by them. */
export function keysToRead(trust: ReceiptTrust | TrustedKeys): number {
  if (trust instanceof ReceiptTrust) return 0;
  if (isJwkSet(trust)) return trust.keys.length;
  return isList(trust) ? trust.length : 1;
}

function parseOptions(options: unknown): ReceiptTrustOptions {
  const parsed = optionsSchema.safeParse(options ?? {});
  if (parsed.success) return parsed.data;
  throw new InvalidConfigError(schemaProblems(parsed.error, 'receiptTrust'));
}

/** By thumbprint, which does not cover the algorithm of an RSA key (RFC 7638 section 3.2). */
function readKeys(context: ErrorContext, trusted: TrustedKeys): ReadonlyMap<string, readonly TrustedKey[]> {
  const keys = isJwkSet(trusted)
    ? trusted.keys.flatMap((key) => unlessForeign(() => readKey(context, key)))
    : isList(trusted)
      ? trusted.map((key) => readKey(context, key))
      : [readKey(context, trusted)];
  if (keys.length === 0) throw new InvalidJwkError(context, 'none of them is a key that signs receipts.');
  const byThumbprint = new Map<string, TrustedKey[]>();
  for (const trustedKey of keys) {
    const keyId = latin1(Buffer.from(trustedKey.key.thumbprint, 'base64url'));
    const known = byThumbprint.get(keyId);
    if (known === undefined) byThumbprint.set(keyId, [trustedKey]);
    else known.push(trustedKey);
  }
  return byThumbprint;
}

function readKey(context: ErrorContext, input: PublicKeyInput): TrustedKey {
  const key = parsePublicKey(context, input, { use: 'sig' });
  const { algorithm } = key;
  if (algorithm.purpose === 'ASYMMETRIC_SIGN' && algorithm.coseAlgorithm !== undefined) {
    return { key, algorithm, coseAlgorithm: algorithm.coseAlgorithm };
  }
  throw new InvalidJwkError(context, `COSE has no number for ${algorithm.name}.`);
}

const isList = (trusted: TrustedKeys): trusted is readonly PublicKeyInput[] => Array.isArray(trusted);

const latin1 = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
