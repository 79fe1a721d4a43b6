/**
 * Finds agents whose keys no process has used for long, and ends them in two passes: a first call marks, a call at least a
 * week later destroys what is still marked and was not used since. Nothing at all is written in a dry run, the default.
 */

import { mapBounded } from '../bounded.js';
import type { Clock } from '../clock.js';
import { ownerOf } from '../hierarchy/agent-keys.js';
import type { CallOptions } from '../keys/call-options.js';
import type { KeyMetadata, KeyProvider } from '../keys/key-provider.js';
import { endOfDay, SEEN_LABEL, STALE_LABEL } from '../keys/usage-labels.js';
import { type AgentDestruction, destroyAgentKeys, type RoleKey } from './destroy-agent.js';
import { messageOf } from './read-rings.js';

/** A heartbeat is written once a day, so two days without one are the least that means anything. */
export const UNUSED_FOR_MIN_SECONDS = 172_800;
/** The least time between the two passes. */
export const CONFIRM_AFTER_MIN_SECONDS = 86_400;
const DEFAULT_CONFIRM_AFTER_SECONDS = 604_800;
const CONCURRENCY = 4;

/** Options of `pruneStaleAgents`. */
export interface PruneStaleAgentsOptions extends CallOptions {
  /** An agent is stale when none of its keys was used for this many seconds; at least 172,800 (two days). */
  readonly unusedFor: number;
  /** Default true: only reports what would be done. */
  readonly dryRun?: boolean | undefined;
  /** Seconds between the mark and the destruction, at least 86,400. Default 604,800 (7 days). */
  readonly confirmAfter?: number | undefined;
  /** The least delay of the destruction in seconds; agents whose keys have a shorter one are reported as failed. */
  readonly destroyAfter?: number | undefined;
}

/** What a call did, or would do, about an agent. */
export type StaleAgentReport = {
  readonly agentId: string;
  /** No key of the agent was used since, as far as that was written down; to the day. When it was made where nothing was. */
  readonly lastSeen: Date;
} & (
  | { readonly outcome: 'would-mark' }
  | { readonly outcome: 'marked'; readonly destroyableFrom: Date }
  /** Marked by an earlier call, not long enough ago. */
  | { readonly outcome: 'waiting'; readonly destroyableFrom: Date }
  | { readonly outcome: 'would-destroy' }
  | { readonly outcome: 'destroyed'; readonly destruction: AgentDestruction }
  /** It was used after it had been marked. */
  | { readonly outcome: 'would-unmark' | 'unmarked' }
  /**
   * A key has no readable heartbeat: nobody knows whether it is used, so it is left alone. Its next use writes one, where
   * the identity may update keys; `destroyAgent` ends an agent that you know to be unused.
   */
  | { readonly outcome: 'unknown' }
  | { readonly outcome: 'failed'; readonly reason: string }
);

interface StaleContext {
  /** The provider of each key ring: an agent is used if its key in any of them is. */
  readonly rings: readonly KeyProvider[];
  readonly clock: Clock;
}

interface Agent {
  readonly agentId: string;
  readonly keys: readonly RoleKey[];
  readonly lastSeen: Date;
  /** Whether each key has a heartbeat. */
  readonly heartbeat: 'known' | 'unknown';
  /** When it was marked. */
  readonly markedAt: Date | undefined;
}

/** One report for each agent that is stale or was marked, in the order of their ids. Others are left alone. */
export async function pruneStale(
  context: StaleContext,
  options: PruneStaleAgentsOptions,
): Promise<readonly StaleAgentReport[]> {
  const { unusedFor, dryRun = true, confirmAfter, destroyAfter, ...callOptions } = options;
  // A key ring that cannot be read ends it: what was used there is not known.
  const agents = toAgents(
    (
      await Promise.all(
        context.rings.map(async (provider) =>
          (await provider.listKeys(callOptions)).map((key) => ({ provider, key })),
        ),
      )
    ).flat(),
  );
  const nowMs = context.clock.now();
  const isStale = ({ lastSeen }: Agent): boolean => nowMs - lastSeen.getTime() >= unusedFor * 1_000;
  const settings = {
    isStale,
    mode: dryRun ? ('dry-run' as const) : ('for-real' as const),
    confirmAfterMs: (confirmAfter ?? DEFAULT_CONFIRM_AFTER_SECONDS) * 1_000,
    destroyAfter,
    callOptions,
  };
  const found = agents.filter((agent) => isStale(agent) || agent.markedAt !== undefined);
  const reports = await mapBounded(found, CONCURRENCY, async (agent) => {
    try {
      return await workOn(context, agent, settings);
    } catch (error) {
      return { ...base(agent), outcome: 'failed' as const, reason: messageOf(error) };
    }
  });
  return reports.filter((report) => report !== undefined);
}

interface Settings {
  readonly isStale: (agent: Agent) => boolean;
  readonly mode: 'dry-run' | 'for-real';
  readonly confirmAfterMs: number;
  readonly destroyAfter: number | undefined;
  readonly callOptions: CallOptions;
}

async function workOn(
  { clock }: StaleContext,
  agent: Agent,
  settings: Settings,
): Promise<StaleAgentReport | undefined> {
  const { isStale, mode, confirmAfterMs, destroyAfter, callOptions } = settings;
  const { markedAt } = agent;
  const common = base(agent);
  if (!isStale(agent)) {
    if (mode === 'dry-run') return { ...common, outcome: 'would-unmark' };
    await setMark(agent, null, callOptions);
    return { ...common, outcome: 'unmarked' };
  }
  if (!(await hasMaterial(agent, callOptions))) return undefined;
  if (agent.heartbeat === 'unknown') return { ...common, outcome: 'unknown' };
  const nowMs = clock.now();
  if (markedAt === undefined) {
    if (mode === 'dry-run') return { ...common, outcome: 'would-mark' };
    await setMark(agent, String(Math.floor(nowMs / 1_000)), callOptions);
    return { ...common, outcome: 'marked', destroyableFrom: new Date(nowMs + confirmAfterMs) };
  }
  const destroyableFrom = new Date(markedAt.getTime() + confirmAfterMs);
  if (nowMs < destroyableFrom.getTime()) return { ...common, outcome: 'waiting', destroyableFrom };
  if (mode === 'dry-run') return { ...common, outcome: 'would-destroy' };
  // A listing may be minutes old in a large key ring: read each key again before it is destroyed.
  const [fresh] = toAgents(
    await Promise.all(
      agent.keys.map(async ({ provider, key }) => ({
        provider,
        key: await provider.getKey(key.name, callOptions),
      })),
    ),
  );
  const isUnchanged = fresh?.markedAt?.getTime() === markedAt.getTime() && fresh.heartbeat === 'known';
  if (fresh === undefined || !isUnchanged || !isStale(fresh)) {
    await setMark(agent, null, callOptions);
    return { ...common, ...(fresh && base(fresh)), outcome: 'unmarked' };
  }
  const destruction = await destroyAgentKeys(fresh, { ...callOptions, destroyAfter });
  const failed = destruction.versions.find((version) => version.outcome === 'failed');
  return failed === undefined
    ? { ...common, outcome: 'destroyed', destruction }
    : { ...common, outcome: 'failed', reason: failed.reason };
}

const base = ({ agentId, lastSeen }: Agent): { readonly agentId: string; readonly lastSeen: Date } => ({
  agentId,
  lastSeen,
});

/** The agents whose keys these are. A key whose heartbeat is gone or damaged was used when it was made, at least. */
function toAgents(
  keys: readonly { readonly provider: KeyProvider; readonly key: KeyMetadata }[],
): readonly Agent[] {
  const byAgent = new Map<string, RoleKey[]>();
  for (const { provider, key } of keys) {
    for (const role of ['signing', 'encryption'] as const) {
      const agentId = ownerOf(key, role);
      if (agentId !== undefined)
        byAgent.set(agentId, [...(byAgent.get(agentId) ?? []), { provider, role, key }]);
    }
  }
  return [...byAgent]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([agentId, roleKeys]) => {
      const heartbeats = roleKeys.map(({ key }) => endOfDay(key.labels[SEEN_LABEL]));
      const seen = roleKeys.map(({ key }, index) => (heartbeats[index] ?? key.createTime).getTime());
      const marks = roleKeys.flatMap(({ key }) => {
        const label = key.labels[STALE_LABEL] ?? '';
        return /^[0-9]{1,15}$/.test(label) ? [Number(label) * 1_000] : [];
      });
      // All keys bear the mark; the latest counts, and one that lost it in a race takes it away from the agent.
      const isMarked = marks.length === roleKeys.length;
      return {
        agentId,
        keys: roleKeys,
        lastSeen: new Date(Math.max(...seen)),
        heartbeat: heartbeats.includes(undefined) ? ('unknown' as const) : ('known' as const),
        markedAt: isMarked ? new Date(Math.max(...marks)) : undefined,
      };
    });
}

async function setMark(agent: Agent, value: string | null, options: CallOptions): Promise<void> {
  for (const { provider, key } of agent.keys)
    await provider.updateLabels(key.name, { [STALE_LABEL]: value }, options);
}

async function hasMaterial(agent: Agent, options: CallOptions): Promise<boolean> {
  for (const { provider, key } of agent.keys) {
    const versions = await provider.listKeyVersions(key.name, options);
    if (versions.some(({ state }) => state === 'ENABLED' || state === 'DISABLED')) return true;
  }
  return false;
}
