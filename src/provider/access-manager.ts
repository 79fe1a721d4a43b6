/** Whether a provider's keys have policies. */

import { AccessControlUnsupportedError } from '../errors/access.js';
import type { ErrorContext } from '../errors/base.js';
import type { AccessManager } from '../keys/access.js';
import type { KeyProvider } from '../keys/key-provider.js';

/** @throws AccessControlUnsupportedError for software keys. */
export function requireAccessManager(context: ErrorContext, provider: KeyProvider): AccessManager {
  if (isAccessManager(provider)) return provider;
  throw new AccessControlUnsupportedError(context);
}

const isAccessManager = (provider: KeyProvider): provider is KeyProvider & AccessManager =>
  'grantAccess' in provider && 'testPermissions' in provider;
