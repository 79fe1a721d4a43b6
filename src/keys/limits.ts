/** Sizes that Cloud KMS takes in a request (service.proto). */

/** `AsymmetricSignRequest.data` and `MacSignRequest.data`: 64 KiB. */
export const SIGN_DATA_MAX_BYTES = 65_536;
/** `EncryptRequest.plaintext` and `.additional_authenticated_data` of SOFTWARE keys: 64 KiB each. */
export const SOFTWARE_ENCRYPT_MAX_BYTES = 65_536;
/** `EncryptRequest.plaintext` and `.additional_authenticated_data` of HSM keys: 8 KiB together. */
export const HSM_ENCRYPT_MAX_BYTES = 8_192;
