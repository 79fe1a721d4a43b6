/** Files that are there after a power failure: their bytes and, which is another thing, their names in the folder. */

import { open } from 'node:fs/promises';

/**
 * Writes a file that only its owner may read (0600), and has its bytes on the disk when the promise is fulfilled.
 * @param flag `wx`: fails when there is one; `w`: writes over it.
 */
export async function writeDurably(path: string, text: string, flag: 'w' | 'wx'): Promise<void> {
  const file = await open(path, flag, 0o600);
  try {
    await file.writeFile(text, 'utf8');
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Has names that were made or changed in a folder outlive a power failure (fsync(2), "NOTES"); not on Windows, which opens none. */
export async function syncDirectory(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
