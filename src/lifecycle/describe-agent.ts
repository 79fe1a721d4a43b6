/** An agent's key with the history of its versions, as the key ring holds it now. */

import { FailedPreconditionError, NotFoundError, UnsupportedAlgorithmError } from '../errors.js';
import type { VersionKeys } from '../hierarchy/version-keys.js';
import type { CallOptions, KeyMetadata, KeyProvider, KeyVersionMetadata } from '../keys/key-provider.js';
import { POLICY_LABEL, parsePolicy, type RotationPolicy } from '../keys/rotation-policy.js';
import { isSoftwareVersionName } from '../keys/software-version-name.js';
import { endOfDay, SEEN_LABEL } from '../keys/usage-labels.js';
import {
  lifecycleOf,
  type VersionLifecycle,
  type VersionTimes,
  versionTimes,
} from '../keys/version-history.js';
import { mapBounded } from './bounded.js';

/** Public keys that are read at once. */
const READ_CONCURRENCY = 4;

/** An agent as it stands in the key ring. */
export interface AgentSummary {
  readonly agentId: string;
  /** Full CryptoKey name. */
  readonly keyName: string;
  readonly algorithm: string;
  readonly protectionLevel: string;
  readonly createTime: Date;
  readonly labels: Readonly<Record<string, string>>;
}

/**
 * A version of an agent's key with its history. `destroyTime` (while scheduled) and `destroyEventTime` say when it is or
 * was destroyed.
 */
export interface DescribedVersion extends KeyVersionMetadata, VersionTimes {
  /** Where its private key is, or was: `kms` is Cloud KMS. */
  readonly provider: 'kms' | 'software';
  readonly lifecycle: VersionLifecycle;
  /** RFC 7638 SHA-256 thumbprint of the public key, base64url: the `kid` of what it signed. Absent where the key is gone and not archived, or JOSE has no name for its algorithm. */
  readonly thumbprint?: string;
}

/** An agent with the versions of its key. */
export interface AgentDescription extends AgentSummary {
  /** Full name of the version in use; undefined when none is usable. */
  readonly keyVersion: string | undefined;
  /** All versions, in ascending order of their numbers. */
  readonly versions: readonly DescribedVersion[];
  readonly rotationPolicy?: RotationPolicy;
  /** It was used before this time and not since, as far as that was written down; to the day. */
  readonly lastSeen?: Date;
}

export function toSummary(agentId: string, key: KeyMetadata): AgentSummary {
  const { name: keyName, algorithm, protectionLevel, createTime, labels } = key;
  return { agentId, keyName, algorithm, protectionLevel, createTime, labels };
}

export async function describeAgentKey(
  context: { readonly provider: KeyProvider; readonly versionKeys: VersionKeys },
  agent: { readonly agentId: string; readonly key: KeyMetadata },
  options?: CallOptions,
): Promise<AgentDescription> {
  const { agentId, key } = agent;
  const { provider, versionKeys } = context;
  const versions = await provider.listKeyVersions(key.name, options);
  const primary = versions.find(({ name }) => name === key.primary);
  const described = await mapBounded(versions, READ_CONCURRENCY, async (version) => {
    const thumbprint = await thumbprintOf(versionKeys, version, options);
    const lifecycle = lifecycleOf(key.labels, version, primary?.version);
    const times = versionTimes(key.labels, version.version);
    // A key that was never rotated has no history yet: its version has been in use since it was there.
    const activatedTime =
      times.activatedTime ??
      (lifecycle === 'active' ? (version.generateTime ?? version.createTime) : undefined);
    return {
      ...version,
      provider: isSoftwareVersionName(version.name) ? ('software' as const) : ('kms' as const),
      lifecycle,
      ...times,
      ...(activatedTime && { activatedTime }),
      ...(thumbprint && { thumbprint }),
    };
  });
  const policy = parsePolicy(key.labels[POLICY_LABEL] ?? '');
  const lastSeen = endOfDay(key.labels[SEEN_LABEL]);
  return {
    ...toSummary(agentId, key),
    keyVersion: key.primary,
    versions: described,
    ...(policy.ok && { rotationPolicy: policy.value }),
    ...(lastSeen && { lastSeen }),
  };
}

async function thumbprintOf(
  versionKeys: VersionKeys,
  version: KeyVersionMetadata,
  options: CallOptions | undefined,
): Promise<string | undefined> {
  const { name: keyVersion, algorithm } = version;
  const context = { operation: 'describeAgent', resource: keyVersion };
  try {
    return (await versionKeys.keyOf(context, { keyVersion, algorithm }, options)).thumbprint;
  } catch (error) {
    const isGone =
      error instanceof FailedPreconditionError ||
      error instanceof NotFoundError ||
      error instanceof UnsupportedAlgorithmError;
    if (isGone) return undefined;
    throw error;
  }
}
