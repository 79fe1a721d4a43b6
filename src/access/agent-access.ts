/** Who may use an agent's keys, by agent id. What is granted here is granted on that agent's key and nowhere else. */

import { z } from 'zod';
import type { ErrorContext } from '../errors/base.js';
import { InvalidArgumentError } from '../errors/input.js';
import { type AgentKeys, requireAgentId } from '../hierarchy/agent-keys.js';
import { agentKeyRole } from '../hierarchy/role-options.js';
import { type AccessBinding, type AccessChange, type GrantOptions, parseRole } from '../keys/access.js';
import { type AgentKeyRole, agentContext } from '../keys/agent-key-name.js';
import type { CallOptions } from '../keys/call-options.js';
import type { KeyProvider } from '../keys/key-provider.js';
import { requireAccessManager } from '../provider/access-manager.js';
import { callShape, grantOptions, parseOptions } from '../provider/call-input.js';
import { AGENT_ROLE_NAMES, type AgentRoleName, isAgentRoleName } from './agent-roles.js';

/** Options of the calls about who may use an agent's keys. */
export interface AgentAccessOptions extends CallOptions {
  /** Which of the agent's keys. Default `signing`. */
  readonly key?: AgentKeyRole | undefined;
}

/** Options of `grantAgentAccess`: which of the agent's keys, and whether public members are taken. */
export type GrantAgentAccessOptions = AgentAccessOptions & GrantOptions;

/** A role that a member has on an agent's key. */
export interface AgentAccessBinding extends AccessBinding {
  /** Which of the four roles it is, if it is one. */
  readonly agentRole?: AgentRoleName;
}

const accessOptions = z.strictObject({ ...callShape, key: agentKeyRole });
const grantAccessOptions = z.strictObject({ ...grantOptions.shape, key: agentKeyRole });

export class AgentAccess {
  readonly #provider: KeyProvider;
  readonly #agentKeys: AgentKeys;
  readonly #roles: Readonly<Record<AgentRoleName, string>>;

  /** @param roles full names of the four roles. */
  constructor(provider: KeyProvider, agentKeys: AgentKeys, roles: Readonly<Record<AgentRoleName, string>>) {
    this.#provider = provider;
    this.#agentKeys = agentKeys;
    this.#roles = roles;
  }

  async grant(
    agentId: string,
    member: string,
    role: string,
    options: GrantAgentAccessOptions = {},
  ): Promise<AccessChange> {
    const context = agentContext('grantAgentAccess', agentId);
    const { key, publicMembers, ...rest } = parseOptions(context, grantAccessOptions, options);
    const fullRole = this.#roleOf(context, role, key);
    const manager = requireAccessManager(context, this.#provider);
    const keyName = await this.#keyName(context, agentId, key, rest);
    return manager.grantAccess(keyName, member, fullRole, { publicMembers, ...rest });
  }

  async revoke(
    agentId: string,
    member: string,
    role: string,
    options: AgentAccessOptions = {},
  ): Promise<AccessChange> {
    const context = agentContext('revokeAgentAccess', agentId);
    const { key, ...rest } = parseOptions(context, accessOptions, options);
    const fullRole = this.#roleOf(context, role, key);
    const manager = requireAccessManager(context, this.#provider);
    return manager.revokeAccess(await this.#keyName(context, agentId, key, rest), member, fullRole, rest);
  }

  async list(agentId: string, options: AgentAccessOptions = {}): Promise<readonly AgentAccessBinding[]> {
    const context = agentContext('listAgentAccess', agentId);
    const { key, ...rest } = parseOptions(context, accessOptions, options);
    const manager = requireAccessManager(context, this.#provider);
    const bindings = await manager.listAccess(await this.#keyName(context, agentId, key, rest), rest);
    return bindings.map((binding) => {
      const agentRole = AGENT_ROLE_NAMES.find((name) => this.#roles[name] === binding.role);
      return agentRole === undefined ? binding : { ...binding, agentRole };
    });
  }

  #roleOf(context: ErrorContext, role: string, key: AgentKeyRole): string {
    if (!isAgentRoleName(role)) {
      const parsed = parseRole(role);
      if (parsed.ok) return parsed.value;
      throw new InvalidArgumentError(
        context,
        `${parsed.problem} The short names are ${AGENT_ROLE_NAMES.join(', ')}.`,
      );
    }
    if (role === 'signer' && key === 'encryption') {
      throw new InvalidArgumentError(
        context,
        'an encryption key does not sign; roles/cloudkms.cryptoKeyDecrypter decrypts with it.',
      );
    }
    return this.#roles[role];
  }

  #keyName(context: ErrorContext, agentId: string, key: AgentKeyRole, options: CallOptions): Promise<string> {
    return this.#agentKeys.nameOf(context, requireAgentId(context, agentId), key, options);
  }
}
