/** The store that a configuration asks for. */

import type { ResolvedStoreConfig } from '../../config/software-config.js';
import { FileKeyStore } from './file-key-store.js';
import type { KeyStore } from './key-store.js';
import { MemoryKeyStore } from './memory-key-store.js';

export function createKeyStore(config: ResolvedStoreConfig): KeyStore {
  return config.type === 'memory' ? new MemoryKeyStore() : new FileKeyStore(config);
}
