/**
 * Makes a new version and uses it. Symmetric keys have a primary in Cloud KMS; for the others the version in use is
 * written into a label, which has no compare-and-swap: it is written, read back, and the higher version wins.
 */

import { InvalidArgumentError, KeyGenerationFailedError } from '../errors.js';
import type { CryptoKeyName } from '../keys/resource-name.js';
import type { KmsCore } from './core.js';
import { awaitGeneration, createVersion } from './key-creation.js';
import type { Operation } from './operation.js';
import type { KeyRecord } from './resources.js';
import { type KeySnapshot, PRIMARY_LABEL } from './version-resolver.js';

export async function rotate(core: KmsCore, operation: Operation, name: CryptoKeyName): Promise<KeySnapshot> {
  const key = await core.reader.getKey(operation, name);
  const before = await core.reader.listVersions(operation, name);
  const created = await createVersion(core, operation, name, before);
  const version = await awaitGeneration(core, operation, name, created);
  if (version.metadata.state !== 'ENABLED') {
    throw new KeyGenerationFailedError(operation.context(), `the new version is ${version.metadata.state}`);
  }
  if (key.purpose === 'ENCRYPT_DECRYPT') {
    await core.caller.call(operation, {
      rpc: 'updateCryptoKeyPrimaryVersion',
      request: { name, cryptoKeyVersionId: String(version.number) },
      routeBy: ['name', name],
    });
  } else {
    await movePointer(core, operation, key, version.number);
  }
  return core.resolver.refresh(operation, name);
}

/** Times the pointer is written again when another process wrote the labels in between. */
const MAX_POINTER_WRITES = 5;

async function movePointer(
  core: KmsCore,
  operation: Operation,
  key: KeyRecord,
  number: number,
): Promise<void> {
  let current = key;
  for (let write = 0; write < MAX_POINTER_WRITES; write++) {
    const pointer = current.labels[PRIMARY_LABEL];
    // A rotation by another process that got further ahead stays as it is.
    if (pointer !== undefined && /^[0-9]+$/.test(pointer) && Number(pointer) >= number) return;
    await core.caller.call(operation, {
      rpc: 'updateCryptoKey',
      request: {
        cryptoKey: { name: key.name, labels: { ...current.labels, [PRIMARY_LABEL]: String(number) } },
        updateMask: { paths: ['labels'] },
      },
      routeBy: ['crypto_key.name', key.name],
    });
    current = await core.reader.getKey(operation, key.name);
  }
  throw new InvalidArgumentError(
    operation.context(),
    `another process keeps changing the labels of the key; version ${number} exists and is not in use.`,
  );
}
