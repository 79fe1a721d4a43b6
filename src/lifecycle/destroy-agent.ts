/** The end of an agent: every version of every key it has, each reported, and nothing touched if one key cannot be. */

import { InvalidArgumentError } from '../errors/input.js';
import type { AgentKeyRole } from '../keys/agent-key-name.js';
import type { DestroyOptions } from '../keys/call-options.js';
import type { KeyMetadata, KeyProvider, KeyVersionMetadata } from '../keys/key-provider.js';
import { purposeOf } from '../provider/call-input.js';

/** Options of `destroyAgent`. */
export interface DestroyAgentOptions extends DestroyOptions {
  /** The least delay in seconds that you want; if a key of the agent has a shorter one, nothing is touched. */
  readonly destroyAfter?: number | undefined;
}

/** What became of a version. */
export type VersionDestruction = {
  /** Full CryptoKeyVersion name. */
  readonly keyVersion: string;
  readonly role: AgentKeyRole;
} & (
  | {
      /** Scheduled by this call, or already before it. Until then `restoreAgent` brings it back. */
      readonly outcome: 'scheduled';
      readonly destroyTime: Date;
    }
  /** Gone already, or never had key material. */
  | { readonly outcome: 'gone' }
  | { readonly outcome: 'failed'; readonly reason: string }
);

/** What `destroyAgent` did with each version of an agent's keys. */
export interface AgentDestruction {
  readonly agentId: string;
  /** How many versions are neither scheduled nor gone: with more than 0 the agent is not at its end. Call again. */
  readonly failed: number;
  /** Those of all key rings, in the order of the agent's keys, and of the versions' numbers. */
  readonly versions: readonly VersionDestruction[];
}

/** A key of an agent, in one key ring. */
export interface RoleKey {
  /** The provider of that key ring. */
  readonly provider: KeyProvider;
  readonly role: AgentKeyRole;
  readonly key: KeyMetadata;
}

export async function destroyAgentKeys(
  agent: { readonly agentId: string; readonly keys: readonly RoleKey[] },
  options: DestroyAgentOptions = {},
): Promise<AgentDestruction> {
  const { agentId, keys } = agent;
  const { destroyAfter = 0, ...rest } = options;
  const hasty = keys.find(({ key }) => key.destroyScheduledDurationSeconds < destroyAfter);
  if (hasty !== undefined) {
    throw new InvalidArgumentError(
      { operation: 'destroyAgent', resource: hasty.key.name },
      `destruction was asked for after ${destroyAfter} s at the earliest, but this key destroys its versions after ${hasty.key.destroyScheduledDurationSeconds} s, which was fixed when it was created. No key of the agent was touched.`,
    );
  }
  const versions: VersionDestruction[] = [];
  for (const { provider, role, key } of keys) {
    let reason = '';
    try {
      await provider.destroyKey(key.name, destroyAfter, rest);
    } catch (error) {
      reason = error instanceof Error ? error.message : String(error);
    }
    // What happened is what the provider says now, whatever became of the call.
    const after = await provider.listKeyVersions(key.name, purposeOf(options));
    versions.push(...after.map((version) => toReport(version, role, reason)));
  }
  const failed = versions.filter(({ outcome }) => outcome === 'failed').length;
  return { agentId, failed, versions };
}

function toReport(version: KeyVersionMetadata, role: AgentKeyRole, reason: string): VersionDestruction {
  const { name: keyVersion, state, destroyTime } = version;
  if (destroyTime !== undefined) return { keyVersion, role, outcome: 'scheduled', destroyTime };
  // Without a failure of the call, the version was not there yet when the call looked.
  const why =
    reason === '' ? 'it was made while the agent was being destroyed; destroy the agent again.' : reason;
  const hasMaterial = state === 'ENABLED' || state === 'DISABLED' || state === 'PENDING_GENERATION';
  return hasMaterial
    ? { keyVersion, role, outcome: 'failed', reason: why }
    : { keyVersion, role, outcome: 'gone' };
}
