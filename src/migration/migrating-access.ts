/** Who may use a key, during a migration: asked of the kind that serves it. Software keys have no access control. */

import type {
  AccessBinding,
  AccessChange,
  AccessManager,
  GrantOptions,
  TestedPermissions,
} from '../keys/access.js';
import type { CallOptions } from '../keys/call-options.js';
import type { KeyRingName } from '../keys/resource-name.js';
import { requireAccessManager } from '../provider/access-manager.js';
import { callOptionsOf } from '../provider/call-input.js';
import type { KeyRouter } from './key-router.js';

/** Every method throws `AccessControlUnsupportedError` for a key that is a software key now. */
export class MigratingAccess implements AccessManager {
  readonly #router: KeyRouter;
  readonly #keyRing: KeyRingName;

  constructor(router: KeyRouter, keyRing: KeyRingName) {
    this.#router = router;
    this.#keyRing = keyRing;
  }

  async grantAccess(
    keyId: string,
    member: string,
    role: string,
    options?: GrantOptions,
  ): Promise<AccessChange> {
    const manager = await this.#managerOf('grantAccess', keyId, options);
    return manager.grantAccess(keyId, member, role, options);
  }

  async revokeAccess(
    keyId: string,
    member: string,
    role: string,
    options?: CallOptions,
  ): Promise<AccessChange> {
    const manager = await this.#managerOf('revokeAccess', keyId, options);
    return manager.revokeAccess(keyId, member, role, options);
  }

  async listAccess(keyId: string, options?: CallOptions): Promise<readonly AccessBinding[]> {
    return (await this.#managerOf('listAccess', keyId, options)).listAccess(keyId, options);
  }

  async testPermissions(
    keyId: string | undefined,
    permissions: readonly string[],
    options?: CallOptions,
  ): Promise<readonly TestedPermissions[]> {
    const { hsm, software } = this.#router.providers;
    const context = { operation: 'testPermissions', resource: this.#keyRing };
    const manager =
      keyId === undefined
        ? requireAccessManager(context, hsm ?? software)
        : await this.#managerOf('testPermissions', keyId, options);
    return manager.testPermissions(keyId, permissions, options);
  }

  async #managerOf(
    operation: string,
    keyId: string,
    options: CallOptions | undefined,
  ): Promise<AccessManager> {
    const context = { operation, resource: String(keyId) };
    const { provider } = await this.#router.route(context, keyId, 'read', callOptionsOf(options));
    return requireAccessManager({ operation, resource: keyId }, provider);
  }
}
