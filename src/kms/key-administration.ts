/** The methods of `KMSClient` that make, change, end and list keys, behind the class that documents them. */

import type {
  CallOptions,
  DestroyOptions,
  ListKeysOptions,
  RestoreOptions,
  RetireOptions,
  RotationOptions,
} from '../keys/call-options.js';
import type {
  DestructionResult,
  KeyMetadata,
  KeySpec,
  KeyVersionMetadata,
  RetirementResult,
  RotationResult,
  RotationSchedule,
} from '../keys/key-provider.js';
import type { CryptoKeyName } from '../keys/resource-name.js';
import { DEFAULT_GRACE_SECONDS } from '../keys/retirement-plan.js';
import {
  changedLabels,
  destroyAfterSeconds,
  destroyOptions,
  labelChanges,
  listKeysOptions,
  parseInput,
  parseOptions,
  requireBytes,
  restoreOptions,
  retireOptions,
  rotationOptions,
  rotationSchedule,
} from '../provider/call-input.js';
import { type CheckedKeySpec, checkKeySpec } from '../provider/key-spec.js';
import type { Operation } from '../provider/operation.js';
import type { RotationWish } from '../provider/rotation-input.js';
import { type ClientCalls, contextOf, nameOf } from './client-calls.js';
import type { KmsCore } from './core.js';
import { destroy } from './destruction.js';
import { checkPrivateKey, ensureImported, ensureImportedVersion, type ImportMaterial } from './import.js';
import { ensureKey } from './key-creation.js';
import { changeLabels } from './labels.js';
import { setPrimary } from './primary.js';
import { toKeyMetadata } from './resources.js';
import { restore } from './restoration.js';
import { retire } from './retirement.js';
import { activate, prepare, rotate } from './rotation.js';
import { setSchedule } from './rotation-schedule.js';
import type { KeySnapshot } from './version-resolver.js';

export async function generateKey(
  calls: ClientCalls,
  spec: KeySpec,
  options: CallOptions | undefined,
): Promise<KeyMetadata> {
  const { core } = calls;
  const checked = checkKeySpec(spec, core.keyRing, contextOf('generateKey', core.keyRing));
  const operation = calls.openForGeneration('generateKey', checked.key, options);
  return operation.run(async () => toMetadata(await ensureKey(core, operation, checked)));
}

interface PrivateKeyToImport {
  readonly spec: KeySpec;
  readonly pkcs8: Uint8Array;
}

export async function importKey(
  calls: ClientCalls,
  given: PrivateKeyToImport,
  options: CallOptions | undefined,
): Promise<KeyMetadata> {
  const { core } = calls;
  const { spec, material } = checkImport(core, 'importKey', given);
  const operation = calls.openForGeneration('importKey', spec.key, options);
  return operation.run(async () => toMetadata(await ensureImported(core, operation, spec, material)));
}

export async function importKeyVersion(
  calls: ClientCalls,
  given: PrivateKeyToImport,
  options: CallOptions | undefined,
): Promise<KeyVersionMetadata> {
  const { core } = calls;
  const { spec, material } = checkImport(core, 'importKeyVersion', given);
  const operation = calls.openForGeneration('importKeyVersion', spec.key, options);
  return operation.run(async () => (await ensureImportedVersion(core, operation, spec, material)).metadata);
}

function checkImport(
  core: KmsCore,
  method: string,
  given: PrivateKeyToImport,
): { readonly spec: CheckedKeySpec; readonly material: ImportMaterial } {
  const context = contextOf(method, core.keyRing);
  const spec = checkKeySpec(given.spec, core.keyRing, context);
  const pkcs8 = requireBytes(context, 'pkcs8', given.pkcs8);
  return { spec, material: checkPrivateKey(spec, pkcs8, { ...context, resource: spec.key }) };
}

const ROTATION_STEPS = {
  rotateKey: rotate,
  prepareRotation: prepare,
  activateRotation: activate,
} as const satisfies Record<
  string,
  (core: KmsCore, operation: Operation, name: CryptoKeyName, wish: RotationWish) => Promise<RotationResult>
>;

export async function rotationStep(
  calls: ClientCalls,
  step: keyof typeof ROTATION_STEPS,
  keyId: string,
  options: RotationOptions | undefined,
): Promise<RotationResult> {
  const name = calls.wholeKey(step, keyId);
  const { algorithm, replacing, ...rest } = parseOptions(contextOf(step, keyId), rotationOptions, options);
  const operation = calls.openForGeneration(step, name, rest);
  return operation.run(() => ROTATION_STEPS[step](calls.core, operation, name, { algorithm, replacing }));
}

export async function retireVersions(
  calls: ClientCalls,
  keyId: string,
  options: RetireOptions | undefined,
): Promise<RetirementResult> {
  const name = calls.wholeKey('retire', keyId);
  const parsed = parseOptions(contextOf('retire', keyId), retireOptions, options);
  const { graceSeconds = DEFAULT_GRACE_SECONDS, retireAfterSeconds, keepVersions, ...rest } = parsed;
  const operation = calls.open('retire', name, rest);
  const wish = { graceSeconds, retireAfterSeconds, keepVersions };
  return operation.run(() => retire(calls.core, operation, name, wish));
}

export async function setPrimaryVersion(
  calls: ClientCalls,
  keyId: string,
  version: number | string,
  options: CallOptions | undefined,
): Promise<KeyMetadata> {
  const name = calls.wholeKey('setPrimaryVersion', keyId);
  const operation = calls.open('setPrimaryVersion', name, options);
  return operation.run(async () => toMetadata(await setPrimary(calls.core, operation, name, version)));
}

export async function setRotationSchedule(
  calls: ClientCalls,
  keyId: string,
  schedule: RotationSchedule | null,
  options: CallOptions | undefined,
): Promise<KeyMetadata> {
  const name = calls.wholeKey('setRotationSchedule', keyId);
  const context = contextOf('setRotationSchedule', keyId);
  const parsed = parseInput(context, rotationSchedule, { name: 'schedule', value: schedule });
  const operation = calls.open('setRotationSchedule', name, options);
  return operation.run(async () => toMetadata(await setSchedule(calls.core, operation, name, parsed)));
}

export async function updateLabels(
  calls: ClientCalls,
  keyId: string,
  changes: Readonly<Record<string, string | null>>,
  options: CallOptions | undefined,
): Promise<KeyMetadata> {
  const name = calls.wholeKey('updateLabels', keyId);
  const context = contextOf('updateLabels', keyId);
  const parsed = parseInput(context, labelChanges, { name: 'changes', value: changes });
  const operation = calls.open('updateLabels', name, options);
  return operation.run(async () => {
    await changeLabels(calls.core, operation, name, ({ labels }) =>
      changedLabels(operation.context(), labels, parsed),
    );
    return toMetadata(await calls.core.resolver.refresh(operation, name));
  });
}

export async function destroyKey(
  calls: ClientCalls,
  keyId: string,
  destroyAfter: number | undefined,
  options: DestroyOptions | undefined,
): Promise<DestructionResult> {
  const context = contextOf('destroyKey', keyId);
  const reference = calls.reference('destroyKey', keyId);
  const afterSeconds = parseInput(context, destroyAfterSeconds, {
    name: 'destroyAfter',
    value: destroyAfter,
  });
  const { force, ...rest } = parseOptions(context, destroyOptions, options);
  const operation = calls.open('destroyKey', nameOf(reference), rest);
  return operation.run(() =>
    destroy(calls.core, operation, reference, {
      destroyAfterSeconds: afterSeconds,
      mode: force ? 'force' : 'careful',
    }),
  );
}

export async function restoreKey(
  calls: ClientCalls,
  keyId: string,
  options: RestoreOptions | undefined,
): Promise<KeyMetadata> {
  const reference = calls.reference('restoreKey', keyId);
  const { state, ...rest } = parseOptions(contextOf('restoreKey', keyId), restoreOptions, options);
  const operation = calls.open('restoreKey', nameOf(reference), rest);
  return operation.run(async () => {
    await restore(calls.core, operation, reference, state);
    return toMetadata(await calls.core.resolver.refresh(operation, reference.key));
  });
}

export async function getKey(
  calls: ClientCalls,
  keyId: string,
  options: CallOptions | undefined,
): Promise<KeyMetadata> {
  const { key } = calls.reference('getKey', keyId);
  const operation = calls.open('getKey', key, options);
  return operation.run(async () => toMetadata(await calls.core.resolver.refresh(operation, key)));
}

export async function listKeys(
  calls: ClientCalls,
  options: ListKeysOptions | undefined,
): Promise<readonly KeyMetadata[]> {
  const { keyRing, reader } = calls.core;
  const { labels = {}, ...rest } = parseOptions(contextOf('listKeys', keyRing), listKeysOptions, options);
  const filter = Object.entries(labels)
    .map(([label, value]) => `labels.${label}=${JSON.stringify(value)}`)
    .join(' AND ');
  const operation = calls.open('listKeys', keyRing, rest);
  const keys = await operation.run(() => reader.listKeys(operation, keyRing, filter));
  return keys.map((key) => toKeyMetadata(key, key.primary));
}

export async function listKeyVersions(
  calls: ClientCalls,
  keyId: string,
  options: CallOptions | undefined,
): Promise<readonly KeyVersionMetadata[]> {
  const { key } = calls.reference('listKeyVersions', keyId);
  const operation = calls.open('listKeyVersions', key, options);
  const versions = await operation.run(() => calls.core.reader.listVersions(operation, key));
  return versions.map((version) => version.metadata);
}

const toMetadata = ({ key, current }: KeySnapshot): KeyMetadata => toKeyMetadata(key, current);
