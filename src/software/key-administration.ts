/** The methods of `SoftwareKeyProvider` that make, change, end and list keys, behind the class that documents them. */

import { setImmediate } from 'node:timers/promises';
import { isStoreSecret, type StoreSecret } from '../config/software-config.js';
import { InvalidArgumentError } from '../errors/input.js';
import { StoredKeyDamagedError } from '../errors/storage.js';
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
  restoreOptions,
  retireOptions,
  rotationOptions,
  rotationSchedule,
} from '../provider/call-input.js';
import { checkKeySpec, labelsSchema } from '../provider/key-spec.js';
import type { Operation } from '../provider/operation.js';
import { destroy, purge, restore } from './destruction.js';
import { ensureKey } from './key-creation.js';
import { nameInRing, toKeyMetadata, toVersionMetadata } from './key-records.js';
import { retire } from './retirement.js';
import { type RotationStep, rotate, setPrimary, setSchedule } from './rotation.js';
import { contextOf, nameOf, type SoftwareCalls, type SoftwareCore } from './software-calls.js';
import { changeKey, readKey } from './stored-keys.js';

export async function initialize(calls: SoftwareCalls, options: CallOptions | undefined): Promise<void> {
  const { core } = calls;
  await calls.run({ name: 'initialize', resource: core.keyRing, options }, async (operation) => {
    for await (const name of keyNames(core, operation)) {
      try {
        await readKey(core, operation, name);
      } catch (error) {
        if (!(error instanceof StoredKeyDamagedError)) throw error;
        core.logger.error(
          { event: 'stored-key-damaged', damaged: error.damaged },
          'a record of the store of software keys is damaged; the other keys work',
        );
      }
    }
  });
}

export async function generateKey(
  calls: SoftwareCalls,
  spec: KeySpec,
  options: CallOptions | undefined,
): Promise<KeyMetadata> {
  const { core } = calls;
  const checked = checkKeySpec(spec, core.keyRing, contextOf('generateKey', core.keyRing));
  return calls.run(
    { name: 'generateKey', resource: checked.key, options, takes: 'generation' },
    (operation) => ensureKey(core, operation, checked),
  );
}

const ROTATION_STEPS = {
  rotateKey: 'rotate',
  prepareRotation: 'prepare',
  activateRotation: 'activate',
} as const satisfies Record<string, RotationStep>;

export async function rotationStep(
  calls: SoftwareCalls,
  method: keyof typeof ROTATION_STEPS,
  keyId: string,
  options: RotationOptions | undefined,
): Promise<RotationResult> {
  const name = calls.wholeKey(method, keyId);
  const parsed = parseOptions(contextOf(method, keyId), rotationOptions, options);
  const { algorithm, replacing, ...rest } = parsed;
  const rotation = { name, step: ROTATION_STEPS[method], wish: { algorithm, replacing } };
  return calls.run({ name: method, resource: name, options: rest, takes: 'generation' }, (operation) =>
    rotate(calls.core, operation, rotation),
  );
}

export async function retireVersions(
  calls: SoftwareCalls,
  keyId: string,
  options: RetireOptions | undefined,
): Promise<RetirementResult> {
  const name = calls.wholeKey('retire', keyId);
  const parsed = parseOptions(contextOf('retire', keyId), retireOptions, options);
  const { graceSeconds = DEFAULT_GRACE_SECONDS, retireAfterSeconds, keepVersions, ...rest } = parsed;
  const wish = { graceSeconds, retireAfterSeconds, keepVersions };
  return calls.run({ name: 'retire', resource: name, options: rest }, (operation) =>
    retire(calls.core, operation, name, wish),
  );
}

export async function setPrimaryVersion(
  calls: SoftwareCalls,
  keyId: string,
  version: number | string,
  options: CallOptions | undefined,
): Promise<KeyMetadata> {
  const name = calls.wholeKey('setPrimaryVersion', keyId);
  return calls.run({ name: 'setPrimaryVersion', resource: name, options }, (operation) =>
    setPrimary(calls.core, operation, name, version),
  );
}

export async function setRotationSchedule(
  calls: SoftwareCalls,
  keyId: string,
  schedule: RotationSchedule | null,
  options: CallOptions | undefined,
): Promise<KeyMetadata> {
  const name = calls.wholeKey('setRotationSchedule', keyId);
  const context = contextOf('setRotationSchedule', keyId);
  const parsed = parseInput(context, rotationSchedule, { name: 'schedule', value: schedule });
  return calls.run({ name: 'setRotationSchedule', resource: name, options }, (operation) =>
    setSchedule(calls.core, operation, name, parsed),
  );
}

export async function updateLabels(
  calls: SoftwareCalls,
  keyId: string,
  changes: Readonly<Record<string, string | null>>,
  options: CallOptions | undefined,
): Promise<KeyMetadata> {
  const name = calls.wholeKey('updateLabels', keyId);
  const context = contextOf('updateLabels', keyId);
  const parsed = parseInput(context, labelChanges, { name: 'changes', value: changes });
  return calls.run({ name: 'updateLabels', resource: name, options }, (operation) =>
    changeKey(calls.core, operation, name, ({ transaction, key }) => {
      const value = changedLabels(operation.context(), key.labels, parsed);
      const labels = parseInput(operation.context(), labelsSchema, { name: 'changes', value });
      const changed = { ...key, labels };
      transaction.putKey(changed);
      return toKeyMetadata(changed);
    }),
  );
}

export async function destroyKey(
  calls: SoftwareCalls,
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
  const mode = force ? 'force' : 'careful';
  return calls.run({ name: 'destroyKey', resource: nameOf(reference), options: rest }, (operation) =>
    destroy(calls.core, operation, reference, { destroyAfterSeconds: afterSeconds, mode }),
  );
}

export async function restoreKey(
  calls: SoftwareCalls,
  keyId: string,
  options: RestoreOptions | undefined,
): Promise<KeyMetadata> {
  const reference = calls.reference('restoreKey', keyId);
  const { state, ...rest } = parseOptions(contextOf('restoreKey', keyId), restoreOptions, options);
  return calls.run({ name: 'restoreKey', resource: nameOf(reference), options: rest }, (operation) =>
    restore(calls.core, operation, reference, state),
  );
}

export async function purgeKeyVersion(
  calls: SoftwareCalls,
  keyVersion: string,
  options: CallOptions | undefined,
): Promise<KeyVersionMetadata> {
  const target = calls.oneVersion('purgeKeyVersion', keyVersion);
  return calls.run({ name: 'purgeKeyVersion', resource: target.version.name, options }, (operation) =>
    purge(calls.core, operation, target),
  );
}

export async function getKey(
  calls: SoftwareCalls,
  keyId: string,
  options: CallOptions | undefined,
): Promise<KeyMetadata> {
  const { key } = calls.reference('getKey', keyId);
  return calls.run({ name: 'getKey', resource: key, options }, async (operation) =>
    toKeyMetadata(await readKey(calls.core, operation, key)),
  );
}

export async function listKeys(
  calls: SoftwareCalls,
  options: ListKeysOptions | undefined,
): Promise<readonly KeyMetadata[]> {
  const { core } = calls;
  const context = contextOf('listKeys', core.keyRing);
  const { labels = {}, ...rest } = parseOptions(context, listKeysOptions, options);
  const wanted = Object.entries(labels);
  return calls.run({ name: 'listKeys', resource: core.keyRing, options: rest }, async (operation) => {
    const found: KeyMetadata[] = [];
    for await (const name of keyNames(core, operation)) {
      const key = toKeyMetadata(await readKey(core, operation, name));
      if (wanted.every(([label, value]) => key.labels[label] === value)) found.push(key);
    }
    return found;
  });
}

export async function listKeyVersions(
  calls: SoftwareCalls,
  keyId: string,
  options: CallOptions | undefined,
): Promise<readonly KeyVersionMetadata[]> {
  const { key } = calls.reference('listKeyVersions', keyId);
  return calls.run({ name: 'listKeyVersions', resource: key, options }, async (operation) => {
    const found = await readKey(calls.core, operation, key);
    return found.versions.map((version) => toVersionMetadata(found, version));
  });
}

export async function rotateStoreKey(
  calls: SoftwareCalls,
  newSecret: StoreSecret,
  options: CallOptions | undefined,
): Promise<void> {
  const { core } = calls;
  const context = contextOf('rotateStoreKey', core.keyRing);
  if (!isStoreSecret(newSecret)) {
    throw new InvalidArgumentError(
      context,
      'newSecret is { passphrase } of 8 to 1,024 characters or { key } of 32 bytes.',
    );
  }
  await calls.run(
    { name: 'rotateStoreKey', resource: core.keyRing, options, takes: 'generation' },
    async (operation) => {
      const damaged = await core.store.rotateStoreKey(operation.context(), newSecret);
      core.logger.info({ event: 'software-key-store-rotated' }, 'the store of software keys has a new key');
      if (damaged.length > 0) {
        core.logger.error(
          { event: 'stored-key-damaged', damaged },
          'records of the store of software keys are damaged and stayed as they are',
        );
      }
    },
  );
}

/** The store is read on the event loop, some milliseconds for so many keys. */
const KEYS_PER_TURN = 200;

/** The names of all keys; between some of them others have their turn, and the end of the operation is noticed. */
async function* keyNames(core: SoftwareCore, operation: Operation): AsyncGenerator<CryptoKeyName> {
  const names = core.store.read(operation.context(), (view) => view.keyNames(`${core.keyRing}/cryptoKeys/`));
  for (const [index, name] of names.entries()) {
    if (index % KEYS_PER_TURN === KEYS_PER_TURN - 1) {
      await setImmediate();
      operation.throwIfEnded();
    }
    yield nameInRing(core.keyRing, name);
  }
}
