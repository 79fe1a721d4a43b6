/** The way of each call: the log, the faults, access control, the quota and the handler, in that order. */

import type { Socket } from 'node:net';
import { Metadata, type ServerUnaryCall, type ServiceDefinition, type sendUnaryData } from '@grpc/grpc-js';
import type { FaultRule } from './fault-rule.js';
import { corruptRequest, corruptResponse, FaultInjector } from './faults.js';
import type { AccessControl } from './iam/access-control.js';
import type { EmulatorLogger, ResolvedEmulatorOptions } from './options.js';
import { Quota } from './quota.js';
import { LoggedCall, RequestLog, type RequestLogEntry } from './request-log.js';
import {
  type CallContext,
  RpcError,
  type RpcHandler,
  type RpcMessage,
  type ServiceHandlers,
  StatusCode,
} from './rpc.js';
import { encodeStatusDetails, type WireDefinitions } from './wire.js';

type Call = ServerUnaryCall<RpcMessage, RpcMessage>;

/** What is around the handlers. */
interface Surroundings {
  readonly access: AccessControl | undefined;
  /** Returns when what the RPC may have changed is on disk. */
  save(rpc: string): Promise<void>;
  settled(): Promise<void>;
}

/** What every call goes through. */
export class Pipeline {
  readonly requests = new RequestLog();
  readonly faults = new FaultInjector();
  /** Open connections by the address of their peer. */
  readonly sockets = new Map<string, Socket>();
  readonly #options: ResolvedEmulatorOptions;
  readonly #logger: EmulatorLogger;
  readonly #quota: Quota;
  readonly #wire: WireDefinitions;
  readonly #surroundings: Surroundings;
  readonly #timers = new Set<NodeJS.Timeout>();

  constructor(options: ResolvedEmulatorOptions, wire: WireDefinitions, surroundings: Surroundings) {
    this.#options = options;
    this.#logger = options.logger;
    this.#quota = new Quota(options.quota, options.clock);
    this.#wire = wire;
    this.#surroundings = surroundings;
  }

  stop(): void {
    for (const timer of this.#timers) clearTimeout(timer);
  }

  /** Returns when nothing is being written any more. */
  settled(): Promise<void> {
    return this.#surroundings.settled();
  }

  implement(
    definition: ServiceDefinition,
    handlers: ServiceHandlers,
  ): Record<string, (call: Call, callback: sendUnaryData<RpcMessage>) => void> {
    return Object.fromEntries(
      Object.entries(definition).map(([rpc]) => {
        const handler: RpcHandler = handlers[rpc] ?? unimplemented(rpc);
        return [
          rpc,
          (call: Call, callback: sendUnaryData<RpcMessage>) =>
            void this.#serve(rpc, handler, { call, callback }),
        ];
      }),
    );
  }

  async #serve(
    rpc: string,
    handler: RpcHandler,
    wire: { readonly call: Call; readonly callback: sendUnaryData<RpcMessage> },
  ): Promise<void> {
    const { call, callback } = wire;
    const entry = new LoggedCall(rpc, call.request, () => toMap(call.metadata));
    this.requests.add(entry);
    try {
      const fault = this.faults.match(rpc, call.request);
      if (fault?.delayMs !== undefined) await this.#wait(fault.delayMs);
      if (fault !== undefined && !fault.applyAfterExecution && this.#strike(fault, call)) return;
      const principal = this.#surroundings.access?.admit(
        rpc,
        call.request,
        entry.metadata.get('authorization'),
      );
      this.#quota.take(rpc, call.request);
      const request = fault?.corrupt === 'request' ? corruptRequest(call.request) : call.request;
      const response = await handler(request, this.#context(rpc, entry, principal));
      await this.#surroundings.save(rpc);
      if (fault?.applyAfterExecution && this.#strike(fault, call)) return;
      const corrupt = fault?.corrupt;
      entry.status = 'OK';
      callback(
        null,
        corrupt === undefined || corrupt === 'request' ? response : corruptResponse(response, corrupt),
      );
    } catch (error) {
      const failure = error instanceof RpcError ? error : this.#unexpected(rpc, error);
      entry.status = failure.status;
      callback(this.#toStatus(failure), null);
    }
  }

  /** Lets the fault happen. True if there will be no answer. */
  #strike(fault: FaultRule, call: Call): boolean {
    if (fault.hang) return true;
    if (fault.dropConnection) {
      this.sockets.get(call.getPeer())?.destroy();
      return true;
    }
    if (fault.status !== undefined) {
      const { code, message = `injected ${code}`, details } = fault.status;
      throw new RpcError(code, message, details);
    }
    return false;
  }

  #context(rpc: string, entry: RequestLogEntry, principal: string | undefined): CallContext {
    const { clock, hsmLatencyMs } = this.#options;
    return {
      method: rpc,
      clock,
      principal,
      get metadata() {
        return entry.metadata;
      },
      delayForHsm: () => (hsmLatencyMs === 0 ? Promise.resolve() : this.#wait(hsmLatencyMs)),
    };
  }

  #wait(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#timers.delete(timer);
        resolve();
      }, delayMs);
      this.#timers.add(timer);
    });
  }

  #unexpected(rpc: string, error: unknown): RpcError {
    this.#logger.error(
      { rpc, error: error instanceof Error ? error.stack : String(error) },
      'the emulator failed',
    );
    return new RpcError(
      'INTERNAL',
      `The emulator failed: ${error instanceof Error ? error.message : String(error)}`,
    );
  }

  #toStatus(error: RpcError): {
    readonly code: number;
    readonly details: string;
    readonly metadata: Metadata;
  } {
    const metadata = new Metadata();
    const code = StatusCode[error.status];
    const { message, details } = error;
    if (details.length > 0)
      metadata.set('grpc-status-details-bin', encodeStatusDetails(this.#wire, { code, message, details }));
    return { code, details: message, metadata };
  }
}

function unimplemented(rpc: string): RpcHandler {
  return () => {
    throw new RpcError('UNIMPLEMENTED', `The emulator does not implement ${rpc}.`);
  };
}

function toMap(metadata: Metadata): ReadonlyMap<string, string> {
  return new Map(Object.entries(metadata.getMap()).map(([name, value]) => [name, value.toString()]));
}
