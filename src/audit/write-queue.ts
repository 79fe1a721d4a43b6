/** What waits to be written to a trail, in its order: many lines with one write, and in between what has to see the chain still. */

import type { LineBody } from './line.js';

/** Lines of one write. */
const MAX_BATCH = 256;
/** Far more than wait behind any write that ends. */
const MAX_QUEUED = 65_536;

export interface Waiting {
  /** Undefined: nothing but what the chain has to be told of. */
  readonly body: LineBody | undefined;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Done between two writes, when all that was appended before is written or lost. */
interface Pause {
  readonly work: () => void;
  readonly reject: (error: unknown) => void;
}

type Queued = Waiting | Pause;
const isWaiting = (queued: Queued): queued is Waiting => 'body' in queued;

export interface WaitingLine extends Waiting {
  readonly body: LineBody;
}
export const isLine = (waiting: Waiting): waiting is WaitingLine => waiting.body !== undefined;

export const bodiesOf = (batch: readonly Waiting[]): readonly LineBody[] =>
  batch.flatMap(({ body }) => body ?? []);

export class WriteQueue {
  readonly #writeBatch: (batch: readonly Waiting[]) => Promise<void>;
  #queue: Queued[] = [];
  #isRunning = false;

  /** @param writeBatch settles those who wait, and never rejects. */
  constructor(writeBatch: (batch: readonly Waiting[]) => Promise<void>) {
    this.#writeBatch = writeBatch;
  }

  /** Why nothing can be appended now, if that is so. */
  refusal(): Error | undefined {
    return this.#queue.length >= MAX_QUEUED
      ? new Error(`${MAX_QUEUED} events wait to be written`)
      : undefined;
  }

  append(body: LineBody): Promise<void> {
    return this.#wait(body);
  }

  /** Settles when everything that was appended before is written or lost, with all that the chain has to be told of. */
  flush(): Promise<void> {
    return this.#wait(undefined);
  }

  /** Does the work between two writes. */
  pause<T>(work: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ work: () => resolve(work()), reject });
      this.#run();
    });
  }

  /** Rejects all that waits. @returns the lines that are not written for it. */
  reject(error: unknown): readonly LineBody[] {
    const waiting = this.#queue;
    this.#queue = [];
    for (const { reject } of waiting) reject(error);
    return bodiesOf(waiting.filter(isWaiting));
  }

  #wait(body: LineBody | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ body, resolve, reject });
      this.#run();
    });
  }

  #run(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    void this.#drain();
  }

  /** Never rejects: what goes wrong with a batch is told to those who wait for it. */
  async #drain(): Promise<void> {
    // What ends in the same turn of the event loop is written together.
    await Promise.resolve();
    for (let next = this.#queue[0]; next !== undefined; next = this.#queue[0]) {
      if (isWaiting(next)) await this.#writeBatch(this.#nextBatch());
      else this.#queue.shift();
      if (!isWaiting(next)) next.work();
    }
    // In the same turn as the last look at the queue: what comes from now on starts anew.
    this.#isRunning = false;
  }

  #nextBatch(): readonly Waiting[] {
    const end = this.#queue.slice(0, MAX_BATCH).findIndex((queued) => !isWaiting(queued));
    return this.#queue.splice(0, end < 0 ? MAX_BATCH : end).filter(isWaiting);
  }
}
