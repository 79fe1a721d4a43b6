/** What a client needs for calls that bring a token of their own, where its configuration asks for such calls. */

import type { ResolvedKMSConfig } from '../config/kms-config.js';
import { CallCredentials } from './call-credentials.js';
import { type ConnectionOptions, KmsConnection } from './connection.js';
import type { IamCredentials } from './iam-credentials.js';
import { ImpersonatedTokens } from './impersonated-tokens.js';
import type { OwnTokens } from './rpc-caller.js';

export function openOwnTokens(
  config: ResolvedKMSConfig,
  source: IamCredentials,
  transport: ConnectionOptions,
): OwnTokens | undefined {
  const { impersonate, impersonateKeys, emulatorAccessToken, deadlines, retry, clock, logger } = config;
  if (impersonate === undefined && impersonateKeys === undefined && emulatorAccessToken === undefined)
    return undefined;
  const tokens = new ImpersonatedTokens({ source, deadlines, retry, clock, logger });
  return {
    credentials: new CallCredentials({ tokens, emulatorAccessToken, impersonate, impersonateKeys }),
    connection: new KmsConnection({ ...transport, identity: 'call' }),
  };
}
