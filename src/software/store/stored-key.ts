/** A key as the store keeps it: everything but the secret material, which has records of its own. */

import { z } from 'zod';
import type { KeyAlgorithm } from '../../keys/algorithm-types.js';
import { isKeyAlgorithm } from '../../keys/algorithms.js';

const timeMs = z.int().nonnegative();
const algorithm = z.custom<KeyAlgorithm>(isKeyAlgorithm);

const storedVersion = z.strictObject({
  number: z.int().positive(),
  state: z.enum(['ENABLED', 'DISABLED', 'DESTROY_SCHEDULED', 'DESTROYED']),
  algorithm,
  createTimeMs: timeMs,
  /** SubjectPublicKeyInfo in PEM; it outlives the private key. Symmetric keys have none. */
  publicKeyPem: z.string().optional(),
  /** While DESTROY_SCHEDULED: when the material goes. */
  destroyTimeMs: timeMs.optional(),
  /** While DESTROYED: when it went. */
  destroyEventTimeMs: timeMs.optional(),
});

export const storedKeySchema = z.strictObject({
  /** Full CryptoKey name. */
  name: z.string(),
  purpose: z.enum(['ENCRYPT_DECRYPT', 'ASYMMETRIC_SIGN', 'ASYMMETRIC_DECRYPT']),
  /** Of new versions. */
  algorithm,
  labels: z.record(z.string(), z.string()),
  createTimeMs: timeMs,
  destroyScheduledDurationSeconds: z.int().nonnegative(),
  /** The number of the version that encrypts; ENCRYPT_DECRYPT only. */
  primary: z.int().positive().optional(),
  /** ENCRYPT_DECRYPT only. */
  rotation: z.strictObject({ periodSeconds: z.int().positive(), nextTimeMs: timeMs }).optional(),
  /** In ascending order of their numbers. None is ever removed, so that no number is used again. */
  versions: z.array(storedVersion),
});

export type StoredVersion = Readonly<z.output<typeof storedVersion>>;
export type StoredKey = Readonly<Omit<z.output<typeof storedKeySchema>, 'labels' | 'versions'>> & {
  readonly labels: Readonly<Record<string, string>>;
  readonly versions: readonly StoredVersion[];
};
