/** The configuration of a `SoftwareKeyProvider`, parsed once, with every problem listed. */

import { z } from 'zod';
import { type Clock, systemClock } from '../clock.js';
import type { AuditConfig, ResolvedAuditConfig } from '../config/audit-config.js';
import { type Environment, keyRingShape, runtimeShape, toProblems } from '../config/shapes.js';
import {
  type ResolvedStoreConfig,
  resolveStoreConfig,
  type SoftwareKeyStoreConfig,
  type SoftwareKeysPolicy,
  softwareKeyStoreSchema,
  softwareKeysPolicySchema,
} from '../config/software-config.js';
import { InvalidConfigError } from '../errors/input.js';
import type { PublicKeyArchive } from '../keys/public-key-archive.js';
import { createDefaultLogger, type Logger } from '../logger.js';
import type { ProviderObserver } from '../provider/observer.js';
import type { TelemetrySetting } from '../telemetry/load.js';

/** Configuration of a `SoftwareKeyProvider`. */
export interface SoftwareKeyProviderConfig {
  /** These three make up the names of the keys, which are the same as in Cloud KMS. */
  readonly projectId: string;
  readonly locationId: string;
  readonly keyRingId: string;
  readonly softwareKeyStore: SoftwareKeyStoreConfig;
  /** Where public keys go too before their versions are disabled or destroyed. The store itself keeps them as well. */
  readonly publicKeyArchive?: PublicKeyArchive | undefined;
  /** A pino logger or one with the same four methods. Default: pino to standard error, level `warn`. */
  readonly logger?: Logger | undefined;
  /** Default: the real one. For tests. */
  readonly clock?: Clock | undefined;
  /** Observers notified of every call (docs/observers.md). Default: none, at no cost. */
  readonly observers?: readonly ProviderObserver[] | undefined;
  /** The tamper-evident audit trail (docs/audit-trail.md). Default: none. Its checkpoints are signed by a software key. */
  readonly audit?: AuditConfig | undefined;
  /** As `telemetry` of `KMSConfig`. Default `off`. */
  readonly telemetry?: TelemetrySetting | undefined;
  /** `forbidden` makes the constructor throw. Default `allowed`. */
  readonly softwareKeys?: SoftwareKeysPolicy | undefined;
}

interface ResolvedProviderConfig {
  readonly projectId: string;
  readonly locationId: string;
  readonly keyRingId: string;
  readonly store: ResolvedStoreConfig;
  readonly publicKeyArchive: PublicKeyArchive | undefined;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly observers: readonly ProviderObserver[];
  readonly audit?: ResolvedAuditConfig | undefined;
  readonly telemetry: TelemetrySetting;
}

const schema = z.strictObject(
  {
    ...keyRingShape,
    ...runtimeShape,
    softwareKeyStore: softwareKeyStoreSchema,
    softwareKeys: softwareKeysPolicySchema,
  },
  'must be an object with projectId, locationId, keyRingId and softwareKeyStore',
);

/** @throws InvalidConfigError with every problem; also when software keys are forbidden. */
export function parseProviderConfig(
  config: unknown,
  environment: Environment = process.env,
): ResolvedProviderConfig {
  const parsed = schema.safeParse(config);
  if (!parsed.success) throw new InvalidConfigError(toProblems(parsed.error));
  const { softwareKeyStore, softwareKeys, publicKeyArchive, ...rest } = parsed.data;
  if (softwareKeys === 'forbidden') {
    throw new InvalidConfigError([
      { field: 'softwareKeys', problem: 'forbids software keys; use a KMSClient, or say allowed' },
    ]);
  }
  const store = resolveStoreConfig(softwareKeyStore, environment);
  if (!store.ok) throw new InvalidConfigError([store.problem]);
  return {
    ...rest,
    store: store.value,
    publicKeyArchive,
    logger: rest.logger ?? createDefaultLogger(),
    clock: rest.clock ?? systemClock,
  };
}
