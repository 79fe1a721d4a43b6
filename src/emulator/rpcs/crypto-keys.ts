/** CryptoKey RPCs. */

import { randomUUID } from 'node:crypto';
import type { OperationStore } from '../operations.js';
import { pageOf } from '../paging.js';
import { invalidArgument, maskPaths, message, text, viewOf } from '../request-fields.js';
import { type CryptoKey, cryptoKeyMessage, retiredResourceMessage } from '../resources/entities.js';
import { type KeyStore, wrongState } from '../resources/key-store.js';
import {
  locationOf,
  requireId,
  requireKeyRing,
  requireLocation,
  requireRetiredResource,
} from '../resources/names.js';
import { RpcError, type RpcMessage, type ServiceHandlers } from '../rpc.js';
import {
  checkRotation,
  readAccessReasons,
  readAlgorithm,
  readDestroyScheduledMs,
  readLabels,
  readPurpose,
  readRotation,
  readTemplateLevel,
  refuseTrustedWrapping,
} from './crypto-key-fields.js';

export function cryptoKeyHandlers(store: KeyStore, operations: OperationStore): ServiceHandlers {
  return {
    CreateCryptoKey: (request) => create(store, request),
    GetCryptoKey: async (request) => cryptoKeyMessage(await store.cryptoKey(text(request, 'name'))),
    ListCryptoKeys: async (request) => {
      const parent = text(request, 'parent');
      store.keyRing(parent);
      const names = [...store.cryptoKeys.keys()]
        .filter((name) => name.startsWith(`${parent}/cryptoKeys/`))
        .sort();
      const keys: RpcMessage[] = [];
      for (const name of names)
        keys.push(cryptoKeyMessage(await store.cryptoKey(name), viewOf(request, 'versionView')));
      const page = pageOf(keys, request);
      return { cryptoKeys: page.items, nextPageToken: page.nextPageToken, totalSize: page.totalSize };
    },
    UpdateCryptoKey: (request) => update(store, request),
    UpdateCryptoKeyPrimaryVersion: (request) => setPrimary(store, request),
    DeleteCryptoKey: async (request) => {
      const key = await store.cryptoKey(text(request, 'name'));
      if (key.versions.size > 0)
        throw new RpcError('FAILED_PRECONDITION', `CryptoKey ${key.name} still has versions.`);
      if (key.nextRotationMs !== undefined)
        throw new RpcError('FAILED_PRECONDITION', `CryptoKey ${key.name} has a scheduled rotation.`);
      const location = locationOf(key.name);
      const retired = {
        name: `${location}/retiredResources/${randomUUID()}`,
        originalResource: key.name,
        resourceType: 'cloudkms.googleapis.com/CryptoKey',
        deleteMs: store.clock.now(),
      };
      store.cryptoKeys.delete(key.name);
      store.retired.set(key.name, retired);
      return operations.create({
        location,
        metadataType: 'google.cloud.kms.v1.DeleteCryptoKeyMetadata',
        metadata: { retiredResource: retired.name },
        responseType: 'google.protobuf.Empty',
        response: {},
      });
    },
    ListRetiredResources: (request) => {
      const prefix = `${requireLocation(text(request, 'parent'))}/retiredResources/`;
      const found = [...store.retired.values()]
        .filter(({ name }) => name.startsWith(prefix))
        .sort((a, b) => (a.name < b.name ? -1 : 1));
      const page = pageOf(found.map(retiredResourceMessage), request);
      return { retiredResources: page.items, nextPageToken: page.nextPageToken, totalSize: page.totalSize };
    },
    GetRetiredResource: (request) => {
      const name = requireRetiredResource(text(request, 'name'));
      const found = [...store.retired.values()].find((retired) => retired.name === name);
      if (found === undefined) throw new RpcError('NOT_FOUND', `RetiredResource ${name} not found.`);
      return retiredResourceMessage(found);
    },
  };
}

async function create(store: KeyStore, request: RpcMessage): Promise<RpcMessage> {
  const parent = requireKeyRing(text(request, 'parent'));
  const name = `${parent}/cryptoKeys/${requireId(text(request, 'cryptoKeyId'), 'crypto_key_id')}`;
  store.keyRing(parent);
  const body = message(request, 'cryptoKey');
  if (body === undefined) throw invalidArgument('crypto_key is required.');
  const purpose = readPurpose(body);
  const template = message(body, 'versionTemplate');
  const protectionLevel = readTemplateLevel(template, text(body, 'cryptoKeyBackend'));
  const algorithm = readAlgorithm(template, purpose, protectionLevel);
  const importOnly = body['importOnly'] === true;
  const rotation = checkRotation(readRotation(body), { purpose, importOnly });
  const labels = readLabels(body);
  refuseTrustedWrapping(request);
  const skipVersion = request['skipInitialVersionCreation'] === true;
  if (importOnly && !skipVersion)
    throw invalidArgument('An import-only key must be created with skip_initial_version_creation.');
  const destroyScheduledMs = readDestroyScheduledMs(body, importOnly ? 'import-only' : 'generated');
  const key: CryptoKey = {
    name,
    id: randomUUID(),
    purpose,
    protectionLevel,
    algorithm,
    createMs: store.clock.now(),
    importOnly,
    destroyScheduledMs,
    labels,
    allowedAccessReasons: readAccessReasons(body),
    rotationPeriodMs: rotation.periodMs,
    nextRotationMs: rotation.nextMs,
    primary: undefined,
    versions: new Map(),
    lastNumber: 0,
  };
  await store.addKey(key, { withVersion: !skipVersion });
  return cryptoKeyMessage(key);
}

async function update(store: KeyStore, request: RpcMessage): Promise<RpcMessage> {
  const body = message(request, 'cryptoKey');
  if (body === undefined) throw invalidArgument('crypto_key is required.');
  const key = await store.cryptoKey(text(body, 'name'));
  const paths = maskPaths(request, 'updateMask');
  if (paths.length === 0) throw invalidArgument('update_mask is required.');
  let { labels, algorithm, allowedAccessReasons } = key;
  let rotation = { periodMs: key.rotationPeriodMs, nextMs: key.nextRotationMs };
  const given = readRotation(body);
  for (const path of paths) {
    switch (path) {
      case 'labels':
        labels = readLabels(body);
        break;
      case 'key_access_justifications_policy':
      case 'key_access_justifications_policy.allowed_access_reasons':
        allowedAccessReasons = readAccessReasons(body);
        break;
      case 'rotation_period':
        rotation = { ...rotation, periodMs: given.periodMs };
        break;
      case 'next_rotation_time':
        rotation = { ...rotation, nextMs: given.nextMs };
        break;
      case 'version_template':
      case 'version_template.algorithm': {
        const template = message(body, 'versionTemplate');
        const level = template === undefined ? '' : text(template, 'protectionLevel');
        if (
          path === 'version_template' &&
          level !== '' &&
          level !== 'PROTECTION_LEVEL_UNSPECIFIED' &&
          level !== key.protectionLevel
        ) {
          throw invalidArgument('version_template.protection_level is immutable.');
        }
        algorithm = readAlgorithm(template, key.purpose, key.protectionLevel);
        break;
      }
      default:
        throw invalidArgument(`Field ${JSON.stringify(path.slice(0, 100))} cannot be updated.`);
    }
  }
  checkRotation(rotation, key);
  key.labels = labels;
  key.allowedAccessReasons = allowedAccessReasons;
  key.algorithm = algorithm;
  key.rotationPeriodMs = rotation.periodMs;
  key.nextRotationMs = rotation.nextMs;
  return cryptoKeyMessage(key);
}

async function setPrimary(store: KeyStore, request: RpcMessage): Promise<RpcMessage> {
  const key = await store.cryptoKey(text(request, 'name'));
  const id = text(request, 'cryptoKeyVersionId');
  if (key.purpose !== 'ENCRYPT_DECRYPT') {
    throw new RpcError(
      'FAILED_PRECONDITION',
      `CryptoKey ${key.name} is of purpose ${key.purpose}: only ENCRYPT_DECRYPT keys have a primary version.`,
    );
  }
  if (!/^[0-9]{1,15}$/.test(id))
    throw invalidArgument(`Invalid crypto_key_version_id: ${JSON.stringify(id)}.`);
  const { version } = await store.version(`${key.name}/cryptoKeyVersions/${id}`);
  // "a version which is not enabled can be made the primary version" (documentation, Key states). One that never had
  // material is refused, which is unverified.
  if (version.material === undefined && version.state !== 'DESTROYED') throw wrongState(version);
  key.primary = version.number;
  return cryptoKeyMessage(key);
}
