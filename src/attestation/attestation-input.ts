/** What callers pass to `verifyAttestation`, parsed once. What a statement says is no part of it: that is for the verdict. */

import { KeyObject } from 'node:crypto';
import { z } from 'zod';
import { InvalidArgumentError } from '../errors/input.js';
import { schemaSentence } from '../schema-problems.js';
import type { AttestedKey } from './key-attributes.js';
import type { AttestationRoots } from './roots.js';

/** The chains as `KeyOperationAttestation.CertificateChains` has them, each certificate in PEM. */
export interface AttestationCertificateChains {
  readonly caviumCerts: readonly string[];
  readonly googleCardCerts: readonly string[];
  readonly googlePartitionCerts: readonly string[];
}

/**
 * A statement of Cloud HSM as `GetCryptoKeyVersion` returns it (`KeyOperationAttestation`), and the key it is meant to
 * be about.
 */
export interface AttestationInput {
  /** `KeyOperationAttestation.format`. */
  readonly format: string;
  /** `KeyOperationAttestation.content`: gzip, as it came. */
  readonly content: Uint8Array;
  readonly certChains: AttestationCertificateChains;
  /** The key that the statement is to be about. */
  readonly key: AttestedKey;
  /** Full name of the version, for the check `version-name`. Default: that check is left out. */
  readonly keyVersion?: string | undefined;
  /** Default: those of Cloud HSM. */
  readonly roots?: AttestationRoots | undefined;
  /** When the validity of the certificates is judged. */
  readonly at: Date;
}

const pems = z.array(z.string('must be a certificate in PEM'), 'must be a list of certificates in PEM');

const schema = z.strictObject({
  format: z.string('must be the format of the statement'),
  content: z.instanceof(Uint8Array, { error: 'must be bytes (Buffer or Uint8Array)' }),
  // Chains of other makers may come along in what Cloud KMS returned.
  certChains: z.object({ caviumCerts: pems, googleCardCerts: pems, googlePartitionCerts: pems }),
  key: z.discriminatedUnion(
    'kind',
    [
      z.strictObject({
        kind: z.literal('pair'),
        publicKey: z.custom<KeyObject>(
          (value) => value instanceof KeyObject,
          'must be a KeyObject, as attestedKeyOf gives it',
        ),
      }),
      z.strictObject({ kind: z.literal('secret') }),
      z.strictObject({ kind: z.literal('post-quantum') }),
    ],
    'must be the key that the statement is to be about, as attestedKeyOf gives it',
  ),
  keyVersion: z.string('must be the full name of a version').optional(),
  roots: z.strictObject({ manufacturer: pems, google: pems }).optional(),
  at: z.date('must be a date: when the certificates are to be valid'),
});

/** @throws InvalidArgumentError naming every field that is wrong. */
export function parseAttestationInput(input: unknown): AttestationInput {
  const parsed = schema.safeParse(input);
  if (parsed.success) return parsed.data;
  const context = { operation: 'verifyAttestation', resource: 'statement' };
  throw new InvalidArgumentError(context, schemaSentence(parsed.error, 'input'));
}
