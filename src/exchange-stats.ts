/** What an `A2AKeyExchange` has counted: its providers, its own caches and the locations of its keys. */

import type { AuditStats } from './audit/audit-trail.js';
import type { EnvelopeStats } from './envelope/envelope-cipher.js';
import { type CacheStats, frozen, type ProviderStats } from './provider/stats.js';
import type { LocationStatus } from './replication/location.js';
import { loadOpenTelemetry, type TelemetrySetting } from './telemetry/load.js';
import { ATTRIBUTE } from './telemetry/names.js';
import { readCaches } from './telemetry/provider-readings.js';
import { StartedReadings } from './telemetry/provider-telemetry.js';
import type { Reading } from './telemetry/readings.js';

/** What an exchange has counted. Plain frozen data. */
export interface ExchangeStats {
  /** The providers behind the agents: one for each key ring, and the software keys where they are open. */
  readonly providers: readonly ProviderStats[];
  readonly caches: {
    /** Agents whose key name is known. */
    readonly agents: CacheStats;
    /** Data keys that messages are encrypted with; of all ciphers that `envelope` gave out. */
    readonly envelopeDataKeys: CacheStats;
    /** Data keys that were unwrapped; of all ciphers that `envelope` gave out. */
    readonly envelopeUnwrappedKeys: CacheStats;
  };
  /** Of the audit trail, where there is one. */
  readonly auditTrail?: AuditStats;
  /** With `replicas`: the circuit breaker of each key ring. */
  readonly locations: readonly LocationStatus[];
}

/** Puts together what the parts of an exchange have counted. */
export function exchangeStats(parts: {
  readonly sources: readonly { stats(): ProviderStats }[];
  readonly agentKeys: { readonly stats: CacheStats };
  readonly ciphers: { readonly stats: EnvelopeStats };
  readonly locations: readonly LocationStatus[];
  readonly audit: { stats(): AuditStats } | undefined;
}): ExchangeStats {
  const { dataKeys, unwrappedKeys } = parts.ciphers.stats;
  return frozen({
    providers: parts.sources.map((source) => source.stats()),
    caches: {
      agents: parts.agentKeys.stats,
      envelopeDataKeys: { ...dataKeys },
      envelopeUnwrappedKeys: { ...unwrappedKeys },
    },
    ...(parts.audit && { auditTrail: parts.audit.stats() }),
    locations: parts.locations,
  });
}

/** Has what belongs to no single provider read when metrics are collected. */
export function exchangeReadings(
  setting: TelemetrySetting | undefined,
  key: { readonly keyRing: string; readonly stats: () => ExchangeStats },
): StartedReadings | undefined {
  const api = loadOpenTelemetry(setting ?? 'off');
  return api && new StartedReadings(api, () => readExchange(key.stats(), key.keyRing));
}

const STATES = ['closed', 'open', 'half-open'] as const;

function readExchange(stats: ExchangeStats, keyRing: string): readonly Reading[] {
  const { caches, locations, auditTrail } = stats;
  const attributes = { [ATTRIBUTE.keyRing]: keyRing };
  const audit: readonly Reading[] = auditTrail
    ? [
        { name: 'auditEvents', value: auditTrail.events, attributes },
        { name: 'auditLostEvents', value: auditTrail.lostEvents, attributes },
        { name: 'auditFailedCheckpoints', value: auditTrail.failedCheckpoints, attributes },
        { name: 'auditUnsigned', value: auditTrail.unsigned, attributes },
      ]
    : [];
  return [
    ...audit,
    ...readCaches(caches, attributes),
    ...locations.flatMap((location) =>
      STATES.map((state): Reading => {
        const attributes = { [ATTRIBUTE.keyRing]: location.keyRing, [ATTRIBUTE.locationState]: state };
        return { name: 'locationState', value: Number(state === location.state), attributes };
      }),
    ),
  ];
}
