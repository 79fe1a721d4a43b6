/** Loads the OpenTelemetry API, which is an optional peer: only when the configuration asks for it. */

import { createRequire } from 'node:module';
import type * as Api from '@opentelemetry/api';
import { InvalidConfigError } from '../errors/input.js';

/** The package, as far as it is used. */
export type OpenTelemetryApi = typeof Api;

/**
 * Whether OpenTelemetry is used. `off`: no. `auto`: if `@opentelemetry/api` is installed. `on`: yes, and without the
 * package the configuration is refused.
 */
export type TelemetrySetting = 'off' | 'auto' | 'on';

/**
 * All copies of the API in a process share what the application registered, so that it does not matter which one this is.
 * In a bundle in CommonJS `import.meta` is empty; where it is not, there is no `__filename`.
 */
const installed = (): OpenTelemetryApi =>
  createRequire(typeof __filename === 'string' ? __filename : import.meta.url)('@opentelemetry/api');

/** @throws InvalidConfigError when telemetry is `on` and the package is not there or cannot be loaded. */
export function loadOpenTelemetry(
  setting: TelemetrySetting,
  load: () => OpenTelemetryApi = installed,
): OpenTelemetryApi | undefined {
  if (setting === 'off') return undefined;
  try {
    return load();
  } catch (error) {
    if (setting === 'auto' && isNotInstalled(error)) return undefined;
    const reason = isNotInstalled(error) ? 'is not installed' : `cannot be loaded: ${String(error)}`;
    throw new InvalidConfigError([
      { field: 'telemetry', problem: `needs the package @opentelemetry/api (^1.9.0), which ${reason}` },
    ]);
  }
}

const isNotInstalled = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'MODULE_NOT_FOUND';
