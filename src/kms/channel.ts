/** One gRPC channel as the pool sees it: what is under way on it, and what was heard from its server. */

import type { SilenceWatch } from './silence-watch.js';

/** What a channel is made of. */
export interface Transport {
  /** The official client's authenticated stub. */
  readonly stub: Readonly<Record<string, unknown>>;
  /** The stub of google.iam.v1.IAMPolicy on the same endpoint, made when it is first needed. */
  iamStub(): Promise<Readonly<Record<string, unknown>>>;
  /** Whether it has a connection at this moment. */
  isConnected(): boolean;
  /** Asks the server for something that it answers at once and that has no effect. */
  probe(told: ProbeListener): void;
  close(): Promise<void>;
}

export interface ProbeListener {
  /** It is on its way: whatever it needs first, such as a token, is there. */
  onSent(): void;
  /** The server answered, whatever it said. */
  onAnswer(): void;
}

/** A call of gRPC. Its inner `call` is what ends it with a status other than CANCELLED. */
interface CallUnderWay {
  cancel(): void;
  readonly call?: { cancelWithStatus(status: number, details: string): void } | undefined;
}

interface ChannelParts {
  readonly transport: Transport;
  readonly watch: SilenceWatch;
  readonly now: number;
}

const UNAVAILABLE = 14;

export class Channel {
  readonly transport: Transport;
  readonly watch: SilenceWatch;
  /** Calls that have a place on it. */
  inFlight = 0;
  /** Those of them that were sent and have not ended. */
  readonly calls = new Set<CallUnderWay>();
  /** When the last call ended, or the channel was opened. Milliseconds on the monotonic clock. */
  lastUsedAt: number;
  /** Whether the server ever answered anything. */
  hasAnswered = false;
  /**
   * `serving` takes calls. `lost` has no connection and takes calls only as long as there is no other. `retired` takes no
   * more, and is closed when those under way are over.
   */
  state: 'serving' | 'lost' | 'retired' = 'serving';

  constructor({ transport, watch, now }: ChannelParts) {
    this.transport = transport;
    this.watch = watch;
    this.lastUsedAt = now;
  }

  cancelCalls(): void {
    for (const call of this.calls) call.cancel();
  }

  /** Ends the calls under way as if the connection had broken: whoever may repeat them does so elsewhere, the others look. */
  failCalls(reason: string): void {
    for (const { call } of this.calls) call?.cancelWithStatus(UNAVAILABLE, reason);
  }
}
