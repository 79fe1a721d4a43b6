/** google.iam.v1.IAMPolicy: policies with etags. They are kept and returned; nobody is refused by them. */

import { createHash } from 'node:crypto';
import { RpcError, type RpcMessage, type ServiceHandlers } from './rpc.js';

/** The etag of a resource whose policy was never set ("ACAB" in base64, as the service gives it). */
const EMPTY_ETAG = Buffer.from('ACAB', 'base64');
const MAX_VERSION = 3;

export class IamPolicies {
  readonly #policies = new Map<string, RpcMessage>();
  readonly #exists: (resource: string) => boolean;

  constructor(exists: (resource: string) => boolean) {
    this.#exists = exists;
  }

  readonly handlers: ServiceHandlers = {
    GetIamPolicy: (request) => this.#policyOf(this.#resource(request)),
    SetIamPolicy: (request) => this.#set(this.#resource(request), request['policy']),
    TestIamPermissions: (request) => {
      this.#resource(request);
      const { permissions } = request;
      return { permissions: Array.isArray(permissions) ? permissions : [] };
    },
  };

  /** JSON-safe copy of all policies. */
  snapshot(): RpcMessage {
    return Object.fromEntries(
      [...this.#policies].map(([name, policy]) => [
        name,
        { ...policy, etag: toBuffer(policy['etag']).toString('base64') },
      ]),
    );
  }

  restore(state: RpcMessage): void {
    for (const [name, policy] of Object.entries(state)) {
      if (isMessage(policy))
        this.#policies.set(name, { ...policy, etag: Buffer.from(String(policy['etag']), 'base64') });
    }
  }

  #resource(request: RpcMessage): string {
    const resource = String(request['resource']);
    if (
      !/^projects\/[^/]+\/locations\/[^/]+\/(?:keyRings\/[^/]+(?:\/(?:cryptoKeys|importJobs)\/[^/]+)?|ekmConfig|ekmConnections\/[^/]+)$/.test(
        resource,
      )
    ) {
      throw new RpcError('INVALID_ARGUMENT', `Invalid resource name: ${resource}`);
    }
    if (!this.#exists(resource)) throw new RpcError('NOT_FOUND', `${resource} not found.`);
    return resource;
  }

  #policyOf(resource: string): RpcMessage {
    return this.#policies.get(resource) ?? { version: 0, bindings: [], etag: EMPTY_ETAG };
  }

  #set(resource: string, policy: unknown): RpcMessage {
    if (!isMessage(policy)) throw new RpcError('INVALID_ARGUMENT', 'A policy is required.');
    const given = toBuffer(policy['etag']);
    // Without an etag the policy is overwritten, whatever it is (google.iam.v1.Policy.etag).
    if (given.length > 0 && !given.equals(toBuffer(this.#policyOf(resource)['etag']))) {
      throw new RpcError(
        'ABORTED',
        'There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff.',
      );
    }
    const bindings = Array.isArray(policy['bindings']) ? policy['bindings'].filter(isMessage) : [];
    const version = Number(policy['version'] ?? 0);
    if (![0, 1, MAX_VERSION].includes(version))
      throw new RpcError('INVALID_ARGUMENT', `Invalid policy version: ${version}.`);
    if (version !== MAX_VERSION && bindings.some((binding) => isMessage(binding['condition']))) {
      throw new RpcError('INVALID_ARGUMENT', 'A policy with conditional role bindings needs version 3.');
    }
    const stored: RpcMessage = { ...policy, version, bindings };
    const etag = createHash('sha256')
      .update(toBuffer(this.#policyOf(resource)['etag']))
      .update(JSON.stringify(stored))
      .digest()
      .subarray(0, 8);
    const next = { ...stored, etag };
    this.#policies.set(resource, next);
    return next;
  }
}

const isMessage = (value: unknown): value is RpcMessage => typeof value === 'object' && value !== null;

function toBuffer(value: unknown): Buffer {
  return value instanceof Uint8Array ? Buffer.from(value) : Buffer.alloc(0);
}
