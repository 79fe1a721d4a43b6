/** The part of the configuration about identities and roles. */

import { z } from 'zod';
import { parseRole } from '../keys/access.js';
import { type Impersonation, parseImpersonation, type ResolvedImpersonation } from '../keys/impersonation.js';

/** Custom roles in place of `projects/PROJECT/roles/a2aSigner`, `a2aVerifier`, `a2aRotator` and `a2aAdministrator`. */
export interface AccessRolesConfig {
  readonly signer?: string | undefined;
  readonly verifier?: string | undefined;
  readonly rotator?: string | undefined;
  readonly administrator?: string | undefined;
}

/**
 * The service account that uses an agent's keys, for each agent that has one. The keys of the others are used by the
 * process's own identity.
 */
export type AgentImpersonations =
  | Readonly<Record<string, Impersonation>>
  | ((agentId: string) => Impersonation | undefined);

export const impersonationSchema = z.unknown().transform((value, check): ResolvedImpersonation => {
  const parsed = parseImpersonation(value);
  if (parsed.ok) return parsed.value;
  check.addIssue({ code: 'custom', message: parsed.problem });
  return z.NEVER;
});

export const keyImpersonationSchema = z.custom<(keyId: string) => Impersonation | undefined>(
  (value) => typeof value === 'function',
  'must be a function from a key id to a service account',
);

export const agentImpersonationsSchema = z.union(
  [
    z.custom<(agentId: string) => Impersonation | undefined>((value) => typeof value === 'function'),
    z.record(z.string(), impersonationSchema),
  ],
  'must be a map from agent ids to service accounts, or a function',
);

const role = z
  .string('must be the full name of a role')
  .refine((name) => parseRole(name).ok, 'is not the full name of a role')
  .optional();

export const accessRolesSchema = z
  .strictObject({ signer: role, verifier: role, rotator: role, administrator: role })
  .prefault({});

/** What is wrong with the choice of identities. */
export function identityProblems(config: {
  readonly isEmulator: boolean;
  readonly emulatorAccessToken?: unknown;
  readonly iamCredentialsEndpoint?: unknown;
}): readonly { readonly field: string; readonly problem: string }[] {
  const { isEmulator, emulatorAccessToken, iamCredentialsEndpoint } = config;
  if (isEmulator && iamCredentialsEndpoint !== undefined)
    return [{ field: 'iamCredentialsEndpoint', problem: 'is not used with an emulator, which has its own' }];
  if (!isEmulator && emulatorAccessToken !== undefined)
    return [{ field: 'emulatorAccessToken', problem: 'is for an emulator only' }];
  return [];
}

/**
 * Whom the process acts as, for the audit trail. Which account an agent's or a key's calls are made as can depend on its id:
 * then only Cloud Audit Logs name it.
 */
export function shownIdentity(config: {
  readonly impersonate?: Impersonation | undefined;
  readonly impersonateKeys?: unknown;
  readonly impersonateAgents?: unknown;
}): Readonly<Record<string, string | boolean>> {
  const { impersonate, impersonateKeys, impersonateAgents } = config;
  return {
    ...(impersonate !== undefined && {
      impersonates: typeof impersonate === 'string' ? impersonate : impersonate.serviceAccount,
    }),
    ...((impersonateKeys !== undefined || impersonateAgents !== undefined) && { impersonatesByKey: true }),
  };
}
