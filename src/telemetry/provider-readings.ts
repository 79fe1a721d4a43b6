/** What is read from the counts of a provider. */

import type { CacheStats, ProviderStats } from '../provider/stats.js';
import { ATTRIBUTE } from './names.js';
import type { Reading } from './readings.js';

export function readProvider(stats: ProviderStats): readonly Reading[] {
  const attributes = { [ATTRIBUTE.provider]: stats.provider, [ATTRIBUTE.keyRing]: stats.keyRing };
  const readings: Reading[] = [
    { name: 'operationsActive', value: stats.inFlight, attributes },
    ...readCaches(stats.caches, attributes),
  ];
  if (stats.provider === 'software') return readings;
  const { channelsOpen, callsInFlight, queueDepth } = stats.connection;
  return [
    ...readings,
    { name: 'channels', value: channelsOpen, attributes },
    { name: 'rpcsActive', value: callsInFlight, attributes },
    { name: 'queueDepth', value: queueDepth, attributes },
    ...Object.entries(stats.quota.kinds).flatMap(([quota, { tokensLastMinute, callsWaiting }]): Reading[] => {
      const own = { ...attributes, [ATTRIBUTE.quota]: quota };
      return [
        { name: 'quotaTokens', value: tokensLastMinute, attributes: own },
        { name: 'quotaWaiting', value: callsWaiting, attributes: own },
      ];
    }),
  ];
}

export function readCaches(
  caches: Readonly<Record<string, CacheStats>>,
  common: Reading['attributes'],
): readonly Reading[] {
  return Object.entries(caches).flatMap(([cache, { hits, misses, size }]): Reading[] => {
    const attributes = { ...common, [ATTRIBUTE.cache]: cache };
    return [
      { name: 'cacheRequests', value: hits, attributes: { ...attributes, [ATTRIBUTE.cacheResult]: 'hit' } },
      {
        name: 'cacheRequests',
        value: misses,
        attributes: { ...attributes, [ATTRIBUTE.cacheResult]: 'miss' },
      },
      { name: 'cacheEntries', value: size, attributes },
    ];
  });
}
