/** Keys in this process that sign batches. */

import {
  constants,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  type SignKeyObjectInput,
  sign,
} from 'node:crypto';
import type { BlindedMessage } from '../../src/batch/blinded-message.js';
import { type BatchKey, blindAll, signBlinded } from '../../src/batch/sign-batch.js';
import { parsePublicKey } from '../../src/identity/jwk.js';
import { type PublicJwk, toPublicJwk } from '../../src/index.js';
import type { SigningAlgorithm, SigningAlgorithmEntry } from '../../src/keys/algorithm-types.js';
import { findAlgorithm } from '../../src/keys/algorithms.js';

const context = { operation: 'test', resource: 'batch' };

/** A key as an HSM would have it: what it signs counts. */
export class LocalBatchKey implements BatchKey {
  readonly keyId = 'key';
  readonly jwk: PublicJwk;
  readonly pem: string;
  /** How many signatures it made. */
  signatures = 0;
  /** What it was asked to sign with, each time. */
  readonly signers: string[] = [];
  /** Names of the versions that sign, one after the other; the last one stays. */
  versions = ['key/1'];
  /** Changes what the HSM answers. */
  tamper: (signature: Buffer) => Buffer = (signature) => signature;
  readonly #algorithm: SigningAlgorithm;
  readonly #privateKey: KeyObject;

  constructor(algorithm: SigningAlgorithm = 'EC_SIGN_P256_SHA256', privatePem?: string) {
    this.#algorithm = algorithm;
    this.#privateKey = privatePem === undefined ? generate(algorithm) : createPrivateKey(privatePem);
    this.pem = publicPem(this.#privateKey);
    this.jwk = toPublicJwk(this.pem, algorithm);
  }

  readonly provider: BatchKey['provider'] = {
    resolveKeyVersion: async () => ({
      keyVersion: 'key/1',
      algorithm: this.#algorithm,
      protectionLevel: 'HSM',
    }),
    signDetailed: async (keyId, data) => {
      this.signers.push(keyId);
      const entry = findAlgorithm(this.#algorithm);
      if (entry?.purpose !== 'ASYMMETRIC_SIGN') throw new Error('not a signing algorithm');
      this.signatures += 1;
      const digest = entry.input.kind === 'digest' ? entry.input.digest : null;
      const version = this.versions.length > 1 ? this.versions.shift() : this.versions[0];
      return {
        signature: this.tamper(sign(digest, data, signingKey(entry, this.#privateKey))),
        keyVersion: version ?? '',
        algorithm: this.#algorithm,
        protectionLevel: 'HSM',
        encoding: entry.signatureEncoding,
      };
    },
  };

  readonly versionKeys: BatchKey['versionKeys'] = {
    keyOf: async () => parsePublicKey(context, this.pem, { keyAlgorithm: this.#algorithm }),
  };

  /** Receipts of the messages, in their order. */
  signBatch(messages: readonly (Uint8Array | BlindedMessage)[]): Promise<readonly Buffer[]> {
    return signBlinded(context, this, blindAll(context, messages));
  }

  /** The receipt of a message among others. */
  async receiptOf(message: Uint8Array, neighbours = 6): Promise<Buffer> {
    const others = Array.from({ length: neighbours }, (_, index) => Buffer.from(`neighbour ${index}`));
    const [receipt] = await this.signBatch([message, ...others]);
    if (receipt === undefined) throw new Error('no receipt');
    return receipt;
  }
}

/** Gives the memory of the bytes away, as to another thread: nothing is left of them here. */
export function handOver({ buffer }: Uint8Array): void {
  if (!(buffer instanceof ArrayBuffer)) throw new Error('it is shared');
  structuredClone(buffer, { transfer: [buffer] });
}

/** RFC 8230 section 2: the salt is as long as the hash. */
function signingKey({ key }: SigningAlgorithmEntry, privateKey: KeyObject): SignKeyObjectInput {
  if (key.kind !== 'rsa' || key.padding !== 'pss') return { key: privateKey };
  return {
    key: privateKey,
    padding: constants.RSA_PKCS1_PSS_PADDING,
    saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
  };
}

function generate(algorithm: SigningAlgorithm): KeyObject {
  const entry = findAlgorithm(algorithm);
  if (entry?.purpose !== 'ASYMMETRIC_SIGN') throw new Error('not a signing algorithm');
  if (entry.key.kind === 'ec')
    return generateKeyPairSync('ec', { namedCurve: entry.key.nodeCurve }).privateKey;
  if (entry.key.kind === 'rsa') {
    return generateKeyPairSync('rsa', { modulusLength: entry.key.modulusBits }).privateKey;
  }
  return generateKeyPairSync('ed25519').privateKey;
}

const publicPem = (privateKey: KeyObject): string =>
  createPublicKey(privateKey).export({ type: 'spki', format: 'pem' }).toString();
