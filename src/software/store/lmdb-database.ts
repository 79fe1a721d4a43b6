/** LMDB, loaded on first use, with the settings that make what was acknowledged durable. */

import { realpath } from 'node:fs/promises';
import type { RootDatabase } from 'lmdb';
import type { ErrorContext } from '../../errors/base.js';
import { KeyStoreError } from '../../errors/storage.js';
import { checkDataFile, OWNER_ONLY_FILE } from './store-directory.js';

export type Database = RootDatabase<Buffer, string>;

/** A database that is open in this process, and how many use it. */
interface SharedDatabase {
  readonly opening: Promise<Database>;
  users: number;
}

/**
 * By path. LMDB must not be opened twice in a process: opening takes the lock for writing and blocks the thread that would
 * have to end the transaction that holds it.
 */
const shared = new Map<string, SharedDatabase>();
/** Those whose last user has left: they are not opened again before they are closed. */
const closing = new Map<string, Promise<void>>();

/** A user's hold on a database. */
export interface DatabaseLease {
  readonly database: Database;
  /** Closes the database after its last user. */
  release(): Promise<void>;
}

/**
 * Opens the database in a directory, or shares the one that is open.
 * @throws KeyStoreError when the package is not installed or the database cannot be opened.
 */
export async function leaseDatabase(context: ErrorContext, path: string): Promise<DatabaseLease> {
  const place = await realpath(path);
  const entry = shared.get(place) ?? { opening: openDatabase(context, place), users: 0 };
  shared.set(place, entry);
  entry.users += 1;
  const leave = (): boolean => {
    entry.users -= 1;
    if (entry.users > 0) return false;
    shared.delete(place);
    return true;
  };
  try {
    const database = await entry.opening;
    return {
      database,
      release: async () => {
        if (!leave()) return;
        const closed = database.close().finally(() => closing.delete(place));
        closing.set(place, closed);
        await closed;
      },
    };
  } catch (error) {
    leave();
    throw error;
  }
}

async function openDatabase(context: ErrorContext, path: string): Promise<Database> {
  await closing.get(path);
  await checkDataFile(context, path);
  const lmdb = await import('lmdb').catch((cause: unknown) => {
    throw new KeyStoreError(
      { ...context, cause },
      'the store of software keys needs the package lmdb, which cannot be loaded.',
      'It is an optional dependency: install it with npm install lmdb.',
    );
  });
  const options = {
    path,
    // A directory whatever its name; lmdb takes one with a dot for a file.
    noSubdir: false,
    encoding: 'binary',
    // A commit is flushed to the disk before it is acknowledged.
    overlappingSync: false,
    // Not in the type definitions: the mode of the data and the lock file.
    permissionsMode: OWNER_ONLY_FILE,
  } as const;
  let database: Database;
  try {
    database = lmdb.open<Buffer, string>(options);
    // Frees the places in the table of readers that killed processes left; there are 126.
    database.readerCheck();
  } catch (cause) {
    throw new KeyStoreError(
      { ...context, cause },
      `the database in ${path} cannot be opened.`,
      'Check that the directory holds the files of a store and nothing else, and that they may be written.',
    );
  }
  await requireReadable(context, database, path);
  return database;
}

/**
 * Reads once. LMDB tells its readers apart by their process ids: where another container has the store open in a process of
 * the same id, lmdb waits for its lock for some ten seconds, which blocks the thread, and then has no transaction.
 * @throws KeyStoreError when nothing can be read. The database is closed then.
 */
export async function requireReadable(
  context: ErrorContext,
  database: Pick<Database, 'getBinary' | 'close'>,
  path: string,
): Promise<void> {
  try {
    database.getBinary('header');
  } catch (cause) {
    await database.close();
    throw new KeyStoreError(
      { ...context, cause },
      `the database in ${path} cannot be read by process ${process.pid}. Another process with this id has it open where processes of several containers share a store.`,
      'Let one container at a time open the store, or give the containers one PID namespace (in Kubernetes hostPID).',
    );
  }
}

/**
 * Runs the work in a transaction of its own. When it throws, nothing of it is kept.
 * @throws KeyStoreError when the transaction cannot be committed.
 */
export async function inTransaction<T>(
  context: ErrorContext,
  database: Pick<Database, 'childTransaction'>,
  work: () => T,
): Promise<T> {
  const failures: unknown[] = [];
  try {
    return await database.childTransaction(() => {
      try {
        return work();
      } catch (error) {
        failures.push(error);
        // Tells LMDB to take back what was written.
        throw error;
      }
    });
  } catch (cause) {
    if (failures.length > 0) throw failures[0];
    throw new KeyStoreError(
      { ...context, cause },
      'the change could not be written to the store of software keys.',
      'Check the space on its disk.',
    );
  }
}
