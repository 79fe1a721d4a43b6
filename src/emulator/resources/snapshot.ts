/** The resources as JSON, and back, for the state file. Key material is in clear: this is an emulator. */

import { z } from 'zod';
import type { AlgorithmEntry } from '../../keys/algorithm-types.js';
import { findAlgorithm } from '../../keys/algorithms.js';
import { decodeKeyMaterial, encodeKeyMaterial, type KeyMaterial } from '../crypto/key-material.js';
import type { RpcMessage } from '../rpc.js';
import type { CryptoKey, Version } from './entities.js';
import type { KeyStore } from './key-store.js';

const level = z.enum(['SOFTWARE', 'HSM']);
const algorithm = z.string().transform((name, context): AlgorithmEntry => {
  const entry = findAlgorithm(name);
  if (entry !== undefined) return entry;
  context.addIssue({ code: 'custom', message: `unknown algorithm ${name}` });
  return z.NEVER;
});

const versionSchema = z.object({
  number: z.int().min(1),
  algorithm,
  createMs: z.number(),
  state: z.enum([
    'PENDING_GENERATION',
    'ENABLED',
    'DISABLED',
    'DESTROYED',
    'DESTROY_SCHEDULED',
    'PENDING_IMPORT',
    'IMPORT_FAILED',
    'GENERATION_FAILED',
  ]),
  material: z.string().optional(),
  generateMs: z.number().optional(),
  destroyMs: z.number().optional(),
  destroyEventMs: z.number().optional(),
  imported: z
    .object({ job: z.string(), timeMs: z.number().optional(), fingerprint: z.string().optional() })
    .optional(),
  failureReason: z.string(),
});

const schema = z.object({
  keyRings: z.array(z.object({ name: z.string(), createMs: z.number() })),
  cryptoKeys: z.array(
    z.object({
      name: z.string(),
      id: z.string(),
      purpose: z.enum([
        'ENCRYPT_DECRYPT',
        'ASYMMETRIC_SIGN',
        'ASYMMETRIC_DECRYPT',
        'RAW_ENCRYPT_DECRYPT',
        'MAC',
        'KEY_ENCAPSULATION',
      ]),
      protectionLevel: level,
      algorithm,
      createMs: z.number(),
      importOnly: z.boolean(),
      destroyScheduledMs: z.number(),
      labels: z.record(z.string(), z.string()),
      allowedAccessReasons: z.array(z.string()).optional(),
      rotationPeriodMs: z.number().optional(),
      nextRotationMs: z.number().optional(),
      primary: z.number().optional(),
      lastNumber: z.int(),
      versions: z.array(versionSchema),
    }),
  ),
  importJobs: z.array(
    z.object({
      name: z.string(),
      method: z.string(),
      protectionLevel: level,
      createMs: z.number(),
      readyMs: z.number(),
      expireMs: z.number(),
      keyPair: z.object({ publicKeyPem: z.string(), privateKeyPem: z.string() }),
    }),
  ),
  retired: z.array(
    z.object({
      name: z.string(),
      originalResource: z.string(),
      resourceType: z.string(),
      deleteMs: z.number(),
    }),
  ),
});

const encode = (material: KeyMaterial | undefined): string | undefined =>
  material && encodeKeyMaterial(material).toString('base64');
const decode = (entry: AlgorithmEntry, text: string | undefined): KeyMaterial | undefined =>
  text === undefined ? undefined : decodeKeyMaterial(entry, Buffer.from(text, 'base64'));

export function snapshotStore(store: KeyStore): RpcMessage {
  return {
    keyRings: [...store.keyRings].map(([name, { createMs }]) => ({ name, createMs })),
    cryptoKeys: [...store.cryptoKeys.values()].map((key) => ({
      ...key,
      algorithm: key.algorithm.name,
      versions: [...key.versions.values()].map((version) => ({
        ...version,
        algorithm: version.algorithm.name,
        material: encode(version.material),
        pending: undefined,
      })),
    })),
    importJobs: [...store.importJobs.values()],
    retired: [...store.retired.values()],
  };
}

/** Puts the resources of a snapshot into an empty store. A version whose generation was under way starts it again. */
export async function restoreStore(store: KeyStore, state: RpcMessage): Promise<void> {
  const parsed = schema.parse(state);
  for (const { name, createMs } of parsed.keyRings) store.keyRings.set(name, { createMs });
  for (const { versions, ...rest } of parsed.cryptoKeys) {
    const key: CryptoKey = {
      ...rest,
      allowedAccessReasons: rest.allowedAccessReasons,
      rotationPeriodMs: rest.rotationPeriodMs,
      nextRotationMs: rest.nextRotationMs,
      primary: rest.primary,
      versions: new Map(),
    };
    store.cryptoKeys.set(key.name, key);
    for (const saved of versions) {
      const version: Version = {
        name: `${key.name}/cryptoKeyVersions/${saved.number}`,
        number: saved.number,
        algorithm: saved.algorithm,
        protectionLevel: key.protectionLevel,
        createMs: saved.createMs,
        state: saved.state,
        material: decode(saved.algorithm, saved.material),
        pending: undefined,
        generateMs: saved.generateMs,
        destroyMs: saved.destroyMs,
        destroyEventMs: saved.destroyEventMs,
        imported: saved.imported && {
          job: saved.imported.job,
          timeMs: saved.imported.timeMs,
          fingerprint: saved.imported.fingerprint,
        },
        failureReason: saved.failureReason,
      };
      key.versions.set(version.number, version);
      if (version.state === 'PENDING_GENERATION') store.startGeneration(version);
      if (version.state === 'PENDING_IMPORT') {
        version.state = 'IMPORT_FAILED';
        version.failureReason = 'The emulator was stopped during the import.';
      }
    }
  }
  for (const job of parsed.importJobs) store.importJobs.set(job.name, job);
  for (const retired of parsed.retired) store.retired.set(retired.originalResource, retired);
}
