/** LMDB, loaded on first use, with the settings that make what was acknowledged durable. */

import type { RootDatabase } from 'lmdb';
import { type ErrorContext, KeyStoreError } from '../../errors.js';
import { OWNER_ONLY_FILE } from './store-directory.js';

export type Database = RootDatabase<Buffer, string>;

/** @throws KeyStoreError when the package is not installed or the database cannot be opened. */
export async function openDatabase(context: ErrorContext, path: string): Promise<Database> {
  const lmdb = await import('lmdb').catch((cause: unknown) => {
    throw new KeyStoreError(
      { ...context, cause },
      'the store of software keys needs the package lmdb, which cannot be loaded.',
      'Install it with npm install lmdb.',
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
  try {
    return lmdb.open<Buffer, string>(options);
  } catch (cause) {
    throw new KeyStoreError(
      { ...context, cause },
      `the database in ${path} cannot be opened.`,
      'Check that the directory holds the files of a store and nothing else, and that they may be written.',
    );
  }
}

/**
 * Runs the work in a transaction of its own. When it throws, nothing of it is kept.
 * @throws KeyStoreError when the transaction cannot be committed.
 */
export async function inTransaction<T>(context: ErrorContext, database: Database, work: () => T): Promise<T> {
  let outcome: { readonly kind: 'done'; readonly value: T } | { readonly kind: 'failed' } | undefined;
  let failure: unknown;
  try {
    await database.childTransaction(() => {
      try {
        outcome = { kind: 'done', value: work() };
      } catch (error) {
        outcome = { kind: 'failed' };
        failure = error;
        // Tells LMDB to take back what was written.
        throw error;
      }
    });
  } catch (cause) {
    if (isFailed(outcome)) throw failure;
    throw new KeyStoreError(
      { ...context, cause },
      'the change could not be written to the store of software keys.',
      'Check the space on its disk.',
    );
  }
  if (!isDone(outcome)) throw failure;
  return outcome.value;
}

type Outcome<T> = { readonly kind: 'done'; readonly value: T } | { readonly kind: 'failed' } | undefined;
// The compiler does not follow assignments in a callback.
const isFailed = <T>(outcome: Outcome<T>): boolean => outcome?.kind === 'failed';
const isDone = <T>(outcome: Outcome<T>): outcome is { readonly kind: 'done'; readonly value: T } =>
  outcome?.kind === 'done';
