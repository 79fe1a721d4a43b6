/** Whether the checkpoint that a process finds at the end of a trail, before it goes on from there, is by the audit key. */

import { type JosePublicKey, parsePublicKey } from '../identity/jwk.js';
import type { JwsSigner } from '../identity/jws.js';
import { findAlgorithm } from '../keys/algorithms.js';
import { MASTER_KEY_IDS } from '../keys/master-key-name.js';
import type { Canonicalize } from './canonical-json.js';
import { isSigned } from './checkpoint.js';
import type { AuditCheckpoint } from './line.js';

type CheckpointOrigin =
  | { readonly kind: 'own' }
  | { readonly kind: 'forged' }
  /** Its key is not to be had any more, or not by this process. */
  | { readonly kind: 'unknown'; readonly keyVersion: string; readonly problem: string };

const AUDIT_KEY_VERSION = new RegExp(
  `/cryptoKeys/${MASTER_KEY_IDS.audit}/cryptoKeyVersions/[1-9][0-9]{0,14}(?:@software)?$`,
);

/** At most one read: a provider gives out keys of its own key rings only. */
export async function originOf(
  checkpoint: AuditCheckpoint,
  provider: Pick<JwsSigner, 'getPublicKey'>,
  canonicalize: Canonicalize,
): Promise<CheckpointOrigin> {
  const { keyVersion } = checkpoint.statement;
  if (!AUDIT_KEY_VERSION.test(keyVersion)) return { kind: 'forged' };
  let pem: Buffer;
  try {
    pem = await provider.getPublicKey(keyVersion);
  } catch (error) {
    const problem = error instanceof Error ? error.message : 'unknown reason';
    return { kind: 'unknown', keyVersion, problem };
  }
  const key = keyOf(pem, checkpoint);
  const isOwn = key !== undefined && (await isSigned(checkpoint, key, canonicalize));
  return { kind: isOwn ? 'own' : 'forged' };
}

/** The key, bound to the algorithm that the checkpoint names; undefined when it cannot have that. */
function keyOf(pem: Buffer, { statement }: AuditCheckpoint): JosePublicKey | undefined {
  const context = { operation: 'initialize', resource: 'audit trail' };
  try {
    const keyAlgorithm = findAlgorithm(statement.algorithm)?.name;
    return keyAlgorithm && parsePublicKey(context, pem, { keyAlgorithm, use: 'sig' });
  } catch {
    return undefined;
  }
}
