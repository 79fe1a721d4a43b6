/**
 * An application that is bundled with this package, as docs/bundling.md says, runs where no package is installed. What is
 * optional is done without there: the native checksums and the OpenTelemetry API.
 */

import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { build } from 'tsup';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { KmsEmulator } from '../../src/emulator/index.js';
import { KEY_RING, startTestEmulator } from '../support/emulator.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

const APPLICATION = `
import { A2AKeyExchange } from './index.js';

async function main() {
  const exchange = new A2AKeyExchange({ ...JSON.parse(process.env.APPLICATION_CONFIG), telemetry: 'auto' });
  await exchange.initialize();
  await exchange.generateAgentKey('bot');
  const message = Buffer.from('pay 10 EUR to alice');
  const signature = await exchange.signMessage('bot', message);
  console.log(await exchange.verifyMessage('bot', message, signature));
  await exchange.close();
}
main();
`;

/** The lines that docs/bundling.md has a bundle of ES modules start with. */
const banner = /```text\n([^`]+)\n```/.exec(readFileSync(join(root, 'docs/bundling.md'), 'utf8'))?.[1];

let emulator: KmsEmulator;
/** Where the packages are. */
let folder: string;
/** Where none is. */
let elsewhere: string;

beforeAll(async () => {
  mkdirSync(join(root, '.tmp'), { recursive: true });
  folder = mkdtempSync(join(root, '.tmp/bundles-'));
  elsewhere = mkdtempSync(join(tmpdir(), 'a2a-kms-bundles-'));
  emulator = await startTestEmulator();
  await build({ outDir: folder, dts: false, silent: true });
  writeFileSync(join(folder, 'application.js'), APPLICATION);
});

afterAll(async () => {
  await emulator?.close();
  rmSync(folder, { recursive: true, force: true });
  rmSync(elsewhere, { recursive: true, force: true });
});

it.each([
  { format: 'cjs', file: 'application.cjs' },
  { format: 'esm', file: 'application.mjs' },
] as const)(
  'an application in one file in format $format signs and verifies where no package is installed',
  async ({ format, file }) => {
    await build({
      config: false,
      entry: [join(folder, 'application.js')],
      outDir: elsewhere,
      outExtension: () => ({ js: file.replace('application', '') }),
      format,
      platform: 'node',
      target: 'node20',
      splitting: false,
      clean: false,
      silent: true,
      noExternal: [/^(?!lmdb$)/],
      external: ['lmdb'],
      esbuildOptions: (options) => {
        options.logLevel = 'error';
        if (format === 'esm' && banner !== undefined) options.banner = { js: banner };
      },
    });

    const { stdout } = await promisify(execFile)(process.execPath, [file], {
      cwd: elsewhere,
      env: {
        ...process.env,
        APPLICATION_CONFIG: JSON.stringify({ ...KEY_RING, emulatorHost: emulator.endpoint }),
      },
    });

    expect(stdout.trim().split('\n').at(-1)).toBe('true');
  },
);
