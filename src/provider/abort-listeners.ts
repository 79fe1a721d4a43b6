/**
 * Listens to AbortSignals with one listener each, however many calls share a signal: Node warns of a leak when a signal has
 * more than ten.
 */

interface Listening {
  readonly callbacks: Set<() => void>;
  readonly onAbort: () => void;
}

export class AbortListeners {
  readonly #signals = new Map<AbortSignal, Listening>();

  /** Calls `callback` when the signal aborts, unless the returned function is called before. */
  add(signal: AbortSignal, callback: () => void): () => void {
    const listening = this.#signals.get(signal) ?? this.#listen(signal);
    listening.callbacks.add(callback);
    return () => {
      if (!listening.callbacks.delete(callback) || listening.callbacks.size > 0) return;
      signal.removeEventListener('abort', listening.onAbort);
      this.#signals.delete(signal);
    };
  }

  #listen(signal: AbortSignal): Listening {
    const callbacks = new Set<() => void>();
    const onAbort = (): void => {
      for (const callback of [...callbacks]) callback();
    };
    const listening = { callbacks, onAbort };
    signal.addEventListener('abort', onAbort, { once: true });
    this.#signals.set(signal, listening);
    return listening;
  }
}

/** Of the signals that callers pass to calls, of whichever client. It holds those of calls under way. */
export const callerAborts = new AbortListeners();
