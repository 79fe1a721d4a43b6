/**
 * The keys themselves: generating, importing, and the form they have in the emulator's state file. Nothing here is
 * protected; the emulator is no place for real keys.
 */

import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPair,
  type KeyObject,
  randomBytes,
} from 'node:crypto';
import { promisify } from 'node:util';
import type { AlgorithmEntry, AsymmetricKeyType } from '../../keys/algorithm-types.js';
import { KeyMaterialError } from './crypto-errors.js';
import { loadScheme, type ParameterSet, rawKeySizes } from './post-quantum.js';

export type KeyMaterial = SymmetricMaterial | KeyPairMaterial | PostQuantumMaterial;

/** AES and HMAC keys. */
interface SymmetricMaterial {
  readonly kind: 'symmetric';
  readonly bytes: Buffer;
}

/** RSA, elliptic curve and Ed25519 keys. */
interface KeyPairMaterial {
  readonly kind: 'keypair';
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

/** ML-DSA, SLH-DSA, ML-KEM and X-Wing keys, encoded as their standards say. */
export interface PostQuantumMaterial {
  readonly kind: 'pqc';
  readonly parameterSet: ParameterSet;
  readonly secretKey: Buffer;
  readonly publicKey: Buffer;
}

type AsymmetricEntry = Extract<AlgorithmEntry, { key: AsymmetricKeyType }>;

const generateKeyPairAsync = promisify(generateKeyPair);

/** GOOGLE_SYMMETRIC_ENCRYPTION is AES-256-GCM. */
const GOOGLE_SYMMETRIC_KEY_BYTES = 32;

/** A new key of the algorithm. RSA and curve keys are generated off the event loop. */
export async function generateKeyMaterial(entry: AlgorithmEntry): Promise<KeyMaterial> {
  if (!('key' in entry)) return { kind: 'symmetric', bytes: randomBytes(symmetricKeyBytes(entry)) };
  switch (entry.key.kind) {
    case 'rsa':
      return keyPair(await generateKeyPairAsync('rsa', { modulusLength: entry.key.modulusBits }));
    case 'ec':
      return keyPair(await generateKeyPairAsync('ec', { namedCurve: entry.key.nodeCurve }));
    case 'okp':
      return keyPair(await generateKeyPairAsync('ed25519'));
    case 'pqc': {
      const { parameterSet } = entry.key;
      const { secretKey, publicKey } = (await loadScheme(parameterSet)).keygen();
      return {
        kind: 'pqc',
        parameterSet,
        secretKey: Buffer.from(secretKey),
        publicKey: Buffer.from(publicKey),
      };
    }
  }
}

/**
 * Key material that a client imports: PKCS#8 DER for asymmetric keys, the raw bytes for AES and HMAC keys. The
 * bytes are copied.
 *
 * @throws KeyMaterialError when the bytes are not a key of the algorithm. Post-quantum keys cannot be imported: the
 *   service documents no format for them (unverified), so none is guessed.
 */
export function importKeyMaterial(entry: AlgorithmEntry, bytes: Buffer): KeyMaterial {
  if (!('key' in entry)) {
    const size = symmetricKeyBytes(entry);
    if (bytes.length !== size) {
      throw new KeyMaterialError(`A key for ${entry.name} must have ${size} bytes, not ${bytes.length}.`);
    }
    return { kind: 'symmetric', bytes: Buffer.from(bytes) };
  }
  if (entry.key.kind === 'pqc') throw new KeyMaterialError(`Keys for ${entry.name} cannot be imported.`);

  const privateKey = parsePkcs8(bytes);
  const expected = describeKeyType(entry.key);
  const actual = describeKey(privateKey);
  if (actual !== expected) {
    throw new KeyMaterialError(`A key for ${entry.name} must be ${expected}, not ${actual}.`);
  }
  return keyPair({ privateKey, publicKey: createPublicKey(privateKey) });
}

/** The bytes of a key for the state file; {@link decodeKeyMaterial} reads them back. */
export function encodeKeyMaterial(material: KeyMaterial): Buffer {
  switch (material.kind) {
    case 'symmetric':
      return Buffer.from(material.bytes);
    case 'keypair':
      return material.privateKey.export({ type: 'pkcs8', format: 'der' });
    case 'pqc':
      return Buffer.concat([material.secretKey, material.publicKey]);
  }
}

/**
 * The key that {@link encodeKeyMaterial} encoded.
 *
 * @throws KeyMaterialError when the bytes are not a key of the algorithm.
 */
export function decodeKeyMaterial(entry: AlgorithmEntry, bytes: Buffer): KeyMaterial {
  if (!('key' in entry) || entry.key.kind !== 'pqc') return importKeyMaterial(entry, bytes);
  const { parameterSet } = entry.key;
  const { secretKeyBytes, publicKeyBytes } = rawKeySizes(parameterSet);
  if (bytes.length !== secretKeyBytes + publicKeyBytes) {
    throw new KeyMaterialError(`The stored key for ${entry.name} is damaged.`);
  }
  return {
    kind: 'pqc',
    parameterSet,
    secretKey: Buffer.from(bytes.subarray(0, secretKeyBytes)),
    publicKey: Buffer.from(bytes.subarray(secretKeyBytes)),
  };
}

/**
 * Tells whether two keys are the same key after one of them is gone, as re-importing into a destroyed version demands:
 * SHA-256, in base64url, of the kind and the encoded key.
 */
export function fingerprintKeyMaterial(material: KeyMaterial): string {
  return createHash('sha256')
    .update(`${material.kind}\n`)
    .update(encodeKeyMaterial(material))
    .digest('base64url');
}

/** The bytes of an AES or HMAC key. @throws KeyMaterialError for any other key. */
export function symmetricKey(material: KeyMaterial): Buffer {
  if (material.kind !== 'symmetric') throw new KeyMaterialError('A symmetric key is needed.');
  return material.bytes;
}

/**
 * The private key for an RSA, elliptic curve or Ed25519 algorithm.
 *
 * @throws KeyMaterialError when the key is not one of the algorithm.
 */
export function privateKeyFor(entry: AsymmetricEntry, material: KeyMaterial): KeyObject {
  if (material.kind !== 'keypair' || describeKey(material.privateKey) !== describeKeyType(entry.key)) {
    throw new KeyMaterialError(`A key for ${entry.name} is needed.`);
  }
  if (material.privateKey.type !== 'private') {
    throw new KeyMaterialError('The private half of the key is missing.');
  }
  return material.privateKey;
}

/**
 * The raw keys for a post-quantum algorithm.
 *
 * @throws KeyMaterialError when the key is not one of the algorithm.
 */
export function postQuantumKeyFor(entry: AsymmetricEntry, material: KeyMaterial): PostQuantumMaterial {
  if (material.kind !== 'pqc' || material.parameterSet !== describeKeyType(entry.key)) {
    throw new KeyMaterialError(`A key for ${entry.name} is needed.`);
  }
  return material;
}

function keyPair(pair: { privateKey: KeyObject; publicKey: KeyObject }): KeyPairMaterial {
  return { kind: 'keypair', privateKey: pair.privateKey, publicKey: pair.publicKey };
}

function symmetricKeyBytes(entry: Exclude<AlgorithmEntry, { key: AsymmetricKeyType }>): number {
  switch (entry.purpose) {
    case 'ENCRYPT_DECRYPT':
      return GOOGLE_SYMMETRIC_KEY_BYTES;
    case 'RAW_ENCRYPT_DECRYPT':
      return entry.keyBytes;
    case 'MAC':
      return entry.sizeBytes;
  }
}

function parsePkcs8(der: Buffer): KeyObject {
  try {
    return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  } catch {
    throw new KeyMaterialError('The key is not a PKCS#8 private key in DER.');
  }
}

/** An algorithm's key in the words of {@link describeKey}, so that the two can be compared. */
function describeKeyType(key: AsymmetricKeyType): string {
  switch (key.kind) {
    case 'rsa':
      return `rsa ${key.modulusBits}`;
    case 'ec':
      return `ec ${key.nodeCurve}`;
    case 'okp':
      return 'ed25519';
    case 'pqc':
      return key.parameterSet;
  }
}

function describeKey(key: KeyObject): string {
  const { modulusLength, namedCurve } = key.asymmetricKeyDetails ?? {};
  return [key.asymmetricKeyType, modulusLength ?? namedCurve].filter((part) => part !== undefined).join(' ');
}
