/** The keys that the agents' keys and data hang on: one of each role in a key ring. */

/** `root` signs endorsements, `kek` wraps data keys. */
export type MasterRole = 'root' | 'kek';

/** Short key ids; every `KeyProvider` method takes them. */
export const MASTER_KEY_IDS = {
  root: 'a2a-root-signing-key',
  kek: 'a2a-kek',
} as const satisfies Record<MasterRole, string>;

/** The labels that say what a master key is for. */
export function masterKeyLabels(role: MasterRole): Record<string, string> {
  return { 'a2a-role': role };
}
