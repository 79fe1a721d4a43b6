/**
 * Software keys in an LMDB database, every record of it encrypted. A transaction of LMDB has one writer among all
 * processes; it is on the disk when it is acknowledged, and a process that is killed in it leaves the state before it.
 */

import type { StoreSecret } from '../../config/software-config.js';
import type { ErrorContext } from '../../errors/base.js';
import { ClientClosedError } from '../../errors/service.js';
import { KeyStoreError, KeyStoreLockedError, StoredKeyDamagedError } from '../../errors/storage.js';
import type { CryptoKeyName } from '../../keys/resource-name.js';
import { BufferedTransaction } from './buffered-transaction.js';
import type { KeyStore, MaterialAddress, StoreTransaction, StoreView } from './key-store.js';
import { type Database, type DatabaseLease, inTransaction, leaseDatabase } from './lmdb-database.js';
import { seal, unseal } from './sealing.js';
import { ensureDirectory, secureFiles } from './store-directory.js';
import { createHeader, openHeader } from './store-header.js';
import { type StoredKey, storedKeySchema } from './stored-key.js';

const HEADER = 'header';
const KEY_PREFIX = 'key/';
const MATERIAL_PREFIX = 'material/';

/** A key of the store, and the header that it was opened by: under another header it is not the right one any more. */
interface StoreKey {
  readonly header: Buffer;
  readonly key: Buffer;
}

interface OpenStore {
  readonly database: Database;
  readonly lease: DatabaseLease;
  /** Two while the key of the store is changed: the one in the header counts. */
  readonly keys: Set<StoreKey>;
}

export class FileKeyStore implements KeyStore {
  readonly #path: string;
  /** Until it has opened the store: only the key of the store is needed from then on. */
  #secret: StoreSecret | undefined;
  #opening: Promise<void> | undefined;
  #opened: OpenStore | undefined;
  /** Work that was begun and needs the key of the store until it is done: `close` waits for it. */
  readonly #underWay = new Set<Promise<unknown>>();

  /** The secret is the store's from here on; a key is wiped when it has opened the store, and by `close`. */
  constructor(config: { readonly path: string; readonly secret: StoreSecret }) {
    this.#path = config.path;
    this.#secret = config.secret;
  }

  open(context: ErrorContext): Promise<void> {
    this.#opening ??= this.#open(context).catch((error: unknown) => {
      // The next call tries again.
      this.#opening = undefined;
      throw error;
    });
    return this.#opening;
  }

  read<T>(context: ErrorContext, work: (view: StoreView) => T): T {
    const opened = this.#require(context);
    // So that what other processes have committed by now is seen.
    opened.database.resetReadTxn();
    return work(viewOf(context, opened.database, keyInUse(context, opened)));
  }

  async transact<T>(context: ErrorContext, work: (transaction: StoreTransaction) => T): Promise<T> {
    const opened = this.#require(context);
    return this.#finish(this.#transact(context, opened, work));
  }

  async rotateStoreKey(context: ErrorContext, newSecret: StoreSecret): Promise<readonly string[]> {
    const opened = this.#require(context);
    return this.#finish(this.#rotate(context, opened, newSecret));
  }

  /** Calls after it are refused; what was begun is finished first, since it needs the key that is wiped then. */
  async close(): Promise<void> {
    await this.#opening?.catch(() => {});
    const opened = this.#opened;
    this.#opened = undefined;
    this.#forgetSecret();
    if (opened === undefined) return;
    await Promise.allSettled(this.#underWay);
    await opened.lease.release();
    for (const { key } of opened.keys) key.fill(0);
    // A key that was wiped is none: no record must ever be sealed with it.
    opened.keys.clear();
  }

  async #finish<T>(work: Promise<T>): Promise<T> {
    this.#underWay.add(work);
    try {
      return await work;
    } finally {
      this.#underWay.delete(work);
    }
  }

  #transact<T>(
    context: ErrorContext,
    opened: OpenStore,
    work: (transaction: StoreTransaction) => T,
  ): Promise<T> {
    const { database } = opened;
    return inTransaction(context, database, () => {
      const storeKey = keyInUse(context, opened);
      const transaction = new BufferedTransaction(viewOf(context, database, storeKey));
      try {
        const result = work(transaction);
        write(database, storeKey, transaction);
        return result;
      } finally {
        transaction.wipe();
      }
    });
  }

  async #rotate(
    context: ErrorContext,
    opened: OpenStore,
    newSecret: StoreSecret,
  ): Promise<readonly string[]> {
    const { database, keys } = opened;
    const created = await createHeader(newSecret);
    keys.add(created);
    try {
      const { old, damaged } = await inTransaction(context, database, () => {
        const inUse = keyInUse(context, opened);
        return { old: inUse, damaged: reencrypt(context, database, { from: inUse, to: created }) };
      });
      keys.delete(old);
      old.key.fill(0);
      return damaged;
    } catch (error) {
      keys.delete(created);
      created.key.fill(0);
      throw error;
    }
  }

  async #open(context: ErrorContext): Promise<void> {
    const path = this.#path;
    const secret = this.#secret;
    if (secret === undefined) throw new ClientClosedError(context);
    await ensureDirectory(context, path);
    const lease = await leaseDatabase(context, path);
    const { database } = lease;
    try {
      await secureFiles(path);
      const storeKey = await unlock(context, database, secret);
      this.#opened = { database, lease, keys: new Set([storeKey]) };
      this.#forgetSecret();
    } catch (error) {
      await lease.release();
      throw error;
    }
  }

  #forgetSecret(): void {
    if (this.#secret !== undefined && 'key' in this.#secret) this.#secret.key.fill(0);
    this.#secret = undefined;
  }

  #require(context: ErrorContext): OpenStore {
    if (this.#opened === undefined) throw new ClientClosedError(context);
    return this.#opened;
  }
}

/** Opens the header, or writes the first one. */
async function unlock(context: ErrorContext, database: Database, secret: StoreSecret): Promise<StoreKey> {
  const existing = database.getBinary(HEADER) ?? (await createFirstHeader(context, database, secret));
  const opened = await openHeader(existing, secret);
  switch (opened.kind) {
    case 'open':
      return { header: Buffer.from(existing), key: opened.storeKey };
    case 'wrong-secret':
      throw new KeyStoreLockedError(context, opened.problem);
    case 'not-a-header':
      throw new KeyStoreError(
        context,
        'the header of the store is damaged, or of a version that this one does not know.',
        'Restore the store from a copy, or use the version of this library that wrote it.',
      );
  }
}

/** The header of a new store; that of another process when it was faster. */
async function createFirstHeader(
  context: ErrorContext,
  database: Database,
  secret: StoreSecret,
): Promise<Buffer> {
  const created = await createHeader(secret);
  created.key.fill(0);
  return inTransaction(context, database, () => {
    const existing = database.getBinary(HEADER);
    if (existing !== undefined) return Buffer.from(existing);
    if ([...database.getKeys({ limit: 1 })].length > 0) {
      throw new KeyStoreError(
        context,
        'the database has records and no header, so it is not a store of software keys or was damaged.',
        'Restore the store from a copy, or give another directory.',
      );
    }
    database.putSync(HEADER, created.header);
    return created.header;
  });
}

/** @throws KeyStoreLockedError when another process changed the secret since the store was opened here. */
function keyInUse(context: ErrorContext, { database, keys }: OpenStore): StoreKey {
  const header = database.getBinary(HEADER);
  for (const key of keys) if (header !== undefined && key.header.equals(header)) return key;
  throw new KeyStoreLockedError(context, 'its passphrase or key was changed since it was opened here.');
}

function viewOf(context: ErrorContext, database: Database, { key: storeKey }: StoreKey): StoreView {
  const readAt = (place: string): Buffer | undefined => {
    const sealed = database.getBinary(place);
    if (sealed === undefined) return undefined;
    const plaintext = unseal(storeKey, sealed, place);
    if (plaintext === undefined) throw new StoredKeyDamagedError(context, nameAt(place));
    return plaintext;
  };
  return {
    getKey(name: CryptoKeyName): StoredKey | undefined {
      const plaintext = readAt(KEY_PREFIX + name);
      if (plaintext === undefined) return undefined;
      const parsed = storedKeySchema.safeParse(JSON.parse(plaintext.toString('utf8')));
      if (parsed.data?.name !== name) throw new StoredKeyDamagedError(context, name);
      return parsed.data;
    },
    keyNames(prefix: string): readonly string[] {
      const start = KEY_PREFIX + prefix;
      // Above every character of a resource name.
      return [...database.getKeys({ start, end: `${start}\uffff` })].map(nameAt);
    },
    getMaterial: (address) => readAt(materialPlace(address)),
  };
}

function write(database: Database, { key: storeKey }: StoreKey, { changes }: BufferedTransaction): void {
  for (const key of changes.keys) {
    const place = KEY_PREFIX + key.name;
    database.putSync(place, seal(storeKey, Buffer.from(JSON.stringify(key)), place));
  }
  for (const { address, bytes } of changes.materials) {
    const place = materialPlace(address);
    if (bytes === undefined) database.removeSync(place);
    else database.putSync(place, seal(storeKey, bytes, place));
  }
}

/**
 * Gives the names of records that do not decrypt. They stay as they are: nothing can be made of them.
 * @throws KeyStoreError when none of them does: then the records are as they were and the key is not theirs.
 */
function reencrypt(
  context: ErrorContext,
  database: Database,
  keys: { readonly from: StoreKey; readonly to: StoreKey },
): readonly string[] {
  const damaged: string[] = [];
  const places = [...database.getKeys()].filter((place) => place !== HEADER);
  for (const place of places) {
    const sealed = database.getBinary(place);
    const plaintext = sealed && unseal(keys.from.key, sealed, place);
    if (plaintext === undefined) {
      damaged.push(nameAt(place));
      continue;
    }
    database.putSync(place, seal(keys.to.key, plaintext, place));
    plaintext.fill(0);
  }
  if (places.length > 0 && damaged.length === places.length) {
    throw new KeyStoreError(
      context,
      'no record of the store decrypts with its key, so nothing was changed.',
      'Restore the store from a copy.',
    );
  }
  database.putSync(HEADER, keys.to.header);
  return damaged;
}

const materialPlace = ({ version, algorithm }: MaterialAddress): string =>
  `${MATERIAL_PREFIX}${version}/${algorithm}`;

/** The resource that a record is of. */
function nameAt(place: string): string {
  return place.startsWith(KEY_PREFIX)
    ? place.slice(KEY_PREFIX.length)
    : place.slice(MATERIAL_PREFIX.length, place.lastIndexOf('/'));
}
