/** What is known of a key version when its statement was fetched and checked. */

import type { AttestationCertificateChains } from './attestation-input.js';
import type { RootFingerprints } from './roots.js';
import type { AttestationVerdict } from './verify-attestation.js';

/** The verdict about one version, and the evidence that it rests on. It is JSON: file it as it is. */
export interface KeyAttestation extends AttestationVerdict {
  /** Full name of the version. */
  readonly keyVersion: string;
  readonly algorithm: string;
  readonly protectionLevel: string;
  /** When it was judged, ISO 8601. */
  readonly judgedAt: string;
  readonly evidence: {
    /** `KeyOperationAttestation.format`; empty when Cloud KMS has no statement for the version. */
    readonly format: string;
    /** As Cloud KMS gave it, Base64. */
    readonly content: string;
    readonly certChains: AttestationCertificateChains;
    /** PEM of the public key that was compared; absent for symmetric and post-quantum keys, of which none can be. */
    readonly publicKey?: string;
    /** SHA-256 of the trusted roots, DER, in hexadecimal. */
    readonly roots: RootFingerprints;
  };
}
