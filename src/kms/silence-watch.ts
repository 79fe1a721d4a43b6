/**
 * Finds out whether the server at the other end of a channel fell silent, as opposed to being slow: while calls are under
 * way and nothing is answered, it asks the server for any answer at all. A slow HSM does not keep the front end from that;
 * only a connection on which even that is not answered counts as silent.
 */

import type { CancelTimer, Clock } from '../clock.js';
import type { Transport } from './channel.js';

interface SilenceWatchOptions {
  readonly clock: Clock;
  readonly transport: Pick<Transport, 'isConnected' | 'probe'>;
  /** The time without any answer after which a connection counts as silent. Milliseconds. */
  readonly silenceMs: number;
  /** What the channel does at this moment. `full`: there is no stream left for a probe. */
  readonly load: () => 'idle' | 'busy' | 'full';
  /** A probe was answered. */
  readonly onAnswer: () => void;
  /** A probe was not answered at once: told before it is certain, so that there is time to prepare. */
  readonly onSuspicion: () => void;
  readonly onSilence: () => void;
}

/**
 * Time is counted in ticks of an eighth of the limit, between which the process reads what has arrived: a process that was
 * suspended, or busy for seconds, has not waited that long for an answer.
 */
const TICKS_TO_SILENCE = 8;
/** The server is probed after half of it, so that the probe has the other half. */
const TICKS_TO_PROBE = 4;
const TICKS_TO_SUSPICION = 5;
/** No answer comes in less, from another machine. */
const MIN_TICK_MS = 10;

export class SilenceWatch {
  readonly #options: SilenceWatchOptions;
  readonly #tickMs: number;
  /** Ticks in a row, with calls under way, that brought no answer. */
  #quietTicks = 0;
  #heard = false;
  #probe: { isSent: boolean } | undefined;
  #cancelTick: CancelTimer | undefined;
  #isStopped = false;

  constructor(options: SilenceWatchOptions) {
    this.#options = options;
    this.#tickMs = Math.max(MIN_TICK_MS, options.silenceMs / TICKS_TO_SILENCE);
  }

  /** Whether answers are due for longer than they usually take: other channels are the better choice. */
  get isQuiet(): boolean {
    return this.#quietTicks > 0;
  }

  /** A call was given to the channel. */
  started(): void {
    if (this.#cancelTick === undefined && !this.#isStopped) this.#arm();
  }

  /** The server answered something. */
  heard(): void {
    this.#heard = true;
    this.#quietTicks = 0;
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancelTick?.();
  }

  #arm(): void {
    this.#cancelTick = this.#options.clock.setTimer(this.#tickMs, () => this.#tick(), { kind: 'background' });
  }

  #tick(): void {
    this.#cancelTick = undefined;
    const heard = this.#heard;
    this.#heard = false;
    // Calls that wait for a connection say nothing of it.
    if (heard || !this.#options.transport.isConnected()) {
      this.#quietTicks = 0;
      this.#probe = undefined;
    } else {
      this.#countQuietTick();
    }
    const isNeeded = this.#probe?.isSent === true || this.#options.load() !== 'idle';
    if (!isNeeded || this.#isStopped) return;
    // After what has arrived was read, and so that a clock that jumps counts as one tick.
    const next = setImmediate(() => this.#arm());
    this.#cancelTick = () => clearImmediate(next);
  }

  #countQuietTick(): void {
    const { load, onSuspicion, onSilence } = this.#options;
    if (this.#quietTicks < TICKS_TO_PROBE || this.#probe?.isSent === true) this.#quietTicks += 1;
    if (this.#quietTicks === TICKS_TO_PROBE && this.#probe === undefined && load() !== 'full') this.#ask();
    if (this.#quietTicks === TICKS_TO_SUSPICION) onSuspicion();
    if (this.#quietTicks < TICKS_TO_SILENCE) return;
    this.stop();
    onSilence();
  }

  #ask(): void {
    const probe = { isSent: false };
    this.#probe = probe;
    this.#options.transport.probe({
      onSent: () => {
        probe.isSent = true;
      },
      onAnswer: this.#options.onAnswer,
    });
  }
}
