/**
 * The gRPC connections to Cloud KMS, made with the official client, which brings endpoint, credentials and channel.
 * Calls go through the client's authenticated stub rather than its methods: those keep their own retries and deadline,
 * drop cancellation on the way, and write whole requests, plaintext included, to the log when SDK logging is on.
 *
 * @google-cloud/kms and gRPC are loaded on the first call, not when this file is.
 */

import type { KeyManagementServiceClient } from '@google-cloud/kms';
import type { ClientUnaryCall, Metadata, ServiceError } from '@grpc/grpc-js';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../clock.js';
import type { KmsEndpoint } from '../config/endpoint.js';
import type { Operation } from '../provider/operation.js';
import type { ConnectionStats } from '../provider/stats.js';
import type { Channel, Transport } from './channel.js';
import { ChannelPool, type ChannelPoolOptions, type Lease } from './channel-pool.js';
import { cloudOptions, emulatorOptions, UNIVERSE } from './client-options.js';
import { IAM_RPCS, type RpcName, type RpcRequest, type RpcResponse } from './rpc.js';
import { GrpcTransport } from './transport.js';

export interface ConnectionOptions {
  readonly endpoint: KmsEndpoint;
  readonly channels: ChannelPoolOptions['channels'];
  readonly clock: Clock;
  /** Deadline of one attempt of a call, in milliseconds. */
  readonly attemptMs: number;
  readonly keepalive?: Keepalive;
  /** Whether the connection proves an identity, or each call brings a token of its own. Default `connection`. */
  readonly identity?: 'connection' | 'call';
}

/** How one attempt is sent. */
interface SendOptions {
  /** The resource that the front end routes by, and the field of the request that it is in. */
  readonly routeBy: readonly [field: string, resource: string];
  readonly timeoutMs: number;
  readonly operation: Operation;
  /** Access token that the call carries. */
  readonly token?: string | undefined;
}

/** What the calls carry that name the same resource; most resources are named in one field only. */
interface Route {
  readonly field: string;
  readonly metadata: Metadata;
}

/** Pings on a connection with calls under way: it is dead when no answer comes in time. Milliseconds. */
interface Keepalive {
  readonly intervalMs: number;
  readonly timeoutMs: number;
}

/**
 * Finds connections dead that were lost without a word. Only while calls are under way: servers take pings without calls
 * for abuse, at more than one in two hours by default (gRPC proposals A8 and A9), and a call finds out by itself.
 */
const KEEPALIVE: Keepalive = { intervalMs: 30_000, timeoutMs: 10_000 };
/** Cloud KMS answers within tens of milliseconds, and its front end whatever the HSM does. */
const SILENCE_MS = 2_000;
/** gRPC status codes of what a lost connection looks like to a call: CANCELLED, INTERNAL, UNAVAILABLE. */
const CONNECTION_CODES: readonly number[] = [1, 13, 14];
const DEADLINE_EXCEEDED = 4;
const MAX_ROUTES = 1_000;

type Grpc = typeof import('@grpc/grpc-js');

export class KmsConnection {
  readonly #options: ConnectionOptions;
  readonly #pool: ChannelPool;
  /** Metadata by resource. gRPC copies what it is given, so calls share it. */
  readonly #routes = new LRUCache<string, Route>({ max: MAX_ROUTES });
  #grpc: Grpc | undefined;
  /** Credentials of the first channel: further ones need not ask for tokens of their own. */
  #auth: KeyManagementServiceClient['auth'] | undefined;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    const { clock, channels, attemptMs } = options;
    const silenceMs = Math.min(SILENCE_MS, attemptMs);
    this.#pool = new ChannelPool({ clock, channels, silenceMs, open: () => this.#connect() });
  }

  /** Whether a channel is there, so that `open` has nothing to do. */
  get isOpen(): boolean {
    return this.#pool.isOpen;
  }

  get stats(): ConnectionStats {
    return this.#pool.stats;
  }

  /** Loads the client libraries. Reads files and runs their code, and talks to nobody. */
  async load(): Promise<void> {
    await Promise.all([import('@google-cloud/kms'), import('@grpc/grpc-js')]);
  }

  /** Opens a channel, if there is none. May ask for credentials over the network. */
  open(): Promise<void> {
    return this.#pool.open();
  }

  lease(): Lease {
    return this.#pool.lease();
  }

  release(channel: Channel): void {
    this.#pool.release(channel);
  }

  /** Makes one attempt of one RPC. It is cancelled on the wire when the operation ends before. */
  send<Name extends RpcName>(
    channel: Channel,
    rpc: Name,
    request: RpcRequest<Name>,
    options: SendOptions,
  ): Promise<RpcResponse<Name>> {
    const { transport } = channel;
    if (!IAM_RPCS.includes(rpc)) return this.#send({ channel, stub: transport.stub }, rpc, request, options);
    return transport.iamStub().then((iam) => this.#send({ channel, stub: iam }, rpc, request, options));
  }

  #send<Name extends RpcName>(
    { channel, stub }: { readonly channel: Channel; readonly stub: Readonly<Record<string, unknown>> },
    rpc: Name,
    request: RpcRequest<Name>,
    options: SendOptions,
  ): Promise<RpcResponse<Name>> {
    return new Promise((resolve, reject) => {
      const method = stub[rpc];
      if (typeof method !== 'function' || this.#grpc === undefined) {
        reject(new TypeError(`the installed @google-cloud/kms has no RPC ${rpc}`));
        return;
      }
      const metadata = this.#metadataFor(this.#grpc, options);
      const sentAt = this.#options.clock.monotonic();
      // The gRPC deadline is wall-clock time by its own definition, whatever clock drives this library.
      const deadline = Date.now() + options.timeoutMs;
      const { operation } = options;
      let isCancelled = false;
      const onAnswer = (error: ServiceError | null, response: RpcResponse<Name>): void => {
        operation.offEnd(cancel);
        channel.calls.delete(call);
        if (error === null) {
          this.#pool.answered(channel);
          resolve(response);
        } else {
          this.#report(channel, { sentAt, code: isCancelled ? DEADLINE_EXCEEDED : error.code });
          reject(error);
        }
      };
      // gRPC records the stack of every call, at a tenth of its cost; errors of this library have a stack of their own.
      const { stackTraceLimit } = Error;
      Error.stackTraceLimit = 0;
      let call: ClientUnaryCall;
      try {
        call = method.call(stub, request, metadata, { deadline }, onAnswer);
      } finally {
        Error.stackTraceLimit = stackTraceLimit;
      }
      channel.calls.add(call);
      const cancel = (): void => {
        isCancelled = true;
        call.cancel();
      };
      operation.onEnd(cancel);
    });
  }

  #metadataFor(grpc: Grpc, { routeBy, token, operation }: SendOptions): Metadata {
    const reason = operation.reasonHeader;
    const [field, resource] = routeBy;
    let route = this.#routes.get(resource);
    if (route?.field !== field) {
      route = { field, metadata: new grpc.Metadata() };
      route.metadata.set('x-goog-request-params', `${field}=${encodeURIComponent(resource)}`);
      this.#routes.set(resource, route);
    }
    if (token === undefined && reason === undefined) return route.metadata;
    const metadata = route.metadata.clone();
    if (token !== undefined) metadata.set('authorization', `Bearer ${token}`);
    // Google's servers copy it to protoPayload.requestMetadata.requestAttributes.reason of Cloud Audit Logs.
    if (reason !== undefined) metadata.set('x-goog-request-reason', reason);
    return metadata;
  }

  /** Cancels the calls under way and closes all channels. */
  close(): Promise<void> {
    return this.#pool.close();
  }

  /** What a failed call says of its channel. */
  #report(channel: Channel, call: { readonly sentAt: number; readonly code: number }): void {
    const { sentAt, code } = call;
    if (CONNECTION_CODES.includes(code)) this.#pool.failed(channel, { sentAt, kind: 'connection' });
    else if (code === DEADLINE_EXCEEDED) this.#pool.failed(channel, { sentAt, kind: 'no-answer' });
    else this.#pool.answered(channel);
  }

  async #connect(): Promise<Transport> {
    const [{ KeyManagementServiceClient }, grpc] = await Promise.all([
      import('@google-cloud/kms'),
      import('@grpc/grpc-js'),
    ]);
    this.#grpc = grpc;
    const { endpoint, keepalive = KEEPALIVE, identity } = this.#options;
    const client = new KeyManagementServiceClient({
      // Our copy of gRPC is handed in, so that the credentials made here and the channel made there are of one copy.
      grpc,
      // Channels with equal settings share one connection in gRPC unless each has a pool of its own.
      'grpc.use_local_subchannel_pool': 1,
      // Debugging data of each call that nothing here reads, and a second layer of retries.
      'grpc.enable_channelz': 0,
      'grpc.enable_retries': 0,
      'grpc.keepalive_time_ms': keepalive.intervalMs,
      'grpc.keepalive_timeout_ms': keepalive.timeoutMs,
      ...(this.#auth && { auth: this.#auth }),
      ...(endpoint.kind === 'emulator' ? emulatorOptions(endpoint, grpc) : cloudOptions(endpoint)),
      ...(endpoint.kind === 'cloud' &&
        identity === 'call' && {
          sslCreds: grpc.credentials.createSsl(),
          ...UNIVERSE,
        }),
    });
    const needsToken = endpoint.kind === 'cloud' && identity !== 'call';
    const transport = await GrpcTransport.of({ grpc, client, needsToken });
    this.#auth = client.auth;
    return transport;
  }
}
