/** What the built package loads: nothing of Cloud KMS when it is imported, everything once a key is used. */

import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { build } from 'tsup';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { KmsEmulator } from '../../src/emulator/index.js';
import type { KMSConfig } from '../../src/index.js';
import { KEY_RING, startTestEmulator } from '../support/emulator.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const HEAVY = ['@google-cloud/kms', '@grpc/grpc-js', 'google-auth-library', 'google-gax'];
const TELEMETRY = '@opentelemetry/api';

const report = z.object({
  imported: z.array(z.string()),
  constructed: z.array(z.string()),
  used: z.array(z.string()),
});

/**
 * Runs in a process of its own. All of the heavy packages are CommonJS, so that `require.cache` has them, whichever way
 * they were loaded.
 */
const PROBE = `
const HEAVY = ${JSON.stringify([...HEAVY, TELEMETRY])};
const loaded = () => {
  const files = Object.keys(require.cache).map((file) => file.replaceAll('\\\\', '/'));
  return HEAVY.filter((name) => files.some((file) => file.includes('/node_modules/' + name + '/')));
};
const imported = loaded();
const config = JSON.parse(process.env.PROBE_CONFIG);
const kms = new sdk.KMSClient(config);
new sdk.A2AKeyExchange(config);
const constructed = loaded();
kms.initialize().then(async () => {
  const used = loaded();
  await kms.close();
  console.log(JSON.stringify({ imported, constructed, used }));
});
`;

let folder: string;
let emulator: KmsEmulator;

beforeAll(async () => {
  mkdirSync(join(root, '.tmp'), { recursive: true });
  folder = mkdtempSync(join(root, '.tmp/lazy-loading-'));
  emulator = await startTestEmulator();
  await build({ outDir: folder, dts: false, sourcemap: false, silent: true });
});

afterAll(async () => {
  await emulator?.close();
  rmSync(folder, { recursive: true, force: true });
});

async function probe(
  kind: 'module' | 'commonjs',
  file: string,
  rest: Partial<KMSConfig> = {},
): Promise<z.infer<typeof report>> {
  const path = join(folder, file);
  const load =
    kind === 'module'
      ? `import { createRequire } from 'node:module';
         import * as sdk from ${JSON.stringify(pathToFileURL(path).href)};
         const require = createRequire(import.meta.url);`
      : `const sdk = require(${JSON.stringify(path)});`;
  const deadlines = { operationMs: 60_000 };
  const config = { ...KEY_RING, emulatorHost: emulator.endpoint, deadlines };
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [`--input-type=${kind}`, '--eval', load + PROBE],
    {
      cwd: root,
      env: {
        ...process.env,
        PROBE_CONFIG: JSON.stringify({ ...config, ...rest }),
      },
    },
  );
  return report.parse(JSON.parse(stdout));
}

describe.each([
  { kind: 'module', file: 'index.js' },
  { kind: 'commonjs', file: 'index.cjs' },
] as const)('the package as $kind', ({ kind, file }) => {
  it('loads no client library of Google Cloud until the HSM path is used', async () => {
    // From version 6 on the client library loads the OpenTelemetry API for itself.
    const used: unknown = expect.arrayContaining(HEAVY);
    expect(await probe(kind, file)).toEqual({ imported: [], constructed: [], used });
  });

  it('loads the OpenTelemetry API at once when telemetry is asked for', async () => {
    const withTelemetry = await probe(kind, file, { telemetry: 'on' });
    expect(withTelemetry).toEqual({
      imported: [],
      constructed: [TELEMETRY],
      used: [...HEAVY, TELEMETRY],
    });
  });
});
