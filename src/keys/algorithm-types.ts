/**
 * What an entry of the table of algorithms says, and the names of all algorithms.
 *
 * Source: `CryptoKeyVersion.CryptoKeyVersionAlgorithm` and `ProtectionLevel` in google/cloud/kms/v1/resources.proto.
 */

/** `CryptoKey.CryptoKeyPurpose`. */
export type KeyPurpose =
  | 'ENCRYPT_DECRYPT'
  | 'ASYMMETRIC_SIGN'
  | 'ASYMMETRIC_DECRYPT'
  | 'RAW_ENCRYPT_DECRYPT'
  | 'MAC'
  | 'KEY_ENCAPSULATION';

/** The protection levels in which Cloud KMS itself generates keys. */
export type ProtectionLevel = 'SOFTWARE' | 'HSM';

export type DigestName = 'sha256' | 'sha384' | 'sha512';
export type HashName = DigestName | 'sha1' | 'sha224';

/** How the signature bytes are laid out. `der` is ECDSA's SEQUENCE of R and S; `raw` is the algorithm's own fixed-size form. */
export type SignatureEncoding = 'der' | 'raw';

/** What Cloud KMS takes: a digest that the caller computed (`data` is accepted too), or the message itself. */
export type SigningInput =
  | { readonly kind: 'digest'; readonly digest: DigestName; readonly sizeBytes: number }
  | { readonly kind: 'data'; readonly maxBytes: number };

/** The key pair behind an algorithm and, for RSA, the padding it is used with. */
export type AsymmetricKeyType =
  | {
      readonly kind: 'ec';
      readonly curve: 'P-256' | 'P-384' | 'secp256k1';
      /** The curve's name in node:crypto. */
      readonly nodeCurve: 'prime256v1' | 'secp384r1' | 'secp256k1';
      /** Size of a coordinate, and of R and of S, in bytes. */
      readonly coordinateBytes: number;
      /** Cloud KMS gives S in the lower half of the order. */
      readonly lowS: boolean;
    }
  | { readonly kind: 'okp'; readonly curve: 'Ed25519' }
  | {
      readonly kind: 'rsa';
      readonly modulusBits: 2048 | 3072 | 4096;
      readonly padding: 'pkcs1' | 'raw-pkcs1' | 'pss' | 'oaep';
      /** Hash of PSS (also MGF1; the salt has its length) and of OAEP (also MGF1). Absent for raw PKCS#1. */
      readonly hash?: HashName;
    }
  | {
      readonly kind: 'pqc';
      readonly parameterSet:
        | 'ml-dsa-44'
        | 'ml-dsa-65'
        | 'ml-dsa-87'
        | 'slh-dsa-sha2-128s'
        | 'ml-kem-768'
        | 'ml-kem-1024'
        | 'x-wing';
    };

interface AlgorithmBase<Name extends string, Purpose extends KeyPurpose> {
  readonly name: Name;
  readonly purpose: Purpose;
  /** The levels in which a key of this algorithm can be created. */
  readonly protectionLevels: readonly ProtectionLevel[];
}

/** An algorithm that signs. */
export interface SigningAlgorithmEntry extends AlgorithmBase<SigningAlgorithm, 'ASYMMETRIC_SIGN'> {
  readonly input: SigningInput;
  readonly key: AsymmetricKeyType;
  readonly signatureEncoding: SignatureEncoding;
  /** Exact size of a signature, or the largest for `der`. Bytes. */
  readonly signatureBytes: number;
  /** JWS `alg` (RFC 7518, RFC 8037, RFC 8812, and the ML-DSA registration); absent where JOSE has no name for it. */
  readonly joseName?: string;
  /** COSE algorithm number (RFC 9053, RFC 8812, and the ML-DSA registration); absent where COSE has none. */
  readonly coseAlgorithm?: number;
}

/** An algorithm of a key that others encrypt to. */
export interface DecryptionAlgorithmEntry extends AlgorithmBase<DecryptionAlgorithm, 'ASYMMETRIC_DECRYPT'> {
  readonly key: Extract<AsymmetricKeyType, { kind: 'rsa' }>;
  readonly hash: HashName;
  /** Modulus less two hashes and two bytes (RFC 8017 section 7.1.1). */
  readonly maxPlaintextBytes: number;
  /** JWE `alg` (RFC 7518); absent where JOSE has no name for it. */
  readonly joseName?: string;
}

interface SymmetricAlgorithmEntry extends AlgorithmBase<'GOOGLE_SYMMETRIC_ENCRYPTION', 'ENCRYPT_DECRYPT'> {}

/** An algorithm of raw symmetric encryption. */
export interface RawSymmetricAlgorithmEntry
  extends AlgorithmBase<RawSymmetricAlgorithm, 'RAW_ENCRYPT_DECRYPT'> {
  readonly keyBytes: 16 | 32;
  readonly mode: 'gcm' | 'cbc' | 'ctr';
}

/** An algorithm of message authentication codes. */
export interface MacAlgorithmEntry extends AlgorithmBase<MacAlgorithm, 'MAC'> {
  readonly hash: HashName;
  /** Key size and tag size, in bytes: Cloud KMS uses the digest's size for both. */
  readonly sizeBytes: number;
}

/** An algorithm that encapsulates keys. */
export interface KemAlgorithmEntry extends AlgorithmBase<KemAlgorithm, 'KEY_ENCAPSULATION'> {
  readonly key: Extract<AsymmetricKeyType, { kind: 'pqc' }>;
  readonly ciphertextBytes: number;
}

/** What is known of an algorithm; `purpose` says which members an entry has. */
export type AlgorithmEntry =
  | SigningAlgorithmEntry
  | DecryptionAlgorithmEntry
  | SymmetricAlgorithmEntry
  | RawSymmetricAlgorithmEntry
  | MacAlgorithmEntry
  | KemAlgorithmEntry;

/** Algorithms of ASYMMETRIC_SIGN keys, by their names in Cloud KMS. */
export type SigningAlgorithm =
  | 'EC_SIGN_P256_SHA256'
  | 'EC_SIGN_P384_SHA384'
  | 'EC_SIGN_SECP256K1_SHA256'
  | 'EC_SIGN_ED25519'
  | 'RSA_SIGN_PSS_2048_SHA256'
  | 'RSA_SIGN_PSS_3072_SHA256'
  | 'RSA_SIGN_PSS_4096_SHA256'
  | 'RSA_SIGN_PSS_4096_SHA512'
  | 'RSA_SIGN_PKCS1_2048_SHA256'
  | 'RSA_SIGN_PKCS1_3072_SHA256'
  | 'RSA_SIGN_PKCS1_4096_SHA256'
  | 'RSA_SIGN_PKCS1_4096_SHA512'
  | 'RSA_SIGN_RAW_PKCS1_2048'
  | 'RSA_SIGN_RAW_PKCS1_3072'
  | 'RSA_SIGN_RAW_PKCS1_4096'
  | 'PQ_SIGN_ML_DSA_44'
  | 'PQ_SIGN_ML_DSA_65'
  | 'PQ_SIGN_ML_DSA_87'
  | 'PQ_SIGN_SLH_DSA_SHA2_128S';

/** Names of the algorithms of keys that others encrypt to. */
export type DecryptionAlgorithm =
  | 'RSA_DECRYPT_OAEP_2048_SHA1'
  | 'RSA_DECRYPT_OAEP_3072_SHA1'
  | 'RSA_DECRYPT_OAEP_4096_SHA1'
  | 'RSA_DECRYPT_OAEP_2048_SHA256'
  | 'RSA_DECRYPT_OAEP_3072_SHA256'
  | 'RSA_DECRYPT_OAEP_4096_SHA256'
  | 'RSA_DECRYPT_OAEP_4096_SHA512';

export type RawSymmetricAlgorithm =
  | 'AES_128_GCM'
  | 'AES_256_GCM'
  | 'AES_128_CBC'
  | 'AES_256_CBC'
  | 'AES_128_CTR'
  | 'AES_256_CTR';

export type MacAlgorithm = 'HMAC_SHA1' | 'HMAC_SHA224' | 'HMAC_SHA256' | 'HMAC_SHA384' | 'HMAC_SHA512';

export type KemAlgorithm = 'ML_KEM_768' | 'ML_KEM_1024' | 'KEM_XWING';

/** Name of any algorithm of Cloud KMS that this library knows. */
export type KeyAlgorithm = AlgorithmEntry['name'];
