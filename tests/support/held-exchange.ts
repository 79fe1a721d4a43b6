/** A `BatchExchange` whose calls wait until the test answers them: what is in a batch, and when, is the test's to say. */

import type { BlindedMessage } from '../../src/batch/blinded-message.js';
import type { BatchExchange, SignBatchOptions } from '../../src/index.js';

/** A batch that waits for its answer. */
export interface HeldBatch {
  readonly messages: readonly BlindedMessage[];
  readonly options: SignBatchOptions;
  /** The HSM has signed; the receipts are still to be written. */
  sign(): void;
  /** Answers each message with its leaf hash, so that a test can tell whose receipt it is. */
  succeed(): void;
  fail(error: unknown): void;
  answer(receipts: readonly Buffer[]): void;
}

export class HeldExchange implements BatchExchange {
  /** All batches so far, answered or not. */
  readonly batches: HeldBatch[] = [];
  #arrived: (() => void)[] = [];

  signBatch(
    _agentId: string,
    messages: readonly BlindedMessage[],
    options: SignBatchOptions,
  ): Promise<readonly Buffer[]> {
    return new Promise((resolve, reject) => {
      this.batches.push({
        messages,
        options,
        sign: () => options.onRootSigned?.(),
        succeed: () => resolve(messages.map(({ leafHash }) => Buffer.from(leafHash))),
        answer: resolve,
        fail: reject,
      });
      for (const wake of this.#arrived.splice(0)) wake();
    });
  }

  /** The nth batch, as soon as it is there. */
  async batch(index: number): Promise<HeldBatch> {
    for (;;) {
      const batch = this.batches[index];
      if (batch !== undefined) return batch;
      await new Promise<void>((resolve) => this.#arrived.push(resolve));
    }
  }
}
