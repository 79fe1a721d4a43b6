/** Makes key material with node:crypto, and reads it back. */

import {
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  generateKeyPair,
  type KeyObject,
  randomBytes,
} from 'node:crypto';
import { promisify } from 'node:util';
import { UnsupportedAlgorithmError } from '../errors/input.js';
import type { AlgorithmEntry, AsymmetricKeyType, KeyAlgorithm, KeyPurpose } from '../keys/algorithm-types.js';
import { algorithmsOf } from '../keys/algorithms.js';
import type { Operation } from '../provider/operation.js';
import { entryOf, PROTECTION_LEVEL } from './key-records.js';

/** AES-256. */
export const SYMMETRIC_KEY_BYTES = 32;

/** New key material; whoever has it wipes `secret`. */
export interface GeneratedMaterial {
  readonly algorithm: KeyAlgorithm;
  /** PKCS#8 DER, or the bytes of a symmetric key. */
  readonly secret: Buffer;
  /** Of a key pair. */
  readonly publicKeyPem: string | undefined;
}

type NodeKeyType = Exclude<AsymmetricKeyType, { kind: 'pqc' }>;

const generate = promisify(generateKeyPair);

/** The algorithms of a purpose that software keys can have. */
export const softwareAlgorithmsOf = (purpose: KeyPurpose): readonly KeyAlgorithm[] =>
  algorithmsOf(purpose, PROTECTION_LEVEL).filter((name) => isSupported(entryOf(name)));

/** Node 20 has no post-quantum algorithms, and a store must be readable with every Node that this library runs on. */
const isSupported = (entry: AlgorithmEntry): boolean =>
  entry.purpose === 'ENCRYPT_DECRYPT' || ('key' in entry && entry.key.kind !== 'pqc');

/** @throws UnsupportedAlgorithmError when node:crypto has no such algorithm. */
function requireSupported(operation: Operation, entry: AlgorithmEntry): void {
  if (isSupported(entry)) return;
  throw new UnsupportedAlgorithmError(
    operation.context(),
    `software keys are keys of node:crypto, which has no ${entry.name} in all versions that this library runs on.`,
    softwareAlgorithmsOf(entry.purpose),
  );
}

/** RSA and curve keys are generated off the event loop. */
export async function generateMaterial(
  operation: Operation,
  entry: AlgorithmEntry,
): Promise<GeneratedMaterial> {
  requireSupported(operation, entry);
  const algorithm = entry.name;
  if (!('key' in entry) || entry.key.kind === 'pqc') {
    return { algorithm, secret: randomBytes(SYMMETRIC_KEY_BYTES), publicKeyPem: undefined };
  }
  const { publicKey, privateKey } = await generatePair(entry.key);
  return {
    algorithm,
    secret: privateKey.export({ type: 'pkcs8', format: 'der' }),
    publicKeyPem: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
  };
}

function generatePair(key: NodeKeyType): Promise<{ publicKey: KeyObject; privateKey: KeyObject }> {
  switch (key.kind) {
    case 'rsa':
      return generate('rsa', { modulusLength: key.modulusBits });
    case 'ec':
      return generate('ec', { namedCurve: key.nodeCurve });
    case 'okp':
      return generate('ed25519');
  }
}

/** The key that the material is, in a form that node:crypto works with. */
export function toKeyObject(entry: AlgorithmEntry, secret: Buffer): KeyObject {
  return 'key' in entry
    ? createPrivateKey({ key: secret, format: 'der', type: 'pkcs8' })
    : createSecretKey(secret);
}

export const toPublicKeyObject = (pem: string): KeyObject =>
  createPublicKey({ key: pem, format: 'pem', type: 'spki' });
