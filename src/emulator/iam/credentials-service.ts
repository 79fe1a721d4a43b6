/**
 * google.iam.credentials.v1.IAMCredentials: GenerateAccessToken, which gives out tokens of a service account to those who
 * may have them. The tokens are the ones that the Cloud KMS beside it takes.
 */

import { invalidArgument, isMessage, text, timeMs, toTime } from '../request-fields.js';
import { type CallContext, RpcError, type RpcMessage, type ServiceHandlers } from '../rpc.js';
import type { AccessControl } from './access-control.js';
import { GET_ACCESS_TOKEN, IMPLICIT_DELEGATION } from './roles.js';
import { type AccessTokens, DEFAULT_LIFETIME_SECONDS } from './tokens.js';

const MAX_LIFETIME_SECONDS = 3_600;
const SERVICE_ACCOUNT = /^projects\/-\/serviceAccounts\/([^/@\s]+@[^/@\s]+)$/;

/** @param access undefined where IAM is not enforced: everybody gets what they ask for. */
export function credentialsHandlers(
  tokens: AccessTokens,
  access: AccessControl | undefined,
): ServiceHandlers {
  return {
    GenerateAccessToken: (request, { principal }: CallContext) => {
      const email = requireServiceAccount(text(request, 'name'));
      const chain = list(request, 'delegates').map(requireServiceAccount);
      const scopes = list(request, 'scope');
      if (scopes.length === 0) throw invalidArgument('At least one scope is required.');
      const lifetimeSeconds = lifetimeOf(request);
      if (access !== undefined && principal !== undefined) requireChain(access, principal, [...chain, email]);
      const { token, expireMs } = tokens.issue(`serviceAccount:${email}`, { lifetimeSeconds, scopes });
      return { accessToken: token, expireTime: toTime(expireMs) };
    },
  };
}

/** Each of the chain must be allowed to act as the next one; the last permission is the one to have the token. */
function requireChain(access: AccessControl, caller: string, chain: readonly string[]): void {
  let member = caller;
  for (const [index, email] of chain.entries()) {
    const permission = index === chain.length - 1 ? GET_ACCESS_TOKEN : IMPLICIT_DELEGATION;
    if (!access.mayUseServiceAccount(member, permission, email)) {
      throw new RpcError(
        'PERMISSION_DENIED',
        `Permission '${permission}' denied on resource (or it may not exist).`,
        [
          {
            type: 'google.rpc.ErrorInfo',
            value: {
              reason: 'IAM_PERMISSION_DENIED',
              domain: 'iam.googleapis.com',
              metadata: { permission },
            },
          },
        ],
      );
    }
    member = `serviceAccount:${email}`;
  }
}

function lifetimeOf(request: RpcMessage): number {
  if (!isMessage(request['lifetime'])) return DEFAULT_LIFETIME_SECONDS;
  const seconds = (timeMs(request, 'lifetime') ?? 0) / 1_000;
  if (seconds > 0 && seconds <= MAX_LIFETIME_SECONDS) return seconds;
  throw invalidArgument(`The token lifetime must be from 1 to ${MAX_LIFETIME_SECONDS} seconds.`);
}

/** "The `-` wildcard character is required; replacing it with a project ID is invalid" (common.proto). */
function requireServiceAccount(name: string): string {
  const email = SERVICE_ACCOUNT.exec(name)?.[1];
  if (email === undefined)
    throw invalidArgument(`Invalid form of account ID ${name}. Should be projects/-/serviceAccounts/EMAIL.`);
  return email;
}

function list(request: RpcMessage, field: string): readonly string[] {
  const value = request[field];
  return Array.isArray(value) ? value.map(String) : [];
}
