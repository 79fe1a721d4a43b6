/** Whether a provider's keys have statements of an HSM. */

import type { KeyAttestation } from '../attestation/key-attestation.js';
import type { ErrorContext } from '../errors/base.js';
import { AttestationUnsupportedError } from '../errors/keys.js';
import type { CallOptions } from '../keys/call-options.js';
import type { KeyProvider } from '../keys/key-provider.js';

/** A provider of keys that an HSM may have made statements about. */
export interface KeyAttester {
  /** The statement about the version in use, or about the one that is named, checked. One that is not valid is a verdict. */
  attestKey(keyId: string, options?: CallOptions): Promise<KeyAttestation>;
}

/** @throws AttestationUnsupportedError for software keys. */
export function requireKeyAttester(context: ErrorContext, provider: KeyProvider): KeyAttester {
  if (isKeyAttester(provider)) return provider;
  throw new AttestationUnsupportedError(context);
}

const isKeyAttester = (provider: KeyProvider): provider is KeyProvider & KeyAttester =>
  'attestKey' in provider;
