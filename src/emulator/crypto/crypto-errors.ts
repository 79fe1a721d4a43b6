/** What the emulator's cryptography can refuse. The RPC handlers turn each class into the status Cloud KMS answers with. */

/** Key material does not fit the algorithm: wrong type, curve or size, or not a key at all. */
export class KeyMaterialError extends Error {
  override readonly name = 'KeyMaterialError';
}

/** An argument breaks a rule of the algorithm: length of a digest, IV, MAC or plaintext, or a field it does not take. */
export class CryptoInputError extends Error {
  override readonly name = 'CryptoInputError';
}

/** A ciphertext does not decrypt: garbage, altered, made under another key, or with other associated data. */
export class CiphertextError extends Error {
  override readonly name = 'CiphertextError';
}

/** Wrapped key material cannot be unwrapped with the import job's key. */
export class KeyUnwrapError extends Error {
  override readonly name = 'KeyUnwrapError';
}
