/**
 * A key-encryption key in this process, for tests of envelope encryption: several versions, counted calls, and calls that
 * wait until the test lets them go on. A wrapped key is `iv ‖ ciphertext ‖ tag` of AES-256-GCM, as Tink's AesGcm makes it.
 */

import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import type { KeyWrappingProvider } from '../../src/envelope/key-wrapper.js';
import { DecryptionFailedError } from '../../src/errors/service.js';
import type { CallOptions, EncryptionOptions } from '../../src/keys/call-options.js';
import type { KeyVersionInUse } from '../../src/keys/key-provider.js';

export interface WrappingCall {
  readonly method: 'encrypt' | 'decrypt';
  readonly bytes: Uint8Array;
  readonly options: EncryptionOptions | undefined;
  /** What it answered. */
  answer?: Buffer;
}

export class LocalWrapping implements KeyWrappingProvider {
  readonly calls: WrappingCall[] = [];
  algorithm: KeyVersionInUse['algorithm'] = 'GOOGLE_SYMMETRIC_ENCRYPTION';
  /** What the next calls fail with. */
  failure: Error | undefined;
  /** Changes an answer. */
  tamper: (answer: Buffer) => Buffer = (answer) => answer;
  readonly #versions: Buffer[];
  #gate: { readonly opened: Promise<void>; readonly open: () => void } | undefined;

  constructor(key: Buffer = randomBytes(32)) {
    this.#versions = [key];
  }

  count(method: WrappingCall['method']): number {
    return this.calls.filter((call) => call.method === method).length;
  }

  /** Number of the version that wraps. */
  get primary(): number {
    return this.#versions.length;
  }

  rotate(): void {
    this.#versions.push(randomBytes(32));
  }

  /** Number of the version that wrapped; undefined for none. */
  versionOf(wrappedKey: Uint8Array): number | undefined {
    const index = this.#versions.findIndex((key) => open(key, wrappedKey) !== undefined);
    return index === -1 ? undefined : index + 1;
  }

  /** Has calls wait from now on, until the function that is returned lets them go. */
  hold(): () => void {
    let release = (): void => {};
    const opened = new Promise<void>((resolve) => {
      release = resolve;
    });
    this.#gate = {
      opened,
      open: () => {
        this.#gate = undefined;
        release();
      },
    };
    return this.#gate.open;
  }

  async encrypt(_keyId: string, plaintext: Uint8Array, options?: EncryptionOptions): Promise<Buffer> {
    const call: WrappingCall = { method: 'encrypt', bytes: plaintext, options };
    return this.#answer(call, () => seal(this.#versions.at(-1) ?? Buffer.alloc(0), plaintext));
  }

  async decrypt(keyId: string, ciphertext: Uint8Array, options?: EncryptionOptions): Promise<Buffer> {
    const call: WrappingCall = { method: 'decrypt', bytes: ciphertext, options };
    return this.#answer(call, () => {
      for (const key of this.#versions) {
        const plaintext = open(key, ciphertext);
        if (plaintext !== undefined) return plaintext;
      }
      throw new DecryptionFailedError({ operation: 'decrypt', resource: keyId, attempts: 1 });
    });
  }

  async resolveKeyVersion(keyId: string, _options?: CallOptions): Promise<KeyVersionInUse> {
    return {
      keyVersion: `${keyId}/cryptoKeyVersions/${this.primary}`,
      algorithm: this.algorithm,
      protectionLevel: 'HSM',
    };
  }

  async #answer(call: WrappingCall, work: () => Buffer): Promise<Buffer> {
    this.calls.push(call);
    if (this.#gate !== undefined) await this.#untilOpen(this.#gate.opened, call.options?.signal);
    if (this.failure !== undefined) throw this.failure;
    call.answer = this.tamper(work());
    return call.answer;
  }

  #untilOpen(opened: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      signal?.addEventListener('abort', () => reject(new Error('the provider was told to stop')));
      void opened.then(resolve);
    });
  }
}

function seal(key: Buffer, plaintext: Uint8Array): Buffer {
  const iv = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', key, iv);
  return Buffer.concat([iv, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}

function open(key: Buffer, wrapped: Uint8Array): Buffer | undefined {
  if (wrapped.length < 28) return undefined;
  const decipher = createDecipheriv('aes-256-gcm', key, wrapped.subarray(0, 12), { authTagLength: 16 });
  decipher.setAuthTag(wrapped.subarray(-16));
  const plaintext = decipher.update(wrapped.subarray(12, -16));
  try {
    decipher.final();
    return plaintext;
  } catch {
    return undefined;
  }
}
