/**
 * The gRPC server: every RPC of Cloud KMS is registered, and each call goes through the pipeline. Connections are accepted here and handed to gRPC, so that one can be cut on purpose.
 */

import { type AddressInfo, createServer, type Server as NetServer } from 'node:net';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { FaultInjector } from './faults.js';
import { enforceIam } from './iam/access-control.js';
import { credentialsHandlers } from './iam/credentials-service.js';
import { IamPolicies } from './iam/policies.js';
import { AccessTokens, type IssueTokenOptions, parseTokenRequest } from './iam/tokens.js';
import { KmsService } from './kms-service.js';
import { locationHandlers } from './locations.js';
import { OperationStore } from './operations.js';
import { type KmsEmulatorOptions, parseEmulatorOptions, type ResolvedEmulatorOptions } from './options.js';
import { Pipeline } from './pipeline.js';
import type { RequestLog } from './request-log.js';
import { isWrite, type ServiceHandlers } from './rpc.js';
import { StateFile } from './state-file.js';
import { loadWireDefinitions } from './wire.js';

/** Access tokens of the emulator. They count where IAM is enforced, and are not looked at otherwise. */
export interface EmulatorIam {
  /**
   * A token of a member, for an hour of the emulator's clock or as long as said.
   * @throws InvalidArgumentError for what is no member of a policy, or no option.
   */
  issueToken(member: string, options?: IssueTokenOptions): string;
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
  await state?.open();
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
  const address = await listen(listener, resolved).catch(async (error: unknown) => {
    await state?.close();
    throw error;
  });
  const endpoint = `${resolved.host.includes(':') ? `[${resolved.host}]` : resolved.host}:${address.port}`;
  resolved.logger.warn({ endpoint }, 'a2a-kms emulator: no place for real keys, they are in plain memory');
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closing ??= stop(listener, server, pipeline).finally(() => state?.close());
    return closing;
  };
  return {
    host: resolved.host,
    port: address.port,
    endpoint,
    requests: pipeline.requests,
    faults: pipeline.faults,
    iam: {
      issueToken: (member, options) => {
        const request = parseTokenRequest(member, options);
        return tokens.issue(request.member, request.options).token;
      },
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
