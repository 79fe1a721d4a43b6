/** What the HSM must have stated of a key before it is used, and which roots its statements must lead up to. */

import { X509Certificate } from 'node:crypto';
import { z } from 'zod';
import type { ConfigProblem } from '../errors/input.js';
import type { KeySource } from './flags.js';

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).toString() !== '';
  } catch {
    return false;
  }
}

const roots = z
  .array(
    z.string().refine(isCertificate, 'is not a certificate in PEM'),
    'must be a list of certificates in PEM',
  )
  .min(1, 'a root is required');

export const attestationShape = {
  requireAttestation: z.boolean('must be true or false').default(false),
  unboundAttestation: z.enum(['refused', 'accepted'], 'must be refused or accepted').default('refused'),
  attestationRoots: z.strictObject({ manufacturer: roots, google: roots }).optional(),
} as const;

interface AttestationFields {
  readonly requireAttestation: boolean;
  readonly unboundAttestation: 'refused' | 'accepted';
}

/** An exception from what is not required would be accepted and ignored. */
export function attestationProblems(fields: AttestationFields): readonly ConfigProblem[] {
  return fields.unboundAttestation === 'accepted' && !fields.requireAttestation
    ? [{ field: 'unboundAttestation', problem: 'has no meaning without requireAttestation' }]
    : [];
}

/** There are no statements about software keys, so nothing that signs with them can require any. */
export function attestationOfSoftware(
  { requireAttestation }: AttestationFields,
  source: KeySource<unknown> | undefined,
): readonly ConfigProblem[] {
  const signsInSoftware = source?.kind === 'software' || (source?.kind === 'migration' && source.phase < 3);
  return requireAttestation && signsInSoftware
    ? [
        {
          field: 'requireAttestation',
          problem:
            'cannot be had where software keys sign, of which no HSM states anything; it can be from migration.phase 3 on',
        },
      ]
    : [];
}

/** What of it is in force, for the audit trail. */
export function attestationInForce(fields: {
  readonly requireAttestation?: boolean | undefined;
  readonly unboundAttestation?: 'refused' | 'accepted' | undefined;
}): { readonly requireAttestation: boolean; readonly unboundAttestation?: 'accepted' } {
  const { requireAttestation = false, unboundAttestation } = fields;
  return { requireAttestation, ...(unboundAttestation === 'accepted' && { unboundAttestation }) };
}
