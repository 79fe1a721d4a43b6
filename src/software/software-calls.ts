/** What every method of a `SoftwareKeyProvider` begins with: the key id parsed, the store open, an operation running. */

import type { Clock } from '../clock.js';
import type { ErrorContext } from '../errors/base.js';
import { InvalidArgumentError } from '../errors/input.js';
import { ClientClosedError } from '../errors/service.js';
import type { CallOptions } from '../keys/call-options.js';
import type { PublicKeyArchive } from '../keys/public-key-archive.js';
import {
  type CryptoKeyName,
  type KeyReference,
  type KeyRingName,
  type KeyVersion,
  parseKeyReference,
} from '../keys/resource-name.js';
import type { Logger } from '../logger.js';
import { callOptions, parseOptions } from '../provider/call-input.js';
import { type ObservedMethod, toObservedCall } from '../provider/observed-method.js';
import { type Observation, observe, type Product, type ProviderObserver } from '../provider/observer.js';
import { Operation } from '../provider/operation.js';
import type { CallCounts } from '../provider/stats.js';
import type { KeyObjects } from './key-objects.js';
import type { KeyStore } from './store/key-store.js';

/** What the operations on keys work with: one set per provider. */
export interface SoftwareCore {
  readonly keyRing: KeyRingName;
  readonly store: KeyStore;
  readonly keyObjects: KeyObjects;
  readonly counts: CallCounts;
  readonly publicKeyArchive: PublicKeyArchive | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** The same defaults as a `KMSClient` has. */
const OPERATION_MS = 10_000;
/** RSA keys of 4096 bits take seconds. */
const GENERATION_MS = 60_000;

export class SoftwareCalls {
  readonly core: SoftwareCore;
  readonly #observers: readonly ProviderObserver[];
  /** The observed call that this is for. */
  readonly observation: Observation | undefined;
  /** Shared by the calls of one provider. */
  readonly #end: { closing: Promise<void> | undefined };

  constructor(
    core: SoftwareCore,
    observers: readonly ProviderObserver[],
    observed?: { readonly observation: Observation; readonly end: { closing: Promise<void> | undefined } },
  ) {
    this.core = core;
    this.#observers = observers;
    this.observation = observed?.observation;
    this.#end = observed?.end ?? { closing: undefined };
  }

  /** Makes a call of a public method: it is counted, and under the eyes of the observers, if there are any. */
  observed<T>(
    call: ObservedMethod,
    work: (calls: SoftwareCalls) => Promise<T>,
    productOf?: (result: T) => Product,
  ): Promise<T> {
    const { core } = this;
    if (this.#observers.length === 0) return core.counts.count(call.method, () => work(this));
    const end = this.#end;
    return core.counts.count(call.method, () =>
      observe(
        this.#observers,
        toObservedCall(call, core.keyRing),
        (observation) => work(new SoftwareCalls(core, this.#observers, { observation, end })),
        productOf,
      ),
    );
  }

  /** @throws InvalidArgumentError for what is no key of the configured key ring. */
  reference(operation: string, keyId: string): KeyReference {
    const parsed = parseKeyReference(keyId, this.core.keyRing);
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

  /** As `reference`, and refuses anything but the name of a version. */
  oneVersion(operation: string, name: string): { readonly key: CryptoKeyName; readonly version: KeyVersion } {
    const reference = this.reference(operation, name);
    if (reference.kind === 'version') return reference;
    throw new InvalidArgumentError(
      contextOf(operation, name),
      'this is done to one version of a key; pass its full name.',
    );
  }

  /** Opens the store where need be and does the work, within a deadline that is longer where keys are generated. */
  run<T>(
    call: {
      readonly name: string;
      readonly resource: string;
      readonly options: CallOptions | undefined;
      readonly takes?: 'generation';
    },
    work: (operation: Operation) => Promise<T>,
  ): Promise<T> {
    const { name, resource, options, takes } = call;
    const context = { operation: name, resource };
    const defaultTimeoutMs = takes === 'generation' ? GENERATION_MS : OPERATION_MS;
    const { timeoutMs = defaultTimeoutMs, ...rest } = parseOptions(context, callOptions, options);
    const { clock } = this.core;
    const operation = new Operation({
      ...{ name, resource, timeoutMs, clock, observation: this.observation },
      ...rest,
    });
    return operation.run(async () => {
      if (this.#end.closing !== undefined) throw new ClientClosedError(operation.context());
      operation.observation?.reachesKeys();
      await this.core.store.open(operation.context());
      operation.throwIfEnded();
      return work(operation);
    });
  }

  /** Calls after it are refused; changes to the store that were begun are finished, other calls that run may fail. */
  close(): Promise<void> {
    this.#end.closing ??= this.core.store.close().finally(() => this.core.keyObjects.clear());
    return this.#end.closing;
  }
}

export const contextOf = (operation: string, keyId: string): ErrorContext => ({
  operation,
  resource: String(keyId),
});

/** The full name that a reference stands for. */
export const nameOf = (reference: KeyReference): string =>
  reference.kind === 'version' ? reference.version.name : reference.key;
