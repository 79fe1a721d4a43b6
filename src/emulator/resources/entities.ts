/** What the emulator keeps of each resource, and how it looks on the wire. */

import type { AlgorithmEntry, KeyPurpose, ProtectionLevel } from '../../keys/algorithm-types.js';
import { attestationOf } from '../attestation/statement.js';
import type { KeyMaterial } from '../crypto/key-material.js';
import { toTime } from '../request-fields.js';
import type { RpcMessage } from '../rpc.js';

type VersionState =
  | 'PENDING_GENERATION'
  | 'ENABLED'
  | 'DISABLED'
  | 'DESTROYED'
  | 'DESTROY_SCHEDULED'
  | 'PENDING_IMPORT'
  | 'IMPORT_FAILED'
  | 'GENERATION_FAILED';

export interface Version {
  readonly name: string;
  readonly number: number;
  readonly algorithm: AlgorithmEntry;
  readonly protectionLevel: ProtectionLevel;
  readonly createMs: number;
  state: VersionState;
  /** Gone once the version is destroyed. */
  material: KeyMaterial | undefined;
  /** While PENDING_*: when it ends at the earliest, and the work that decides how. */
  pending: { readonly readyMs: number; readonly outcome: Promise<PendingOutcome> } | undefined;
  generateMs: number | undefined;
  destroyMs: number | undefined;
  destroyEventMs: number | undefined;
  imported: Imported | undefined;
  failureReason: string;
}

interface Imported {
  /** Name of the import job. */
  readonly job: string;
  /** When the material arrived; undefined until it does. */
  readonly timeMs: number | undefined;
  /** Of the material that the version held or holds: a re-import must bring the same. Outlives the material. */
  readonly fingerprint: string | undefined;
}

export type PendingOutcome =
  | { readonly ok: true; readonly material: KeyMaterial }
  | { readonly ok: false; readonly reason: string };

export interface CryptoKey {
  readonly name: string;
  /** In ciphertexts; independent of the name. */
  readonly id: string;
  readonly purpose: KeyPurpose;
  readonly protectionLevel: ProtectionLevel;
  algorithm: AlgorithmEntry;
  readonly createMs: number;
  readonly importOnly: boolean;
  readonly destroyScheduledMs: number;
  labels: Readonly<Record<string, string>>;
  /** KeyAccessJustificationsPolicy.allowed_access_reasons; kept only, because no call is justified here. */
  allowedAccessReasons: readonly string[] | undefined;
  rotationPeriodMs: number | undefined;
  nextRotationMs: number | undefined;
  primary: number | undefined;
  /** By number; a deleted version leaves a hole, and its number is not used again. */
  readonly versions: Map<number, Version>;
  lastNumber: number;
}

export interface ImportJob {
  readonly name: string;
  readonly method: string;
  readonly protectionLevel: ProtectionLevel;
  readonly createMs: number;
  readonly readyMs: number;
  readonly expireMs: number;
  readonly keyPair: { readonly publicKeyPem: string; readonly privateKeyPem: string };
}

export interface RetiredResource {
  readonly name: string;
  readonly originalResource: string;
  readonly resourceType: string;
  readonly deleteMs: number;
}

export const keyRingMessage = (name: string, createMs: number): RpcMessage => ({
  name,
  createTime: toTime(createMs),
});

/** `CryptoKeyVersionView`: lists leave out the attestation unless asked for FULL. */
type VersionView = 'basic' | 'full';

export function versionMessage(version: Version, view: VersionView = 'full'): RpcMessage {
  const { imported } = version;
  const attestation =
    view === 'full' && version.protectionLevel === 'HSM'
      ? attestationOf({ ...version, isImported: imported !== undefined })
      : undefined;
  return {
    name: version.name,
    state: version.state,
    protectionLevel: version.protectionLevel,
    algorithm: version.algorithm.name,
    createTime: toTime(version.createMs),
    ...(version.generateMs !== undefined && { generateTime: toTime(version.generateMs) }),
    // Present only while DESTROY_SCHEDULED (resources.proto, CryptoKeyVersion.destroy_time).
    ...(version.state === 'DESTROY_SCHEDULED' &&
      version.destroyMs !== undefined && { destroyTime: toTime(version.destroyMs) }),
    ...(version.destroyEventMs !== undefined && { destroyEventTime: toTime(version.destroyEventMs) }),
    ...(attestation !== undefined && { attestation }),
    ...(imported !== undefined && { importJob: imported.job }),
    ...(imported?.timeMs !== undefined && { importTime: toTime(imported.timeMs) }),
    ...(version.state === 'IMPORT_FAILED' && { importFailureReason: version.failureReason }),
    ...(version.state === 'GENERATION_FAILED' && { generationFailureReason: version.failureReason }),
    reimportEligible:
      imported !== undefined && (version.state === 'DESTROYED' || version.state === 'IMPORT_FAILED'),
  };
}

export function cryptoKeyMessage(key: CryptoKey, view: VersionView = 'full'): RpcMessage {
  const primary = key.primary === undefined ? undefined : key.versions.get(key.primary);
  return {
    name: key.name,
    purpose: key.purpose,
    createTime: toTime(key.createMs),
    labels: key.labels,
    versionTemplate: { protectionLevel: key.protectionLevel, algorithm: key.algorithm.name },
    importOnly: key.importOnly,
    destroyScheduledDuration: toTime(key.destroyScheduledMs),
    ...(key.allowedAccessReasons !== undefined && {
      keyAccessJustificationsPolicy: { allowedAccessReasons: key.allowedAccessReasons },
    }),
    ...(primary !== undefined && { primary: versionMessage(primary, view) }),
    ...(key.rotationPeriodMs !== undefined && { rotationPeriod: toTime(key.rotationPeriodMs) }),
    ...(key.nextRotationMs !== undefined && { nextRotationTime: toTime(key.nextRotationMs) }),
  };
}

/** @param nowMs decides between PENDING_GENERATION, ACTIVE and EXPIRED. */
export function importJobMessage(job: ImportJob, nowMs: number): RpcMessage {
  const state = importJobState(job, nowMs);
  return {
    name: job.name,
    importMethod: job.method,
    protectionLevel: job.protectionLevel,
    createTime: toTime(job.createMs),
    expireTime: toTime(job.expireMs),
    state,
    ...(state !== 'PENDING_GENERATION' && { generateTime: toTime(job.readyMs) }),
    ...(state === 'EXPIRED' && { expireEventTime: toTime(job.expireMs) }),
    ...(state === 'ACTIVE' && { publicKey: { pem: job.keyPair.publicKeyPem } }),
  };
}

export function importJobState(job: ImportJob, nowMs: number): 'PENDING_GENERATION' | 'ACTIVE' | 'EXPIRED' {
  if (nowMs >= job.expireMs) return 'EXPIRED';
  return nowMs >= job.readyMs ? 'ACTIVE' : 'PENDING_GENERATION';
}

export const retiredResourceMessage = (retired: RetiredResource): RpcMessage => ({
  name: retired.name,
  originalResource: retired.originalResource,
  resourceType: retired.resourceType,
  deleteTime: toTime(retired.deleteMs),
});
