/** The tree of keys in a key ring as it stands: masters, agents, versions, states and what is due when. */

import { z } from 'zod';
import type { CallOptions } from '../keys/call-options.js';
import type { KeyMetadata, KeyProvider, KeyVersionMetadata } from '../keys/key-provider.js';
import { MASTER_KEY_IDS, type MasterRole } from '../keys/master-key-name.js';
import { POLICY_LABEL, parsePolicy, type RotationPolicy, rotationDueTime } from '../keys/rotation-policy.js';
import { callShape, parseOptions } from '../provider/call-input.js';
import { ownerOf } from './agent-keys.js';

/** Keys that are read at once. */
const READ_CONCURRENCY = 8;

/** A key with its versions. */
export interface DescribedKey {
  /** Full CryptoKey name. */
  readonly name: string;
  readonly role: MasterRole | 'signing' | 'encryption';
  readonly algorithm: string;
  readonly protectionLevel: string;
  readonly createTime: Date;
  /** Full name of the version in use; undefined when none is usable. */
  readonly keyVersion: string | undefined;
  /** All versions, in ascending order of their numbers; `destroyTime` says when one that is scheduled will be destroyed. */
  readonly versions: readonly KeyVersionMetadata[];
  /** When Cloud KMS rotates the key by itself; only a key-encryption key with a rotation schedule has it. */
  readonly nextRotationTime?: Date;
  readonly rotationPeriodSeconds?: number;
  /** Of an agent's signing key that has one. */
  readonly rotationPolicy?: RotationPolicy;
  /** When `rotateDueKeys` is to replace the version in use, by the rotation policy. */
  readonly rotationDueTime?: Date;
}

/** An agent and its keys. */
export interface DescribedAgent {
  readonly agentId: string;
  readonly signing?: DescribedKey;
  readonly encryption?: DescribedKey;
}

/** The tree: the root endorses the agents' keys, the key-encryption key wraps data keys (which Cloud KMS does not know of). */
export interface HierarchyDescription {
  readonly root: DescribedKey | undefined;
  readonly kek: DescribedKey | undefined;
  /** The key that signs the audit trail, where there is one. */
  readonly audit?: DescribedKey;
  /** In order of their ids. */
  readonly agents: readonly DescribedAgent[];
}

/** Options of `describeHierarchy`. */
export interface DescribeHierarchyOptions extends CallOptions {
  /** Only these agents. Reading an agent's key takes three calls, so a large key ring is better described in parts. */
  readonly agentIds?: readonly string[] | undefined;
}

const describeOptions = z.strictObject({
  ...callShape,
  agentIds: z.array(z.string('must be an agent id'), 'must be a list of agent ids').optional(),
});

type Owned =
  | { readonly role: MasterRole; readonly key: KeyMetadata }
  | { readonly role: 'signing' | 'encryption'; readonly agentId: string; readonly key: KeyMetadata };

export async function describeKeys(
  provider: KeyProvider,
  options: DescribeHierarchyOptions = {},
): Promise<HierarchyDescription> {
  const context = { operation: 'describeHierarchy', resource: 'key hierarchy' };
  const { agentIds, ...callOptions } = parseOptions(context, describeOptions, options);
  const owned = (await provider.listKeys(callOptions))
    .flatMap(toOwned)
    .filter((entry) => !('agentId' in entry) || agentIds === undefined || agentIds.includes(entry.agentId));
  const masters = new Map<MasterRole, DescribedKey>();
  const agents = new Map<string, DescribedAgent>();
  for (let start = 0; start < owned.length; start += READ_CONCURRENCY) {
    const batch = owned.slice(start, start + READ_CONCURRENCY);
    const described = await Promise.all(
      batch.map(async (entry) => ({ entry, key: await describeKey(provider, entry, callOptions) })),
    );
    for (const { entry, key } of described) {
      if (!('agentId' in entry)) masters.set(entry.role, key);
      else {
        const { agentId, role } = entry;
        agents.set(agentId, { ...(agents.get(agentId) ?? { agentId }), [role]: key });
      }
    }
  }
  const audit = masters.get('audit');
  return {
    root: masters.get('root'),
    kek: masters.get('kek'),
    ...(audit && { audit }),
    agents: [...agents.values()].toSorted(byId),
  };
}

/** By code units, the same order on every machine. */
const byId = (a: DescribedAgent, b: DescribedAgent): number => (a.agentId < b.agentId ? -1 : 1);

/** What the key is in the hierarchy by its name and labels; other keys of the key ring are none of its. */
function toOwned(key: KeyMetadata): readonly Owned[] {
  for (const role of ['root', 'kek', 'audit'] as const) {
    if (key.name.endsWith(`/${MASTER_KEY_IDS[role]}`) && key.labels['a2a-role'] === role)
      return [{ role, key }];
  }
  for (const role of ['signing', 'encryption'] as const) {
    const agentId = ownerOf(key, role);
    if (agentId !== undefined) return [{ role, agentId, key }];
  }
  return [];
}

async function describeKey(
  provider: KeyProvider,
  { role, key: { name } }: Owned,
  options: CallOptions,
): Promise<DescribedKey> {
  // Listings leave out the version in use of asymmetric keys.
  const [key, versions] = await Promise.all([
    provider.getKey(name, options),
    provider.listKeyVersions(name, options),
  ]);
  const { algorithm, protectionLevel, createTime, primary, nextRotationTime, rotationPeriodSeconds } = key;
  return {
    name,
    role,
    algorithm,
    protectionLevel,
    createTime,
    keyVersion: primary,
    versions,
    ...(nextRotationTime && { nextRotationTime }),
    ...(rotationPeriodSeconds && { rotationPeriodSeconds }),
    ...policyOf(key, versions),
  };
}

/** The rotation policy of a key that has one, and when it is due; a label that cannot be read is none. */
function policyOf(
  { labels, primary }: KeyMetadata,
  versions: readonly KeyVersionMetadata[],
): Pick<DescribedKey, 'rotationPolicy' | 'rotationDueTime'> {
  const label = labels[POLICY_LABEL];
  const policy = label === undefined ? undefined : parsePolicy(label);
  if (!policy?.ok) return {};
  const inUse = versions.find(({ name }) => name === primary);
  return {
    rotationPolicy: policy.value,
    ...(inUse && { rotationDueTime: rotationDueTime(labels, inUse, policy.value) }),
  };
}
