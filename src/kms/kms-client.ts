/**
 * `KMSClient`: the `KeyProvider` on Cloud KMS. Thin: it parses what callers pass, opens an operation with its deadline,
 * and hands over to the modules beside it.
 */

import { type KMSConfig, parseKMSConfig, type ResolvedKMSConfig } from '../config.js';
import { type ErrorContext, InvalidArgumentError, OperationAbortedError } from '../errors.js';
import type { KeyPurpose } from '../keys/algorithms.js';
import type {
  CallOptions,
  DestructionResult,
  EncryptionOptions,
  KeyMetadata,
  KeyProvider,
  KeySpec,
  KeyVersionInUse,
  KeyVersionMetadata,
  ListKeysOptions,
  RestoreOptions,
  SignatureDetails,
} from '../keys/key-provider.js';
import { type KeyReference, keyRingName, parseKeyReference } from '../keys/resource-name.js';
import {
  callOptions,
  destroyAfterSeconds,
  encryptionOptions,
  listKeysOptions,
  parseInput,
  parseOptions,
  requireBytes,
  restoreOptions,
} from './call-input.js';
import { KmsConnection } from './connection.js';
import type { KmsCore } from './core.js';
import { destroy, restore } from './destruction.js';
import { decryptWith, encryptWith } from './encryption.js';
import { ensureKey, ensureKeyRing } from './key-creation.js';
import { KeyReader } from './key-reader.js';
import { checkKeySpec } from './key-spec.js';
import { Operation } from './operation.js';
import { PublicKeys } from './public-keys.js';
import { toKeyMetadata } from './resources.js';
import { rotate } from './rotation.js';
import { RpcCaller } from './rpc-caller.js';
import { type SigningPayload, signWith } from './signing.js';
import { verifyCold, verifyWarm } from './verify.js';
import { VersionResolver } from './version-resolver.js';

const NO_DATA = new Uint8Array(0);
const ANY_PURPOSE = [
  'ENCRYPT_DECRYPT',
  'ASYMMETRIC_SIGN',
  'ASYMMETRIC_DECRYPT',
  'RAW_ENCRYPT_DECRYPT',
  'MAC',
  'KEY_ENCAPSULATION',
] as const satisfies readonly KeyPurpose[];

/**
 * Keys in Cloud KMS. Private keys are made in Google's HSMs and are never in this process.
 *
 * @example
 * ```ts
 * await using kms = new KMSClient({ projectId: 'my-project', locationId: 'europe-west3', keyRingId: 'agents' });
 * await kms.initialize();
 * const key = await kms.generateKey({
 *   name: 'invoices',
 *   purpose: 'ASYMMETRIC_SIGN',
 *   algorithm: 'EC_SIGN_P384_SHA384',
 *   protectionLevel: 'HSM',
 * });
 * const signature = await kms.sign(key.name, Buffer.from('pay 10 EUR'));
 * await kms.verify(key.name, Buffer.from('pay 10 EUR'), signature); // true
 * ```
 */
export class KMSClient implements KeyProvider {
  readonly #config: ResolvedKMSConfig;
  readonly #connection: KmsConnection;
  readonly #core: KmsCore;

  /** @throws InvalidConfigError naming every field that is wrong. */
  constructor(config: KMSConfig) {
    this.#config = parseKMSConfig(config);
    const { endpoint, channels, logger } = this.#config;
    this.#connection = new KmsConnection({ endpoint, channels });
    const keyRing = keyRingName(this.#config);
    const caller = new RpcCaller(this.#connection, this.#config);
    const reader = new KeyReader(caller, this.#config);
    const resolver = new VersionResolver(reader, this.#config, keyRing);
    const publicKeys = new PublicKeys(caller, reader, this.#config);
    this.#core = { config: this.#config, keyRing, caller, reader, resolver, publicKeys };
    if (endpoint.kind === 'emulator') {
      logger.warn(
        { emulator: `${endpoint.host}:${endpoint.port}` },
        'calls go to a Cloud KMS emulator, which protects nothing',
      );
    }
  }

  /** Full name of the key ring. */
  get keyRing(): string {
    return this.#core.keyRing;
  }

  /** Gets or creates the key ring; safe when several processes do it at once. */
  async initialize(options?: CallOptions): Promise<void> {
    const operation = this.#operation('initialize', this.#core.keyRing, options);
    await operation.run(() => ensureKeyRing(this.#core, operation));
  }

  /**
   * Creates a key and waits until it can be used. A key of that name is adopted if purpose, algorithm and protection
   * level are the ones asked for.
   * @throws UnsupportedAlgorithmError before any call, when the protection level has no such algorithm.
   * @throws KeySpecMismatchError when the existing key is another one.
   * @throws KeyGenerationFailedError with the reason that Cloud KMS gives.
   */
  async generateKey(spec: KeySpec, options?: CallOptions): Promise<KeyMetadata> {
    const checked = checkKeySpec(spec, this.#core.keyRing, {
      operation: 'generateKey',
      resource: this.#core.keyRing,
    });
    const operation = this.#operation(
      'generateKey',
      checked.key,
      options,
      this.#config.deadlines.generationMs,
    );
    const { key, current } = await operation.run(() => ensureKey(this.#core, operation, checked));
    return toKeyMetadata(key, current);
  }

  /** Signs a message of any size with an algorithm that takes a digest, up to 64 KiB with one that takes the message. */
  async sign(keyId: string, data: Uint8Array, options?: CallOptions): Promise<Buffer> {
    return (await this.#sign('sign', keyId, { kind: 'message', bytes: data }, options)).signature;
  }

  /** As `sign`, and says which version signed, with which algorithm, and how the signature is encoded. */
  signDetailed(keyId: string, data: Uint8Array, options?: CallOptions): Promise<SignatureDetails> {
    return this.#sign('signDetailed', keyId, { kind: 'message', bytes: data }, options);
  }

  /** Signs a digest that the caller computed with the hash that the key's algorithm demands; its length is checked. */
  signDigest(keyId: string, digest: Uint8Array, options?: CallOptions): Promise<SignatureDetails> {
    return this.#sign('signDigest', keyId, { kind: 'digest', bytes: digest }, options);
  }

  /**
   * Verifies in this process. Without a pinned version the version in use is tried first, then older ones that were not
   * destroyed. A wrong signature is `false`, makes no call, and leaves the caches as they are.
   */
  async verify(
    keyId: string,
    data: Uint8Array,
    signature: Uint8Array,
    options?: CallOptions,
  ): Promise<boolean> {
    const context = { operation: 'verify', resource: String(keyId) };
    const reference = this.#reference(context, keyId);
    const signed = {
      data: requireBytes(context, 'data', data),
      signature: requireBytes(context, 'signature', signature),
    };
    if (options !== undefined) {
      const { signal } = parseOptions(context, callOptions, options);
      if (signal?.aborted) throw new OperationAbortedError({ ...context, cause: signal.reason });
    }
    const verdict = await verifyWarm(this.#core, reference, signed);
    if (verdict !== undefined) return verdict;
    const operation = this.#operation('verify', nameOf(reference), options);
    return operation.run(() => verifyCold(this.#core, operation, reference, signed));
  }

  /**
   * Encrypts. ENCRYPT_DECRYPT keys: in Cloud KMS, up to 8 KiB with the additional authenticated data (HSM) or 64 KiB
   * each (SOFTWARE). ASYMMETRIC_DECRYPT keys: here, with the public key, up to what OAEP leaves of the modulus.
   * @throws DataTooLargeError before any call.
   */
  async encrypt(keyId: string, plaintext: Uint8Array, options?: EncryptionOptions): Promise<Buffer> {
    return this.#encryption('encrypt', keyId, plaintext, options);
  }

  /**
   * Decrypts. The ciphertext of an ENCRYPT_DECRYPT key names its version itself, so the version in a full version name
   * is not used; with an ASYMMETRIC_DECRYPT key the version that encrypted has to be named when it is no longer in use.
   * @throws DecryptionFailedError when the ciphertext, the key or the additional authenticated data is not right.
   */
  async decrypt(keyId: string, ciphertext: Uint8Array, options?: EncryptionOptions): Promise<Buffer> {
    return this.#encryption('decrypt', keyId, ciphertext, options);
  }

  /** Which version a key id means now, from the cache where it is known. A version name means itself. */
  async resolveKeyVersion(keyId: string, options?: CallOptions): Promise<KeyVersionInUse> {
    const reference = this.#reference({ operation: 'resolveKeyVersion', resource: String(keyId) }, keyId);
    const operation = this.#operation('resolveKeyVersion', nameOf(reference), options);
    return operation.run(async () => {
      const version = await this.#core.resolver.resolve(operation, reference, ANY_PURPOSE);
      const { name: keyVersion, algorithm, protectionLevel } = version;
      return { keyVersion, algorithm: algorithm.name, protectionLevel };
    });
  }

  /** The public key of the version in use (or the pinned one), PEM. */
  async getPublicKey(keyId: string, options?: CallOptions): Promise<Buffer> {
    const reference = this.#reference({ operation: 'getPublicKey', resource: String(keyId) }, keyId);
    const operation = this.#operation('getPublicKey', nameOf(reference), options);
    return operation.run(async () => {
      const version = await this.#core.resolver.resolve(operation, reference, [
        'ASYMMETRIC_SIGN',
        'ASYMMETRIC_DECRYPT',
      ]);
      return Buffer.from((await this.#core.publicKeys.get(operation, version)).pem, 'utf8');
    });
  }

  /** Makes a new version, waits until it can be used, and uses it from now on. Older versions keep verifying and decrypting. */
  async rotateKey(keyId: string, options?: CallOptions): Promise<KeyMetadata> {
    const context = { operation: 'rotateKey', resource: String(keyId) };
    const reference = this.#reference(context, keyId);
    if (reference.kind === 'version')
      throw new InvalidArgumentError(
        context,
        'a key is rotated, not one of its versions; pass the name of the key.',
      );
    const operation = this.#operation(
      'rotateKey',
      reference.key,
      options,
      this.#config.deadlines.generationMs,
    );
    const { key, current } = await operation.run(() => rotate(this.#core, operation, reference.key));
    return toKeyMetadata(key, current);
  }

  /**
   * Schedules the destruction of one version, or of all versions of a key. Until the time that is returned, `restoreKey`
   * takes it back.
   * @param destroyAfter the least delay in seconds that you want; a key with a shorter delay is refused, untouched.
   */
  async destroyKey(keyId: string, destroyAfter?: number, options?: CallOptions): Promise<DestructionResult> {
    const context = { operation: 'destroyKey', resource: String(keyId) };
    const reference = this.#reference(context, keyId);
    const afterSeconds = parseInput(context, destroyAfterSeconds, {
      name: 'destroyAfter',
      value: destroyAfter,
    });
    const operation = this.#operation('destroyKey', nameOf(reference), options);
    return operation.run(() => destroy(this.#core, operation, reference, afterSeconds));
  }

  /** Takes back a scheduled destruction, and enables the restored versions unless told otherwise. */
  async restoreKey(keyId: string, options?: RestoreOptions): Promise<KeyMetadata> {
    const context = { operation: 'restoreKey', resource: String(keyId) };
    const reference = this.#reference(context, keyId);
    const { state = 'ENABLED', ...callerOptions } = parseOptions(context, restoreOptions, options);
    const operation = this.#operation('restoreKey', nameOf(reference), callerOptions);
    return operation.run(async () => {
      await restore(this.#core, operation, reference, state);
      const { key, current } = await this.#core.resolver.refresh(operation, reference.key);
      return toKeyMetadata(key, current);
    });
  }

  /** What Cloud KMS says of a key now. */
  async getKey(keyId: string, options?: CallOptions): Promise<KeyMetadata> {
    const reference = this.#reference({ operation: 'getKey', resource: String(keyId) }, keyId);
    const operation = this.#operation('getKey', reference.key, options);
    const { key, current } = await operation.run(() => this.#core.resolver.refresh(operation, reference.key));
    return toKeyMetadata(key, current);
  }

  /** The keys of the key ring; with `labels`, those that have all of them. */
  async listKeys(options?: ListKeysOptions): Promise<readonly KeyMetadata[]> {
    const context = { operation: 'listKeys', resource: this.#core.keyRing };
    const { labels = {}, ...callerOptions } = parseOptions(context, listKeysOptions, options);
    const filter = Object.entries(labels)
      .map(([label, value]) => `labels.${label}=${JSON.stringify(value)}`)
      .join(' AND ');
    const operation = this.#operation('listKeys', this.#core.keyRing, callerOptions);
    const keys = await operation.run(() => this.#core.reader.listKeys(operation, this.#core.keyRing, filter));
    return keys.map((key) => toKeyMetadata(key, key.primary));
  }

  /** All versions of a key, destroyed ones too. */
  async listKeyVersions(keyId: string, options?: CallOptions): Promise<readonly KeyVersionMetadata[]> {
    const reference = this.#reference({ operation: 'listKeyVersions', resource: String(keyId) }, keyId);
    const operation = this.#operation('listKeyVersions', reference.key, options);
    const versions = await operation.run(() => this.#core.reader.listVersions(operation, reference.key));
    return versions.map((version) => version.metadata);
  }

  /** Closes the connections. Calls after it are refused with `ClientClosedError`. */
  async close(): Promise<void> {
    this.#core.caller.close();
    await this.#connection.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #sign(
    name: string,
    keyId: string,
    payload: SigningPayload,
    options: CallOptions | undefined,
  ): Promise<SignatureDetails> {
    const context = { operation: name, resource: String(keyId) };
    const reference = this.#reference(context, keyId);
    requireBytes(context, payload.kind === 'digest' ? 'digest' : 'data', payload.bytes);
    const operation = this.#operation(name, nameOf(reference), options);
    return operation.run(() => signWith(this.#core, operation, reference, payload));
  }

  async #encryption(
    name: 'encrypt' | 'decrypt',
    keyId: string,
    bytes: Uint8Array,
    options: EncryptionOptions | undefined,
  ): Promise<Buffer> {
    const context = { operation: name, resource: String(keyId) };
    const reference = this.#reference(context, keyId);
    requireBytes(context, name === 'encrypt' ? 'plaintext' : 'ciphertext', bytes);
    const { additionalAuthenticatedData = NO_DATA, ...callerOptions } = parseOptions(
      context,
      encryptionOptions,
      options,
    );
    const operation = this.#operation(name, nameOf(reference), callerOptions);
    const work = name === 'encrypt' ? encryptWith : decryptWith;
    return operation.run(() =>
      work(this.#core, operation, reference, { bytes, additionalAuthenticatedData }),
    );
  }

  #reference(context: ErrorContext, keyId: string): KeyReference {
    const parsed = parseKeyReference(keyId, this.#core.keyRing);
    if (!parsed.ok) throw new InvalidArgumentError(context, parsed.problem);
    return parsed.value;
  }

  #operation(
    name: string,
    resource: string,
    options: CallOptions | undefined,
    defaultTimeoutMs = this.#config.deadlines.operationMs,
  ): Operation {
    const { signal, timeoutMs = defaultTimeoutMs } = parseOptions(
      { operation: name, resource },
      callOptions,
      options,
    );
    return new Operation({ name, resource, timeoutMs, clock: this.#config.clock, signal });
  }
}

const nameOf = (reference: KeyReference): string =>
  reference.kind === 'version' ? reference.version.name : reference.key;
