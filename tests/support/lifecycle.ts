/** A key ring under a clock that tests move, and an archive in a folder of its own. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '../../src/clock.js';
import { type KmsEmulator, ManualClock } from '../../src/emulator/index.js';
import { type A2AKeyExchange, type A2AKeyExchangeConfig, FilePublicKeyArchive } from '../../src/index.js';
import { newExchange, startTestEmulator } from './emulator.js';

export const DAY_SECONDS = 86_400;
export const DAY_MS = 86_400_000;

/** What time it is comes from the test; deadlines and delays pass in real time, so that nothing waits for the test. */
export class CalendarClock implements Clock {
  readonly #calendar = new ManualClock();
  readonly #startedAt = performance.now();

  now(): number {
    return this.#calendar.now() + Math.floor(performance.now() - this.#startedAt);
  }

  monotonic(): number {
    return Math.floor(performance.now());
  }

  setTimer(delayMs: number, callback: () => void): () => void {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  }

  advance(byMs: number): void {
    this.#calendar.advance(byMs);
  }

  advanceDays(days: number): void {
    this.advance(days * DAY_MS);
  }
}

export interface LifecycleWorld extends AsyncDisposable {
  readonly clock: CalendarClock;
  readonly emulator: KmsEmulator;
  readonly archive: FilePublicKeyArchive;
  readonly directory: string;
  /** A further process on the same key ring. */
  join(config?: Partial<A2AKeyExchangeConfig>): Promise<A2AKeyExchange>;
}

export async function startWorld(): Promise<LifecycleWorld> {
  const clock = new CalendarClock();
  const emulator = await startTestEmulator({ clock });
  const directory = await mkdtemp(join(tmpdir(), 'public-keys-'));
  const archive = new FilePublicKeyArchive({ directory });
  const processes: A2AKeyExchange[] = [];
  return {
    clock,
    emulator,
    archive,
    directory,
    join: async (config = {}) => {
      const exchange = newExchange(emulator, {
        clock,
        publicKeyArchive: archive,
        defaultAlgorithm: 'ecdsa-p256',
        retry: { initialDelayMs: 1, maxDelayMs: 2 },
        ...config,
      });
      processes.push(exchange);
      await exchange.initialize();
      return exchange;
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(processes.map((exchange) => exchange.close()));
      await emulator.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
