/**
 * Encrypts data of any size with data keys that a key-encryption key wraps. The wire formats are Tink's: KmsEnvelopeAead
 * with AES256_GCM for messages, AES256_GCM_HKDF_1MB behind a wrapped-key header for streams.
 */

import type { Transform } from 'node:stream';
import type { ReadableWritablePair } from 'node:stream/web';
import type { ErrorContext } from '../errors/base.js';
import { InvalidEnvelopeError } from '../errors/envelope.js';
import { DataTooLargeError } from '../errors/input.js';
import { ClientClosedError, DecryptionFailedError, OperationAbortedError } from '../errors/service.js';
import { AbortListeners } from '../provider/abort-listeners.js';
import { type CacheStats, frozen } from '../provider/stats.js';
import { Caller } from './caller.js';
import { DataKey } from './data-key.js';
import { encodeHeader, parseEnvelope } from './format.js';
import { KeyWrapper, type KeyWrappingProvider, WrappedDataKey } from './key-wrapper.js';
import { openMessage, sealMessage } from './message.js';
import { MessageKeys } from './message-keys.js';
import {
  type EnvelopeCallOptions,
  type EnvelopeCipherOptions,
  parseCallOptions,
  parseEnvelopeOptions,
  type ResolvedEnvelopeOptions,
  requireBytes,
} from './options.js';
import { RewrappedKeys } from './rewrapped-keys.js';
import type { Held } from './shared-call.js';
import { EnvelopeStreams } from './streams.js';
import { UnwrappedKeys } from './unwrapped-keys.js';

const NO_DATA = new Uint8Array(0);

/** How often a data key was there when it was needed. Plain frozen data. */
export interface EnvelopeStats {
  /** Data keys that messages are encrypted with: one of them is in use at a time. */
  readonly dataKeys: CacheStats;
  /** Data keys that were unwrapped. */
  readonly unwrappedKeys: CacheStats;
}

/**
 * Encrypts data of any size; only data keys are sent to the provider, to be wrapped by the key-encryption key.
 *
 * @example
 * ```ts
 * await using cipher = new EnvelopeCipher(kms, 'a2a-kek');
 * const ciphertext = await cipher.encrypt(Buffer.from('pay 10 EUR'), Buffer.from('invoice 17'));
 * await cipher.decrypt(ciphertext, Buffer.from('invoice 17')); // the plaintext again
 * await pipeline(createReadStream('in'), cipher.encryptStream(), createWriteStream('out'));
 * ```
 */
export class EnvelopeCipher {
  readonly #keyId: string;
  readonly #options: ResolvedEnvelopeOptions;
  readonly #messageKeys: MessageKeys;
  readonly #unwrappedKeys: UnwrappedKeys;
  readonly #rewrappedKeys: RewrappedKeys;
  readonly #streams: EnvelopeStreams;
  #closed = false;

  /**
   * @param provider for example a `KMSClient`; it is not closed with the cipher.
   * @param keyId the key-encryption key: an ENCRYPT_DECRYPT key. A version name pins the version that wraps.
   * @throws InvalidConfigError naming every option that is wrong or beyond its cap.
   */
  constructor(provider: KeyWrappingProvider, keyId: string, options: EnvelopeCipherOptions = {}) {
    this.#options = parseEnvelopeOptions(options);
    this.#keyId = keyId;
    const { clock, dataKeys, cache, timeoutMs, reason, correlationId } = this.#options;
    const shared = {
      wrapper: new KeyWrapper({ provider, keyId, clock, purpose: { reason, correlationId } }),
      clock,
      aborts: new AbortListeners(),
    };
    this.#unwrappedKeys = new UnwrappedKeys({ ...shared, limits: cache });
    this.#messageKeys = new MessageKeys({
      ...shared,
      limits: dataKeys,
      onNewKey: ({ wrappedKey, key }) => this.#unwrappedKeys.add(wrappedKey, key),
    });
    this.#rewrappedKeys = new RewrappedKeys({ ...shared, unwrapped: this.#unwrappedKeys });
    this.#streams = new EnvelopeStreams({
      ...shared,
      unwrapped: this.#unwrappedKeys,
      rewrapped: this.#rewrappedKeys,
      timeoutMs,
      resource: keyId,
    });
  }

  /**
   * Encrypts a message. Its data key is shared with other messages within the configured limits, so most calls make no
   * call to the provider.
   * @param associatedData authenticated with the ciphertext but not part of it; decryption needs the same bytes.
   * @throws DataTooLargeError for more than `dataKeys.maxBytes`; larger data is for `encryptStream`.
   */
  async encrypt(
    plaintext: Uint8Array,
    associatedData: Uint8Array = NO_DATA,
    options?: EnvelopeCallOptions,
  ): Promise<Buffer> {
    const context = this.#context('encrypt');
    const message = requireBytes(context, 'plaintext', plaintext);
    const data = requireBytes(context, 'associatedData', associatedData);
    const caller = this.#callers(context, options);
    const limitBytes = this.#options.dataKeys.maxBytes;
    if (message.length > limitBytes) {
      throw new DataTooLargeError(
        context,
        { what: 'plaintext', sizeBytes: message.length, limitBytes },
        'Use encryptStream, which takes data of any size.',
      );
    }
    const taken = this.#messageKeys.take(message.length, caller);
    if (taken instanceof WrappedDataKey) return seal(taken, message, data);
    // The caller may change its bytes, or give them to another thread, while the key is waited for.
    const [messageCopy, dataCopy] = [Buffer.from(message), Buffer.from(data)];
    try {
      return seal(await this.#unlessClosed(context, taken), messageCopy, dataCopy);
    } finally {
      messageCopy.fill(0);
    }
  }

  /**
   * Decrypts a message.
   * @throws InvalidEnvelopeError before any call, when the bytes cannot be an envelope.
   * @throws DecryptionFailedError when the ciphertext, the key or the associated data is not right.
   */
  async decrypt(
    ciphertext: Uint8Array,
    associatedData: Uint8Array = NO_DATA,
    options?: EnvelopeCallOptions,
  ): Promise<Buffer> {
    const context = this.#context('decrypt');
    const bytes = requireBytes(context, 'ciphertext', ciphertext);
    const data = requireBytes(context, 'associatedData', associatedData);
    const caller = this.#callers(context, options);
    const { wrappedKey, payload } = parseEnvelope(context, bytes);
    const unwrapped = this.#unwrappedKeys.get(wrappedKey, caller);
    if (unwrapped instanceof DataKey) return open(context, unwrapped, { payload, data });
    // As in encrypt.
    const copies = { payload: Buffer.from(payload), data: Buffer.from(data) };
    return open(context, await this.#unlessClosed(context, unwrapped), copies);
  }

  /**
   * Wraps the data key of a message, or of a stream that is wholly in memory, with the version of the key-encryption key
   * that is in use now. What was encrypted stays as it is and is neither decrypted nor verified.
   */
  async reencrypt(ciphertext: Uint8Array, options?: EnvelopeCallOptions): Promise<Buffer> {
    const context = this.#context('reencrypt');
    const bytes = requireBytes(context, 'ciphertext', ciphertext);
    const caller = this.#callers(context, options);
    const { wrappedKey, payload } = parseEnvelope(context, bytes);
    // As in encrypt.
    const copy = Buffer.from(payload);
    const rewrappedKey = await this.#rewrappedKeys.get(wrappedKey, caller());
    return Buffer.concat([encodeHeader(rewrappedKey), copy]);
  }

  /**
   * A Node stream that encrypts what is written to it: bytes of any length, in constant memory. Each stream has a data key
   * of its own. `options` are for the call that wraps it; the signal ends the stream at any time.
   */
  encryptStream(associatedData: Uint8Array = NO_DATA, options?: EnvelopeCallOptions): Transform {
    return this.#streams.node({ operation: 'encryptStream', kind: 'encrypt', associatedData, options });
  }

  /**
   * A Node stream that decrypts what is written to it. It passes plaintext on before it has seen the end: **when it
   * fails, what was received of it must be discarded**. Use `pipeline`, and act on the data when that has succeeded.
   *
   * It fails with StreamDecryptionError when the stream is damaged, cut short, extended or put together from parts or
   * the associated data is not right, and with InvalidEnvelopeError when the bytes are not an encrypted stream.
   */
  decryptStream(associatedData: Uint8Array = NO_DATA, options?: EnvelopeCallOptions): Transform {
    return this.#streams.node({ operation: 'decryptStream', kind: 'decrypt', associatedData, options });
  }

  /** As `reencrypt`, for a stream: a Node stream that changes the header and passes everything after it on. */
  reencryptStream(options?: EnvelopeCallOptions): Transform {
    return this.#streams.node({
      operation: 'reencryptStream',
      kind: 'reencrypt',
      associatedData: NO_DATA,
      options,
    });
  }

  /** As `encryptStream`, for `pipeThrough` of a Web stream. */
  encryptWebStream(
    associatedData: Uint8Array = NO_DATA,
    options?: EnvelopeCallOptions,
  ): ReadableWritablePair<Uint8Array, Uint8Array> {
    return this.#streams.web({ operation: 'encryptWebStream', kind: 'encrypt', associatedData, options });
  }

  /** As `decryptStream`, for `pipeThrough` of a Web stream. When it fails, what was received of it must be discarded. */
  decryptWebStream(
    associatedData: Uint8Array = NO_DATA,
    options?: EnvelopeCallOptions,
  ): ReadableWritablePair<Uint8Array, Uint8Array> {
    return this.#streams.web({ operation: 'decryptWebStream', kind: 'decrypt', associatedData, options });
  }

  /** As `reencryptStream`, for `pipeThrough` of a Web stream. */
  reencryptWebStream(options?: EnvelopeCallOptions): ReadableWritablePair<Uint8Array, Uint8Array> {
    return this.#streams.web({
      operation: 'reencryptWebStream',
      kind: 'reencrypt',
      associatedData: NO_DATA,
      options,
    });
  }

  /** What was counted since the cipher was made. Makes no call. */
  stats(): EnvelopeStats {
    return frozen({ dataKeys: this.#messageKeys.stats, unwrappedKeys: this.#unwrappedKeys.stats });
  }

  /** Zeroes all keys. Calls that wait, streams that have not ended and later calls fail with `ClientClosedError`. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#messageKeys.close();
    this.#unwrappedKeys.close();
    this.#rewrappedKeys.close();
    this.#streams.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #context(operation: string): ErrorContext {
    return { operation, resource: this.#keyId };
  }

  /** Checks what holds for every call, and gives its caller, which is made only if it has to wait. */
  #callers(context: ErrorContext, options: EnvelopeCallOptions | undefined): () => Caller {
    this.#requireOpen(context);
    const { clock, timeoutMs: byDefault } = this.#options;
    if (options === undefined) {
      return () => new Caller({ context, clock, timeoutMs: byDefault, signal: undefined });
    }
    const { signal, timeoutMs = byDefault } = parseCallOptions(context, options);
    if (signal?.aborted) throw new OperationAbortedError({ ...context, cause: signal.reason });
    return () => new Caller({ context, clock, timeoutMs, signal });
  }

  #requireOpen(context: ErrorContext): void {
    if (this.#closed) throw new ClientClosedError(context);
  }

  /** A key that was waited for, if the cipher was not closed in the moment in which it came. */
  async #unlessClosed<T extends Held>(context: ErrorContext, wait: Promise<T>): Promise<T> {
    const held = await wait;
    if (!this.#closed) return held;
    held.release();
    throw new ClientClosedError(context);
  }
}

/** Encrypts with a key that is held, and lets go of it. */
function seal(wrapped: WrappedDataKey, plaintext: Uint8Array, associatedData: Uint8Array): Buffer {
  try {
    return sealMessage({ key: wrapped.key.bytes, associatedData }, wrapped.header, plaintext);
  } finally {
    wrapped.release();
  }
}

/** Decrypts with a key that is held, and lets go of it. */
function open(
  context: ErrorContext,
  key: DataKey,
  { payload, data: associatedData }: { readonly payload: Buffer; readonly data: Uint8Array },
): Buffer {
  try {
    if (key.kind !== 'message') {
      throw new InvalidEnvelopeError(context, 'data-key', 'its data key is for streams, not for messages.');
    }
    const plaintext = openMessage({ key: key.bytes, associatedData }, payload);
    if (plaintext === undefined) throw new DecryptionFailedError(context);
    return plaintext;
  } finally {
    key.release();
  }
}
