/** One key ring of a replicated provider, behind a circuit breaker that tells whether its location can be reached. */

import { BrokenCircuitError, CircuitState, ConsecutiveBreaker, circuitBreaker, handleWhen } from 'cockatiel';
import type { ErrorCode } from '../errors/error-code.js';
import { OperationAbortedError } from '../errors/service.js';
import type { KeyProvider } from '../keys/key-provider.js';
import type { Logger } from '../logger.js';
import { isLocationFailure } from '../provider/location-failure.js';

/**
 * The circuit-breaker state of a location. `closed`: it is used. `open`: it failed and gets no calls for a while. `half-open`:
 * a call that tries it again is under way.
 */
export interface LocationStatus {
  /** Full name of the key ring. */
  readonly keyRing: string;
  readonly state: 'closed' | 'open' | 'half-open';
  /** Code of the failure that was seen last; absent when there was none. */
  readonly lastFailure?: ErrorCode;
}

interface LocationOptions {
  readonly keyRing: string;
  readonly provider: KeyProvider;
  /** Failures in a row that open the breaker. */
  readonly failureThreshold: number;
  /** How long an open breaker keeps calls away before one of them tries again. */
  readonly halfOpenAfterMs: number;
  readonly logger: Logger;
}

export class Location {
  readonly keyRing: string;
  readonly provider: KeyProvider;
  readonly #breaker: ReturnType<typeof circuitBreaker>;
  /** Gives up the calls under way that can go on elsewhere. */
  readonly #leave = new Set<() => void>();
  #lastFailure: ErrorCode | undefined;

  constructor(options: LocationOptions) {
    const { keyRing, provider, failureThreshold, halfOpenAfterMs, logger } = options;
    this.keyRing = keyRing;
    this.provider = provider;
    this.#breaker = circuitBreaker(
      handleWhen((error) => this.#isFailure(error)),
      {
        halfOpenAfter: halfOpenAfterMs,
        breaker: new ConsecutiveBreaker(failureThreshold),
      },
    );
    this.#breaker.onStateChange((state) => {
      logger.warn({ ...this.status() }, 'the circuit breaker of a location changed its state');
      if (state !== CircuitState.Open) return;
      for (const leave of this.#leave) leave();
      this.#leave.clear();
    });
  }

  /**
   * Whether a call makes sense now. An open breaker lets one call through when its time is over; while that one is under
   * way the others go elsewhere rather than wait for it.
   */
  get isOpen(): boolean {
    return this.#breaker.state !== CircuitState.Closed;
  }

  /** @throws BrokenCircuitError of cockatiel while the breaker is open. */
  async execute<T>(call: (provider: KeyProvider) => Promise<T>): Promise<T> {
    try {
      return await this.#breaker.execute(() => call(this.provider));
    } catch (error) {
      if (isLocationFailure(error)) this.#lastFailure = error.code;
      throw error;
    }
  }

  /**
   * As `execute`, for a call that can be made elsewhere: when the breaker opens while it is under way, it is given up
   * rather than kept until its deadline.
   * @throws BrokenCircuitError also then.
   */
  executeOrLeave<T>(call: (provider: KeyProvider) => Promise<T>): Promise<T> {
    return this.execute(
      (provider) =>
        new Promise<T>((resolve, reject) => {
          const leave = (): void => reject(new BrokenCircuitError());
          this.#leave.add(leave);
          call(provider)
            .then(resolve, reject)
            .finally(() => this.#leave.delete(leave));
        }),
    );
  }

  get isProbing(): boolean {
    return this.#breaker.state === CircuitState.HalfOpen;
  }

  /** A caller who leaves says nothing of the location; a probe that ends so has not found it well. */
  #isFailure(error: unknown): boolean {
    return isLocationFailure(error) || (this.isProbing && error instanceof OperationAbortedError);
  }

  status(): LocationStatus {
    const { state } = this.#breaker;
    return {
      keyRing: this.keyRing,
      state:
        state === CircuitState.Closed ? 'closed' : state === CircuitState.HalfOpen ? 'half-open' : 'open',
      ...(this.#lastFailure && { lastFailure: this.#lastFailure }),
    };
  }
}
