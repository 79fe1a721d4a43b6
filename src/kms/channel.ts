/** One gRPC channel as the pool sees it: what is under way on it, and when something was last heard from its server. */

/** What a channel is made of. */
export interface Transport {
  /** The official client's authenticated stub. */
  readonly stub: Readonly<Record<string, unknown>>;
  /** The stub of google.iam.v1.IAMPolicy on the same endpoint, made when it is first needed. */
  iamStub(): Promise<Readonly<Record<string, unknown>>>;
  /** Whether it has a connection at this moment. */
  isConnected(): boolean;
  close(): Promise<void>;
}

export class Channel {
  readonly transport: Transport;
  /** Calls under way. */
  inFlight = 0;
  /** When the last call ended, or the channel was opened. Milliseconds since the epoch. */
  lastUsedAt: number;
  /** When the server last answered anything; undefined until it does. Milliseconds since the epoch. */
  lastAnswerAt: number | undefined;
  /**
   * `serving` takes calls. `lost` has no connection and takes calls only as long as there is no other. `retired` takes no
   * more, and is closed when those under way are over.
   */
  state: 'serving' | 'lost' | 'retired' = 'serving';

  constructor(transport: Transport, now: number) {
    this.transport = transport;
    this.lastUsedAt = now;
  }
}
