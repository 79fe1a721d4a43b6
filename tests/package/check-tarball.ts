/**
 * Checks what users get: packs the package, lints the tarball and its types, installs it into an empty folder, and uses it
 * there from both module systems, from TypeScript and from the command line. Run by `npm run check:package`.
 */

import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const workspace = mkdtempSync(join(tmpdir(), 'a2a-kms-package-'));

/** An emulator of the outside would make the consumers talk to that one. */
const { KMS_EMULATOR_HOST: _, ...environment } = process.env;

function run(title: string, folder: string, command: string, args: readonly string[]): void {
  console.log(`\n== ${title}`);
  execFileSync(command, args, { cwd: folder, stdio: 'inherit', env: environment });
}

function pack(): string {
  run('pack', root, 'npm', ['pack', '--silent', '--pack-destination', workspace]);
  const tarball = readdirSync(workspace).find((file) => file.endsWith('.tgz'));
  assert(tarball !== undefined, 'npm pack made no tarball');
  return join(workspace, tarball);
}

/** What README, docstrings and setup refer to is there, and nothing that nobody reads. */
function checkFiles(tarball: string): void {
  console.log('\n== files');
  const files = execFileSync('tar', ['-tzf', tarball], { encoding: 'utf8' }).trim().split('\n');
  for (const file of [
    'docs/setup.md',
    'docs/performance.svg',
    'docs/examples/quickstart.ts',
    'docs/deploy/roles/roles.tf',
    'CHANGELOG.md',
  ]) {
    assert(files.includes(`package/${file}`), `${file} is not in the package`);
  }
  assert.deepEqual(
    files.filter((file) => !/^package\/(?:dist|docs)\/|^package\/[^/]+$/.test(file) || file.endsWith('.map')),
    [],
  );
  console.log(`${files.length} files`);
}

function install(tarball: string): string {
  const consumer = join(workspace, 'consumer');
  mkdirSync(consumer);
  writeFileSync(join(consumer, 'package.json'), JSON.stringify({ name: 'consumer', private: true }));
  run('install into an empty folder', consumer, 'npm', [
    'install',
    '--no-audit',
    '--no-fund',
    '--prefer-offline',
    tarball,
  ]);
  cpSync(join(root, 'tests/package/consumer'), consumer, { recursive: true });
  return consumer;
}

/** The auditor's command verifies a trail that it is given, and says so when it cannot. */
function checkVerifyAudit(consumer: string): void {
  console.log('\n== a2a-kms-verify-audit');
  const vector = (file: string): string => join(root, 'tests/vectors/audit', file);
  const verify = (...args: string[]) =>
    spawnSync(join(consumer, 'node_modules/.bin/a2a-kms-verify-audit'), args, { encoding: 'utf8' });
  const { status, stdout } = verify(vector('trail.jsonl'), vector('keys.json'));
  console.log(stdout.trim());
  assert.deepEqual([status, stdout.split(':')[0]], [0, 'valid']);
  assert.equal(verify(vector('trail.jsonl')).status, 2);
}

/** The emulator's command serves, says where on its first line, and stops cleanly when told to. */
async function checkCommand(consumer: string): Promise<void> {
  console.log('\n== a2a-kms-emulator');
  const child = spawn(join(consumer, 'node_modules/.bin/a2a-kms-emulator'), ['--port', '0'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: environment,
  });
  const exited = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', resolve);
  });
  const firstLine = new Promise<string>((resolve) => createInterface(child.stdout).once('line', resolve));
  const line = await Promise.race([
    firstLine,
    exited.then((code) => assert.fail(`ended with ${code} before it served`)),
  ]);
  console.log(line);
  assert.match(line, /^KMS_EMULATOR_HOST=127\.0\.0\.1:[0-9]+$/);
  child.kill('SIGTERM');
  assert.equal(await exited, 0);
}

try {
  const tarball = pack();
  checkFiles(tarball);
  run('publint', root, 'npx', ['--no-install', 'publint', 'run', tarball, '--strict']);
  run('are the types wrong', root, 'npx', ['--no-install', 'attw', tarball]);
  const consumer = install(tarball);
  run('ES modules', consumer, process.execPath, ['use.mjs']);
  run('CommonJS', consumer, process.execPath, ['use.cjs']);
  const tsc = join(dirname(fileURLToPath(import.meta.resolve('typescript'))), '../bin/tsc');
  run('types, node16 resolution', consumer, process.execPath, [tsc, '-p', '.']);
  await checkCommand(consumer);
  checkVerifyAudit(consumer);
  console.log('\npackage ok');
} finally {
  rmSync(workspace, { recursive: true, force: true });
}
