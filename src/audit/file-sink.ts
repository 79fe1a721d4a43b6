/**
 * An audit file: lines are only ever appended, several with one write, and are on the disk before they count. What a crash
 * left of a line stays where it is, marked, and the next line tells of it.
 */

import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncDirectory } from '../durable-files.js';
import { type FileLock, lockFile } from '../file-lock.js';
import { loadCanonicalize } from './canonical-json.js';
import { readTail } from './file-tail.js';
import { CHAIN_START, sha256Hex, TORN_MARK } from './line.js';
import type { AppendResult, Past, TrailSink } from './sink.js';

export interface FileSinkOptions {
  readonly path: string;
  /** `commit`: on the disk before it counts. `never`: left to the operating system. */
  readonly fsync: 'commit' | 'never';
  /** Writer of a new file. */
  readonly newWriter: () => string;
}

/** Others may not write. Who may read is the owner's choice; a new file is the owner's alone. */
const WRITABLE_BY_OTHERS = 0o022;

export class FileSink implements TrailSink {
  readonly #options: FileSinkOptions;
  #lock: FileLock | undefined;
  #file: FileHandle | undefined;

  constructor(options: FileSinkOptions) {
    this.#options = options;
  }

  async open(): Promise<Past> {
    const { path } = this.#options;
    const before = this.#file;
    this.#file = undefined;
    await before?.close();
    this.#lock ??= await lockFile(`${path}.lock`);
    const { O_APPEND, O_CREAT, O_RDWR } = constants;
    const file = await open(path, O_APPEND | O_CREAT | O_RDWR, 0o600);
    this.#file = file;
    const { mode } = await file.stat();
    // Windows has no such modes.
    if (process.platform !== 'win32' && (mode & WRITABLE_BY_OTHERS) !== 0) {
      throw new Error(`others than the owner may write to ${path}; run chmod go-w on it`);
    }
    const tail = await readTail(file, await loadCanonicalize());
    if (tail.kind === 'foreign')
      throw new Error(`${path} cannot be continued: ${tail.problem}; verify it, and give another path`);
    const mark = Buffer.from(TORN_MARK, 'utf8');
    if (tail.rest.length > 0) await this.#write(file, Buffer.concat([mark, Buffer.from('\n')]));
    const rest = tail.rest.length > 0 ? [Buffer.concat([tail.rest, mark])] : [];
    const torn = [...tail.marked, ...rest].map((line) => ({
      bytes: line.length - mark.length,
      sha256: sha256Hex(line),
    }));
    if (tail.past !== undefined) return { ...tail.past, torn };
    // A new file is there after a crash when the folder that holds its name is.
    await syncDirectory(dirname(path));
    const head = { sequence: 0, sha256: CHAIN_START };
    return { writer: this.#options.newWriter(), head, checkpoint: undefined, lines: [], torn };
  }

  async append(lines: readonly string[]): Promise<AppendResult> {
    try {
      if (this.#file === undefined) throw new Error('the file is not open');
      await this.#write(this.#file, Buffer.from(`${lines.join('\n')}\n`, 'utf8'));
      return { written: lines.length };
    } catch (error) {
      return { written: 0, error };
    }
  }

  async close(): Promise<void> {
    await this.#file?.close();
    this.#file = undefined;
    await this.#lock?.release();
    this.#lock = undefined;
  }

  async #write(file: FileHandle, bytes: Buffer): Promise<void> {
    await file.appendFile(bytes);
    if (this.#options.fsync === 'commit') await file.datasync();
  }
}
