/** Creates keys so that any number of processes may do it at once: the first one's key is adopted by the others. */

import { UnsupportedAlgorithmError } from '../errors/input.js';
import { NoUsableVersionError } from '../errors/keys.js';
import type { KeyMetadata } from '../keys/key-provider.js';
import { type CheckedKeySpec, requireSameSpec } from '../provider/key-spec.js';
import type { Operation } from '../provider/operation.js';
import { generateMaterial, softwareAlgorithmsOf } from './key-material.js';
import {
  addressOf,
  currentVersion,
  type NamedKey,
  newVersion,
  PROTECTION_LEVEL,
  toKeyMetadata,
} from './key-records.js';
import type { SoftwareCore } from './software-calls.js';
import type { StoreTransaction } from './store/key-store.js';
import { changeKey, findIn } from './stored-keys.js';

/** @throws UnsupportedAlgorithmError for a level that software keys do not have; it is never lowered silently. */
function requireSoftwareLevel(operation: Operation, spec: CheckedKeySpec): void {
  if (spec.protectionLevel === PROTECTION_LEVEL) return;
  throw new UnsupportedAlgorithmError(
    operation.context(),
    `a key of protection level ${spec.protectionLevel} was asked for (the default is HSM), and this provider has software keys only; ask for protectionLevel: 'SOFTWARE' by name, or use a KMSClient (in an A2AKeyExchange: ENABLE_HSM_KEYS).`,
    softwareAlgorithmsOf(spec.purpose),
  );
}

/** Creates the key, or adopts the one that exists. */
export async function ensureKey(
  core: SoftwareCore,
  operation: Operation,
  spec: CheckedKeySpec,
): Promise<KeyMetadata> {
  requireSoftwareLevel(operation, spec);
  const exists = core.store.read(operation.context(), (view) => findIn(view, spec.key) !== undefined);
  if (!exists) await createKey(core, operation, spec);
  return changeKey(core, operation, spec.key, ({ key }) => adopt(operation, key, spec));
}

async function createKey(core: SoftwareCore, operation: Operation, spec: CheckedKeySpec): Promise<void> {
  const material = await generateMaterial(operation, spec.algorithm);
  try {
    await core.store.transact(operation.context(), (transaction) => {
      operation.throwIfEnded();
      // Another process was first.
      if (findIn(transaction, spec.key) !== undefined) return;
      putNewKey(transaction, { spec, material, nowMs: core.clock.now() });
    });
  } finally {
    material.secret.fill(0);
  }
}

function putNewKey(
  transaction: StoreTransaction,
  made: {
    readonly spec: CheckedKeySpec;
    readonly material: Awaited<ReturnType<typeof generateMaterial>>;
    readonly nowMs: number;
  },
): void {
  const { spec, material, nowMs } = made;
  const { algorithm, publicKeyPem, secret } = material;
  const version = newVersion({ versions: [] }, { algorithm, publicKeyPem, nowMs });
  const key: NamedKey = {
    name: spec.key,
    purpose: spec.purpose,
    algorithm,
    labels: { ...spec.labels },
    createTimeMs: nowMs,
    destroyScheduledDurationSeconds: spec.destroyScheduledDurationSeconds,
    ...(spec.purpose === 'ENCRYPT_DECRYPT' && { primary: version.number }),
    versions: [version],
  };
  transaction.putKey(key);
  transaction.putMaterial(addressOf(key, version), secret);
}

/** A rotation may have moved the key to another algorithm: what counts is the version in use. */
function adopt(operation: Operation, key: NamedKey, spec: CheckedKeySpec): KeyMetadata {
  const algorithm =
    key.purpose === 'ENCRYPT_DECRYPT' ? key.algorithm : (currentVersion(key)?.algorithm ?? key.algorithm);
  requireSameSpec(operation.context(), { ...key, algorithm, protectionLevel: PROTECTION_LEVEL }, spec);
  if (currentVersion(key)?.state !== 'ENABLED') {
    throw new NoUsableVersionError(
      operation.context(),
      'the key exists, and it has no version that is ENABLED to be the one in use.',
    );
  }
  return toKeyMetadata(key);
}
