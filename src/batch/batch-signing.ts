/** What the facade signs many messages with. It holds the one pace, and the one line, that all calls of `signMany` share. */

import type { Clock } from '../clock.js';
import type { ErrorContext } from '../errors/base.js';
import { InvalidArgumentError } from '../errors/input.js';
import { agentContext } from '../keys/agent-key-name.js';
import type { CallOptions } from '../keys/call-options.js';
import { Pace } from '../provider/pace.js';
import type { BlindedMessage } from './blinded-message.js';
import { QuotaLine } from './quota-line.js';
import { type BatchKey, blindAll, signBlinded } from './sign-batch.js';
import { parseSignBatchOptions, type SignBatchOptions } from './sign-batch-options.js';
import {
  parseSignManyOptions,
  type ResolvedSignManyOptions,
  type SignManyOptions,
  type SignManyOutcome,
  signEach,
} from './sign-many.js';

interface BatchSigningOptions {
  readonly versionKeys: BatchKey['versionKeys'];
  readonly clock: Clock;
}

/** What `signBatch` was called with, checked. */
interface Batch {
  readonly messages: readonly BlindedMessage[];
  readonly options: SignBatchOptions;
  /** Look-ups wait for the quota of reads, which says nothing of that for signatures. */
  readonly forLookUp: CallOptions;
}

/** What `signMany` was called with, checked. */
interface ManyMessages {
  readonly messages: readonly Uint8Array[];
  readonly options: ResolvedSignManyOptions;
}

export class BatchSigning {
  readonly #provider: BatchKey['provider'];
  readonly #versionKeys: BatchKey['versionKeys'];
  readonly #clock: Clock;
  readonly #pace: Pace;
  readonly #line: QuotaLine;

  constructor(provider: BatchKey['provider'], options: BatchSigningOptions) {
    const { versionKeys, clock } = options;
    this.#provider = provider;
    this.#versionKeys = versionKeys;
    this.#clock = clock;
    this.#pace = new Pace(clock);
    this.#line = new QuotaLine(clock, this.#pace);
  }

  /** @throws InvalidArgumentError for what cannot be a batch, and for every option that is wrong. */
  prepareBatch(
    agentId: string,
    messages: readonly (Uint8Array | BlindedMessage)[],
    options: SignBatchOptions,
  ): Batch {
    const context = agentContext('signBatch', agentId);
    const parsed = parseSignBatchOptions(context, options);
    const { onRootSigned: _, ...forCalls } = parsed;
    const blinded = blindAll(context, messages);
    return { messages: blinded, options: parsed, forLookUp: { ...forCalls, onQuota: 'retry' } };
  }

  /** The receipts of the messages, in their order, by one signature of the key. */
  signBatch(keyId: string, { messages, options }: Batch): Promise<readonly Buffer[]> {
    const batchKey = { provider: this.#provider, versionKeys: this.#versionKeys, keyId };
    return signBlinded(contextOf('signBatch', keyId), batchKey, messages, options);
  }

  /** @throws InvalidArgumentError for what is not a list of bytes, and for every option that is wrong. */
  prepareMany(agentId: string, messages: readonly Uint8Array[], options: SignManyOptions): ManyMessages {
    const context = agentContext('signMany', agentId);
    const list: unknown = messages;
    if (!Array.isArray(list)) throw new InvalidArgumentError(context, 'messages must be a list.');
    const problem = list.findIndex((message) => !(message instanceof Uint8Array));
    if (problem === -1) return { messages, options: parseSignManyOptions(context, options) };
    throw new InvalidArgumentError(context, `messages[${problem}] must be bytes (Buffer or Uint8Array).`);
  }

  /** One signature of the key for each message, in their order. */
  signMany(keyId: string, { messages, options }: ManyMessages): Promise<readonly SignManyOutcome[]> {
    const signer = {
      clock: this.#clock,
      pace: this.#pace,
      line: this.#line,
      sign: (message: Uint8Array, callOptions: CallOptions) =>
        this.#provider.signDetailed(keyId, message, callOptions),
    };
    return signEach(contextOf('signMany', keyId), signer, messages, options);
  }
}

const contextOf = (operation: string, resource: string): ErrorContext => ({ operation, resource });
