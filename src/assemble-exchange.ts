/** What an `A2AKeyExchange` is made of, put together from its configuration: the one place where all parts meet. */

import { AgentAccess } from './access/agent-access.js';
import { AgentIdentities } from './access/agent-identities.js';
import { resolveAgentRoles } from './access/agent-roles.js';
import type { PreflightServices } from './access/preflight.js';
import { configuredTasks } from './access/preflight-needs.js';
import type { AuditRecorder } from './audit/audit-recorder.js';
import { withAudit } from './audited-keys.js';
import { BatchSigning } from './batch/batch-signing.js';
import type { Clock } from './clock.js';
import { type A2AKeyExchangeConfig, parseAgentConfig } from './config/agent-config.js';
import type { KMSConfig } from './config/kms-config.js';
import { OpenCiphers } from './envelope/open-ciphers.js';
import { type ExchangeStats, exchangeReadings, exchangeStats } from './exchange-stats.js';
import { type HierarchyKeys, KeyHierarchy, keysOf } from './hierarchy/key-hierarchy.js';
import type { ProtectionLevel } from './keys/algorithm-types.js';
import type { Impersonation } from './keys/impersonation.js';
import type { KeyProvider } from './keys/key-provider.js';
import { keyRingName } from './keys/resource-name.js';
import type { RotationPolicy } from './keys/rotation-policy.js';
import { AgentLifecycle } from './lifecycle/agent-lifecycle.js';
import type { Logger } from './logger.js';
import type { AgentMigration } from './migration/agent-migration.js';
import { type OpenedProvider, selectKeys } from './provider-selection.js';
import type { LocationStatus } from './replication/location.js';
import { ReplicatedKeyProvider, ringsOf } from './replication/replicated-key-provider.js';
import type { StartedReadings } from './telemetry/provider-telemetry.js';

export interface ExchangeParts extends HierarchyKeys {
  readonly keys: KeyProvider;
  /** All providers that were opened. */
  readonly sources: readonly OpenedProvider[];
  readonly hierarchy: KeyHierarchy;
  /** Whether the master keys are to be there before anything else. */
  readonly ensuresMasters: boolean;
  readonly trail: AuditRecorder | undefined;
  readonly auditKeyLevel: ProtectionLevel;
  readonly access: AgentAccess;
  readonly identities: AgentIdentities | undefined;
  readonly preflight: PreflightServices;
  readonly lifecycle: AgentLifecycle;
  /** Of the signing keys that are made without one of their own. */
  readonly rotationPolicy: RotationPolicy | undefined;
  readonly batches: BatchSigning;
  readonly migration: AgentMigration;
  readonly ciphers: OpenCiphers;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly telemetry: StartedReadings | undefined;
  readonly locations: () => readonly LocationStatus[];
  readonly stats: () => ExchangeStats;
}

/** @throws InvalidConfigError naming every field that is wrong. */
export function assembleExchange(config: A2AKeyExchangeConfig): ExchangeParts {
  const parsed = parseAgentConfig(config);
  const { kms, agents, source } = parsed;
  const { hierarchy: masters, rotationPolicy, impersonateAgents, accessRoles, protectionLevel } = agents;
  const { clock, logger, maxCachedAgents } = agents;
  const keyRing = keyRingName(kms);
  const audited = withAudit(parsed, (keyId) => agentKeys.agentOf(keyId));
  const { trail, auditKeyLevel } = audited;
  const identities = impersonateAgents && new AgentIdentities(impersonateAgents, maxCachedAgents);
  const { keys, migration, sources } = selectKeys({
    kms: withIdentities(audited.kms, identities),
    source,
    agents,
    // No key is used before all of this is made.
    watch: {
      isDue: (keyId) => lifecycle.heartbeat.isDue(keyId),
      used: (keyId) => lifecycle.heartbeat.used(keyId),
    },
  });
  trail?.signWith(keys);
  const hierarchy = new KeyHierarchy(keys, {
    ...{ clock, logger, maxCachedAgents },
    // Undefined is HSM to the provider, and lets an agent that was not migrated keep its key; HSM by name does not.
    protectionLevel: source.kind === 'migration' && protectionLevel === 'HSM' ? undefined : protectionLevel,
    defaultAlgorithm: agents.defaultAlgorithm.name,
    pinnedVersions: pinnedNames(kms),
    ...(masters && {
      rootAlgorithm: masters.rootAlgorithm,
      masterProtectionLevel: masters.protectionLevel,
      endorsementValiditySeconds: masters.endorsementValiditySeconds,
      kekRotationPeriodSeconds: masters.kekRotationPeriodSeconds,
    }),
  });
  const hierarchyKeys = keysOf(hierarchy);
  const { agentKeys, versionKeys } = hierarchyKeys;
  const lifecycle = new AgentLifecycle(keys, hierarchyKeys, {
    ...{ clock, logger, maxCachedAgents },
    rings: ringsOf(keys, keyRing),
  });
  const ciphers = new OpenCiphers(keys);
  const locations = (): readonly LocationStatus[] =>
    keys instanceof ReplicatedKeyProvider ? keys.locations() : [];
  const stats = (): ExchangeStats =>
    exchangeStats({ sources, agentKeys, ciphers, locations: locations(), audit: trail });
  return {
    ...{ keys, sources, hierarchy, agentKeys, versionKeys, ensuresMasters: masters !== undefined },
    ...{ trail, auditKeyLevel, identities, lifecycle, rotationPolicy, migration, ciphers, clock, logger },
    access: new AgentAccess(keys, agentKeys, resolveAgentRoles(kms.projectId, accessRoles)),
    preflight: {
      provider: keys,
      configured: configuredTasks({
        hasMasters: masters !== undefined,
        hasRotationPolicy: rotationPolicy !== undefined,
        hasAudit: trail !== undefined,
        requiresAttestation: kms.requireAttestation === true,
        migrates: source.kind === 'migration',
      }),
      hasPinnedVersions: (kms.pinnedVersions ?? []).length > 0,
      impersonatesAgents: impersonateAgents !== undefined,
    },
    batches: new BatchSigning(keys, { versionKeys, clock }),
    telemetry: exchangeReadings(kms.telemetry, { keyRing, stats }),
    ...{ locations, stats },
  };
}

/** Agents' keys are used as their service accounts; the user's own choice counts for all other keys. */
function withIdentities(kms: KMSConfig, identities: AgentIdentities | undefined): KMSConfig {
  if (identities === undefined) return kms;
  const impersonateKeys = (keyId: string): Impersonation | undefined =>
    identities.identityOf(keyId) ?? kms.impersonateKeys?.(keyId);
  return { ...kms, impersonateKeys };
}

/** The versions in the key ring that agents' keys are named after; those of replicas are of the same keys. */
function pinnedNames(kms: KMSConfig): readonly string[] {
  const prefix = `${keyRingName(kms)}/`;
  return (kms.pinnedVersions ?? []).map(({ name }) => name).filter((name) => name.startsWith(prefix));
}
