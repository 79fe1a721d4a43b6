/** Reads keys and versions from Cloud KMS: single resources and whole listings, as checked records. */

import type { ResolvedKMSConfig } from '../config/kms-config.js';
import { IntegrityError } from '../errors/service.js';
import {
  type CryptoKeyName,
  cryptoKeyName,
  isResourceId,
  type KeyRingName,
  type KeyVersion,
} from '../keys/resource-name.js';
import { Operation } from '../provider/operation.js';
import { type KeyRecord, toKeyRecord, toVersionRecord, type VersionRecord } from './resources.js';
import type { RpcCaller } from './rpc-caller.js';

/** Largest page that is asked for ("page_size", ListCryptoKeysRequest in service.proto). */
const PAGE_SIZE = 1_000;
/** A listing with more pages than this counts as a server that repeats itself. */
const MAX_PAGES = 10_000;

export class KeyReader {
  readonly #caller: RpcCaller;
  readonly #config: Pick<ResolvedKMSConfig, 'deadlines' | 'clock'>;

  constructor(caller: RpcCaller, config: Pick<ResolvedKMSConfig, 'deadlines' | 'clock'>) {
    this.#caller = caller;
    this.#config = config;
  }

  /**
   * Runs a lookup that several callers share, in an operation of its own: the deadline or abort of the caller that
   * happened to start it must not fail the others.
   */
  detached<T>(operation: Operation, work: (own: Operation) => Promise<T>): Promise<T> {
    const own = new Operation({
      name: operation.name,
      resource: operation.resource,
      timeoutMs: this.#config.deadlines.operationMs,
      clock: this.#config.clock,
      reason: operation.reason,
      observation: operation.observation,
    });
    return own.run(work);
  }

  async getKey(operation: Operation, name: CryptoKeyName): Promise<KeyRecord> {
    const message = await this.#caller.call(operation, {
      rpc: 'getCryptoKey',
      request: { name },
      routeBy: ['name', name],
    });
    return toKeyRecord(message, name, operation.context());
  }

  async getVersion(operation: Operation, key: CryptoKeyName, version: KeyVersion): Promise<VersionRecord> {
    const { name } = version;
    const message = await this.#caller.call(operation, {
      rpc: 'getCryptoKeyVersion',
      request: { name },
      routeBy: ['name', name],
    });
    return toVersionRecord(message, { key, version }, operation.context());
  }

  /** All versions of a key, in ascending order of their numbers. */
  async listVersions(operation: Operation, key: CryptoKeyName): Promise<readonly VersionRecord[]> {
    const versions: VersionRecord[] = [];
    await this.#eachPage(operation, async (pageToken) => {
      const page = await this.#caller.call(operation, {
        rpc: 'listCryptoKeyVersions',
        request: { parent: key, pageSize: PAGE_SIZE, pageToken },
        routeBy: ['parent', key],
      });
      for (const message of page.cryptoKeyVersions ?? []) {
        versions.push(toVersionRecord(message, { key }, operation.context()));
      }
      return page.nextPageToken;
    });
    return versions.sort((a, b) => a.number - b.number);
  }

  /** All keys of a key ring that match the filter. */
  async listKeys(operation: Operation, keyRing: KeyRingName, filter: string): Promise<readonly KeyRecord[]> {
    const keys: KeyRecord[] = [];
    const prefix = `${keyRing}/cryptoKeys/`;
    await this.#eachPage(operation, async (pageToken) => {
      const page = await this.#caller.call(operation, {
        rpc: 'listCryptoKeys',
        request: { parent: keyRing, pageSize: PAGE_SIZE, pageToken, filter },
        routeBy: ['parent', keyRing],
      });
      for (const message of page.cryptoKeys ?? []) {
        const keyId = message.name?.startsWith(prefix) ? message.name.slice(prefix.length) : '';
        if (!isResourceId(keyId))
          throw new IntegrityError(
            operation.context(),
            `listed ${String(message.name)}, which is not in ${keyRing}`,
          );
        keys.push(toKeyRecord(message, cryptoKeyName(keyRing, keyId), operation.context()));
      }
      return page.nextPageToken;
    });
    return keys;
  }

  async #eachPage(
    operation: Operation,
    readPage: (pageToken: string) => Promise<string | null | undefined>,
  ): Promise<void> {
    let pageToken = '';
    for (let page = 0; page < MAX_PAGES; page++) {
      const next = await readPage(pageToken);
      if (!next) return;
      if (next === pageToken) break;
      pageToken = next;
    }
    throw new IntegrityError(operation.context(), 'the listing does not end');
  }
}
