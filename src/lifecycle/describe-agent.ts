/** An agent's key with the history of its versions, as the key ring holds it now. */

import { mapBounded } from '../bounded.js';
import { UnsupportedAlgorithmError } from '../errors/input.js';
import { FailedPreconditionError, NotFoundError } from '../errors/keys.js';
import type { VersionKeys } from '../hierarchy/version-keys.js';
import type { CallOptions } from '../keys/call-options.js';
import type { KeyMetadata, KeyProvider, KeyVersionMetadata } from '../keys/key-provider.js';
import { POLICY_LABEL, parsePolicy, type RotationPolicy } from '../keys/rotation-policy.js';
import { isSoftwareVersionName } from '../keys/software-version-name.js';
import { endOfDay, SEEN_LABEL } from '../keys/usage-labels.js';
import {
  type VersionLifecycle,
  type VersionTimes,
  versionLifecycles,
  versionTimes,
} from '../keys/version-history.js';
import { type ReadRings, toUnread, type UnreadKeyRing } from './read-rings.js';

/** Public keys that are read at once. */
const READ_CONCURRENCY = 4;

/** An agent and its key, as the key ring has them. */
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

/** The key of an agent in one key ring, with its versions. */
export interface KeyDescription extends AgentSummary {
  /** Full name of the version in use; undefined when none is usable. */
  readonly keyVersion: string | undefined;
  /** All versions, in ascending order of their numbers. */
  readonly versions: readonly DescribedVersion[];
  readonly rotationPolicy?: RotationPolicy;
  /** It was used before this time and not since, as far as that was written down; to the day. */
  readonly lastSeen?: Date;
}

/**
 * An agent with the versions of its key. With `replicas`: `versions` has those in every key ring, in the order of the key
 * rings, and their names say where they are; `lastSeen` is the latest in any of them; all else is as in the first one that
 * could be read.
 */
export interface AgentDescription extends KeyDescription {
  /** With `replicas`: key rings that could not be read, or have no key of the agent. None of their versions is listed. */
  readonly unread: readonly UnreadKeyRing[];
}

export function toSummary(agentId: string, key: KeyMetadata): AgentSummary {
  const { name: keyName, algorithm, protectionLevel, createTime, labels } = key;
  return { agentId, keyName, algorithm, protectionLevel, createTime, labels };
}

export async function describeAgentKey(
  context: { readonly provider: KeyProvider; readonly versionKeys: VersionKeys },
  agent: { readonly agentId: string; readonly key: KeyMetadata },
  options?: CallOptions,
): Promise<KeyDescription> {
  const { agentId, key } = agent;
  const { provider, versionKeys } = context;
  const versions = await provider.listKeyVersions(key.name, options);
  const lives = versionLifecycles(key, versions);
  const described = await mapBounded(lives, READ_CONCURRENCY, async ({ version, lifecycle }) => {
    const thumbprint = await thumbprintOf(versionKeys, version, options);
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

/**
 * The agent as all its key rings together hold it.
 * @param keyName its name in the first key ring, by which it goes also while that one cannot be read.
 */
export function describeRings(
  keyName: string,
  { found, failures }: ReadRings<KeyDescription>,
): AgentDescription {
  const all = found.map(({ value }) => value);
  const [lastSeen] = all.flatMap((each) => each.lastSeen ?? []).toSorted((a, b) => b.getTime() - a.getTime());
  return {
    ...found[0].value,
    keyName,
    versions: all.flatMap(({ versions }) => versions),
    ...(lastSeen && { lastSeen }),
    unread: failures.map(toUnread),
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
