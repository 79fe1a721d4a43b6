/**
 * Statements about keys in the form of CAVIUM_V2: a header, an object for a secret key or two for a pair, and a signature,
 * all in gzip. For RSA and P-256 the attributes, their order and their lengths are those of genuine statements, and so is how
 * their values follow from key and name, but for what a comment marks. No genuine statement about a secret key is at hand.
 */

import { createCipheriv, createHash, sign } from 'node:crypto';
import { crc32, deflateRawSync } from 'node:zlib';
import type { KeyMaterial } from '../crypto/key-material.js';
import type { RpcMessage } from '../rpc.js';
import { CERTIFICATE_CHAINS, partitionKey } from './authority.js';

/** The part of a version that a statement is about. */
interface AttestedVersion {
  readonly name: string;
  readonly number: number;
  readonly material: KeyMaterial | undefined;
  /** Whether the material came from outside. */
  readonly isImported: boolean;
}

const SIGNATURE_BYTES = 256;
const RESPONSE_HEADER_BYTES = 16;
const INFO_HEADER_BYTES = 8;

/** PKCS #11 numbers: CK_OBJECT_CLASS and CK_KEY_TYPE. */
const CLASS = { public: 2, private: 3, secret: 4 } as const;
const KEY_TYPE = { rsa: 0x00, ec: 0x03, genericSecret: 0x10, aes: 0x1f } as const;
/** Attribute 0x121 of curve keys; P-256 as in a genuine statement, the others by OpenSSL's numbering (unverified). */
const CURVES: Readonly<Record<string, number>> = { 'P-256': 0x19f, 'P-384': 0x2cb, secp256k1: 0x2ca };

/** Statements do not change as long as the key material is there. */
const made = new WeakMap<KeyMaterial, RpcMessage>();

/** `CryptoKeyVersion.attestation`, or undefined for keys that no HSM holds. Not given once the material is destroyed. */
export function attestationOf(version: AttestedVersion): RpcMessage | undefined {
  const { material } = version;
  if (material === undefined || material.kind === 'pqc') return undefined;
  const known = made.get(material);
  if (known !== undefined) return known;
  const objects = objectsOf(version, material);
  if (objects === undefined) return undefined;
  const attestation = {
    format: 'CAVIUM_V2_COMPRESSED',
    content: compressed(signed(objects)),
    certChains: CERTIFICATE_CHAINS,
  };
  made.set(material, attestation);
  return attestation;
}

function objectsOf(
  version: AttestedVersion,
  material: Exclude<KeyMaterial, { kind: 'pqc' }>,
): readonly Buffer[] | undefined {
  if (material.kind === 'symmetric') return [secretObject(version, material.bytes)];
  const { publicKey, privateKey } = material;
  const { kty, n = '', e = '', crv = '', x = '', y = '' } = publicKey.export({ format: 'jwk' });
  if (kty !== 'RSA' && kty !== 'EC') return undefined;
  const decode = (text: string): Buffer => Buffer.from(text, 'base64url');
  const modulus = decode(n);
  const point = Buffer.concat([Buffer.of(4), decode(x), decode(y)]);
  const values: readonly Attribute[] =
    kty === 'RSA'
      ? [
          [0x120, modulus],
          [0x121, uint32(modulus.length * 8)],
          [0x122, decode(e)],
        ]
      : [
          [0x120, point],
          [0x121, uint32(CURVES[crv] ?? 0)],
        ];
  const spki = publicKey.export({ format: 'der', type: 'spki' });
  const common = {
    type: kty === 'RSA' ? KEY_TYPE.rsa : KEY_TYPE.ec,
    checkValue: digest('sha1', spki),
    extendedCheckValue: digest('sha256', spki),
  };
  const pkcs8Bytes = privateKey.export({ format: 'der', type: 'pkcs8' }).length;
  // The five values of an RSA private key beside the modulus have half its length each (RFC 8017 section 3.2).
  const crtBytes = kty === 'RSA' ? [[0x80000000, uint32((5 * modulus.length) / 2)] as const] : [];
  return [
    objectOf(version, {
      ...common,
      class: CLASS.public,
      valueBytes: kty === 'RSA' ? 2 * modulus.length : point.length,
      values,
    }),
    objectOf(version, {
      ...common,
      class: CLASS.private,
      valueBytes: pkcs8Bytes,
      values: [...values, ...crtBytes],
    }),
  ];
}

function secretObject(version: AttestedVersion, bytes: Buffer): Buffer {
  // GOOGLE_SYMMETRIC_ENCRYPTION and raw AES keys have these lengths; HMAC keys may have them too and are taken for AES.
  const isAes = [16, 32].includes(bytes.length);
  return objectOf(version, {
    class: CLASS.secret,
    type: isAes ? KEY_TYPE.aes : KEY_TYPE.genericSecret,
    valueBytes: bytes.length,
    values: [],
    // PKCS #11, CKA_CHECK_VALUE: the beginning of a block of zeros encrypted, or of the SHA-1 of the key.
    checkValue: isAes ? encryptedZeros(bytes) : digest('sha1', bytes),
  });
}

function encryptedZeros(key: Buffer): Buffer {
  return createCipheriv(`aes-${key.length * 8}-ecb`, key, null).update(Buffer.alloc(16));
}

type Attribute = readonly [type: number, value: Buffer];

function objectOf(
  version: AttestedVersion,
  object: {
    readonly class: number;
    readonly type: number;
    readonly valueBytes: number;
    readonly values: readonly Attribute[];
    readonly checkValue: Buffer;
    /** How the HSM computes that of a secret key is not known, so such keys have none here. */
    readonly extendedCheckValue?: Buffer;
  },
): Buffer {
  const isPublic = object.class === CLASS.public;
  const isOwned = isPublic ? 0 : 1;
  const isLocal = version.isImported ? 0 : 1;
  const flag = (type: number, value: number): Attribute => [type, Buffer.of(value)];
  const attributes: readonly Attribute[] = [
    flag(0x000, object.class),
    flag(0x100, object.type),
    flag(0x001, 2),
    flag(0x002, 1),
    flag(0x104, isPublic ? 1 : 0),
    flag(0x105, isOwned),
    flag(0x106, isPublic ? 1 : 0),
    flag(0x107, isOwned),
    flag(0x108, isOwned),
    flag(0x10a, isPublic ? 1 : 0),
    flag(0x163, isLocal),
    flag(0x103, isOwned),
    flag(0x162, isPublic ? 1 : 0),
    [0x003, padded('app_key')],
    [0x102, idOf(version.name)],
    [0x161, uint32(object.valueBytes)],
    [0x173, object.checkValue.subarray(0, 3)],
    ...(object.extendedCheckValue ? [[0x1003, object.extendedCheckValue] as const] : []),
    [0x1000, Buffer.from('0000000000000002', 'hex')],
    ...MECHANISMS.map((type): Attribute => [type, ANY_MECHANISM]),
    ...object.values,
    flag(0x086, 0),
    flag(0x210, 0),
    flag(0x10c, 0),
    flag(0x165, isOwned & isLocal),
    flag(0x80000002, 0),
    flag(0x80000003, 0),
    flag(0x164, isOwned & isLocal),
  ];
  const body = Buffer.concat(
    attributes.flatMap(([type, value]) => [uint32(type), uint32(value.length), value]),
  );
  return Buffer.concat([
    uint32(2 * version.number + isOwned),
    uint32(attributes.length),
    uint32(body.length),
    body,
  ]);
}

/** What the key may be used with, one attribute for each kind of use. */
const MECHANISMS = [
  0x80000174, 0x80000175, 0x80000176, 0x80000177, 0x80000178, 0x80000179, 0x80000180,
] as const;
const ANY_MECHANISM = Buffer.from('ff'.padStart(64, '0'), 'hex');

/**
 * Two SHA-256 values in hexadecimal. The second is said to be that of the version's name; of what the first is, is not known,
 * and here it is that of the key's name.
 */
function idOf(versionName: string): Buffer {
  const keyName = versionName.replace(/\/cryptoKeyVersions\/[0-9]+$/, '');
  return Buffer.from(
    [keyName, versionName].map((name) => digest('sha256', name).toString('hex')).join(''),
    'ascii',
  );
}

function signed(objects: readonly Buffer[]): Buffer {
  const [first = Buffer.alloc(0), second] = objects;
  const startBytes = second === undefined ? RESPONSE_HEADER_BYTES + 8 : RESPONSE_HEADER_BYTES + 16;
  const info = Buffer.alloc(INFO_HEADER_BYTES);
  info.writeUInt16BE(1, 0);
  info.writeUInt16BE(3, 2);
  info.writeUInt16BE(INFO_HEADER_BYTES, 4);
  info.writeUInt16BE(second === undefined ? 0 : INFO_HEADER_BYTES + first.length, 6);
  const statement = Buffer.concat([info, ...objects]);
  const head = Buffer.alloc(startBytes);
  head.writeUInt32BE(3, 4);
  head.writeUInt32BE(startBytes + statement.length + SIGNATURE_BYTES, 8);
  head.writeUInt32BE(statement.length, 12);
  const body = Buffer.concat([head, statement]);
  return Buffer.concat([body, sign('sha256', body, partitionKey())]);
}

/** RFC 1952, with the header that genuine statements have. */
function compressed(bytes: Buffer): Buffer {
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(crc32(bytes), 0);
  trailer.writeUInt32LE(bytes.length, 4);
  return Buffer.concat([Buffer.from('1f8b0800000000000000', 'hex'), deflateRawSync(bytes), trailer]);
}

const digest = (hash: 'sha1' | 'sha256', data: Uint8Array | string): Buffer =>
  createHash(hash).update(data).digest();

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** 128 bytes of ASCII and zeros. */
function padded(text: string): Buffer {
  const bytes = Buffer.alloc(128);
  bytes.write(text, 'ascii');
  return bytes;
}
