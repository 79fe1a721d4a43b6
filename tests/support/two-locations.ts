/** Two emulators that stand for two locations, and exchanges that use both. */

import type { KmsEmulator, KmsEmulatorOptions } from '../../src/emulator/index.js';
import { A2AKeyExchange, type A2AKeyExchangeConfig } from '../../src/index.js';
import { clientConfig, startTestEmulator } from './emulator.js';

export const STANDBY_RING = { locationId: 'europe-west4', keyRingId: 'standby' } as const;

export interface TwoLocations {
  /** May be stopped and started again. */
  first: KmsEmulator;
  readonly standby: KmsEmulator;
  newExchange(config?: Partial<A2AKeyExchangeConfig>): A2AKeyExchange;
  close(): Promise<void>;
}

/** Failures are few and probes come soon, so that tests need not wait. */
export async function startTwoLocations(options: KmsEmulatorOptions = {}): Promise<TwoLocations> {
  const first = await startTestEmulator(options);
  const { clock } = options;
  const standby = await startTestEmulator({ clock });
  const exchanges: A2AKeyExchange[] = [];
  const locations: TwoLocations = {
    first,
    standby,
    newExchange(config = {}) {
      const exchange = new A2AKeyExchange({
        ...clientConfig(first),
        replicas: [{ ...STANDBY_RING, emulatorHost: standby.endpoint }],
        replication: { failureThreshold: 2, halfOpenAfterMs: 50 },
        retry: { maxAttempts: 2, initialDelayMs: 5, maxDelayMs: 10 },
        ...config,
      });
      exchanges.push(exchange);
      return exchange;
    },
    async close() {
      await Promise.all(exchanges.map((exchange) => exchange.close()));
      await Promise.all([locations.first.close(), standby.close()]);
    },
  };
  return locations;
}
