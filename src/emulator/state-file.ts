/**
 * Keeps the keys over a restart. The file is written before an answer is sent, whole and at once (a new file that takes
 * the old one's place), so that what was acknowledged is there after a crash. It holds private keys in clear.
 */

import { readFile, rename, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';
import { syncDirectory, writeDurably } from '../durable-files.js';
import { InvalidConfigError } from '../errors/input.js';
import { type FileLock, lockFile } from '../file-lock.js';
import type { RpcMessage } from './rpc.js';

const FORMAT = 'a2a-kms-emulator-state';
const FORMAT_VERSION = 1;

const schema = z.object({
  format: z.literal(FORMAT),
  version: z.literal(FORMAT_VERSION),
  kms: z.record(z.string(), z.unknown()),
  iam: z.record(z.string(), z.unknown()),
});

interface Part {
  snapshot(): RpcMessage;
  /** @throws Error for a state that is not a snapshot of this version. */
  restore(state: RpcMessage): void | Promise<void>;
}

interface StateParts {
  readonly kms: Part;
  readonly iam: Part;
}

export class StateFile {
  readonly #path: string;
  readonly #parts: StateParts;
  #lock: FileLock | undefined;
  /** What is on disk, or on its way there. */
  #written = '';
  /** Settles when the last write that was begun has ended. */
  #writing: Promise<void> = Promise.resolve();
  /** A write that waits for the one before it; what changes meanwhile goes with it. */
  #next: Promise<void> | undefined;

  constructor(path: string, parts: StateParts) {
    this.#path = path;
    this.#parts = parts;
  }

  /**
   * Keeps others from using the file until `close`, and reads it, if there is one.
   * @throws InvalidConfigError where it cannot be written or another emulator uses it, Error for a file that is not of this
   * format and version.
   */
  async open(): Promise<void> {
    await this.#takeLock();
    try {
      await this.#load();
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  /** Nothing may be saved after. */
  async close(): Promise<void> {
    await this.#lock?.release();
    this.#lock = undefined;
  }

  async #takeLock(): Promise<void> {
    const refuse = (problem: string): never => {
      throw new InvalidConfigError([{ field: 'stateFile', problem }]);
    };
    const folder = dirname(this.#path);
    const found = await stat(folder).catch(() => undefined);
    if (!found?.isDirectory()) refuse(`the folder ${folder} is not there`);
    try {
      this.#lock = await lockFile(`${this.#path}.lock`);
    } catch (error) {
      refuse(`${this.#path} cannot be used: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  async #load(): Promise<void> {
    let text: string;
    try {
      text = await readFile(this.#path, 'utf8');
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return;
      throw error;
    }
    const parsed = schema.safeParse(parseJson(text));
    if (!parsed.success) throw this.#notAStateFile(parsed.error);
    try {
      await this.#parts.kms.restore(parsed.data.kms);
      await this.#parts.iam.restore(parsed.data.iam);
    } catch (cause) {
      throw this.#notAStateFile(cause);
    }
    this.#written = this.#serialize();
  }

  /** Writes the state if it changed; returns when it, as it is now, is on disk. */
  save(): Promise<void> {
    this.#next ??= this.#writeAfter(this.#writing);
    return this.#next;
  }

  /** Returns when what was under way has ended, well or not. */
  async settled(): Promise<void> {
    await (this.#next ?? this.#writing).catch(() => undefined);
  }

  async #writeAfter(earlier: Promise<void>): Promise<void> {
    // Whoever called `save` before was told if that write failed.
    await earlier.catch(() => undefined);
    this.#writing = this.#next ?? Promise.resolve();
    this.#next = undefined;
    const text = this.#serialize();
    if (text === this.#written) return;
    await this.#write(text);
    this.#written = text;
  }

  #notAStateFile(cause: unknown): Error {
    return new Error(
      `${this.#path} is not a state file of this version (${FORMAT} ${FORMAT_VERSION}); move it away to start anew.`,
      { cause },
    );
  }

  #serialize(): string {
    return JSON.stringify({
      format: FORMAT,
      version: FORMAT_VERSION,
      kms: this.#parts.kms.snapshot(),
      iam: this.#parts.iam.snapshot(),
    });
  }

  async #write(text: string): Promise<void> {
    const temporary = `${this.#path}.${process.pid}.tmp`;
    await writeDurably(temporary, text, 'w');
    await rename(temporary, this.#path);
    await syncDirectory(dirname(this.#path));
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
