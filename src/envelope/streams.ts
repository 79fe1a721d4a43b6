/** The streams of a cipher, from their start to their end: by themselves, by a signal, or with the cipher. */

import type { Transform } from 'node:stream';
import type { ReadableWritablePair } from 'node:stream/web';
import type { Clock } from '../clock.js';
import type { ErrorContext } from '../errors/base.js';
import { ClientClosedError, OperationAbortedError } from '../errors/service.js';
import type { AbortListeners } from '../provider/abort-listeners.js';
import { Caller } from './caller.js';
import type { KeyWrapper, WrappedDataKey } from './key-wrapper.js';
import { EnvelopeTransform } from './node-stream.js';
import { type EnvelopeCallOptions, parseCallOptions, requireBytes } from './options.js';
import type { RewrappedKeys } from './rewrapped-keys.js';
import { SharedCall } from './shared-call.js';
import { StreamDecryption } from './stream-decryption.js';
import { StreamEncryption } from './stream-encryption.js';
import { StreamReencryption } from './stream-reencryption.js';
import type { StreamWork } from './stream-work.js';
import type { UnwrappedKeys } from './unwrapped-keys.js';
import { EnvelopeWebStream } from './web-stream.js';

interface EnvelopeStreamsOptions {
  readonly wrapper: KeyWrapper;
  readonly unwrapped: UnwrappedKeys;
  readonly rewrapped: RewrappedKeys;
  readonly clock: Clock;
  readonly aborts: AbortListeners;
  /** Of the wait for a data key, where a call does not set its own. */
  readonly timeoutMs: number;
  /** For errors: the key-encryption key. */
  readonly resource: string;
}

interface StreamRequest {
  /** The public method. */
  readonly operation: string;
  readonly kind: 'encrypt' | 'decrypt' | 'reencrypt';
  readonly associatedData: Uint8Array;
  readonly options: EnvelopeCallOptions | undefined;
}

interface Session {
  readonly work: StreamWork;
  readonly requireChunk: (chunk: unknown) => Uint8Array;
  readonly onEnd: () => void;
  /** From now on a signal and the cipher can end the stream. */
  readonly start: (end: (error: Error) => void) => void;
}

export class EnvelopeStreams {
  readonly #options: EnvelopeStreamsOptions;
  /** Ends each stream that has not ended yet, because the cipher is closed. */
  readonly #running = new Set<() => void>();
  #closed = false;

  constructor(options: EnvelopeStreamsOptions) {
    this.#options = options;
  }

  node(request: StreamRequest): Transform {
    const session = this.#open(request);
    const stream = new EnvelopeTransform(session);
    const destroy = (error: Error): void => void stream.destroy(error);
    let end = (error: Error): void => {
      // Not before the caller has the stream and listens to it: from Node 24 on, nothing can be piped into one that has ended.
      process.nextTick(destroy, error);
    };
    session.start((error) => end(error));
    end = destroy;
    return stream;
  }

  web(request: StreamRequest): ReadableWritablePair<Uint8Array, Uint8Array> {
    const session = this.#open(request);
    const stream = new EnvelopeWebStream(session);
    session.start((error) => stream.destroy(error));
    return { readable: stream.readable, writable: stream.writable };
  }

  close(): void {
    this.#closed = true;
    for (const end of [...this.#running]) end();
  }

  #open(request: StreamRequest): Session {
    const { aborts, resource } = this.#options;
    const context = { operation: request.operation, resource };
    requireBytes(context, 'associatedData', request.associatedData);
    const { signal, timeoutMs = this.#options.timeoutMs } = parseCallOptions(context, request.options ?? {});
    if (this.#closed) throw new ClientClosedError(context);

    // Ends with the stream, and so ends its wait for a key.
    const life = new AbortController();
    const caller = (): Caller =>
      new Caller({ context, timeoutMs, signal: life.signal, clock: this.#options.clock });
    let close = (): void => {};
    let stopListening = (): void => {};
    return {
      work: this.#work(request, context, caller),
      requireChunk: (chunk) => requireBytes(context, 'a chunk', chunk),
      onEnd: () => {
        this.#running.delete(close);
        stopListening();
        life.abort();
      },
      start: (end) => {
        close = () => end(new ClientClosedError(context));
        this.#running.add(close);
        if (signal === undefined) return;
        const abort = (): void => end(new OperationAbortedError({ ...context, cause: signal.reason }));
        if (signal.aborted) abort();
        else stopListening = aborts.add(signal, abort);
      },
    };
  }

  #work(request: StreamRequest, context: ErrorContext, caller: () => Caller): StreamWork {
    const { unwrapped, rewrapped } = this.#options;
    // The caller may change its bytes long before the stream ends.
    const associatedData = Buffer.from(request.associatedData);
    switch (request.kind) {
      case 'encrypt':
        return new StreamEncryption({ context, associatedData, newKey: () => this.#newKey(caller()) });
      case 'decrypt':
        return new StreamDecryption({
          context,
          associatedData,
          unwrapKey: (wrappedKey) => unwrapped.get(wrappedKey, caller),
        });
      case 'reencrypt':
        return new StreamReencryption({
          context,
          rewrapKey: (wrappedKey) => rewrapped.get(wrappedKey, caller()),
        });
    }
  }

  /** Each stream has its own data key: its length is not known before its end, so it cannot be counted against limits. */
  #newKey(caller: Caller): Promise<WrappedDataKey> {
    const { wrapper, aborts } = this.#options;
    return new SharedCall<WrappedDataKey>({
      starter: caller,
      aborts,
      work: (limits) => wrapper.wrapNew(caller.context, 'stream', limits),
      onEnd: () => {},
    }).wait(caller);
  }
}
