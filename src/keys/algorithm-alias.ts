/** Short names for the algorithms agents sign with. */

import type { SigningAlgorithm } from './algorithm-types.js';

const AGENT_ALGORITHM_ALIASES = {
  'ecdsa-p256': 'EC_SIGN_P256_SHA256',
  'ecdsa-p384': 'EC_SIGN_P384_SHA384',
  ed25519: 'EC_SIGN_ED25519',
} as const satisfies Record<string, SigningAlgorithm>;

/**
 * Short names of signing algorithms: `ecdsa-p256` is EC_SIGN_P256_SHA256, `ecdsa-p384` EC_SIGN_P384_SHA384, `ed25519`
 * EC_SIGN_ED25519.
 */
export type AgentAlgorithmAlias = keyof typeof AGENT_ALGORITHM_ALIASES;

export const SIGNING_ALIASES: readonly string[] = Object.keys(AGENT_ALGORITHM_ALIASES);

const isAlias = (name: string): name is AgentAlgorithmAlias => Object.hasOwn(AGENT_ALGORITHM_ALIASES, name);

/** The Cloud KMS name behind a short name; any other name as it is. */
export function resolveAlgorithmAlias(name: string): string {
  return isAlias(name) ? AGENT_ALGORITHM_ALIASES[name] : name;
}
