/**
 * Which identity a call is made with: that of the process, as its connection has it, or a service account that the process
 * acts as, for all calls or for the use of single keys. All service accounts share one connection: a token goes with each
 * call, so ten thousand identities need no connection more than one.
 */

import { InvalidArgumentError } from '../errors/input.js';
import { type Impersonation, parseImpersonation, type ResolvedImpersonation } from '../keys/impersonation.js';
import type { Operation } from '../provider/operation.js';
import type { ImpersonatedTokens } from './impersonated-tokens.js';
import type { RpcName } from './rpc.js';

/** A token for one call, and how to get rid of it when the service does not take it. */
export interface CallToken {
  readonly value: string;
  /** Undefined for a token that there is no other in place of. */
  readonly drop: (() => void) | undefined;
}

interface CallCredentialsOptions {
  readonly tokens: ImpersonatedTokens;
  readonly emulatorAccessToken: string | undefined;
  readonly impersonate: ResolvedImpersonation | undefined;
  readonly impersonateKeys: ((keyId: string) => Impersonation | undefined) | undefined;
}

/** What uses a key. Looking at keys, and all that changes them, is done as the process or as who it acts as. */
const KEY_USES: readonly RpcName[] = ['asymmetricSign', 'asymmetricDecrypt', 'encrypt', 'decrypt'];

export class CallCredentials {
  readonly #options: CallCredentialsOptions;

  constructor(options: CallCredentialsOptions) {
    this.#options = options;
  }

  /** The token that a call has to carry; undefined for one that goes with the credentials of its connection. */
  async tokenFor(
    operation: Operation,
    call: { readonly rpc: RpcName; readonly routeBy: readonly [string, string] },
  ): Promise<CallToken | undefined> {
    const { tokens, emulatorAccessToken } = this.#options;
    const identity = this.#identityFor(operation, call);
    if (identity === undefined)
      return emulatorAccessToken === undefined ? undefined : { value: emulatorAccessToken, drop: undefined };
    const value = await tokens.get(operation, identity);
    return { value, drop: () => tokens.drop(identity, value) };
  }

  #identityFor(
    operation: Operation,
    { rpc, routeBy }: { readonly rpc: RpcName; readonly routeBy: readonly [string, string] },
  ): ResolvedImpersonation | undefined {
    const { impersonate, impersonateKeys } = this.#options;
    if (impersonateKeys === undefined || !KEY_USES.includes(rpc)) return impersonate;
    const [, keyId = ''] = /\/cryptoKeys\/([^/]+)/.exec(routeBy[1]) ?? [];
    const own = impersonateKeys(keyId);
    if (own === undefined) return impersonate;
    const parsed = parseImpersonation(own);
    if (parsed.ok) return parsed.value;
    throw new InvalidArgumentError(
      operation.context(),
      `the service account that ${keyId} is to be used as is wrong: ${parsed.problem}.`,
    );
  }
}
