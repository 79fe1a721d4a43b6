/** Which provider of keys a configuration asks for. The configuration alone decides: no failure leads from one to another. */

import type { KMSConfig } from './config.js';
import type { KeyProvider } from './keys/key-provider.js';
import { KMSClient } from './kms/kms-client.js';

export function selectProvider(config: KMSConfig): KeyProvider {
  return new KMSClient(config);
}
