/** Files that outlive a power failure, as far as a test can see it: what is in them, who may read them, what is refused. */

import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { syncDirectory, writeDurably } from '../src/durable-files.js';

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'a2a-kms-durable-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

it('a file is its owner’s alone, and one that is there is written over only when that was asked for', async () => {
  const path = join(newFolder(), 'file');
  await writeDurably(path, 'a longer text', 'wx');
  expect(statSync(path).mode & 0o777).toBe(0o600);
  await expect(writeDurably(path, 'other', 'wx')).rejects.toMatchObject({ code: 'EEXIST' });
  expect(readFileSync(path, 'utf8')).toBe('a longer text');
  await writeDurably(path, 'other', 'w');
  expect(readFileSync(path, 'utf8')).toBe('other');
});

it('a folder that is not there cannot have been synced', async () => {
  const folder = newFolder();
  await syncDirectory(folder);
  await expect(syncDirectory(join(folder, 'none'))).rejects.toMatchObject({ code: 'ENOENT' });
});
