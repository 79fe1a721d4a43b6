/**
 * One run over all keys that carry a rotation policy: what is due is rotated, versions whose time is over are retired, and
 * every key is reported. A run remembers nothing, so any process can make it, and runs that race come to one result.
 */

import { mapBounded } from '../bounded.js';
import type { Clock } from '../clock.js';
import type { ErrorCode } from '../errors/error-code.js';
import { type AgentKeyRole, agentOfLabels } from '../keys/agent-key-name.js';
import type { CallOptions } from '../keys/call-options.js';
import type {
  KeyMetadata,
  KeyProvider,
  KeyRingProvider,
  KeyVersionMetadata,
  RetirementResult,
  ScheduledDestruction,
} from '../keys/key-provider.js';
import { DEFAULT_GRACE_SECONDS, replacedVersions, surplusVersions } from '../keys/retirement-plan.js';
import { POLICY_LABEL, parsePolicy, type RotationPolicy, rotationDueTime } from '../keys/rotation-policy.js';
import { primaryNumber, rotationCandidates, versionTimes } from '../keys/version-history.js';
import { failureOf, messageOf, readRings, toUnread, type UnreadKeyRing } from './read-rings.js';

const DEFAULT_CONCURRENCY = 4;
/** How much of the time ahead a version has to have been published before it is used: no run comes exactly in time. */
const PUBLISHED_SHARE = 0.9;

/** Options of `rotateDueKeys`. */
export interface RotateDueKeysOptions extends CallOptions {
  /** Keys that are worked on at once, 1 to 64. Default 4: a rotation writes, and writes have the smallest quota. */
  readonly concurrency?: number | undefined;
  /** Called after each key. If it throws, no further key is begun. */
  readonly onProgress?: ((progress: RotationProgress) => void) | undefined;
}

/** How far `rotateDueKeys` is, in keys. */
export interface RotationProgress {
  readonly done: number;
  readonly total: number;
  readonly latest: KeyRotationReport;
}

/** What a run did with a key. */
export type KeyRotationReport = {
  /** Full CryptoKey name. */
  readonly keyName: string;
  /** Whose key it is, where it is an agent's. */
  readonly agentId?: string;
  readonly role?: AgentKeyRole;
  /** What became of versions that were replaced before; absent when the time of none was over. */
  readonly retirement?: RetirementResult;
  /** Spare versions of runs that raced, which this run scheduled for destruction. */
  readonly disposed: readonly ScheduledDestruction[];
} & (
  | {
      /** It was due, and another version is in use now, also when a run at the same time was faster. */
      readonly outcome: 'rotated';
      readonly from: string;
      readonly to: string;
    }
  | {
      /** A new version is published and will be used when the key is due. */
      readonly outcome: 'prepared';
      readonly prepared: string;
      readonly dueTime: Date;
    }
  | {
      readonly outcome: 'not-due';
      readonly dueTime: Date;
      /** A version that waits to be put to use: of a rotation in two steps, or left by a process that died. */
      readonly prepared?: string;
    }
  | { readonly outcome: 'failed'; readonly reason: string; readonly code?: ErrorCode }
);

/** What a run of `rotateDueKeys` did, in keys. */
export interface RotationReport {
  readonly rotated: number;
  readonly prepared: number;
  readonly notDue: number;
  /** Keys that failed, and key rings whose keys could not be listed. */
  readonly failed: number;
  /** Where there are replicas: key rings whose keys could not be listed. None of their keys is in `keys`. */
  readonly unlisted: readonly UnreadKeyRing[];
  /** One report per key with a policy and a version that is not destroyed, in the order of their names. */
  readonly keys: readonly KeyRotationReport[];
}

/** What the run works with. */
interface RotationContext {
  /** The provider of each key ring. A key is due in each by itself: one that was missed while a location was down stays due. */
  readonly rings: readonly KeyRingProvider[];
  readonly clock: Clock;
}

export async function rotateDueKeys(
  context: RotationContext,
  options: RotateDueKeysOptions = {},
): Promise<RotationReport> {
  const { concurrency = DEFAULT_CONCURRENCY, onProgress, ...callOptions } = options;
  const { keys, unlisted } = await listKeys(context, callOptions);
  let done = 0;
  const reports = await mapBounded(keys, concurrency, async (found) => {
    const latest = await workOn(context, found, callOptions);
    done += 1;
    if (latest !== undefined) onProgress?.({ done, total: keys.length, latest });
    return latest;
  });
  const reported = reports.filter((report) => report !== undefined);
  const count = (outcome: KeyRotationReport['outcome']): number =>
    reported.filter((report) => report.outcome === outcome).length;
  return {
    rotated: count('rotated'),
    prepared: count('prepared'),
    notDue: count('not-due'),
    failed: count('failed') + unlisted.length,
    unlisted,
    keys: reported,
  };
}

/** A key with a policy, and what works in its key ring. */
interface KeyInRing {
  readonly provider: KeyProvider;
  readonly key: KeyMetadata;
}

/** @throws the error of the first key ring when none can be read. */
async function listKeys(
  { rings }: RotationContext,
  options: CallOptions,
): Promise<{ readonly keys: readonly KeyInRing[]; readonly unlisted: RotationReport['unlisted'] }> {
  const { found, failures } = await readRings(rings, async ({ provider }) =>
    (await provider.listKeys(options)).map((key): KeyInRing => ({ provider, key })),
  );
  const keys = found
    .flatMap(({ value }) => value)
    .filter(({ key }) => key.labels[POLICY_LABEL] !== undefined)
    .toSorted((a, b) => (a.key.name < b.key.name ? -1 : 1));
  return { keys, unlisted: failures.map(toUnread) };
}

/** A key as the run found it. */
interface Found {
  readonly key: KeyMetadata;
  readonly policy: RotationPolicy;
  readonly versions: readonly KeyVersionMetadata[];
  readonly primary: KeyVersionMetadata;
  readonly nowMs: number;
}

type Outcome =
  | { readonly outcome: 'rotated'; readonly from: string; readonly to: string }
  | { readonly outcome: 'prepared'; readonly prepared: string; readonly dueTime: Date }
  | { readonly outcome: 'not-due'; readonly dueTime: Date; readonly prepared?: string };

/** Undefined for a key that is gone but for its name. */
async function workOn(
  { clock }: RotationContext,
  { provider, key }: KeyInRing,
  options: CallOptions,
): Promise<KeyRotationReport | undefined> {
  const owner = agentOfLabels(key.labels);
  const common = { keyName: key.name, ...owner };
  try {
    const policy = parsePolicy(key.labels[POLICY_LABEL] ?? '');
    const versions = await provider.listKeyVersions(key.name, options);
    if (!versions.some(({ state }) => state !== 'DESTROYED' && state !== 'DESTROY_SCHEDULED'))
      return undefined;
    if (!policy.ok) return { ...common, disposed: [], outcome: 'failed', reason: policy.problem };
    if (key.purpose === 'ENCRYPT_DECRYPT') {
      const reason = `Cloud KMS rotates a symmetric key itself: use setRotationSchedule, and remove the label ${POLICY_LABEL}.`;
      return { ...common, disposed: [], outcome: 'failed', code: 'INVALID_ARGUMENT', reason };
    }
    const number = primaryNumber(key.labels, versions);
    const primary = versions.find(({ version }) => version === number);
    if (primary === undefined) {
      const reason = 'no version of the key is ENABLED, so there is none to replace.';
      return { ...common, disposed: [], outcome: 'failed', code: 'NO_USABLE_VERSION', reason };
    }
    const found = { key, policy: policy.value, versions, primary, nowMs: clock.now() };
    const retirement = await retireIfDue(provider, found, options);
    const { disposed, ...outcome } = await rotateIfDue(provider, found, options);
    return { ...common, ...(retirement && { retirement }), disposed, ...outcome };
  } catch (error) {
    return { ...common, disposed: [], outcome: 'failed', ...failureOf(error) };
  }
}

/** Rotates a key that is due; where the policy has the new version published ahead, in two runs. */
async function rotateIfDue(
  provider: KeyProvider,
  found: Found,
  options: CallOptions,
): Promise<Outcome & { readonly disposed: readonly ScheduledDestruction[] }> {
  const { key, policy, versions, primary, nowMs } = found;
  const { prepareAheadSeconds = 0 } = policy;
  const replacing = primary.name;
  const dueMs = rotationDueTime(key.labels, primary, policy).getTime();
  const aheadMs = prepareAheadSeconds * 1_000;
  const publishedMs = aheadMs * PUBLISHED_SHARE;
  const [waiting] = rotationCandidates(key.labels, versions, primary.version);
  if (waiting === undefined && aheadMs > 0 && nowMs >= dueMs - aheadMs) {
    const result = await provider.prepareRotation(key.name, { ...options, replacing });
    const { primary: to = replacing, prepared, disposed } = result;
    const dueTime = new Date(Math.max(dueMs, nowMs + publishedMs));
    if (prepared !== undefined) return { outcome: 'prepared', prepared, dueTime, disposed };
    // A run at the same time was faster.
    if (nowMs >= dueMs) return { outcome: 'rotated', from: replacing, to, disposed };
  }
  const readyMs = waiting === undefined ? dueMs : Math.max(dueMs, waiting.createTime.getTime() + publishedMs);
  if (nowMs >= readyMs) {
    const rotated = await provider.rotateKey(key.name, { ...options, replacing });
    const { primary: to = replacing, disposed } = rotated;
    return { outcome: 'rotated', from: replacing, to, disposed };
  }
  const prepared = waiting && { prepared: waiting.name };
  return { outcome: 'not-due', dueTime: new Date(readyMs), ...prepared, disposed: [] };
}

/** Asks the provider only where the time of a version may be over. A failure is reported; it does not stop a rotation. */
async function retireIfDue(
  provider: KeyProvider,
  found: Found,
  options: CallOptions,
): Promise<RetirementResult | undefined> {
  const { key, policy } = found;
  if (!mayRetire(found)) return undefined;
  const { graceSeconds = DEFAULT_GRACE_SECONDS, retireAfterSeconds, keepVersions } = policy;
  try {
    return await provider.retire(key.name, { ...options, graceSeconds, retireAfterSeconds, keepVersions });
  } catch (error) {
    const kept = [{ name: key.name, reason: messageOf(error) }];
    return { name: key.name, disabled: [], scheduled: [], kept };
  }
}

function mayRetire({ key, policy, versions, primary, nowMs }: Found): boolean {
  const { graceSeconds = DEFAULT_GRACE_SECONDS, retireAfterSeconds, keepVersions } = policy;
  const replaced = replacedVersions(key.labels, versions, { primary: primary.version, nowMs });
  const isNoted = ({ version }: (typeof replaced)[number]): boolean =>
    versionTimes(key.labels, version.version).replacedTime !== undefined;
  if (!replaced.every(isNoted)) return true;
  const isOver = replaced.some(
    ({ lifecycle, ageSeconds }) => lifecycle === 'retiring' && ageSeconds >= graceSeconds,
  );
  const disabled = replaced.filter(({ lifecycle }) => lifecycle === 'retired');
  const wish = { graceSeconds, retireAfterSeconds, keepVersions };
  return isOver || surplusVersions(versions, disabled, wish).length > 0;
}
