/** Software key providers for tests: in memory, or on a store in a directory that goes when the test ends. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { Logger } from '../../src/logger.js';
import type { SoftwareKeyProviderConfig } from '../../src/software/provider-config.js';
import { SoftwareKeyProvider } from '../../src/software/software-key-provider.js';
import { KEY_RING, silentLogger } from './emulator.js';

export const STORE_KEY = Buffer.alloc(32, 7);

/** A directory for a store, which the store makes itself. */
export function storeDirectory(): string {
  const folder = mkdtempSync(join(tmpdir(), 'a2a-kms-store-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, 'keys');
}

/** A provider that is closed when the test ends; in memory unless told otherwise. */
export function softwareProvider(rest: Partial<SoftwareKeyProviderConfig> = {}): SoftwareKeyProvider {
  const provider = new SoftwareKeyProvider({
    ...KEY_RING,
    softwareKeyStore: { type: 'memory' },
    logger: silentLogger,
    ...rest,
  });
  onTestFinished(() => provider.close());
  return provider;
}

/** A logger that keeps what it is given. */
export function recordingLogger(): Logger & {
  readonly lines: { level: string; fields: object; message: string }[];
} {
  const lines: { level: string; fields: object; message: string }[] = [];
  const write = (level: string) => (fields: object, message: string) =>
    void lines.push({ level, fields, message });
  return { lines, debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
}
