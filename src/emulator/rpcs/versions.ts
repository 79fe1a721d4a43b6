/** CryptoKeyVersion RPCs: making, reading, changing and ending versions. */

import { encodePublicKey, publicKeyPem } from '../crypto/public-key.js';
import type { OperationStore } from '../operations.js';
import { pageOf } from '../paging.js';
import { checksumValue, invalidArgument, maskPaths, message, text, viewOf } from '../request-fields.js';
import { type Version, versionMessage } from '../resources/entities.js';
import { type KeyStore, usableMaterial, wrongState } from '../resources/key-store.js';
import { locationOf } from '../resources/names.js';
import { RpcError, type RpcMessage, type ServiceHandlers } from '../rpc.js';
import { refuseTrustedWrapping } from './crypto-key-fields.js';

export function versionHandlers(store: KeyStore, operations: OperationStore): ServiceHandlers {
  return {
    CreateCryptoKeyVersion: async (request) => {
      const key = await store.cryptoKey(text(request, 'parent'));
      if (key.importOnly) throw new RpcError('FAILED_PRECONDITION', `CryptoKey ${key.name} is import-only.`);
      refuseTrustedWrapping(message(request, 'cryptoKeyVersion'));
      return versionMessage(await store.addVersion(key));
    },
    GetCryptoKeyVersion: async (request) =>
      versionMessage((await store.version(text(request, 'name'))).version),
    ListCryptoKeyVersions: async (request) => {
      const key = await store.cryptoKey(text(request, 'parent'));
      const versions: RpcMessage[] = [];
      for (const version of [...key.versions.values()].sort((a, b) => a.number - b.number)) {
        await store.settle(version);
        versions.push(versionMessage(version, viewOf(request, 'view')));
      }
      const page = pageOf(versions, request);
      return { cryptoKeyVersions: page.items, nextPageToken: page.nextPageToken, totalSize: page.totalSize };
    },
    UpdateCryptoKeyVersion: (request) => update(store, request),
    DestroyCryptoKeyVersion: async (request) => {
      const { key, version } = await store.version(text(request, 'name'));
      if (version.state !== 'ENABLED' && version.state !== 'DISABLED') throw wrongState(version);
      version.state = 'DESTROY_SCHEDULED';
      version.destroyMs = store.clock.now() + key.destroyScheduledMs;
      await store.settle(version);
      return versionMessage(version);
    },
    RestoreCryptoKeyVersion: async (request) => {
      const { version } = await store.version(text(request, 'name'));
      if (version.state !== 'DESTROY_SCHEDULED') throw wrongState(version);
      version.state = 'DISABLED';
      version.destroyMs = undefined;
      return versionMessage(version);
    },
    DeleteCryptoKeyVersion: async (request) => {
      const { key, version } = await store.version(text(request, 'name'));
      const deletable =
        version.state === 'DESTROYED' ||
        version.state === 'IMPORT_FAILED' ||
        version.state === 'GENERATION_FAILED';
      if (!deletable) throw wrongState(version);
      // "Successfully imported CryptoKeyVersions cannot be deleted at this time" (service.proto).
      if (version.imported?.timeMs !== undefined) {
        throw new RpcError('FAILED_PRECONDITION', `${version.name} was imported and cannot be deleted.`);
      }
      key.versions.delete(version.number);
      if (key.primary === version.number) key.primary = undefined;
      return operations.create({
        location: locationOf(key.name),
        metadataType: 'google.cloud.kms.v1.DeleteCryptoKeyVersionMetadata',
        metadata: {},
        responseType: 'google.protobuf.Empty',
        response: {},
      });
    },
    GetPublicKey: (request) => getPublicKey(store, request),
  };
}

async function update(store: KeyStore, request: RpcMessage): Promise<RpcMessage> {
  const body = message(request, 'cryptoKeyVersion');
  if (body === undefined) throw invalidArgument('crypto_key_version is required.');
  const { version } = await store.version(text(body, 'name'));
  const paths = maskPaths(request, 'updateMask');
  if (paths.length !== 1 || paths[0] !== 'state')
    throw invalidArgument('update_mask must be exactly: state.');
  const state = text(body, 'state');
  if (state !== 'ENABLED' && state !== 'DISABLED')
    throw invalidArgument(`state can be set to ENABLED or DISABLED only, not ${state}.`);
  if (version.state !== 'ENABLED' && version.state !== 'DISABLED') throw wrongState(version);
  version.state = state;
  return versionMessage(version);
}

const FORMATS = ['PEM', 'DER', 'NIST_PQC', 'XWING_RAW_BYTES'] as const;

async function getPublicKey(store: KeyStore, request: RpcMessage): Promise<RpcMessage> {
  const { key, version } = await store.version(text(request, 'name'));
  if (
    key.purpose !== 'ASYMMETRIC_SIGN' &&
    key.purpose !== 'ASYMMETRIC_DECRYPT' &&
    key.purpose !== 'KEY_ENCAPSULATION'
  ) {
    throw new RpcError(
      'FAILED_PRECONDITION',
      `${version.name} has no public key: its purpose is ${key.purpose}.`,
    );
  }
  const material = usableMaterial(version);
  const given = text(request, 'publicKeyFormat');
  const common = {
    name: version.name,
    algorithm: version.algorithm.name,
    protectionLevel: version.protectionLevel,
  };
  if (given === '' || given === 'PUBLIC_KEY_FORMAT_UNSPECIFIED') {
    if (isPostQuantum(version))
      throw invalidArgument(`public_key_format is required for ${version.algorithm.name}.`);
    const pem = publicKeyPem(material);
    return { ...common, pem, pemCrc32c: checksumValue(Buffer.from(pem, 'utf8')) };
  }
  const format = FORMATS.find((name) => name === given);
  const data = format === undefined ? undefined : encodePublicKey(version.algorithm, material, format);
  if (data === undefined)
    throw invalidArgument(`${version.algorithm.name} has no public key in format ${given}.`);
  return { ...common, publicKeyFormat: given, publicKey: { data, crc32cChecksum: checksumValue(data) } };
}

const isPostQuantum = (version: Version): boolean =>
  'key' in version.algorithm && version.algorithm.key.kind === 'pqc';
