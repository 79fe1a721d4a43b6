/** The part of the configuration about standby key rings. */

import { z } from 'zod';

/** A standby key ring for the configured one, in the same project. */
export interface ReplicaConfig {
  /** Another Cloud KMS location, so that both do not fail together. */
  readonly locationId: string;
  readonly keyRingId: string;
  /** Host of the location's regional endpoint. Default: the global one. */
  readonly apiEndpoint?: string | undefined;
  /** `HOST:PORT` of an emulator. Default: that of the first key ring. */
  readonly emulatorHost?: string | undefined;
}

/** When a location counts as unavailable, and for how long. */
export interface ReplicationConfig {
  /** Failures in a row. Default 3. */
  readonly failureThreshold?: number | undefined;
  /** Milliseconds after which one call tries the location again. Default 10,000. */
  readonly halfOpenAfterMs?: number | undefined;
}

const MAX_REPLICAS = 4;

export const replicasSchema = z
  .array(
    z.strictObject({
      locationId: z.string('the Cloud KMS location is required'),
      keyRingId: z.string('the key ring is required'),
      apiEndpoint: z.string('must be a host name').optional(),
      emulatorHost: z.string('must be HOST:PORT').optional(),
    }),
    'must be a list of key rings',
  )
  .max(MAX_REPLICAS, `at most ${MAX_REPLICAS} replicas are possible`)
  .default([]);

export const replicationSchema = z
  .strictObject({
    failureThreshold: z
      .int('a whole number is required')
      .min(1, 'at least 1')
      .max(100, 'at most 100')
      .default(3),
    halfOpenAfterMs: z
      .int('a whole number of milliseconds is required')
      .min(1, 'at least 1 ms is required')
      .max(3_600_000, 'at most 3,600,000 ms (one hour) are possible')
      .default(10_000),
  })
  .prefault({});

/** What is wrong with the choice of key rings. */
export function replicaProblems(
  first: Pick<ReplicaConfig, 'locationId' | 'keyRingId'>,
  replicas: readonly ReplicaConfig[],
): readonly { readonly field: string; readonly problem: string }[] {
  const seen = new Set([`${first.locationId}/${first.keyRingId}`]);
  return replicas.flatMap(({ locationId, keyRingId }, index) => {
    const ring = `${locationId}/${keyRingId}`;
    if (!seen.has(ring)) {
      seen.add(ring);
      return [];
    }
    return [{ field: `replicas.${index}`, problem: 'is a key ring that is already listed' }];
  });
}
