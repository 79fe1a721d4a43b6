/**
 * The gRPC server: every RPC of Cloud KMS is registered, and each call goes through the log, the faults, access
 * control, the quota and the handler, in that order. Connections are accepted here and handed to gRPC, so that one can be cut on purpose.
 */

import { type AddressInfo, createServer, type Server as NetServer, type Socket } from 'node:net';
import {
  Metadata,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServiceDefinition,
  type sendUnaryData,
} from '@grpc/grpc-js';
import { corruptRequest, corruptResponse, FaultInjector, type FaultRule } from './faults.js';
import { type AccessControl, enforceIam } from './iam/access-control.js';
import { credentialsHandlers } from './iam/credentials-service.js';
import { IamPolicies } from './iam/policies.js';
import { AccessTokens } from './iam/tokens.js';
import { KmsService } from './kms-service.js';
import { locationHandlers } from './locations.js';
import { OperationStore } from './operations.js';
import {
  type EmulatorLogger,
  type KmsEmulatorOptions,
  parseEmulatorOptions,
  type ResolvedEmulatorOptions,
} from './options.js';
import { Quota } from './quota.js';
import { LoggedCall, RequestLog, type RequestLogEntry } from './request-log.js';
import {
  type CallContext,
  isWrite,
  RpcError,
  type RpcHandler,
  type RpcMessage,
  type ServiceHandlers,
  StatusCode,
} from './rpc.js';
import { StateFile } from './state-file.js';
import { encodeStatusDetails, loadWireDefinitions, type WireDefinitions } from './wire.js';

/** Access tokens of the emulator. They count where IAM is enforced, and are not looked at otherwise. */
export interface EmulatorIam {
  /** A token of a member, for an hour of the emulator's clock or as long as said. */
  issueToken(member: string, options?: { readonly lifetimeSeconds?: number }): string;
  /** Ends all tokens of a member. */
  revokeTokens(member: string): void;
}

/** A running emulator. */
export interface KmsEmulator extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  /** `HOST:PORT`, for `KMS_EMULATOR_HOST` and the `emulatorHost` option. */
  readonly endpoint: string;
  readonly requests: RequestLog;
  readonly faults: FaultInjector;
  readonly iam: EmulatorIam;
  /** Makes the next versions that are generated fail with this reason, until it is called with undefined. */
  failGeneration(reason: string | undefined): void;
  /** Stops at once, also with calls under way. */
  close(): Promise<void>;
}

/**
 * Starts a local Cloud KMS. It is for tests and development: keys are in plain memory (and, with a state file, on disk).
 * @throws InvalidConfigError for options that are not usable, and the error of the socket when it cannot listen on the address.
 */
export async function startKmsEmulator(options: KmsEmulatorOptions = {}): Promise<KmsEmulator> {
  const resolved = parseEmulatorOptions(options);
  const wire = loadWireDefinitions();
  const { clock } = resolved;
  const operations = new OperationStore(wire);
  const service = new KmsService({
    clock,
    operations,
    asymmetricGenerationMs: resolved.asymmetricGenerationMs,
    hsmGenerationMs: resolved.hsmGenerationMs,
  });
  const iam = new IamPolicies((name) => service.resourceExists(name));
  const tokens = new AccessTokens(clock, resolved.iam?.tokens ?? {});
  const access = resolved.iam && enforceIam(resolved.iam, { clock, policies: iam, tokens });
  const state =
    resolved.stateFile === undefined ? undefined : new StateFile(resolved.stateFile, { kms: service, iam });
  await state?.load();
  let savedTransitions = 0;
  const pipeline = new Pipeline(resolved, wire, {
    save: async (rpc) => {
      // Serialising every key for every signature would be slow: a call that only uses keys changes nothing, unless it
      // is the first to see what came with time.
      if (state === undefined || (!isWrite(rpc) && service.transitions === savedTransitions)) return;
      const { transitions } = service;
      await state.save();
      savedTransitions = Math.max(savedTransitions, transitions);
    },
    settled: async () => state?.settled(),
    access,
  });
  const server = new Server({
    'grpc.max_concurrent_streams': resolved.maxConcurrentStreams,
    'grpc.max_receive_message_length': 4_194_304,
  });
  const handlers = new Map<string, ServiceHandlers>([
    ['google.cloud.kms.v1.KeyManagementService', service.handlers],
    ['google.iam.v1.IAMPolicy', iam.handlers],
    ['google.cloud.location.Locations', locationHandlers(wire)],
    ['google.longrunning.Operations', operations.handlers],
    ['google.iam.credentials.v1.IAMCredentials', credentialsHandlers(tokens, access)],
  ]);
  for (const [name, definition] of wire.services)
    server.addService(definition, pipeline.implement(definition, handlers.get(name) ?? {}));

  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  const listener = createServer((socket) => {
    const peer = `${socket.remoteAddress}:${socket.remotePort}`;
    pipeline.sockets.set(peer, socket);
    socket.on('close', () => pipeline.sockets.delete(peer));
    injector.injectConnection(socket);
  });
  const address = await listen(listener, resolved);
  resolved.logger.warn(
    { address: address.port },
    'a2a-kms emulator: no place for real keys, they are in plain memory',
  );
  const endpoint = `${resolved.host.includes(':') ? `[${resolved.host}]` : resolved.host}:${address.port}`;
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closing ??= stop(listener, server, pipeline);
    return closing;
  };
  return {
    host: resolved.host,
    port: address.port,
    endpoint,
    requests: pipeline.requests,
    faults: pipeline.faults,
    iam: {
      issueToken: (member, options) => tokens.issue(member, options).token,
      revokeTokens: (member) => tokens.revoke(member),
    },
    failGeneration: (reason) => service.failGeneration(reason),
    close,
    [Symbol.asyncDispose]: close,
  };
}

function listen(listener: NetServer, options: ResolvedEmulatorOptions): Promise<AddressInfo> {
  return new Promise((resolve, reject) => {
    listener.once('error', reject);
    listener.listen(options.port, options.host, () => {
      const address = listener.address();
      if (address === null || typeof address === 'string')
        reject(new TypeError('the emulator listens on TCP only'));
      else resolve(address);
    });
  });
}

async function stop(listener: NetServer, server: Server, pipeline: Pipeline): Promise<void> {
  const closed = new Promise<void>((resolve) => listener.close(() => resolve()));
  pipeline.stop();
  server.forceShutdown();
  for (const socket of pipeline.sockets.values()) socket.destroy();
  await closed;
  await pipeline.settled();
}

type Call = ServerUnaryCall<RpcMessage, RpcMessage>;

interface Surroundings {
  readonly access: AccessControl | undefined;
  /** Returns when what the RPC may have changed is on disk. */
  save(rpc: string): Promise<void>;
  settled(): Promise<void>;
}

class Pipeline {
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
