/**
 * One signature for many messages: the root of their Merkle tree is signed in the HSM, and each message gets a receipt of
 * its own.
 */

import type { ErrorContext } from '../errors/base.js';
import { InvalidArgumentError, UnsupportedAlgorithmError } from '../errors/input.js';
import { IntegrityError, OperationAbortedError } from '../errors/service.js';
import { derToP1363 } from '../identity/der.js';
import type { SigningAlgorithmEntry } from '../keys/algorithm-types.js';
import { algorithmsOf, findAlgorithm } from '../keys/algorithms.js';
import type { CallOptions } from '../keys/call-options.js';
import type { KeyProvider } from '../keys/key-provider.js';
import { type MerkleTree, merkleTreeInSteps } from '../merkle.js';
import { type NamedVersion, signNamingVersion } from '../provider/sign-naming-version.js';
import { type BlindedMessage, blind, nextBlinding } from './blinded-message.js';
import { type Cbor, loadCbor } from './cbor.js';
import { encodeProtectedHeader, type SignedRoot, sigStructure } from './receipt-format.js';
import { ReceiptWriter } from './receipt-writer.js';
import type { SignBatchOptions } from './sign-batch-options.js';

/** A receipt then has 16 nodes. To write so many takes seconds, far longer than the HSM does for the root. */
export const MAX_BATCH_MESSAGES = 65_536;
/** Receipts that are written before others in the process get their turn; a few milliseconds. */
const RECEIPTS_PER_TURN = 512;

/** What a receipt says of the key. */
interface BatchPublicKey {
  /** RFC 7638 SHA-256 thumbprint, base64url. */
  readonly thumbprint: string;
  readonly algorithm: { readonly name: string };
}

/** What a batch is signed with. */
export interface BatchKey {
  readonly provider: Pick<KeyProvider, 'resolveKeyVersion' | 'signDetailed'>;
  readonly versionKeys: {
    /** The public key of a version. */
    keyOf(context: ErrorContext, version: NamedVersion, options?: CallOptions): Promise<BatchPublicKey>;
  };
  readonly keyId: string;
}

/**
 * Blinds messages for a batch. They may be changed or dropped as soon as it returns.
 * @throws InvalidArgumentError for no messages, too many, or what is not bytes.
 */
export function blindAll(
  context: ErrorContext,
  messages: readonly (Uint8Array | BlindedMessage)[],
): readonly BlindedMessage[] {
  if (!Array.isArray(messages) || messages.length < 1 || messages.length > MAX_BATCH_MESSAGES) {
    throw new InvalidArgumentError(
      context,
      `messages must be a list of 1 to ${MAX_BATCH_MESSAGES} messages.`,
    );
  }
  return messages.map((message: unknown, index) => blind(context, `messages[${index}]`, message));
}

/** The receipts of the messages, in their order, from one signature. */
export async function signBlinded(
  context: ErrorContext,
  batchKey: BatchKey,
  messages: readonly BlindedMessage[],
  { onRootSigned, ...options }: SignBatchOptions = {},
): Promise<readonly Buffer[]> {
  const cbor = await loadCbor();
  const leafHashes = messages.map(({ leafHash }) => leafHash);
  // A receipt has at least one node (RFC 9942), which a tree of one leaf has not.
  if (leafHashes.length === 1) leafHashes.push(nextBlinding());
  const tree = await buildTree(context, leafHashes, options.signal);
  const signed = await signRoot(context, batchKey, { cbor, root: tree.root }, options);
  if (messages.length > RECEIPTS_PER_TURN) onRootSigned?.();
  const writer = new ReceiptWriter(cbor, signed);
  const receipts: Buffer[] = [];
  for (const [leafIndex, { blinding }] of messages.entries()) {
    if (leafIndex > 0 && leafIndex % RECEIPTS_PER_TURN === 0) {
      await nextTurn();
      throwIfAborted(context, options.signal);
    }
    const path = tree.inclusionPath(leafIndex);
    receipts.push(writer.write({ treeSize: tree.size, leafIndex, path, blinding }));
  }
  return receipts;
}

/** A large tree takes a tenth of a second, in which others have their turns. */
async function buildTree(
  context: ErrorContext,
  leafHashes: readonly Uint8Array[],
  signal: AbortSignal | undefined,
): Promise<MerkleTree> {
  const steps = merkleTreeInSteps(leafHashes);
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
    await nextTurn();
    throwIfAborted(context, signal);
  }
}

async function signRoot(
  context: ErrorContext,
  { provider, versionKeys, keyId }: BatchKey,
  tree: { readonly cbor: Cbor; readonly root: Uint8Array },
  options: CallOptions,
): Promise<SignedRoot> {
  const { cbor, root } = tree;
  // Reads have a quota of their own, which says nothing of that for signatures: their turn is waited for.
  const forLookUp: CallOptions = { ...options, onQuota: 'retry' };
  const { protectedHeader, algorithm, signed } = await signNamingVersion(context, keyId, {
    inUse: () => provider.resolveKeyVersion(keyId, forLookUp),
    sign: async (version, signer) => {
      const key = await versionKeys.keyOf(context, version, forLookUp);
      const { algorithm, coseAlgorithm } = requireCose(context, key.algorithm.name);
      const thumbprint = Buffer.from(key.thumbprint, 'base64url');
      const protectedHeader = encodeProtectedHeader(cbor, { algorithm: coseAlgorithm, keyId: thumbprint });
      const data = sigStructure(cbor, protectedHeader, root);
      return { protectedHeader, algorithm, signed: await provider.signDetailed(signer, data, options) };
    },
  });
  return { protectedHeader, signature: toCoseSignature(context, algorithm, signed.signature) };
}

function throwIfAborted(context: ErrorContext, signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new OperationAbortedError({ ...context, cause: signal.reason });
}

function requireCose(
  context: ErrorContext,
  name: string,
): { readonly algorithm: SigningAlgorithmEntry; readonly coseAlgorithm: number } {
  const algorithm = findAlgorithm(name);
  if (algorithm?.purpose === 'ASYMMETRIC_SIGN' && algorithm.coseAlgorithm !== undefined) {
    return { algorithm, coseAlgorithm: algorithm.coseAlgorithm };
  }
  throw new UnsupportedAlgorithmError(
    context,
    `COSE has no number for ${name}.`,
    algorithmsOf('ASYMMETRIC_SIGN').filter((candidate) => {
      const other = findAlgorithm(candidate);
      return other?.purpose === 'ASYMMETRIC_SIGN' && other.coseAlgorithm !== undefined;
    }),
  );
}

/** RFC 9053 section 2.1: ECDSA signatures are R ‖ S; Cloud KMS gives DER. */
function toCoseSignature(context: ErrorContext, algorithm: SigningAlgorithmEntry, signature: Buffer): Buffer {
  if (algorithm.signatureEncoding !== 'der' || algorithm.key.kind !== 'ec') return signature;
  const raw = derToP1363(signature, algorithm.key.coordinateBytes);
  if (!raw.ok) throw new IntegrityError(context, `the signature is not strict DER: ${raw.problem}`);
  return raw.value;
}

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
