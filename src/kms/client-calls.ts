/** What every public method of a client begins with: the key id parsed, the options checked, an operation opened. */

import type { ErrorContext } from '../errors/base.js';
import { InvalidArgumentError } from '../errors/input.js';
import type { CallOptions } from '../keys/call-options.js';
import type { CryptoKeyName, KeyReference } from '../keys/resource-name.js';
import { callOptions, parseOptions } from '../provider/call-input.js';
import { type ObservedMethod, toObservedCall } from '../provider/observed-method.js';
import { type Observation, observe, type Product, type ProviderObserver } from '../provider/observer.js';
import { Operation } from '../provider/operation.js';
import type { KmsCore } from './core.js';

export class ClientCalls {
  readonly core: KmsCore;
  readonly #observers: readonly ProviderObserver[];
  /** The observed call that this is for. */
  readonly observation: Observation | undefined;

  constructor(core: KmsCore, observers: readonly ProviderObserver[], observation?: Observation) {
    this.core = core;
    this.#observers = observers;
    this.observation = observation;
  }

  /** Makes a call of a public method: it is counted, and under the eyes of the observers, if there are any. */
  observed<T>(
    call: ObservedMethod,
    work: (calls: ClientCalls) => Promise<T>,
    productOf?: (result: T) => Product,
  ): Promise<T> {
    const { core } = this;
    if (this.#observers.length === 0) return core.counts.count(call.method, () => work(this));
    return core.counts.count(call.method, () =>
      observe(
        this.#observers,
        toObservedCall(call, core.keyRing),
        (observation) => work(new ClientCalls(core, this.#observers, observation)),
        productOf,
      ),
    );
  }

  /** @throws InvalidArgumentError for what is no key of the configured key ring. */
  reference(operation: string, keyId: string): KeyReference {
    const parsed = this.core.references.parse(keyId);
    if (!parsed.ok) throw new InvalidArgumentError(contextOf(operation, keyId), parsed.problem);
    return parsed.value;
  }

  /** As `reference`, and refuses the name of a version. */
  wholeKey(operation: string, keyId: string): CryptoKeyName {
    const reference = this.reference(operation, keyId);
    if (reference.kind === 'key') return reference.key;
    throw new InvalidArgumentError(
      contextOf(operation, keyId),
      'this is done to a key, not to one of its versions; pass the name of the key.',
    );
  }

  open(name: string, resource: string, options: CallOptions | undefined): Operation {
    const { operationMs } = this.core.config.deadlines;
    return this.#open({ name, resource, options, defaultTimeoutMs: operationMs });
  }

  /** With the deadline of what waits for the HSM to make key material. */
  openForGeneration(name: string, resource: string, options: CallOptions | undefined): Operation {
    const { generationMs } = this.core.config.deadlines;
    return this.#open({ name, resource, options, defaultTimeoutMs: generationMs });
  }

  #open(call: {
    readonly name: string;
    readonly resource: string;
    readonly options: CallOptions | undefined;
    readonly defaultTimeoutMs: number;
  }): Operation {
    const { name, resource, options, defaultTimeoutMs } = call;
    const { clock } = this.core.config;
    const { observation } = this;
    // The usual case, at no cost.
    if (options === undefined) {
      return new Operation({ name, resource, timeoutMs: defaultTimeoutMs, clock, observation });
    }
    const context = { operation: name, resource };
    const { timeoutMs = defaultTimeoutMs, ...rest } = parseOptions(context, callOptions, options);
    return new Operation({ name, resource, timeoutMs, clock, observation, ...rest });
  }
}

export const contextOf = (operation: string, keyId: string): ErrorContext => ({
  operation,
  resource: String(keyId),
});

/** The full name that a reference stands for. */
export const nameOf = (reference: KeyReference): string =>
  reference.kind === 'version' ? reference.version.name : reference.key;
