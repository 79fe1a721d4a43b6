/** google.cloud.kms.v1.KeyManagementService: the resources, the RPCs over them, and their state for a state file. */

import type { Clock } from '../clock.js';
import type { OperationStore } from './operations.js';
import type { KeyStoreOptions } from './resources/key-store.js';
import { KeyStore } from './resources/key-store.js';
import { restoreStore, snapshotStore } from './resources/snapshot.js';
import type { RpcMessage, ServiceHandlers } from './rpc.js';
import { asymmetricHandlers } from './rpcs/asymmetric.js';
import { cryptoKeyHandlers } from './rpcs/crypto-keys.js';
import { importHandlers } from './rpcs/import-jobs.js';
import { keyRingHandlers } from './rpcs/key-rings.js';
import { symmetricHandlers } from './rpcs/symmetric.js';
import { versionHandlers } from './rpcs/versions.js';

interface KmsServiceOptions extends KeyStoreOptions {
  readonly clock: Clock;
  readonly operations: OperationStore;
}

export class KmsService {
  readonly handlers: ServiceHandlers;
  readonly #store: KeyStore;

  constructor(options: KmsServiceOptions) {
    this.#store = new KeyStore(options);
    this.handlers = {
      ...keyRingHandlers(this.#store),
      ...cryptoKeyHandlers(this.#store, options.operations),
      ...versionHandlers(this.#store, options.operations),
      ...importHandlers(this.#store, options.asymmetricGenerationMs),
      ...symmetricHandlers(this.#store),
      ...asymmetricHandlers(this.#store),
    };
  }

  /** Counts changes that came with time, not with a call that writes. */
  get transitions(): number {
    return this.#store.transitions;
  }

  failGeneration(reason: string | undefined): void {
    this.#store.failGeneration(reason);
  }

  /** Whether a key ring, key, import job or EKM resource of that name is there to have a policy. */
  resourceExists(name: string): boolean {
    return (
      this.#store.keyRings.has(name) || this.#store.cryptoKeys.has(name) || this.#store.importJobs.has(name)
    );
  }

  snapshot(): RpcMessage {
    return snapshotStore(this.#store);
  }

  restore(state: RpcMessage): Promise<void> {
    return restoreStore(this.#store, state);
  }
}
