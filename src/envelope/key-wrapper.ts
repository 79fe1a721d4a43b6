/** Wraps data keys with the key-encryption key and unwraps them: the only place that talks to the provider. */

import type { Clock } from '../clock.js';
import type { ErrorContext } from '../errors/base.js';
import { InvalidEnvelopeError } from '../errors/envelope.js';
import { UnsupportedAlgorithmError } from '../errors/input.js';
import { IntegrityError } from '../errors/service.js';
import type { CallOptions } from '../keys/call-options.js';
import type { KeyProvider } from '../keys/key-provider.js';
import { DataKey } from './data-key.js';
import { encodeHeader, WRAPPED_KEY_MAX_BYTES } from './format.js';
import type { Held, WorkLimits } from './shared-call.js';
import { type DataKeyKind, parseTinkKey, serializeTinkKey } from './tink-key.js';

const SYMMETRIC = 'GOOGLE_SYMMETRIC_ENCRYPTION';

/** What an `EnvelopeCipher` needs of a provider. */
export type KeyWrappingProvider = Pick<KeyProvider, 'encrypt' | 'decrypt' | 'resolveKeyVersion'>;

/** A data key in both forms. */
export class WrappedDataKey implements Held {
  readonly wrappedKey: Buffer;
  /** What stands in front of what the key encrypts: the wrapped key and its length. */
  readonly header: Buffer;
  readonly key: DataKey;

  constructor(wrappedKey: Buffer, key: DataKey) {
    this.wrappedKey = wrappedKey;
    this.header = encodeHeader(wrappedKey);
    this.key = key;
  }

  hold(): void {
    this.key.hold();
  }

  release(): void {
    this.key.release();
  }
}

interface KeyWrapperOptions {
  readonly provider: KeyWrappingProvider;
  readonly keyId: string;
  readonly clock: Clock;
  /** Why the provider is called. */
  readonly purpose?: Pick<CallOptions, 'reason' | 'correlationId'> | undefined;
}

export class KeyWrapper {
  readonly #provider: KeyWrappingProvider;
  readonly #keyId: string;
  readonly #clock: Clock;
  readonly #purpose: KeyWrapperOptions['purpose'];

  constructor(options: KeyWrapperOptions) {
    this.#provider = options.provider;
    this.#keyId = options.keyId;
    this.#clock = options.clock;
    this.#purpose = options.purpose;
  }

  /** A new data key, wrapped. The result is held by the caller. */
  async wrapNew(context: ErrorContext, kind: DataKeyKind, limits: WorkLimits): Promise<WrappedDataKey> {
    const key = DataKey.generate(kind);
    try {
      return new WrappedDataKey(await this.wrap(context, key, limits), key);
    } catch (error) {
      key.release();
      throw error;
    }
  }

  /** Wraps a data key with the version that is in use now. */
  async wrap(context: ErrorContext, key: DataKey, limits: WorkLimits): Promise<Buffer> {
    await this.versionInUse(context, limits);
    const serialized = serializeTinkKey(key.kind, key.bytes);
    try {
      const wrappedKey = await this.#provider.encrypt(this.#keyId, serialized, this.#callOptions(limits));
      if (wrappedKey.length > 0 && wrappedKey.length <= WRAPPED_KEY_MAX_BYTES) return wrappedKey;
      throw new IntegrityError(
        context,
        `the wrapped data key has ${wrappedKey.length} bytes; 1 to ${WRAPPED_KEY_MAX_BYTES} are possible`,
      );
    } finally {
      serialized.fill(0);
    }
  }

  /**
   * Unwraps a data key. The result is held by the caller.
   * @throws InvalidEnvelopeError when what was wrapped is not a data key.
   */
  async unwrap(context: ErrorContext, wrappedKey: Buffer, limits: WorkLimits): Promise<DataKey> {
    await this.versionInUse(context, limits);
    const serialized = await this.#provider.decrypt(this.#keyId, wrappedKey, this.#callOptions(limits));
    try {
      const parsed = parseTinkKey(serialized);
      if (parsed !== undefined) return DataKey.copyOf(parsed.kind, parsed.key);
      throw new InvalidEnvelopeError(
        context,
        'data-key',
        'what its wrapped key holds is not a known data key.',
      );
    } finally {
      serialized.fill(0);
    }
  }

  /**
   * Full name of the version that would wrap now, as fresh as the provider's cache.
   * @throws UnsupportedAlgorithmError for an asymmetric key: anyone who has its public key could wrap data keys, and an
   * envelope would prove nothing.
   */
  async versionInUse(context: ErrorContext, limits: WorkLimits): Promise<string> {
    const { algorithm, keyVersion } = await this.#provider.resolveKeyVersion(
      this.#keyId,
      this.#callOptions(limits),
    );
    if (algorithm === SYMMETRIC) return keyVersion;
    throw new UnsupportedAlgorithmError(
      context,
      `data keys are wrapped with a symmetric key only; this one is ${algorithm}.`,
      [SYMMETRIC],
    );
  }

  #callOptions({ signal, deadlineAt }: WorkLimits): CallOptions {
    return { ...this.#purpose, signal, timeoutMs: Math.max(1, deadlineAt - this.#clock.monotonic()) };
  }
}
