/** The keys that the agents' keys, data and the audit trail hang on: one of each role in a key ring. */

import type { ProtectionLevel } from './algorithm-types.js';
import type { KeySpec } from './key-provider.js';

/** `root` signs endorsements, `kek` wraps data keys, `audit` signs the checkpoints of the audit trail. */
export type MasterRole = 'root' | 'kek' | 'audit';

/** Short key ids; every `KeyProvider` method takes them. */
export const MASTER_KEY_IDS = {
  root: 'a2a-root-signing-key',
  kek: 'a2a-kek',
  audit: 'a2a-audit-signing-key',
} as const satisfies Record<MasterRole, string>;

/** The labels that say what a master key is for. */
export function masterKeyLabels(role: MasterRole): Record<string, string> {
  return { 'a2a-role': role };
}

/** What the key of the audit trail is made as. */
export const auditKeySpec = (protectionLevel: ProtectionLevel): KeySpec => ({
  name: MASTER_KEY_IDS.audit,
  purpose: 'ASYMMETRIC_SIGN',
  algorithm: 'EC_SIGN_P384_SHA384',
  protectionLevel,
  labels: masterKeyLabels('audit'),
});
