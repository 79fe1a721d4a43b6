/**
 * What Google publishes of the quotas of Cloud KMS, and the only place that knows it. The values are soft limits of a
 * project in one location, change now and then, and can be raised: so they are assumed at most, unless the configuration says
 * that they are to be kept to.
 *
 * Source: "Quotas" in the Cloud KMS documentation, as of September 2026. Prices of HSM operations other than signatures are
 * not published, nor is the new limit of writes, for which the old one stands; theirs follow from the limit of 500 a second that held before (symmetric) and from the same private key
 * operation (decryption with RSA).
 */

import type { AlgorithmEntry, AsymmetricKeyType } from '../keys/algorithm-types.js';
import type { RpcName } from './rpc.js';

/** What is counted apart from the others: reading and writing of resources, and use of keys by where they are. */
export type QuotaKind = 'read' | 'write' | 'hsm' | 'software' | 'external';

/** Tokens a minute. */
export const PUBLISHED_TOKENS_PER_MINUTE: Readonly<Record<QuotaKind, number>> = {
  read: 600,
  write: 60,
  hsm: 3_000_000,
  software: 6_000_000,
  external: 600_000,
};

const SYMMETRIC_HSM_TOKENS = 100;
const SOFTWARE_TOKENS = 100;
/** By the size of the modulus in bits. */
const RSA_HSM_TOKENS: Readonly<Record<number, number>> = { 2048: 1_500, 3072: 3_500, 4096: 14_000 };
/** By the name of the curve in Node. */
const EC_HSM_TOKENS: Readonly<Record<string, number>> = {
  prime256v1: 4_500,
  secp256k1: 4_500,
  secp384r1: 7_000,
};

/** Which quota an RPC counts for that does not use a key. */
export function administrativeKind(rpc: RpcName): 'read' | 'write' {
  return /^(?:get|list|testIam)/.test(rpc) ? 'read' : 'write';
}

export function keyUseKind(protectionLevel: string): QuotaKind {
  if (protectionLevel === 'HSM') return 'hsm';
  return protectionLevel === 'SOFTWARE' ? 'software' : 'external';
}

/** Tokens that one use of a key costs. */
export function publishedTokens(kind: QuotaKind, algorithm: AlgorithmEntry): number {
  if (kind === 'software') return SOFTWARE_TOKENS;
  if (kind !== 'hsm') return 1;
  return ('key' in algorithm ? asymmetricTokens(algorithm.key) : undefined) ?? SYMMETRIC_HSM_TOKENS;
}

function asymmetricTokens(key: AsymmetricKeyType): number | undefined {
  if (key.kind === 'rsa') return RSA_HSM_TOKENS[key.modulusBits];
  return key.kind === 'ec' ? EC_HSM_TOKENS[key.nodeCurve] : undefined;
}
