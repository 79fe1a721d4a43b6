/**
 * Several gRPC channels to one endpoint. A call goes to the channel with the fewest calls under way, of as many channels as
 * the load needs: calls that share a connection share its writes, and the channels that a burst leaves behind fall idle and
 * are closed. When all are full it waits in line, and a further channel is opened. A channel that lost its connection, or
 * whose server has fallen silent, is taken out of rotation and replaced; what was under way on it fails as UNAVAILABLE, and
 * whoever repeats it gets another channel.
 */

import type { CancelTimer, Clock } from '../clock.js';
import { jittered } from '../provider/jitter.js';
import type { ConnectionStats } from '../provider/stats.js';
import { Channel, type Transport } from './channel.js';
import { SilenceWatch } from './silence-watch.js';

export interface ChannelPoolOptions {
  readonly clock: Clock;
  readonly open: () => Promise<Transport>;
  readonly channels: { readonly count: number; readonly maxConcurrentCalls: number };
  /** A channel with calls under way that brings no answer for so long, not even to a probe, is replaced. Milliseconds. */
  readonly silenceMs: number;
}

/** A place on a channel for one call: at once where one is free, otherwise when its turn comes. */
export type Lease = { readonly ready: Channel } | { readonly waiting: Promise<Channel>; leave(): void };

/** How a call failed, for what it says of its channel. */
interface CallFailure {
  /** When it was sent. Milliseconds on the monotonic clock. */
  readonly sentAt: number;
  /** `connection`: what a broken connection looks like. `no-answer`: its time was over, or its caller left. */
  readonly kind: 'connection' | 'no-answer';
}

/** Channels beyond the first are closed after that long without a call; a burst a minute later finds them open. */
const IDLE_MS = 90_000;
/** Between attempts to replace channels that never answered; doubled with each, half of it jitter. */
const FIRST_BACKOFF_MS = 100;
const MAX_BACKOFF_MS = 5_000;
/** The part of its calls up to which a channel is filled before another one is used besides. */
const COMFORTABLE = 0.75;
const CLOSED = 'the connection was closed';
const SILENT = 'the connection fell silent';

interface Waiter {
  enter(channel: Channel): void;
  refuse(error: Error): void;
}

export class ChannelPool {
  readonly #options: ChannelPoolOptions;
  readonly #channels: Channel[] = [];
  /** Out of rotation, with calls under way. */
  readonly #retired = new Set<Channel>();
  readonly #queue = new Set<Waiter>();
  #opening: Promise<void> | undefined;
  /** Channels in a row that were lost before they brought a single answer. */
  #failures = 0;
  #cancelBackoff: CancelTimer | undefined;
  #cancelIdleCheck: CancelTimer | undefined;
  #closed = false;

  constructor(options: ChannelPoolOptions) {
    this.#options = options;
  }

  /** Whether there is a channel, so that `open` has nothing to do. */
  get isOpen(): boolean {
    return this.#channels.length > 0;
  }

  get stats(): ConnectionStats {
    const busy = [...this.#channels, ...this.#retired];
    return {
      channelsOpen: this.#serving,
      callsInFlight: busy.reduce((sum, { inFlight }) => sum + inFlight, 0),
      queueDepth: this.#queue.size,
    };
  }

  /** Opens a channel if there is none. */
  async open(): Promise<void> {
    if (this.#closed) throw new Error(CLOSED);
    if (this.#channels.length === 0) await this.#openChannel();
  }

  /** Takes a place on the channel with the fewest calls under way, or a place in the queue when all are full. */
  lease(): Lease {
    const channel = this.#leastLoaded();
    if (channel !== undefined) {
      this.#occupy(channel);
      return { ready: channel };
    }
    let waiter: Waiter = { enter() {}, refuse() {} };
    const waiting = new Promise<Channel>((resolve, reject) => {
      waiter = { enter: resolve, refuse: reject };
    });
    if (this.#closed) waiter.refuse(new Error(CLOSED));
    else this.#queue.add(waiter);
    this.#openAnother();
    return { waiting, leave: () => void this.#queue.delete(waiter) };
  }

  /** Gives a place back; the first in the queue gets it. */
  release(channel: Channel): void {
    channel.inFlight -= 1;
    channel.lastUsedAt = this.#options.clock.monotonic();
    if (channel.state !== 'retired') this.#serveQueue();
    else if (channel.inFlight === 0) void this.#dispose(channel);
  }

  /** The server answered a call of the channel, whatever it said. */
  answered(channel: Channel): void {
    if (!channel.hasAnswered) {
      channel.hasAnswered = true;
      this.#failures = 0;
    }
    channel.watch.heard();
  }

  /** A call of the channel ended without an answer of its server. Silence on a connection is found out by the watch. */
  failed(channel: Channel, { sentAt, kind }: CallFailure): void {
    if (channel.state !== 'serving' || this.#closed || channel.transport.isConnected()) return;
    const { clock, silenceMs } = this.#options;
    if (kind === 'connection') this.#lose(channel, 'disconnected');
    else if (clock.monotonic() - sentAt >= silenceMs) this.#lose(channel, 'silent');
  }

  /** Cancels the calls under way, closes all channels and refuses those who wait. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const channel of [...this.#channels, ...this.#retired]) channel.cancelCalls();
    this.#cancelBackoff?.();
    this.#cancelIdleCheck?.();
    for (const waiter of this.#queue) waiter.refuse(new Error(CLOSED));
    this.#queue.clear();
    await this.#opening?.catch(() => {});
    const channels = [...this.#channels.splice(0), ...this.#retired];
    await Promise.all(channels.map((channel) => this.#dispose(channel)));
  }

  /** Channels that take calls. */
  get #serving(): number {
    let serving = 0;
    for (const channel of this.#channels) if (isServing(channel)) serving += 1;
    return serving;
  }

  #occupy(channel: Channel): void {
    channel.inFlight += 1;
    channel.watch.started();
  }

  #leastLoaded(): Channel | undefined {
    const { maxConcurrentCalls } = this.#options.channels;
    let inFlight = 0;
    for (const channel of this.#channels) inFlight += channel.inFlight;
    let needed = Math.ceil((inFlight + 1) / (maxConcurrentCalls * COMFORTABLE));
    let best: Channel | undefined;
    let quiet: Channel | undefined;
    let spare: Channel | undefined;
    for (const channel of this.#channels) {
      if (channel.state !== 'serving') {
        if (channel.inFlight < maxConcurrentCalls) spare ??= channel;
        continue;
      }
      if (channel.watch.isQuiet) {
        if (channel.inFlight < this.#quietLimit) quiet = lessLoaded(channel, quiet);
        continue;
      }
      if (needed <= 0 && best !== undefined) break;
      needed -= 1;
      if (channel.inFlight < maxConcurrentCalls) best = lessLoaded(channel, best);
    }
    // gRPC connects a lost channel again, or says at once why it cannot: better than no answer at all.
    return best ?? quiet ?? (this.#serving > 0 ? undefined : spare);
  }

  /** Calls on a channel whose answers are late: one stream is left for the probe. */
  get #quietLimit(): number {
    return Math.max(1, this.#options.channels.maxConcurrentCalls - 1);
  }

  #serveQueue(): void {
    for (const waiter of this.#queue) {
      const channel = this.#leastLoaded();
      if (channel === undefined) return;
      this.#queue.delete(waiter);
      this.#occupy(channel);
      waiter.enter(channel);
    }
  }

  #lose(channel: Channel, reason: 'silent' | 'disconnected'): void {
    channel.state = 'lost';
    if (!channel.hasAnswered) this.#failures += 1;
    // A connection that swallows calls must not get another one.
    if (reason === 'silent' || this.#channels.some(isServing)) this.#retire(channel);
    this.#openAnother();
  }

  /** What is under way on a silent connection would only wait for its deadline. */
  #onSilence(channel: Channel): void {
    this.#lose(channel, 'silent');
    channel.failCalls(SILENT);
  }

  /** Takes it out of rotation; it is closed when its calls are over. */
  #retire(channel: Channel): void {
    channel.watch.stop();
    this.#channels.splice(this.#channels.indexOf(channel), 1);
    channel.state = 'retired';
    this.#retired.add(channel);
    if (channel.inFlight === 0) void this.#dispose(channel);
  }

  async #dispose(channel: Channel): Promise<void> {
    channel.watch.stop();
    this.#retired.delete(channel);
    await channel.transport.close();
  }

  /** Opens a further channel, or one in place of a lost one; later, if the last ones brought nothing. */
  #openAnother(): void {
    if (this.#closed || this.#opening !== undefined || this.#cancelBackoff !== undefined) return;
    if (this.#serving >= this.#options.channels.count) return;
    const open = (): void => {
      this.#cancelBackoff = undefined;
      // A failure to open a further channel is not a failure of the calls: they get places on the ones there are.
      void this.#openChannel().catch(() => {});
    };
    if (this.#failures === 0) {
      open();
      return;
    }
    const grown = Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** (this.#failures - 1));
    this.#cancelBackoff = this.#options.clock.setTimer(jittered(grown), open, { kind: 'background' });
  }

  #openChannel(): Promise<void> {
    this.#opening ??= this.#connect()
      .catch((error: unknown) => {
        this.#failures += 1;
        throw error;
      })
      .finally(() => {
        this.#opening = undefined;
        if (this.#queue.size > 0) this.#openAnother();
      });
    return this.#opening;
  }

  async #connect(): Promise<void> {
    const transport = await this.#options.open();
    if (this.#closed) {
      await transport.close();
      throw new Error(CLOSED);
    }
    this.#channels.push(this.#channelOn(transport));
    for (const lost of this.#channels.filter(isLost)) this.#retire(lost);
    this.#serveQueue();
    this.#checkIdle();
  }

  #channelOn(transport: Transport): Channel {
    const { clock, silenceMs } = this.#options;
    const watch: SilenceWatch = new SilenceWatch({
      clock,
      transport,
      silenceMs,
      load: () => (channel.inFlight === 0 ? 'idle' : channel.inFlight > this.#quietLimit ? 'full' : 'busy'),
      onAnswer: () => {
        this.answered(channel);
        this.#serveQueue();
      },
      onSuspicion: () => {
        if (!this.#channels.some(isPrompt)) this.#openAnother();
      },
      onSilence: () => this.#onSilence(channel),
    });
    const channel: Channel = new Channel({ transport, watch, now: clock.monotonic() });
    return channel;
  }

  /** Closes channels that nobody needs any more, as long as there is more than one. */
  #checkIdle(): void {
    this.#cancelIdleCheck?.();
    this.#cancelIdleCheck = undefined;
    const { clock } = this.#options;
    const idleSince = clock.monotonic() - IDLE_MS;
    for (const channel of this.#channels.slice(1)) {
      if (channel.inFlight === 0 && channel.lastUsedAt <= idleSince) this.#retire(channel);
    }
    if (this.#channels.length < 2) return;
    this.#cancelIdleCheck = clock.setTimer(IDLE_MS, () => this.#checkIdle(), { kind: 'background' });
  }
}

const isServing = (channel: Channel): boolean => channel.state === 'serving';
const isPrompt = (channel: Channel): boolean => isServing(channel) && !channel.watch.isQuiet;
const isLost = (channel: Channel): boolean => channel.state === 'lost';

const lessLoaded = (channel: Channel, other: Channel | undefined): Channel =>
  other === undefined || channel.inFlight < other.inFlight ? channel : other;
