/** Stream work as a Node `Transform`. Between two segments it waits until its reader wants more. */

import { Transform, type TransformCallback } from 'node:stream';
import type { Batch, Batches, StreamWork } from './stream-work.js';

interface NodeStreamOptions {
  readonly work: StreamWork;
  /** Refuses a chunk that is not bytes, by throwing. */
  readonly requireChunk: (chunk: unknown) => Uint8Array;
  /** Called once, when the stream has ended in whatever way. */
  readonly onEnd: () => void;
}

export class EnvelopeTransform extends Transform {
  readonly #options: NodeStreamOptions;
  #resume: (() => void) | undefined;

  constructor(options: NodeStreamOptions) {
    // Strings are given to us as they are, to be refused: their encoding would be a guess.
    super({ decodeStrings: false });
    this.#options = options;
  }

  override _transform(chunk: unknown, _encoding: BufferEncoding, done: TransformCallback): void {
    const { work, requireChunk } = this.#options;
    this.#run(() => work.update(requireChunk(chunk)), done);
  }

  override _flush(done: TransformCallback): void {
    this.#run(() => this.#options.work.finish(), done);
  }

  override _read(size: number): void {
    const resume = this.#resume;
    this.#resume = undefined;
    resume?.();
    // Node asks before it takes what is buffered. The work may have ended just now and found the buffer still full: then
    // its end waits for this call, and there is no other.
    if (this.#resume === undefined) super._read(size);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#resume = undefined;
    this.#options.work.wipe();
    this.#options.onEnd();
    done(error);
  }

  #run(step: () => Batches | Promise<Batches>, done: TransformCallback): void {
    const fail = (error: unknown): void => done(error instanceof Error ? error : new Error(String(error)));
    const push = (batches: Batches): void => this.#push(batches[Symbol.iterator](), done, fail);
    try {
      const batches = step();
      if (batches instanceof Promise) batches.then(push, fail);
      else push(batches);
    } catch (error) {
      fail(error);
    }
  }

  #push(batches: Iterator<Batch>, done: TransformCallback, fail: (error: unknown) => void): void {
    try {
      for (let next = batches.next(); !next.done; next = batches.next()) {
        if (this.destroyed) return;
        let hasRoom = true;
        for (const piece of next.value) hasRoom = this.push(piece);
        if (!hasRoom) {
          this.#resume = () => this.#push(batches, done, fail);
          return;
        }
      }
    } catch (error) {
      fail(error);
      return;
    }
    done();
  }
}
