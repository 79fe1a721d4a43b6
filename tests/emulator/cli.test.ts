import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, expect, it } from 'vitest';
import { parseCommandLine, USAGE } from '../../src/emulator/cli.js';
import { KMSClient } from '../../src/index.js';
import { KEY_RING, silentLogger } from '../support/emulator.js';

const main = join(import.meta.dirname, '../../src/emulator/main.ts');
const start = (...args: string[]) =>
  spawn(process.execPath, ['--import', 'tsx', main, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });

describe('parseCommandLine', () => {
  it('takes the documented flags', () => {
    expect(
      parseCommandLine([
        '--port',
        '9010',
        '--host',
        '0.0.0.0',
        '--hsm-latency-ms',
        '25',
        '--state-file',
        'keys.json',
      ]),
    ).toEqual({
      kind: 'serve',
      options: { port: 9_010, host: '0.0.0.0', hsmLatencyMs: 25, stateFile: 'keys.json' },
    });
    expect(parseCommandLine([])).toMatchObject({ kind: 'serve' });
    expect(parseCommandLine(['--help'])).toEqual({ kind: 'help' });
  });

  it('reads who may do what from a file, and refuses one that is none', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'a2a-iam-'));
    const path = join(directory, 'iam.json');
    const iam = {
      bindings: [{ role: 'roles/owner', members: ['user:a@example.com'] }],
      tokens: { t: 'user:a@example.com' },
    };
    await writeFile(path, JSON.stringify(iam));
    expect(parseCommandLine(['--iam', path])).toMatchObject({ kind: 'serve', options: { iam } });
    await writeFile(path, 'bindings');
    expect(parseCommandLine(['--iam', path])).toMatchObject({ kind: 'refuse' });
    expect(parseCommandLine(['--iam', join(directory, 'nowhere')])).toMatchObject({ kind: 'refuse' });
    await rm(directory, { recursive: true });
  });

  it.each([[['--port', 'x']], [['--port']], [['--prot', '1']], [['extra']]])('refuses %j', (args) => {
    expect(parseCommandLine(args)).toMatchObject({ kind: 'refuse', problem: expect.any(String) });
  });
});

describe('a2a-kms-emulator', () => {
  it('prints its address first, serves, warns, and stops cleanly on SIGTERM', async () => {
    const child = start('--port', '0');
    let warned = '';
    child.stderr.on('data', (data) => {
      warned += String(data);
    });
    const [line] = await once(createInterface(child.stdout), 'line');
    const [, emulatorHost] = /^KMS_EMULATOR_HOST=(127\.0\.0\.1:\d+)$/.exec(line) ?? [];
    expect(emulatorHost).toBeDefined();
    await using client = new KMSClient({ ...KEY_RING, emulatorHost, logger: silentLogger });
    await client.initialize();
    // Not `exit`: what it wrote may come after that.
    const closed = once(child, 'close');
    child.kill('SIGTERM');
    expect(await closed).toEqual([0, null]);
    expect(warned).toContain('no place for real keys');
    expect(warned).toContain(`{"endpoint":"${emulatorHost}"}`);
  });

  it.each([
    [['--help'], 0, USAGE],
    [['--port', 'x'], 2, USAGE],
    [['--host', '192.0.2.1'], 1, '192.0.2.1'],
    [['--state-file', join(import.meta.dirname, 'nowhere/keys.json')], 2, 'nowhere is not there'],
  ])('with %j exits with %i and says why', async (args, code, said) => {
    const child = start(...args);
    let output = '';
    child.stdout.on('data', (data) => {
      output += String(data);
    });
    child.stderr.on('data', (data) => {
      output += String(data);
    });
    expect((await once(child, 'close'))[0]).toBe(code);
    expect(output).toContain(said);
  });
});
