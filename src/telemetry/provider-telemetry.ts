/** Telemetry of one provider: its calls as they are made, and its counts when metrics are collected. */

import type { ProviderObserver } from '../provider/observer.js';
import type { ProviderStats } from '../provider/stats.js';
import { CallTelemetry, type CallTelemetryOptions } from './call-telemetry.js';
import { loadOpenTelemetry, type OpenTelemetryApi, type TelemetrySetting } from './load.js';
import { readProvider } from './provider-readings.js';
import { addReadingSource, type ReadingSource } from './readings.js';

/** Reads a source at every collection, from the first call on: by then the application has registered its SDK. */
export class StartedReadings {
  readonly #api: OpenTelemetryApi;
  readonly #source: ReadingSource;
  #end: (() => void) | undefined;
  #closed = false;

  constructor(api: OpenTelemetryApi, source: ReadingSource) {
    this.#api = api;
    this.#source = source;
  }

  start(): void {
    if (!this.#closed) this.#end ??= addReadingSource(this.#api, this.#source);
  }

  close(): void {
    this.#closed = true;
    this.#end?.();
    this.#end = undefined;
  }
}

export interface ProviderTelemetry {
  /** None without telemetry, else the one that makes spans and histograms. */
  readonly observers: readonly ProviderObserver[];
  close(): void;
}

/** @throws InvalidConfigError when telemetry is `on` and the OpenTelemetry API is not installed. */
export function providerTelemetry(
  setting: TelemetrySetting,
  options: Omit<CallTelemetryOptions, 'api'> & { readonly stats: () => ProviderStats },
): ProviderTelemetry {
  const api = loadOpenTelemetry(setting);
  if (api === undefined) return { observers: [], close() {} };
  const calls = new CallTelemetry({ ...options, api });
  const readings = new StartedReadings(api, () => readProvider(options.stats()));
  const observer: ProviderObserver = {
    begin: (call) => {
      readings.start();
      return calls.begin(call);
    },
  };
  return { observers: [observer], close: () => readings.close() };
}
