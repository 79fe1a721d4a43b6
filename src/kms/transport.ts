/** A channel's connection, made of the official client. */

import type { ProbeListener, Transport } from './channel.js';

type Grpc = typeof import('@grpc/grpc-js');
type Stub = Readonly<Record<string, unknown>>;

/**
 * gRPC's health check, which Cloud KMS does not serve: whatever terminates the connection says so by itself, at once, with no
 * key, no permission, no quota and no bill involved. Not an HTTP/2 ping, because gRPC sends those at intervals only, and
 * servers take pings at intervals of seconds for abuse (gRPC proposal A8).
 */
const PROBE = '/grpc.health.v1.Health/Check';
const PROBE_TIMEOUT_MS = 10_000;
const DEADLINE_EXCEEDED = 4;

/** What is used of the official client. */
interface OfficialClient {
  initialize(): Promise<Stub>;
  readonly iamClient: { initialize(): Promise<Stub> };
  readonly auth: { getRequestHeaders(): Promise<unknown> };
  close(): Promise<void>;
}

interface TransportParts {
  readonly grpc: Grpc;
  readonly client: OfficialClient;
  /** Whether calls carry a token that gRPC has to get first. */
  readonly needsToken: boolean;
}

export class GrpcTransport implements Transport {
  readonly stub: Stub;
  readonly #parts: TransportParts;
  /** The stub of IAM has a connection of its own. */
  readonly #stubs: Set<Stub>;

  private constructor(stub: Stub, parts: TransportParts) {
    this.stub = stub;
    this.#parts = parts;
    this.#stubs = new Set([stub]);
  }

  static async of(parts: TransportParts): Promise<GrpcTransport> {
    // The client's own methods leave a failure of this promise unhandled; awaited here, it is an error of the call.
    return new GrpcTransport(await parts.client.initialize(), parts);
  }

  async iamStub(): Promise<Stub> {
    const stub = await this.#parts.client.iamClient.initialize();
    this.#stubs.add(stub);
    return stub;
  }

  isConnected(): boolean {
    const { grpc } = this.#parts;
    return (
      this.stub instanceof grpc.Client &&
      this.stub.getChannel().getConnectivityState(false) === grpc.connectivityState.READY
    );
  }

  probe({ onSent, onAnswer }: ProbeListener): void {
    const send = (): void => {
      let unanswered = this.#stubs.size;
      onSent();
      for (const stub of this.#stubs) {
        this.#ask(stub, () => {
          unanswered -= 1;
          if (unanswered === 0) onAnswer();
        });
      }
    };
    if (!this.#parts.needsToken) {
      send();
      return;
    }
    // Calls that wait for a token are not on the wire yet. Those that get none fail, and say why.
    this.#parts.client.auth.getRequestHeaders().then(send, () => {});
  }

  #ask(stub: Stub, onAnswer: () => void): void {
    if (!(stub instanceof this.#parts.grpc.Client)) return;
    const nothing = (): Buffer => Buffer.alloc(0);
    const deadline = Date.now() + PROBE_TIMEOUT_MS;
    stub.makeUnaryRequest(PROBE, nothing, nothing, undefined, { deadline }, (error) => {
      // Any status is an answer, unless it is what gRPC makes of none, or of a connection that broke.
      if (error?.code !== DEADLINE_EXCEEDED && this.isConnected()) onAnswer();
    });
  }

  close(): Promise<void> {
    return this.#parts.client.close();
  }
}
