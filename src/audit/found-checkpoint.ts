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

/**
 * One read besides what signing takes: a provider gives out keys of its own key rings only. Before and after a migration a
 * software key and an HSM key have the same name, and neither can vouch for the other.
 */
export async function originOf(
  checkpoint: AuditCheckpoint,
  provider: Pick<JwsSigner, 'getPublicKey' | 'resolveKeyVersion'>,
  canonicalize: Canonicalize,
): Promise<CheckpointOrigin> {
  const { keyVersion, protectionLevel } = checkpoint.statement;
  if (!AUDIT_KEY_VERSION.test(keyVersion)) return { kind: 'forged' };
  let pem: Buffer;
  try {
    const inUse = await provider.resolveKeyVersion(MASTER_KEY_IDS.audit);
    if (inUse.protectionLevel !== protectionLevel) {
      const problem = `it is of a ${protectionLevel} key, and the one in use is a ${inUse.protectionLevel} key`;
      return { kind: 'unknown', keyVersion, problem };
    }
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
