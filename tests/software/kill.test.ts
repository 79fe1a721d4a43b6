/** What is left of a store when the processes that write to it are killed, again and again, at any moment. */

import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'tsup';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { SoftwareKeyProvider } from '../../src/software/software-key-provider.js';
import { KEY_RING, silentLogger } from '../support/emulator.js';
import { STORE_KEY } from '../support/software-provider.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const KILLS = 200;
/** Processes at the same time: one may be killed while the other waits for its lock. */
const LANES = 2;
/** Half of the processes are killed while they open the store, half while they write; some make it a little further. */
const MOMENTS = [
  { after: 'loaded', withinMs: 60 },
  { after: 'opened', withinMs: 60 },
] as const;

let bundle: string;
let folder: string;

beforeAll(async () => {
  mkdirSync(join(root, '.tmp'), { recursive: true });
  // Below the root, so that the packages it imports are found.
  bundle = mkdtempSync(join(root, '.tmp/kill-'));
  folder = mkdtempSync(join(tmpdir(), 'a2a-kms-kill-'));
  await build({
    config: false,
    entry: { child: join(root, 'tests/software/kill-child.ts') },
    outDir: bundle,
    format: 'esm',
    target: 'node20',
    // In one file, so that a process starts fast.
    noExternal: [/^(?!lmdb)/],
    external: ['lmdb'],
    silent: true,
  });
});

afterAll(() => {
  rmSync(bundle, { recursive: true, force: true });
  rmSync(folder, { recursive: true, force: true });
});

/** Runs the child until it is killed, and gives the lines it wrote. */
function runUntilKilled(
  path: string,
  lane: number,
  moment: (typeof MOMENTS)[number],
): Promise<{ lines: string[]; error: string }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [join(bundle, 'child.js'), path, String(lane)]);
    const output: Buffer[] = [];
    const errors: Buffer[] = [];
    let timer: NodeJS.Timeout | undefined;
    child.stdout.on('data', (chunk: Buffer) => {
      output.push(chunk);
      if (timer !== undefined || !Buffer.concat(output).includes(moment.after)) return;
      timer = setTimeout(() => child.kill('SIGKILL'), Math.random() * moment.withinMs);
    });
    child.stderr.on('data', (chunk: Buffer) => errors.push(chunk));
    child.on('close', () => {
      clearTimeout(timer);
      // What follows the last line break was not written to its end.
      const lines = Buffer.concat(output).toString('utf8').split('\n').slice(0, -1);
      resolve({ lines, error: Buffer.concat(errors).toString('utf8') });
    });
  });
}

it('a store keeps every acknowledged key through 200 kills, and leaves no other files', async () => {
  const path = join(folder, 'keys');
  const lines: string[] = [];
  let kills = 0;
  const runLane = async (lane: number): Promise<void> => {
    while (kills < KILLS) {
      const moment = MOMENTS[kills % MOMENTS.length] ?? MOMENTS[0];
      kills += 1;
      const { lines: written, error } = await runUntilKilled(path, lane, moment);
      expect(error).toBe('');
      lines.push(...written);
    }
  };
  await Promise.all(Array.from({ length: LANES }, (_, lane) => runLane(lane)));

  const versions = lines.filter((line) => line.includes('/')).map((line) => line.split(' ')[1] ?? '');
  const opened = lines.filter((line) => line.startsWith('opened')).length;
  console.info(`${kills} kills, ${opened} after the store was open, ${versions.length} acknowledgements`);
  expect(opened).toBeGreaterThan(KILLS / 5);
  expect(versions.length).toBeGreaterThan(KILLS);

  const provider = new SoftwareKeyProvider({
    ...KEY_RING,
    softwareKeyStore: { type: 'file', path, key: STORE_KEY },
    logger: silentLogger,
  });
  await provider.initialize();
  const lost: string[] = [];
  for (const version of new Set(versions)) {
    const material = await provider
      .withPrivateKey(version, async (secret) => secret.length)
      .catch((error: unknown) => String(error));
    if (typeof material !== 'number') lost.push(`${version}: ${material}`);
  }
  expect(lost).toEqual([]);
  // Each can be listed, and its version in use works.
  const keys = await provider.listKeys();
  for (const key of keys) {
    const [message, primary] = [Buffer.from('still there'), key.primary ?? ''];
    if (key.purpose === 'ASYMMETRIC_SIGN') {
      expect(await provider.verify(primary, message, await provider.sign(primary, message))).toBe(true);
    }
  }
  await provider.close();
  expect(readdirSync(path).sort()).toEqual(['data.mdb', 'lock.mdb']);
  expect(readdirSync(folder)).toEqual(['keys']);
}, 180_000);
