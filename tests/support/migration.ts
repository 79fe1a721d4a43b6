/** A key ring, a software store and an archive, and processes that work with them under one set of flags after another. */

import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { KmsEmulator } from '../../src/emulator/index.js';
import { type A2AKeyExchange, type A2AKeyExchangeConfig, FilePublicKeyArchive } from '../../src/index.js';
import { newExchange, startTestEmulator } from './emulator.js';
import { CalendarClock } from './lifecycle.js';

/** Flags and phase: software keys alone, a phase with HSM keys, the rollback from it, or HSM keys alone. */
export type Mode = 'software-only' | 1 | 2 | 3 | 4 | 'rollback' | 'hsm-only';

export interface MigrationWorld extends AsyncDisposable {
  readonly clock: CalendarClock;
  readonly emulator: KmsEmulator;
  readonly archive: FilePublicKeyArchive;
  /** Path of the software store. */
  readonly storePath: string;
  /** 32 bytes that open it. */
  readonly storeKey: Uint8Array;
  /** A process that has not been initialised. */
  make(mode: Mode, config?: Partial<A2AKeyExchangeConfig>): A2AKeyExchange;
  /** A process that is ready. */
  start(mode: Mode, config?: Partial<A2AKeyExchangeConfig>): Promise<A2AKeyExchange>;
  /** Runs in a process of its own, which ends with it. */
  within<T>(mode: Mode, work: (exchange: A2AKeyExchange) => Promise<T>): Promise<T>;
}

function flagsOf(mode: Mode): Partial<A2AKeyExchangeConfig> {
  if (mode === 'hsm-only') return { softwareKeyStore: undefined };
  if (mode === 'software-only') return { enableHsmKeys: false, useSoftwareKeys: true };
  const software = mode === 'rollback' || mode <= 2;
  const phase = mode === 'rollback' ? 2 : mode;
  return { enableHsmKeys: mode !== 'rollback', useSoftwareKeys: software, migration: { phase } };
}

export async function startMigrationWorld(): Promise<MigrationWorld> {
  const clock = new CalendarClock();
  const emulator = await startTestEmulator({ clock });
  const directory = await mkdtemp(join(tmpdir(), 'migration-'));
  const archive = new FilePublicKeyArchive({ directory: join(directory, 'public-keys') });
  const storePath = join(directory, 'software-keys');
  const key = randomBytes(32);
  const processes = new Set<A2AKeyExchange>();
  const make = (mode: Mode, config: Partial<A2AKeyExchangeConfig> = {}): A2AKeyExchange => {
    const exchange = newExchange(emulator, {
      clock,
      publicKeyArchive: archive,
      defaultAlgorithm: 'ecdsa-p256',
      retry: { initialDelayMs: 1, maxDelayMs: 2 },
      softwareKeyStore: { type: 'file', path: storePath, key },
      ...flagsOf(mode),
      ...config,
    });
    processes.add(exchange);
    return exchange;
  };
  const start = async (mode: Mode, config?: Partial<A2AKeyExchangeConfig>): Promise<A2AKeyExchange> => {
    const exchange = make(mode, config);
    await exchange.initialize();
    return exchange;
  };
  return {
    ...{ clock, emulator, archive, storePath, storeKey: key, make, start },
    async within(mode, work) {
      const exchange = await start(mode);
      try {
        return await work(exchange);
      } finally {
        processes.delete(exchange);
        await exchange.close();
      }
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([...processes].map((exchange) => exchange.close()));
      await emulator.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
