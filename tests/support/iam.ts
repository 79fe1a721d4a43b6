/** An emulator that enforces IAM, and calls of the official client with a token of their own. */

import type { EmulatorIamOptions, KmsEmulator, KmsEmulatorOptions } from '../../src/emulator/index.js';
import { startTestEmulator } from './emulator.js';

export const PROJECT = 'test-project';
export const OWNER = 'user:owner@example.com';
export const OWNER_TOKEN = 'owner-token';

/** A service account of the project. */
export const serviceAccount = (name: string): string => `${name}@${PROJECT}.iam.gserviceaccount.com`;
/** The same as a member of a policy. */
export const memberOf = (name: string): string => `serviceAccount:${serviceAccount(name)}`;

/** The owner may do everything; whoever else has a token may do what the policies say. */
export function startEnforcingEmulator(
  iam: EmulatorIamOptions = {},
  options: KmsEmulatorOptions = {},
): Promise<KmsEmulator> {
  return startTestEmulator({
    ...options,
    iam: {
      ...iam,
      bindings: [{ role: 'roles/owner', members: [OWNER] }, ...(iam.bindings ?? [])],
      tokens: { [OWNER_TOKEN]: OWNER, ...iam.tokens },
    },
  });
}

/** Call options of the official client. */
export const withToken = (token: string) => ({
  otherArgs: { headers: { authorization: `Bearer ${token}` } },
});
