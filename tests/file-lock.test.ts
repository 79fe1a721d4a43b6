/** Who holds a file: also against a worker, and a second copy of the library, in the same process. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { lockFile } from '../src/file-lock.js';

let path: string;
beforeEach(() => {
  const folder = mkdtempSync(join(tmpdir(), 'a2a-kms-lock-'));
  path = join(folder, 'audit.jsonl.lock');
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
});

/** Takes the lock as a thread of its own does: it links a file that names it, and then runs until it is ended. */
const HOLDING_THREAD = `
  const { readFileSync, writeFileSync } = require('node:fs');
  const { hostname } = require('node:os');
  const { parentPort, workerData } = require('node:worker_threads');
  const stat = readFileSync('/proc/self/stat', 'utf8');
  const started = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  writeFileSync(workerData, JSON.stringify({ host: hostname(), pid: process.pid, started, id: 'thread' }));
  parentPort.once('message', () => {});
  parentPort.postMessage('held');
`;

describe('the lock of a file', () => {
  it.skipIf(process.platform !== 'linux')('that a worker thread holds is left alone', async () => {
    const worker = new Worker(HOLDING_THREAD, { eval: true, workerData: path });
    onTestFinished(async () => void (await worker.terminate()));
    await new Promise((resolve) => worker.once('message', resolve));
    const before = readFileSync(path, 'utf8');
    await expect(lockFile(path)).rejects.toThrow(`process ${process.pid} holds it (this one`);
    expect(readFileSync(path, 'utf8')).toBe(before);
  });

  it('that another copy of the library in this process holds is left alone, and free when that gave it back', async () => {
    vi.resetModules();
    const copy = await import('../src/file-lock.js');
    expect(copy.lockFile).not.toBe(lockFile);
    const held = await copy.lockFile(path);
    await expect(lockFile(path)).rejects.toThrow('copy of the library');
    await held.release();
    await (await lockFile(path)).release();
  });

  it('is not removed by one who held it before', async () => {
    const first = await lockFile(path);
    // Removed by hand, and taken by somebody else.
    rmSync(path);
    const second = await lockFile(path);
    const held = readFileSync(path, 'utf8');
    await first.release();
    expect(readFileSync(path, 'utf8')).toBe(held);
    await expect(lockFile(path)).rejects.toThrow('holds it');
    await second.release();
    await second.release();
  });

  it('that was given back and could not be removed is taken over', async () => {
    const first = await lockFile(path);
    const left = readFileSync(path, 'utf8');
    await first.release();
    writeFileSync(path, left);
    await (await lockFile(path)).release();
  });
});
