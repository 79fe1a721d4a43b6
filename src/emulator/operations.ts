/** google.longrunning.Operations: the operations that deletions return. Here they are done when they are returned. */

import { randomUUID } from 'node:crypto';
import { RpcError, type RpcMessage, type ServiceHandlers } from './rpc.js';
import { toAny, type WireDefinitions } from './wire.js';

interface FinishedOperation {
  /** Full name of the location, e.g. `projects/p/locations/global`. */
  readonly location: string;
  readonly metadataType: string;
  readonly metadata: RpcMessage;
  readonly responseType: string;
  readonly response: RpcMessage;
}

export class OperationStore {
  readonly #wire: WireDefinitions;
  readonly #operations = new Map<string, RpcMessage>();

  constructor(wire: WireDefinitions) {
    this.#wire = wire;
  }

  /** Records an operation that is done, and returns it as a google.longrunning.Operation. */
  create(input: FinishedOperation): RpcMessage {
    const name = `${input.location}/operations/${randomUUID()}`;
    const operation: RpcMessage = {
      name,
      done: true,
      metadata: toAny(this.#wire, input.metadataType, input.metadata),
      response: toAny(this.#wire, input.responseType, input.response),
    };
    this.#operations.set(name, operation);
    return operation;
  }

  /**
   * Of google.longrunning.Operations Cloud KMS serves GetOperation only: its client has an HTTP rule for no other, and "if the
   * server doesn't support this method, it returns UNIMPLEMENTED" (operations.proto).
   */
  readonly handlers: ServiceHandlers = { GetOperation: (request) => this.#find(request) };

  #find(request: RpcMessage): RpcMessage {
    const name = String(request['name']);
    const operation = this.#operations.get(name);
    if (operation === undefined) throw new RpcError('NOT_FOUND', `Operation ${name} not found.`);
    return operation;
  }
}
