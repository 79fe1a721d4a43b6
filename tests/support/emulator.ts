/** An emulator of its own for a test file, and clients that talk to it over a socket. */

import { KeyManagementServiceClient } from '@google-cloud/kms';
import * as grpc from '@grpc/grpc-js';
import { type KmsEmulator, type KmsEmulatorOptions, startKmsEmulator } from '../../src/emulator/index.js';
import { A2AKeyExchange, type A2AKeyExchangeConfig, KMSClient, type KMSConfig } from '../../src/index.js';
import type { Logger } from '../../src/logger.js';

export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} };

export const KEY_RING = { projectId: 'test-project', locationId: 'global', keyRingId: 'agents' } as const;

/**
 * Deadlines that no busy machine reaches: for tests that count attempts, and for clients whose clock stands still, where an
 * attempt that was given up would never be repeated.
 */
export const UNHURRIED = { attemptMs: 60_000, operationMs: 60_000 } as const;

/** An emulator whose HSM takes next to no time. */
export function startTestEmulator(options: KmsEmulatorOptions = {}): Promise<KmsEmulator> {
  return startKmsEmulator({
    asymmetricGenerationMs: 5,
    hsmGenerationMs: 5,
    logger: silentLogger,
    ...options,
  });
}

export function clientConfig(emulator: KmsEmulator, rest: Partial<KMSConfig> = {}): KMSConfig {
  return { ...KEY_RING, emulatorHost: emulator.endpoint, logger: silentLogger, ...rest };
}

export function newClient(emulator: KmsEmulator, rest: Partial<KMSConfig> = {}): KMSClient {
  return new KMSClient(clientConfig(emulator, rest));
}

export function newExchange(emulator: KmsEmulator, rest: Partial<A2AKeyExchangeConfig> = {}): A2AKeyExchange {
  return new A2AKeyExchange({ ...clientConfig(emulator), ...rest });
}

/** The official client, as it is. */
export function officialClient(emulator: KmsEmulator): KeyManagementServiceClient {
  return new KeyManagementServiceClient({
    apiEndpoint: emulator.host,
    port: emulator.port,
    grpc,
    sslCreds: grpc.credentials.createInsecure(),
    clientOptions: { universeDomain: 'googleapis.com' },
  });
}
