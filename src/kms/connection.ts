/**
 * The gRPC connections to Cloud KMS, made with the official client, which brings endpoint, credentials and channel.
 * Calls go through the client's authenticated stub rather than its methods: those keep their own retries and deadline,
 * drop cancellation on the way, and write whole requests, plaintext included, to the log when SDK logging is on.
 *
 * @google-cloud/kms and gRPC are loaded on the first call, not when this file is.
 */

import type { KeyManagementServiceClient } from '@google-cloud/kms';
import type { ClientUnaryCall, Metadata, ServiceError } from '@grpc/grpc-js';
import type { KmsEndpoint } from '../config.js';
import type { Operation } from '../provider/operation.js';
import type { ConnectionStats } from '../provider/stats.js';
import type { RpcName, RpcRequest, RpcResponse } from './rpc.js';

export interface ConnectionOptions {
  readonly endpoint: KmsEndpoint;
  readonly channels: { readonly count: number; readonly maxConcurrentCalls: number };
}

/** One gRPC channel and how many calls are under way on it. */
export interface Channel {
  readonly client: KeyManagementServiceClient;
  readonly stub: Readonly<Record<string, unknown>>;
  inFlight: number;
}

type MetadataConstructor = new () => Metadata;

/** A place on a channel for one call: at once where one is free, otherwise when its turn comes. */
export type Lease = { readonly ready: Channel } | { readonly waiting: Promise<Channel>; leave(): void };

export class KmsConnection {
  readonly #options: ConnectionOptions;
  readonly #channels: Channel[] = [];
  readonly #queue = new Set<(channel: Channel) => void>();
  readonly #calls = new Set<ClientUnaryCall>();
  #opening: Promise<void> | undefined;
  #metadata: MetadataConstructor | undefined;
  #closed = false;

  constructor(options: ConnectionOptions) {
    this.#options = options;
  }

  /** Whether a channel is there, so that `open` has nothing to do. */
  get isOpen(): boolean {
    return this.#channels.length > 0;
  }

  get stats(): ConnectionStats {
    const callsInFlight = this.#channels.reduce((sum, { inFlight }) => sum + inFlight, 0);
    return { channelsOpen: this.#channels.length, callsInFlight, queueDepth: this.#queue.size };
  }

  /** Loads the client libraries. Reads files and runs their code, and talks to nobody. */
  async load(): Promise<void> {
    await Promise.all([import('@google-cloud/kms'), import('@grpc/grpc-js')]);
  }

  /** Opens the first channel, if that has not happened yet. May ask for credentials over the network. */
  async open(): Promise<void> {
    if (this.#channels.length === 0) await this.#openChannel();
  }

  /** Takes a place on the channel with the fewest calls under way, or a place in the queue when all are full. */
  lease(): Lease {
    const channel = this.#leastLoaded();
    if (channel !== undefined) {
      channel.inFlight += 1;
      return { ready: channel };
    }
    let enter: (channel: Channel) => void = () => {};
    const waiting = new Promise<Channel>((resolve) => {
      enter = resolve;
    });
    this.#queue.add(enter);
    if (this.#channels.length < this.#options.channels.count && this.#opening === undefined) {
      // A failure to open a further channel is not a failure of the calls: they get places on the ones there are.
      void this.#openChannel().catch(() => {});
    }
    return { waiting, leave: () => void this.#queue.delete(enter) };
  }

  /** Gives a place back; the first in the queue gets it. */
  release(channel: Channel): void {
    channel.inFlight -= 1;
    this.#serveQueue();
  }

  /** Makes one attempt of one RPC. It is cancelled on the wire when the operation ends before. */
  send<Name extends RpcName>(
    channel: Channel,
    rpc: Name,
    request: RpcRequest<Name>,
    options: { readonly routing: string; readonly timeoutMs: number; readonly operation: Operation },
  ): Promise<RpcResponse<Name>> {
    return new Promise((resolve, reject) => {
      const method = channel.stub[rpc];
      if (typeof method !== 'function' || this.#metadata === undefined) {
        reject(new TypeError(`the installed @google-cloud/kms has no RPC ${rpc}`));
        return;
      }
      const metadata = new this.#metadata();
      metadata.set('x-goog-request-params', options.routing);
      // Google's servers copy it to protoPayload.requestMetadata.requestAttributes.reason of Cloud Audit Logs.
      if (options.operation.reason !== undefined)
        metadata.set('x-goog-request-reason', options.operation.reason);
      // The gRPC deadline is wall-clock time by its own definition, whatever clock drives this library.
      const deadline = Date.now() + options.timeoutMs;
      const { operation } = options;
      const onAnswer = (error: ServiceError | null, response: RpcResponse<Name>): void => {
        operation.offEnd(cancel);
        this.#calls.delete(call);
        if (error === null) resolve(response);
        else reject(error);
      };
      // gRPC records the stack of every call, at a tenth of its cost; errors of this library have a stack of their own.
      const { stackTraceLimit } = Error;
      Error.stackTraceLimit = 0;
      let call: ClientUnaryCall;
      try {
        call = method.call(channel.stub, request, metadata, { deadline }, onAnswer);
      } finally {
        Error.stackTraceLimit = stackTraceLimit;
      }
      this.#calls.add(call);
      const cancel = (): void => call.cancel();
      operation.onEnd(cancel);
    });
  }

  /** Cancels the calls under way and closes all channels. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const call of this.#calls) call.cancel();
    await this.#opening?.catch(() => {});
    const channels = this.#channels.splice(0);
    await Promise.all(channels.map((channel) => channel.client.close()));
  }

  #leastLoaded(): Channel | undefined {
    let best: Channel | undefined;
    for (const channel of this.#channels) {
      if (channel.inFlight < (best?.inFlight ?? this.#options.channels.maxConcurrentCalls)) best = channel;
    }
    return best;
  }

  #serveQueue(): void {
    for (const enter of this.#queue) {
      const channel = this.#leastLoaded();
      if (channel === undefined) return;
      this.#queue.delete(enter);
      channel.inFlight += 1;
      enter(channel);
    }
  }

  async #openChannel(): Promise<void> {
    this.#opening ??= this.#connect().finally(() => {
      this.#opening = undefined;
    });
    await this.#opening;
    this.#serveQueue();
  }

  async #connect(): Promise<void> {
    const [{ KeyManagementServiceClient }, grpc] = await Promise.all([
      import('@google-cloud/kms'),
      import('@grpc/grpc-js'),
    ]);
    this.#metadata = grpc.Metadata;
    const { endpoint } = this.#options;
    const client = new KeyManagementServiceClient({
      // Our copy of gRPC is handed in, so that the credentials made here and the channel made there are of one copy.
      grpc,
      // Channels with equal settings share one connection in gRPC unless each has a pool of its own.
      'grpc.use_local_subchannel_pool': 1,
      'grpc.keepalive_time_ms': 30_000,
      'grpc.keepalive_timeout_ms': 10_000,
      ...(endpoint.kind === 'emulator'
        ? {
            apiEndpoint: endpoint.host,
            port: endpoint.port,
            sslCreds: grpc.credentials.createInsecure(),
            // Without it the client asks the metadata server of Google Cloud for its universe.
            clientOptions: { universeDomain: 'googleapis.com' },
          }
        : cloudOptions(endpoint)),
    });
    // The client's own methods leave a failure of this promise unhandled; awaited here, it is an error of the call.
    const stub = await client.initialize();
    this.#channels.push({ client, stub, inFlight: 0 });
    if (this.#closed) await client.close();
  }
}

function cloudOptions(endpoint: Extract<KmsEndpoint, { kind: 'cloud' }>): Record<string, unknown> {
  const options: Record<string, unknown> = {};
  if (endpoint.credentialsPath !== undefined) options['keyFilename'] = endpoint.credentialsPath;
  if (endpoint.apiEndpoint !== undefined) {
    const [host, port] = splitPort(endpoint.apiEndpoint);
    options['apiEndpoint'] = host;
    if (port !== undefined) options['port'] = port;
  }
  return options;
}

function splitPort(address: string): readonly [host: string, port: number | undefined] {
  const match = /^(.*):([0-9]+)$/.exec(address);
  return match?.[1] === undefined ? [address, undefined] : [match[1], Number(match[2])];
}
