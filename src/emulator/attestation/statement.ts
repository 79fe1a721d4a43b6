/**
 * Statements about keys in the form of CAVIUM_V2: a header, an object for a secret key or two for a pair, and a signature,
 * all in gzip. The attributes and their order are those of genuine statements.
 */

import { createHash, sign } from 'node:crypto';
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
  if (material.kind === 'symmetric') {
    const { bytes } = material;
    // GOOGLE_SYMMETRIC_ENCRYPTION and raw AES keys have these lengths; HMAC keys may have them too and are taken for AES.
    const type = [16, 32].includes(bytes.length) ? KEY_TYPE.aes : KEY_TYPE.genericSecret;
    return [objectOf(version, { class: CLASS.secret, type, values: [], checkValue: digest(bytes) })];
  }
  const { kty, n = '', e = '', crv = '', x = '', y = '' } = material.publicKey.export({ format: 'jwk' });
  const decode = (text: string): Buffer => Buffer.from(text, 'base64url');
  if (kty !== 'RSA' && kty !== 'EC') return undefined;
  const values: readonly Attribute[] =
    kty === 'RSA'
      ? [
          [0x120, decode(n)],
          [0x121, uint32(decode(n).length * 8)],
          [0x122, decode(e)],
        ]
      : [
          [0x120, Buffer.concat([Buffer.of(4), decode(x), decode(y)])],
          [0x121, uint32(CURVES[crv] ?? 0)],
        ];
  const type = kty === 'RSA' ? KEY_TYPE.rsa : KEY_TYPE.ec;
  const checkValue = digest(material.publicKey.export({ format: 'der', type: 'spki' }));
  return [CLASS.public, CLASS.private].map((objectClass) =>
    objectOf(version, { class: objectClass, type, values, checkValue }),
  );
}

type Attribute = readonly [type: number, value: Buffer];

function objectOf(
  version: AttestedVersion,
  object: {
    readonly class: number;
    readonly type: number;
    readonly values: readonly Attribute[];
    readonly checkValue: Buffer;
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
    [0x102, padded(createHash('sha256').update(version.name).digest('hex'))],
    // The first bytes of a digest stand for the check value, which only an HSM computes from the key.
    [0x173, object.checkValue.subarray(0, 3)],
    ...object.values,
    flag(0x165, isOwned & isLocal),
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

const digest = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();

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
