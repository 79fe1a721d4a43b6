/** The rules for the fields of a CryptoKey, for creation and update alike. */

import type { AlgorithmEntry, KeyPurpose, ProtectionLevel } from '../../keys/algorithm-types.js';
import { findAlgorithm } from '../../keys/algorithms.js';
import { enumName, invalidArgument, message, stringMap, timeMs } from '../request-fields.js';
import { RpcError, type RpcMessage } from '../rpc.js';

const DAY_MS = 86_400_000;
/** CryptoKey.rotation_period: 24 hours to 876,000 hours. */
const ROTATION_MIN_MS = DAY_MS;
const ROTATION_MAX_MS = 876_000 * 3_600_000;
/** CryptoKey.destroy_scheduled_duration: 30 days by default; documentation: 24 hours (0 for import-only) to 120 days. */
const DESTROY_DEFAULT_MS = 30 * DAY_MS;
const DESTROY_MAX_MS = 120 * DAY_MS;
const MAX_LABELS = 64;
const LABEL_KEY = /^[\p{Ll}\p{Lo}][\p{Ll}\p{Lo}\p{N}_-]{0,62}$/u;
const LABEL_VALUE = /^[\p{Ll}\p{Lo}\p{N}_-]{0,63}$/u;

const PURPOSES: readonly string[] = [
  'ENCRYPT_DECRYPT',
  'ASYMMETRIC_SIGN',
  'ASYMMETRIC_DECRYPT',
  'RAW_ENCRYPT_DECRYPT',
  'MAC',
  'KEY_ENCAPSULATION',
] satisfies KeyPurpose[];
const isPurpose = (value: string): value is KeyPurpose => PURPOSES.includes(value);

export function readPurpose(key: RpcMessage): KeyPurpose {
  const purpose = enumName(key, 'purpose');
  if (purpose === '' || purpose === 'CRYPTO_KEY_PURPOSE_UNSPECIFIED')
    throw invalidArgument('A purpose is required.');
  // AES_WRAPPING exists for HSM_SINGLE_TENANT only.
  if (!isPurpose(purpose)) throw invalidArgument(`Keys of purpose ${purpose} cannot be created.`);
  return purpose;
}

/** Of a version template, where none means SOFTWARE. @param backend - `crypto_key_backend`, or empty. */
export function readTemplateLevel(template: RpcMessage | undefined, backend: string): ProtectionLevel {
  const level = template === undefined ? '' : enumName(template, 'protectionLevel');
  const parsed =
    level === '' || level === 'PROTECTION_LEVEL_UNSPECIFIED'
      ? 'SOFTWARE'
      : parseProtectionLevel(level, backend);
  // "Only applicable if CryptoKeyVersions have a ProtectionLevel of EXTERNAL_VPC" or HSM_SINGLE_TENANT
  // (CryptoKey.crypto_key_backend); that it is refused otherwise is unverified.
  if (backend !== '')
    throw invalidArgument(`crypto_key_backend does not apply to protection level ${parsed}.`);
  return parsed;
}

/** @throws RpcError UNIMPLEMENTED for levels whose keys live outside Cloud KMS' own HSMs, INVALID_ARGUMENT for any other. */
export function parseProtectionLevel(level: string, backend: string): ProtectionLevel {
  switch (level) {
    case 'SOFTWARE':
      return 'SOFTWARE';
    case 'HSM':
      return 'HSM';
    case 'HSM_SINGLE_TENANT':
    case 'EXTERNAL_VPC':
      if (backend === '')
        throw invalidArgument(`crypto_key_backend is required for protection level ${level}.`);
      throw notImplemented(level);
    case 'EXTERNAL':
      throw notImplemented(level);
    default:
      throw invalidArgument(`A protection level is required, got: ${level}.`);
  }
}

const notImplemented = (level: string): RpcError =>
  new RpcError('UNIMPLEMENTED', `The emulator does not implement protection level ${level}.`);

/** The algorithm of a version template: required, but for ENCRYPT_DECRYPT, which has one only. */
export function readAlgorithm(
  template: RpcMessage | undefined,
  purpose: KeyPurpose,
  level: ProtectionLevel,
): AlgorithmEntry {
  const given = template === undefined ? '' : enumName(template, 'algorithm');
  const unset = given === '' || given === 'CRYPTO_KEY_VERSION_ALGORITHM_UNSPECIFIED';
  if (unset && purpose !== 'ENCRYPT_DECRYPT')
    throw invalidArgument(`An algorithm is required for purpose ${purpose}.`);
  return requireAlgorithm(unset ? 'GOOGLE_SYMMETRIC_ENCRYPTION' : given, purpose, level);
}

/** Signing algorithms of Cloud KMS that the emulator has not, and says so. */
const UNIMPLEMENTED_SIGNING = new Set([
  'PQ_SIGN_HASH_SLH_DSA_SHA2_128S_SHA256',
  'PQ_SIGN_ML_DSA_44_EXTERNAL_MU',
  'PQ_SIGN_ML_DSA_65_EXTERNAL_MU',
  'PQ_SIGN_ML_DSA_87_EXTERNAL_MU',
]);

/** @throws RpcError INVALID_ARGUMENT for an algorithm that keys of the purpose and the level do not have. */
export function requireAlgorithm(name: string, purpose: KeyPurpose, level: ProtectionLevel): AlgorithmEntry {
  if (purpose === 'ASYMMETRIC_SIGN' && UNIMPLEMENTED_SIGNING.has(name))
    throw new RpcError('UNIMPLEMENTED', `The emulator does not implement algorithm ${name}.`);
  const entry = findAlgorithm(name);
  if (entry === undefined || entry.purpose !== purpose)
    throw invalidArgument(`Algorithm ${name} cannot be used with purpose ${purpose}.`);
  if (!entry.protectionLevels.includes(level))
    throw invalidArgument(`Algorithm ${name} is not supported with protection level ${level}.`);
  return entry;
}

/** "This field is only supported for keys with protection_level HSM_SINGLE_TENANT", of which the emulator has none. */
export function refuseTrustedWrapping(request: RpcMessage | undefined): void {
  if (request?.['trustedWrappingEnabled'] === true)
    throw invalidArgument('trusted_wrapping_enabled needs protection level HSM_SINGLE_TENANT.');
}

/** CryptoKey.key_access_justifications_policy: absent allows every reason, an empty one none. */
export function readAccessReasons(key: RpcMessage): readonly string[] | undefined {
  const policy = message(key, 'keyAccessJustificationsPolicy');
  if (policy === undefined) return undefined;
  const reasons = policy['allowedAccessReasons'];
  return Array.isArray(reasons) ? reasons.map(String) : [];
}

export function readLabels(key: RpcMessage): Record<string, string> {
  const labels = stringMap(key, 'labels');
  if (Object.keys(labels).length > MAX_LABELS)
    throw invalidArgument(`A resource can have at most ${MAX_LABELS} labels.`);
  for (const [label, value] of Object.entries(labels)) {
    if (!LABEL_KEY.test(label)) throw invalidArgument(`Invalid label key: ${JSON.stringify(label)}.`);
    if (!LABEL_VALUE.test(value))
      throw invalidArgument(`Invalid value of label ${label}: ${JSON.stringify(value)}.`);
  }
  return labels;
}

interface RotationSchedule {
  readonly periodMs: number | undefined;
  readonly nextMs: number | undefined;
}

/** @throws RpcError INVALID_ARGUMENT for a schedule that a key of that kind cannot have. */
export function checkRotation(
  schedule: RotationSchedule,
  { purpose, importOnly }: { readonly purpose: KeyPurpose; readonly importOnly: boolean },
): RotationSchedule {
  const { periodMs, nextMs } = schedule;
  if (periodMs === undefined && nextMs === undefined) return schedule;
  // A rotation would generate a version in a key that "may contain imported versions only" (unverified).
  if (importOnly) throw invalidArgument('An import-only key cannot have a rotation schedule.');
  if (purpose !== 'ENCRYPT_DECRYPT')
    throw invalidArgument(`Keys of purpose ${purpose} cannot have a rotation schedule.`);
  if (periodMs !== undefined && (periodMs < ROTATION_MIN_MS || periodMs > ROTATION_MAX_MS)) {
    throw invalidArgument('rotation_period must be between 24 hours and 876,000 hours.');
  }
  if (periodMs !== undefined && nextMs === undefined)
    throw invalidArgument('rotation_period requires next_rotation_time.');
  return schedule;
}

export const readRotation = (key: RpcMessage): RotationSchedule => ({
  periodMs: timeMs(key, 'rotationPeriod'),
  nextMs: timeMs(key, 'nextRotationTime'),
});

export function readDestroyScheduledMs(key: RpcMessage, origin: 'generated' | 'import-only'): number {
  if (message(key, 'destroyScheduledDuration') === undefined) return DESTROY_DEFAULT_MS;
  const durationMs = timeMs(key, 'destroyScheduledDuration') ?? 0;
  const minMs = origin === 'import-only' ? 0 : DAY_MS;
  if (durationMs < minMs || durationMs > DESTROY_MAX_MS) {
    throw invalidArgument(
      `destroy_scheduled_duration must be between ${minMs / 3_600_000} hours and 120 days.`,
    );
  }
  return durationMs;
}
