/** Which service account uses a key: that of the agent whose key it is. */

import { LRUCache } from 'lru-cache';
import { InvalidArgumentError } from '../errors/input.js';
import { agentKeyId, parseAgentId } from '../keys/agent-key-name.js';
import type { Impersonation } from '../keys/impersonation.js';

type ImpersonationOf =
  | Readonly<Record<string, Impersonation>>
  | ((agentId: string) => Impersonation | undefined);

/** Ids that are in the key's name as they are; the names of all others hold a hash (docs/architecture.md). */
const READABLE = /^agent-([A-Za-z0-9_-]{1,45})-(?:signing|encryption)-key$/;
const HASHED = /^agent_[a-z2-7]{32}-(?:signing|encryption)-key$/;

export class AgentIdentities {
  readonly #ofAgent: (agentId: string) => Impersonation | undefined;
  /** Whose key a key id is, for ids that cannot be read from it. */
  readonly #agents: Map<string, string> | LRUCache<string, string>;

  constructor(source: ImpersonationOf, maxAgents: number) {
    if (typeof source === 'function') {
      this.#ofAgent = source;
      this.#agents = new LRUCache<string, string>({ max: 2 * maxAgents });
      return;
    }
    const identities = new Map(Object.entries(source));
    this.#ofAgent = (agentId) => identities.get(agentId);
    this.#agents = new Map();
    for (const agentId of identities.keys()) this.note(agentId);
  }

  /** Remembers an agent, so that its keys are known for its own. */
  note(agentId: string): void {
    const agent = parseAgentId(agentId);
    if (!agent.ok) return;
    for (const role of ['signing', 'encryption'] as const)
      this.#agents.set(agentKeyId(agent.value, role), agentId);
  }

  /**
   * @returns undefined for keys that are no agent's, and agents without a service account.
   * @throws InvalidArgumentError for a key of which it cannot be said whose it is: using it as somebody else is not an answer.
   */
  identityOf(keyId: string): Impersonation | undefined {
    const agentId = this.#agents.get(keyId) ?? READABLE.exec(keyId)?.[1];
    if (agentId !== undefined) return this.#ofAgent(agentId);
    if (!HASHED.test(keyId) || this.#agents instanceof Map) return undefined;
    throw new InvalidArgumentError(
      { operation: 'impersonate', resource: keyId },
      'the name of the key does not say whose it is. Use it by the id of its agent.',
    );
  }
}
