/** What there is of an agent in one list, also of the software key that the HSM key took the place of. */

import type { VersionKeys } from '../hierarchy/version-keys.js';
import type { CallOptions } from '../keys/call-options.js';
import {
  type AgentDescription,
  type DescribedVersion,
  describeAgentKey,
} from '../lifecycle/describe-agent.js';
import { type LocatedPublicKey, publishedKeysOf } from '../lifecycle/published-keys.js';
import type { AgentMigration } from './agent-migration.js';

export async function describeBothKinds(
  services: { readonly migration: AgentMigration; readonly versionKeys: VersionKeys },
  described: AgentDescription,
  options?: CallOptions,
): Promise<AgentDescription> {
  const { migration, versionKeys } = services;
  const { agentId, keyName, versions } = described;
  const retained = await migration.retained(keyName, options);
  if (retained === undefined) return described;
  const { provider, key } = retained;
  const software = await describeAgentKey({ provider, versionKeys }, { agentId, key }, options);
  return { ...described, versions: [...software.versions.map(superseded), ...versions] };
}

/** The public keys to be published: the software key verifies as long as it is there. */
export async function publishBothKinds(
  migration: AgentMigration,
  agent: { readonly keyName: string; readonly published: readonly LocatedPublicKey[] },
  options?: CallOptions,
): Promise<readonly LocatedPublicKey[]> {
  const { keyName, published } = agent;
  const retained = await migration.retained(keyName, options);
  if (retained === undefined) return published;
  const software = await publishedKeysOf(retained.provider, retained.key, options);
  return [...software.map((key) => ({ ...key, lifecycle: 'retiring' as const })), ...published];
}

/** In its own store the software key has a version in use; for the agent it only verifies. */
const superseded = (version: DescribedVersion): DescribedVersion =>
  version.lifecycle === 'active' || version.lifecycle === 'prepared'
    ? { ...version, lifecycle: 'retiring' }
    : version;
