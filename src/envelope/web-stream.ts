/** Stream work as the two ends of a Web transform stream. Between two segments it waits until its reader wants more. */

import { ReadableStream, type ReadableWritablePair, WritableStream } from 'node:stream/web';
import type { Batches, StreamWork } from './stream-work.js';

interface WebStreamOptions {
  readonly work: StreamWork;
  /** Refuses a chunk that is not bytes, by throwing. */
  readonly requireChunk: (chunk: unknown) => Uint8Array;
  /** Called once, when the stream has ended in whatever way. */
  readonly onEnd: () => void;
}

/**
 * Not a TransformStream itself: before Node 22 that does not tell its transformer that a reader has gone, and keys would
 * stay in memory.
 */
export class EnvelopeWebStream implements ReadableWritablePair<Uint8Array, Uint8Array> {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
  readonly #options: WebStreamOptions;
  /** Ends both sides with an error; each is told of it once. */
  #failSides: (error: unknown) => void = () => {};
  #isWanted = false;
  #wake: (() => void) | undefined;
  #ended = false;

  constructor(options: WebStreamOptions) {
    this.#options = options;
    const { work, requireChunk } = options;
    let output: { enqueue(piece: Uint8Array): void; close(): void; error(error: unknown): void };
    this.readable = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          output = controller;
        },
        pull: () => {
          this.#isWanted = true;
          this.#wake?.();
        },
        cancel: (reason: unknown) => this.destroy(reason),
      },
      { highWaterMark: 0 },
    );
    const send = async (step: () => Batches | Promise<Batches>): Promise<void> => {
      try {
        for (const batch of await step()) {
          const pieces = batch.filter((piece) => piece.length > 0);
          if (pieces.length === 0) continue;
          await this.#wanted();
          if (this.#ended) return;
          for (const piece of pieces) output.enqueue(piece);
        }
      } catch (error) {
        this.destroy(error);
        throw error;
      }
    };
    this.writable = new WritableStream<Uint8Array>({
      start: (controller) => {
        this.#failSides = (error) => {
          output.error(error);
          controller.error(error);
        };
      },
      write: (chunk: unknown) => send(() => work.update(requireChunk(chunk))),
      close: async () => {
        await send(() => work.finish());
        if (this.#ended) return;
        this.#end();
        output.close();
      },
      abort: (reason: unknown) => this.destroy(reason),
    });
  }

  /** Ends both sides with an error. */
  destroy(error: unknown): void {
    if (this.#ended) return;
    this.#end();
    this.#failSides(error);
    this.#wake?.();
  }

  #end(): void {
    this.#ended = true;
    this.#options.work.wipe();
    this.#options.onEnd();
  }

  /** Waits for the reader, or for the end. */
  async #wanted(): Promise<void> {
    if (!this.#isWanted && !this.#ended) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    this.#isWanted = false;
  }
}
