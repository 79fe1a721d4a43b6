/** The HSMs' statements about an agent's key, of all key rings: a set that lacks some is never given out as a whole one. */

import type { KeyAttestation } from '../attestation/key-attestation.js';
import { ReplicationIncompleteError } from '../errors/replication.js';
import { requireAgentId } from '../hierarchy/agent-keys.js';
import { roleOptions } from '../hierarchy/role-options.js';
import { agentContext } from '../keys/agent-key-name.js';
import { parseOptions } from '../provider/call-input.js';
import { requireKeyAttester } from '../provider/key-attester.js';
import type { AgentRing, RoleOptions } from './agent-lifecycle.js';
import { readRings } from './read-rings.js';

/** What the HSM of a key ring stated of the version in use there, checked. */
export interface LocatedAttestation extends KeyAttestation {
  /** Full name of the key ring. */
  readonly keyRing: string;
}

export async function attestAgentKey(
  rings: readonly AgentRing[],
  agentId: string,
  options: RoleOptions = {},
): Promise<readonly [LocatedAttestation, ...LocatedAttestation[]]> {
  const context = agentContext('attestAgentKey', agentId);
  const { role, ...callOptions } = parseOptions(context, roleOptions, options);
  const agent = requireAgentId(context, agentId);
  const { found, failures } = await readRings(rings, async ({ keyRing, provider, agentKeys }) => {
    const attester = requireKeyAttester(context, provider);
    const { name } = await agentKeys.lookUp(context, agent, role, callOptions);
    return { keyRing, ...(await attester.attestKey(name, callOptions)) };
  });
  if (failures.length > 0) {
    const completed = found.map(({ keyRing }) => keyRing);
    throw new ReplicationIncompleteError(context, completed, failures);
  }
  const [first, ...others] = found;
  return [first.value, ...others.map(({ value }) => value)];
}
