/** Who may use a key, in all its rings: whoever may use it can do so also while a location is down. */

import type {
  AccessBinding,
  AccessChange,
  AccessManager,
  GrantOptions,
  TestedPermissions,
} from '../keys/access.js';
import type { CallOptions } from '../keys/call-options.js';
import type { KeyProvider } from '../keys/key-provider.js';
import { requireAccessManager } from '../provider/access-manager.js';
import type { KeyRings } from './key-rings.js';

export class ReplicatedAccess implements AccessManager {
  readonly #rings: KeyRings;

  constructor(rings: KeyRings) {
    this.#rings = rings;
  }

  grantAccess(keyId: string, member: string, role: string, options?: GrantOptions): Promise<AccessChange> {
    return this.#rings.change('grantAccess', keyId, (provider, id) =>
      managed('grantAccess', provider, id).grantAccess(id, member, role, options),
    );
  }

  revokeAccess(keyId: string, member: string, role: string, options?: CallOptions): Promise<AccessChange> {
    return this.#rings.change('revokeAccess', keyId, (provider, id) =>
      managed('revokeAccess', provider, id).revokeAccess(id, member, role, options),
    );
  }

  /** Of the key in each ring. */
  listAccess(keyId: string, options?: CallOptions): Promise<readonly AccessBinding[]> {
    return this.#rings.inEachRing('listAccess', keyId, (provider, id) =>
      managed('listAccess', provider, id).listAccess(id, options),
    );
  }

  /** One result for each ring. */
  testPermissions(
    keyId: string | undefined,
    permissions: readonly string[],
    options?: CallOptions,
  ): Promise<readonly TestedPermissions[]> {
    return this.#rings.inEachRing('testPermissions', keyId ?? this.#rings.first.keyRing, (provider, id) =>
      managed('testPermissions', provider, id).testPermissions(
        keyId === undefined ? undefined : id,
        permissions,
        options,
      ),
    );
  }
}

const managed = (operation: string, provider: KeyProvider, keyId: string): AccessManager =>
  requireAccessManager({ operation, resource: keyId }, provider);
