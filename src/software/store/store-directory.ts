/** The directory of a file store: its owner's alone, as are the files in it. */

import { existsSync } from 'node:fs';
import { chmod, mkdir, open, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { syncDirectory } from '../../durable-files.js';
import type { ErrorContext } from '../../errors/base.js';
import { KeyStoreError } from '../../errors/storage.js';

/** The files that LMDB keeps in the directory. */
const FILES = ['data.mdb', 'lock.mdb'] as const;

/** `MDB_MAGIC` of mdb.c, in the first page after the header of 24 bytes that the page has; in the byte order of the machine. */
const MAGIC = Buffer.from(Uint32Array.of(0xbeefc0de).buffer);
const MAGIC_OFFSET = 24;

const OWNER_ONLY_DIRECTORY = 0o700;
export const OWNER_ONLY_FILE = 0o600;
const OTHERS = 0o077;

/**
 * Makes the directory where it is not there.
 * @throws KeyStoreError when it is no directory, cannot be made, or others than the owner may look into it. Its mode is not
 *   changed: it may be a directory that others need.
 */
export async function ensureDirectory(context: ErrorContext, path: string): Promise<void> {
  let mode: number;
  try {
    const made = await mkdir(path, { recursive: true, mode: OWNER_ONLY_DIRECTORY });
    if (made !== undefined) await syncDirectory(dirname(made));
    ({ mode } = await stat(path));
  } catch (cause) {
    throw new KeyStoreError(
      { ...context, cause },
      `the directory ${path} of the store cannot be made or read.`,
      'Give the path of a directory that this process may write to.',
    );
  }
  // Windows has no such modes.
  if (process.platform !== 'win32' && (mode & OTHERS) !== 0) {
    throw new KeyStoreError(
      context,
      `the directory ${path} of the store may be read by others than its owner (mode ${(mode & 0o777).toString(8)}).`,
      `Run chmod 700 on it, or give a directory below it.`,
    );
  }
}

/** Whether there is a store in the directory; an empty one, such as the place of a volume, has none. */
export const storeExists = (path: string): boolean => existsSync(join(path, FILES[0]));

/**
 * Looks at the data file before LMDB does, which does not survive one that is something else.
 * @throws KeyStoreError when there is one that LMDB did not write.
 */
export async function checkDataFile(context: ErrorContext, path: string): Promise<void> {
  const start = await readStart(join(path, FILES[0])).catch(() => undefined);
  // Not there yet, or not to be read: LMDB says why.
  if (start === undefined || start.length === 0) return;
  if (start.subarray(MAGIC_OFFSET).equals(MAGIC)) return;
  throw new KeyStoreError(
    context,
    `${FILES[0]} in ${path} is not a database of LMDB, or its beginning was overwritten.`,
    'Restore the store from a copy, or give another directory.',
  );
}

async function readStart(path: string): Promise<Buffer> {
  const file = await open(path, 'r');
  try {
    const start = Buffer.alloc(MAGIC_OFFSET + MAGIC.length);
    const { bytesRead } = await file.read(start, 0, start.length, 0);
    return start.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

/** Makes sure of the files' modes (a copy that was put back may have others) and of their entries in the directory. */
export async function secureFiles(path: string): Promise<void> {
  for (const file of FILES) await chmod(join(path, file), OWNER_ONLY_FILE);
  await syncDirectory(path);
}
