/**
 * Keeps the keys over a restart. The file is written before an answer is sent, whole and at once (a new file that takes
 * the old one's place), so that what was acknowledged is there after a crash. It holds private keys in clear.
 */

import { open, readFile, rename } from 'node:fs/promises';
import { z } from 'zod';
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
  restore(state: RpcMessage): void | Promise<void>;
}

export interface StateParts {
  readonly kms: Part;
  readonly iam: Part;
}

export class StateFile {
  readonly #path: string;
  readonly #parts: StateParts;
  #written = '';
  #writing: Promise<void> = Promise.resolve();

  constructor(path: string, parts: StateParts) {
    this.#path = path;
    this.#parts = parts;
  }

  /** Reads the file, if there is one. @throws Error for a file that is not of this format and version. */
  async load(): Promise<void> {
    let text: string;
    try {
      text = await readFile(this.#path, 'utf8');
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return;
      throw error;
    }
    const parsed = schema.safeParse(parseJson(text));
    if (!parsed.success) {
      throw new Error(
        `${this.#path} is not a state file of this version (${FORMAT} ${FORMAT_VERSION}); move it away to start anew.`,
      );
    }
    await this.#parts.kms.restore(parsed.data.kms);
    await this.#parts.iam.restore(parsed.data.iam);
    this.#written = this.#serialize();
  }

  /** Writes the state if it changed; returns when it is on disk. Writes are made one after the other. */
  save(): Promise<void> {
    const text = this.#serialize();
    if (text === this.#written) return this.#writing;
    this.#written = text;
    this.#writing = this.#writing.then(() => this.#write(text));
    return this.#writing;
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
    const file = await open(temporary, 'w', 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, this.#path);
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
