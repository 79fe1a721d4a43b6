/** The table of algorithms, one entry each, and how entries of a kind are put together. */

import type {
  AlgorithmEntry,
  AsymmetricKeyType,
  DecryptionAlgorithm,
  DecryptionAlgorithmEntry,
  DigestName,
  HashName,
  KemAlgorithm,
  KemAlgorithmEntry,
  MacAlgorithm,
  MacAlgorithmEntry,
  ProtectionLevel,
  RawSymmetricAlgorithm,
  RawSymmetricAlgorithmEntry,
  SigningAlgorithm,
  SigningAlgorithmEntry,
  SigningInput,
} from './algorithm-types.js';
import { SIGN_DATA_MAX_BYTES } from './limits.js';

const BOTH: readonly ProtectionLevel[] = ['SOFTWARE', 'HSM'];
const HSM_ONLY: readonly ProtectionLevel[] = ['HSM'];
const SOFTWARE_ONLY: readonly ProtectionLevel[] = ['SOFTWARE'];

const HASH_BYTES = { sha1: 20, sha224: 28, sha256: 32, sha384: 48, sha512: 64 } as const satisfies Record<
  HashName,
  number
>;

const takesDigest = (digest: DigestName): SigningInput => ({
  kind: 'digest',
  digest,
  sizeBytes: HASH_BYTES[digest],
});
const takesData = (maxBytes = SIGN_DATA_MAX_BYTES): SigningInput => ({ kind: 'data', maxBytes });

function ecdsa(
  name: SigningAlgorithm,
  key: Extract<AsymmetricKeyType, { kind: 'ec' }>,
  rest: {
    digest: DigestName;
    joseName: string;
    coseAlgorithm: number;
    protectionLevels: readonly ProtectionLevel[];
  },
): SigningAlgorithmEntry {
  const { digest, ...names } = rest;
  return {
    name,
    purpose: 'ASYMMETRIC_SIGN',
    input: takesDigest(digest),
    key,
    signatureEncoding: 'der',
    // SEQUENCE header 2 bytes, two INTEGERs of header 2 bytes, a possible zero byte and the coordinate.
    signatureBytes: 2 + 2 * (3 + key.coordinateBytes),
    ...names,
  };
}

function rsaSign(
  name: SigningAlgorithm,
  padding: 'pkcs1' | 'pss',
  rest: { modulusBits: 2048 | 3072 | 4096; digest: 'sha256' | 'sha512' },
): SigningAlgorithmEntry {
  const wide = rest.digest === 'sha512';
  return {
    name,
    purpose: 'ASYMMETRIC_SIGN',
    protectionLevels: BOTH,
    input: takesDigest(rest.digest),
    key: { kind: 'rsa', modulusBits: rest.modulusBits, padding, hash: rest.digest },
    signatureEncoding: 'raw',
    signatureBytes: rest.modulusBits / 8,
    joseName: `${padding === 'pss' ? 'PS' : 'RS'}${wide ? '512' : '256'}`,
    coseAlgorithm: padding === 'pss' ? (wide ? -39 : -37) : wide ? -259 : -257,
  };
}

function rsaSignRaw(name: SigningAlgorithm, modulusBits: 2048 | 3072 | 4096): SigningAlgorithmEntry {
  return {
    name,
    purpose: 'ASYMMETRIC_SIGN',
    protectionLevels: BOTH,
    // PKCS#1 v1.5 padding takes 11 bytes of the modulus (RFC 8017 section 9.2).
    input: takesData(modulusBits / 8 - 11),
    key: { kind: 'rsa', modulusBits, padding: 'raw-pkcs1' },
    signatureEncoding: 'raw',
    signatureBytes: modulusBits / 8,
  };
}

function pqSign(
  name: SigningAlgorithm,
  parameterSet: Extract<AsymmetricKeyType, { kind: 'pqc' }>['parameterSet'],
  rest: { signatureBytes: number; joseName?: string; coseAlgorithm?: number },
): SigningAlgorithmEntry {
  return {
    name,
    purpose: 'ASYMMETRIC_SIGN',
    protectionLevels: SOFTWARE_ONLY,
    input: takesData(),
    key: { kind: 'pqc', parameterSet },
    signatureEncoding: 'raw',
    ...rest,
  };
}

function rsaOaep(
  name: DecryptionAlgorithm,
  modulusBits: 2048 | 3072 | 4096,
  hash: 'sha1' | 'sha256' | 'sha512',
): DecryptionAlgorithmEntry {
  const joseNames = { sha1: 'RSA-OAEP', sha256: 'RSA-OAEP-256', sha512: 'RSA-OAEP-512' } as const;
  return {
    name,
    purpose: 'ASYMMETRIC_DECRYPT',
    protectionLevels: BOTH,
    key: { kind: 'rsa', modulusBits, padding: 'oaep', hash },
    hash,
    maxPlaintextBytes: modulusBits / 8 - 2 * HASH_BYTES[hash] - 2,
    joseName: joseNames[hash],
  };
}

const rawAes = (
  name: RawSymmetricAlgorithm,
  keyBytes: 16 | 32,
  mode: 'gcm' | 'cbc' | 'ctr',
): RawSymmetricAlgorithmEntry => ({
  name,
  purpose: 'RAW_ENCRYPT_DECRYPT',
  protectionLevels: BOTH,
  keyBytes,
  mode,
});

const hmac = (name: MacAlgorithm, hash: HashName): MacAlgorithmEntry => ({
  name,
  purpose: 'MAC',
  protectionLevels: BOTH,
  hash,
  sizeBytes: HASH_BYTES[hash],
});

const kem = (
  name: KemAlgorithm,
  parameterSet: 'ml-kem-768' | 'ml-kem-1024' | 'x-wing',
  ciphertextBytes: number,
): KemAlgorithmEntry => ({
  name,
  purpose: 'KEY_ENCAPSULATION',
  protectionLevels: SOFTWARE_ONLY,
  key: { kind: 'pqc', parameterSet },
  ciphertextBytes,
});

const P256 = {
  kind: 'ec',
  curve: 'P-256',
  nodeCurve: 'prime256v1',
  coordinateBytes: 32,
  lowS: false,
} as const;
const P384 = {
  kind: 'ec',
  curve: 'P-384',
  nodeCurve: 'secp384r1',
  coordinateBytes: 48,
  lowS: false,
} as const;
const K256 = {
  kind: 'ec',
  curve: 'secp256k1',
  nodeCurve: 'secp256k1',
  coordinateBytes: 32,
  lowS: true,
} as const;

/** All entries, in the order in which they are documented. */
export const ENTRIES: readonly AlgorithmEntry[] = [
  { name: 'GOOGLE_SYMMETRIC_ENCRYPTION', purpose: 'ENCRYPT_DECRYPT', protectionLevels: BOTH },

  ecdsa('EC_SIGN_P256_SHA256', P256, {
    digest: 'sha256',
    joseName: 'ES256',
    coseAlgorithm: -7,
    protectionLevels: BOTH,
  }),
  ecdsa('EC_SIGN_P384_SHA384', P384, {
    digest: 'sha384',
    joseName: 'ES384',
    coseAlgorithm: -35,
    protectionLevels: BOTH,
  }),
  // "This curve is only supported for HSM protection level" (resources.proto).
  ecdsa('EC_SIGN_SECP256K1_SHA256', K256, {
    digest: 'sha256',
    joseName: 'ES256K',
    coseAlgorithm: -47,
    protectionLevels: HSM_ONLY,
  }),
  {
    name: 'EC_SIGN_ED25519',
    purpose: 'ASYMMETRIC_SIGN',
    protectionLevels: SOFTWARE_ONLY,
    input: takesData(),
    key: { kind: 'okp', curve: 'Ed25519' },
    signatureEncoding: 'raw',
    signatureBytes: 64,
    joseName: 'EdDSA',
    coseAlgorithm: -8,
  },

  rsaSign('RSA_SIGN_PSS_2048_SHA256', 'pss', { modulusBits: 2048, digest: 'sha256' }),
  rsaSign('RSA_SIGN_PSS_3072_SHA256', 'pss', { modulusBits: 3072, digest: 'sha256' }),
  rsaSign('RSA_SIGN_PSS_4096_SHA256', 'pss', { modulusBits: 4096, digest: 'sha256' }),
  rsaSign('RSA_SIGN_PSS_4096_SHA512', 'pss', { modulusBits: 4096, digest: 'sha512' }),
  rsaSign('RSA_SIGN_PKCS1_2048_SHA256', 'pkcs1', { modulusBits: 2048, digest: 'sha256' }),
  rsaSign('RSA_SIGN_PKCS1_3072_SHA256', 'pkcs1', { modulusBits: 3072, digest: 'sha256' }),
  rsaSign('RSA_SIGN_PKCS1_4096_SHA256', 'pkcs1', { modulusBits: 4096, digest: 'sha256' }),
  rsaSign('RSA_SIGN_PKCS1_4096_SHA512', 'pkcs1', { modulusBits: 4096, digest: 'sha512' }),
  rsaSignRaw('RSA_SIGN_RAW_PKCS1_2048', 2048),
  rsaSignRaw('RSA_SIGN_RAW_PKCS1_3072', 3072),
  rsaSignRaw('RSA_SIGN_RAW_PKCS1_4096', 4096),

  pqSign('PQ_SIGN_ML_DSA_44', 'ml-dsa-44', {
    signatureBytes: 2420,
    joseName: 'ML-DSA-44',
    coseAlgorithm: -48,
  }),
  pqSign('PQ_SIGN_ML_DSA_65', 'ml-dsa-65', {
    signatureBytes: 3309,
    joseName: 'ML-DSA-65',
    coseAlgorithm: -49,
  }),
  pqSign('PQ_SIGN_ML_DSA_87', 'ml-dsa-87', {
    signatureBytes: 4627,
    joseName: 'ML-DSA-87',
    coseAlgorithm: -50,
  }),
  pqSign('PQ_SIGN_SLH_DSA_SHA2_128S', 'slh-dsa-sha2-128s', { signatureBytes: 7856 }),

  rsaOaep('RSA_DECRYPT_OAEP_2048_SHA1', 2048, 'sha1'),
  rsaOaep('RSA_DECRYPT_OAEP_3072_SHA1', 3072, 'sha1'),
  rsaOaep('RSA_DECRYPT_OAEP_4096_SHA1', 4096, 'sha1'),
  rsaOaep('RSA_DECRYPT_OAEP_2048_SHA256', 2048, 'sha256'),
  rsaOaep('RSA_DECRYPT_OAEP_3072_SHA256', 3072, 'sha256'),
  rsaOaep('RSA_DECRYPT_OAEP_4096_SHA256', 4096, 'sha256'),
  rsaOaep('RSA_DECRYPT_OAEP_4096_SHA512', 4096, 'sha512'),

  rawAes('AES_128_GCM', 16, 'gcm'),
  rawAes('AES_256_GCM', 32, 'gcm'),
  rawAes('AES_128_CBC', 16, 'cbc'),
  rawAes('AES_256_CBC', 32, 'cbc'),
  rawAes('AES_128_CTR', 16, 'ctr'),
  rawAes('AES_256_CTR', 32, 'ctr'),

  hmac('HMAC_SHA1', 'sha1'),
  hmac('HMAC_SHA224', 'sha224'),
  hmac('HMAC_SHA256', 'sha256'),
  hmac('HMAC_SHA384', 'sha384'),
  hmac('HMAC_SHA512', 'sha512'),

  kem('ML_KEM_768', 'ml-kem-768', 1088),
  kem('ML_KEM_1024', 'ml-kem-1024', 1568),
  kem('KEM_XWING', 'x-wing', 1120),
];
