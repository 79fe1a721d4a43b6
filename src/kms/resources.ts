/**
 * From Cloud KMS messages to records this library trusts: the name must be the one asked for, exactly, and what every
 * resource has must be there.
 */

import type { ErrorContext } from '../errors/base.js';
import { IntegrityError } from '../errors/service.js';
import type { KeyMetadata, KeyVersionMetadata, KeyVersionState } from '../keys/key-provider.js';
import { type CryptoKeyName, type KeyVersion, parseVersionOf } from '../keys/resource-name.js';
import type { KmsMessages } from './rpc.js';

/** A CryptoKey. */
export interface KeyRecord {
  readonly name: CryptoKeyName;
  readonly purpose: string;
  /** Algorithm of the versions that will be made. */
  readonly algorithm: string;
  /** What was promised when the key was created; Cloud KMS does not let it change. */
  readonly protectionLevel: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly createTime: Date;
  readonly destroyScheduledDurationSeconds: number;
  /** The rotation schedule; only ENCRYPT_DECRYPT keys can have one. */
  readonly nextRotationTime?: Date;
  readonly rotationPeriodSeconds?: number;
  /** Only ENCRYPT_DECRYPT keys have one. */
  readonly primary: VersionRecord | undefined;
}

/** A CryptoKeyVersion. */
export interface VersionRecord extends KeyVersion {
  readonly metadata: KeyVersionMetadata;
}

type Timestamp = { readonly seconds?: number | string | object | null; readonly nanos?: number | null };

const STATES: readonly string[] = [
  'PENDING_GENERATION',
  'ENABLED',
  'DISABLED',
  'DESTROYED',
  'DESTROY_SCHEDULED',
  'PENDING_IMPORT',
  'IMPORT_FAILED',
  'GENERATION_FAILED',
  'PENDING_EXTERNAL_DESTRUCTION',
  'EXTERNAL_DESTRUCTION_FAILED',
] satisfies KeyVersionState[];
const isState = (state: unknown): state is KeyVersionState =>
  typeof state === 'string' && STATES.includes(state);

/** A CryptoKey message that answers a question about the key `name`. */
export function toKeyRecord(
  message: KmsMessages['CryptoKey'],
  name: CryptoKeyName,
  context: ErrorContext,
): KeyRecord {
  if (message.name !== name)
    throw new IntegrityError(context, `asked for ${name}, got ${String(message.name)}`);
  const { purpose, versionTemplate } = message;
  const createTime = toDate(message.createTime);
  if (
    typeof purpose !== 'string' ||
    typeof versionTemplate?.algorithm !== 'string' ||
    createTime === undefined
  ) {
    throw new IntegrityError(context, 'the key has no purpose, version template or creation time');
  }
  const nextRotationTime = toDate(message.nextRotationTime);
  const rotationPeriodSeconds = Number(message.rotationPeriod?.seconds ?? 0);
  return {
    name,
    purpose,
    algorithm: versionTemplate.algorithm,
    protectionLevel: String(versionTemplate.protectionLevel),
    labels: { ...message.labels },
    createTime,
    destroyScheduledDurationSeconds: Number(message.destroyScheduledDuration?.seconds ?? 0),
    ...(nextRotationTime && { nextRotationTime }),
    ...(rotationPeriodSeconds > 0 && { rotationPeriodSeconds }),
    primary: message.primary ? toVersionRecord(message.primary, { key: name }, context) : undefined,
  };
}

/** A CryptoKeyVersion message that must be of that key and, where given, be that version. */
export function toVersionRecord(
  message: KmsMessages['CryptoKeyVersion'],
  expected: { readonly key: CryptoKeyName; readonly version?: KeyVersion },
  context: ErrorContext,
): VersionRecord {
  const version = typeof message.name === 'string' ? parseVersionOf(expected.key, message.name) : undefined;
  if (version === undefined || (expected.version !== undefined && version.name !== expected.version.name)) {
    throw new IntegrityError(
      context,
      `asked for ${expected.version?.name ?? `a version of ${expected.key}`}, got ${String(message.name)}`,
    );
  }
  const createTime = toDate(message.createTime);
  if (!isState(message.state) || typeof message.algorithm !== 'string' || createTime === undefined) {
    throw new IntegrityError(context, 'the version has no state, algorithm or creation time');
  }
  const generateTime = toDate(message.generateTime);
  const destroyTime = toDate(message.destroyTime);
  const destroyEventTime = toDate(message.destroyEventTime);
  const importTime = toDate(message.importTime);
  const failureReason = message.generationFailureReason || message.importFailureReason;
  return {
    ...version,
    metadata: {
      name: version.name,
      version: version.number,
      state: message.state,
      algorithm: message.algorithm,
      protectionLevel: String(message.protectionLevel),
      createTime,
      ...(generateTime && { generateTime }),
      ...(destroyTime && { destroyTime }),
      ...(destroyEventTime && { destroyEventTime }),
      ...(failureReason && { failureReason }),
      ...(message.importJob && { importJob: message.importJob }),
      ...(importTime && { importTime }),
    },
  };
}

/** What callers are told of a key. */
export function toKeyMetadata(key: KeyRecord, current: VersionRecord | undefined): KeyMetadata {
  return {
    name: key.name,
    purpose: key.purpose,
    algorithm: current?.metadata.algorithm ?? key.algorithm,
    protectionLevel: current?.metadata.protectionLevel ?? key.protectionLevel,
    createTime: key.createTime,
    primary: current?.name,
    labels: key.labels,
    destroyScheduledDurationSeconds: key.destroyScheduledDurationSeconds,
    ...(key.nextRotationTime && { nextRotationTime: key.nextRotationTime }),
    ...(key.rotationPeriodSeconds && { rotationPeriodSeconds: key.rotationPeriodSeconds }),
  };
}

function toDate(timestamp: Timestamp | null | undefined): Date | undefined {
  if (!timestamp) return undefined;
  const date = new Date(
    Number(timestamp.seconds ?? 0) * 1_000 + Math.floor((timestamp.nanos ?? 0) / 1_000_000),
  );
  return Number.isNaN(date.getTime()) ? undefined : date;
}
