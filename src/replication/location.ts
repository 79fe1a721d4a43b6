/** One key ring of a replicated provider, behind a circuit breaker that tells whether its location can be reached. */

import { CircuitState, ConsecutiveBreaker, circuitBreaker, handleWhen } from 'cockatiel';
import {
  type A2AKmsError,
  DeadlineExceededError,
  type ErrorCode,
  ServiceError,
  UnavailableError,
} from '../errors.js';
import type { KeyProvider } from '../keys/key-provider.js';
import type { Logger } from '../logger.js';

/** How well a location answers. `half-open`: a call that tries it again is under way. */
export interface LocationStatus {
  /** Full name of the key ring. */
  readonly keyRing: string;
  readonly state: 'closed' | 'open' | 'half-open';
  /** Code of the failure that was seen last; absent when there was none. */
  readonly lastFailure?: ErrorCode;
}

export interface LocationOptions {
  readonly keyRing: string;
  readonly provider: KeyProvider;
  /** Failures one after the other that open the breaker. */
  readonly failureThreshold: number;
  /** How long an open breaker keeps calls away before one of them tries again. */
  readonly halfOpenAfterMs: number;
  readonly logger: Logger;
}

export class Location {
  readonly keyRing: string;
  readonly provider: KeyProvider;
  readonly #breaker: ReturnType<typeof circuitBreaker>;
  #lastFailure: ErrorCode | undefined;

  constructor(options: LocationOptions) {
    const { keyRing, provider, failureThreshold, halfOpenAfterMs, logger } = options;
    this.keyRing = keyRing;
    this.provider = provider;
    this.#breaker = circuitBreaker(handleWhen(isLocationFailure), {
      halfOpenAfter: halfOpenAfterMs,
      breaker: new ConsecutiveBreaker(failureThreshold),
    });
    this.#breaker.onStateChange(() => {
      logger.warn({ ...this.status() }, 'the circuit breaker of a location changed its state');
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

  get isProbing(): boolean {
    return this.#breaker.state === CircuitState.HalfOpen;
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

/** Failures of a location as a whole. What is wrong with a call, a key, a right or a quota is wrong everywhere. */
export function isLocationFailure(error: unknown): error is A2AKmsError {
  return (
    error instanceof UnavailableError ||
    error instanceof DeadlineExceededError ||
    // What is left of connections that are reset, after the repeats of calls that may be repeated.
    (error instanceof ServiceError && error.status === 'INTERNAL')
  );
}
