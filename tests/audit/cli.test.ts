/** The command of an auditor: what it says of a trail, with which exit status, and what it does not take. */

import { spawn } from 'node:child_process';
import { createPublicKey } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { runVerifyAudit, USAGE } from '../../src/audit/cli.js';
import { auditFolder, auditVector, cutAfterCheckpoint, parsed, VECTOR_FILES } from '../support/audit.js';

const { lines, auditKeys, anchor } = auditVector();
const { writer, sequence, sha256 } = anchor;
const { trail, keys } = VECTOR_FILES;
const anchorText = `${writer}:${sequence}:${sha256}`;

async function run(
  args: readonly string[],
  stdin: AsyncIterable<Uint8Array | string> = Readable.from([]),
): Promise<{ readonly status: number; readonly stdout: string; readonly stderr: string }> {
  let [stdout, stderr] = ['', ''];
  const status = await runVerifyAudit(args, {
    stdin,
    stdout: { write: (text) => (stdout += text) },
    stderr: { write: (text) => (stderr += text) },
  });
  return { status, stdout, stderr };
}

/** Puts files into a folder that is gone after the test. */
function fileWith(name: string, text: string): string {
  const path = join(auditFolder().folder, name);
  writeFileSync(path, text);
  return path;
}

const cutTrail = (): string => fileWith('cut.jsonl', `${cutAfterCheckpoint(lines).join('\n')}\n`);

describe('a2a-kms-verify-audit', () => {
  it('says valid, of which chain, signed by which key, with status 0', async () => {
    const { status, stdout, stderr } = await run([trail, keys, '--anchor', anchorText]);
    expect([status, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/^valid: \d+ lines\n/);
    expect(stdout).toContain(`${writer}: `);
    expect(stdout).toContain(`last line ${anchorText}`);
    expect(stdout).toMatch(/signed by \S+ \(SOFTWARE\)/);
  });

  it('says so when there is no anchor to show what was cut off', async () => {
    const { status, stderr } = await run([cutTrail(), keys]);
    expect([status, stderr]).toEqual([0, expect.stringContaining('No --anchor was given')]);
  });

  it.each([
    ['in text', () => anchorText],
    ['in a file', () => fileWith('anchor.json', JSON.stringify(anchor))],
    ['in a list in a file', () => fileWith('anchors.json', JSON.stringify([anchor]))],
  ])('names what was cut off by an anchor %s, with status 1', async (_, file) => {
    const { status, stdout } = await run(['--anchor', file(), cutTrail(), keys]);
    expect([status, stdout]).toEqual([
      1,
      expect.stringMatching(/^invalid: .*\ntruncated: line \d+: the chain ends/s),
    ]);
  });

  it('heeds each of several anchors', async () => {
    const first = `${writer}:1:${'0'.repeat(64)}`;
    const { stdout } = await run([trail, keys, '--anchor', first, '--anchor', anchorText]);
    expect(stdout).toMatch(/\nchanged: line 1: /);
    expect((await run([cutTrail(), keys, '--anchor', anchorText, '--anchor', anchorText])).status).toBe(1);
  });

  it.each([
    ['unsigned-tail', lines.slice(0, 3)],
    ['empty', []],
  ])('has status 1 for %s', async (verdict, some) => {
    const path = fileWith('some.jsonl', some.map((line) => `${line}\n`).join(''));
    expect(await run([path, keys])).toMatchObject({
      status: 1,
      stdout: expect.stringContaining(`${verdict}: `),
    });
  });

  it('reads standard input, a log of pino, a PEM, and prints JSON', async () => {
    expect((await run(['-', keys], createReadStream(trail))).status).toBe(0);
    const log = lines.map((line) => `${JSON.stringify({ level: 30, audit: parsed(line) })}\n`).join('');
    const path = fileWith('log.jsonl', log);
    expect((await run([path, keys, '--format', 'pino'])).status).toBe(0);
    expect((await run([path, keys])).status).toBe(1);
    const { stdout } = await run([trail, keys, '--json']);
    expect(parsed(stdout)).toMatchObject({ verdict: 'valid', chains: [{ writer, last: anchor }] });
    const key = createPublicKey({ key: parsed(JSON.stringify(auditKeys.keys[0])), format: 'jwk' });
    const pem = fileWith('key.pem', key.export({ type: 'spki', format: 'pem' }).toString());
    expect((await run([trail, pem])).status).toBe(0);
  });

  it('prints what a line names as one line, without control characters', async () => {
    const at = lines.findIndex((line) => parsed(line)['type'] === 'checkpoint');
    const [header = '', rest = ''] = String(parsed(lines[at])['jws']).split(/\.(.*)/s);
    const kid = '\u001b[2J\nvalid: 9 lines';
    const forged = Buffer.from(
      JSON.stringify({ ...parsed(Buffer.from(header, 'base64url').toString()), kid }),
    ).toString('base64url');
    const line = (lines[at] ?? '').replace(header, forged);
    expect(rest).not.toBe('');
    const path = fileWith('forged.jsonl', `${lines.toSpliced(at, 1, line).join('\n')}\n`);
    const { status, stdout } = await run([path, keys]);
    expect([status, stdout]).toEqual([1, expect.stringContaining('signed by \ufffd[2J\ufffdvalid: 9 lines')]);
    expect(stdout).not.toContain('\u001b');
  });

  it.each<[string, () => readonly string[], RegExp]>([
    ['no arguments', () => [], /TRAIL and KEYS/],
    ['no keys', () => [trail], /TRAIL and KEYS/],
    ['an anchor without its flag', () => [trail, keys, anchorText], /TRAIL and KEYS/],
    ['a flag that there is not', () => [trail, keys, '--anchors', anchorText], /--anchors/],
    ['an anchor that is none', () => [trail, keys, '--anchor', 'garbage'], /--anchor takes/],
    ['an anchor cut short', () => [trail, keys, '--anchor', anchorText.slice(0, -1)], /--anchor takes/],
    [
      'an empty list of anchors',
      () => [trail, keys, '--anchor', fileWith('a.json', '[]')],
      /without an anchor/,
    ],
    [
      'an empty anchor in a file',
      () => [trail, keys, '--anchor', fileWith('a.json', '{}')],
      /expectedLast\.0\.writer/,
    ],
    [
      'null in a file',
      () => [trail, keys, '--anchor', fileWith('a.json', 'null')],
      /expectedLast\.0 must be/,
    ],
    ['another format', () => [trail, keys, '--format', 'pinoo'], /--format takes/],
    ['keys that are not there', () => [trail, 'nowhere.json'], /ENOENT/],
    ['keys that are none', () => [trail, fileWith('keys.json', '{"keys":[]}')], /auditKeys/],
    ['a trail that is not there', () => ['nowhere.jsonl', keys], /ENOENT/],
  ])('verifies nothing with %s: status 2', async (_, args, problem) => {
    const { status, stdout, stderr } = await run(args());
    expect([status, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(problem);
  });

  it('shows how it is used', async () => {
    expect(await run(['--help'])).toEqual({ status: 0, stdout: USAGE, stderr: '' });
    expect((await run([])).stderr).toContain(USAGE);
  });

  it('is a command with that exit status', async () => {
    const main = join(import.meta.dirname, '../../src/audit/main.ts');
    const statusOf = async (...args: string[]): Promise<unknown> => {
      const child = spawn(process.execPath, ['--import', 'tsx', main, ...args], { stdio: 'ignore' });
      return (await once(child, 'close'))[0];
    };
    expect(
      await Promise.all([
        statusOf(trail, keys),
        statusOf(cutTrail(), keys, '--anchor', anchorText),
        statusOf(),
      ]),
    ).toEqual([0, 1, 2]);
  });
});
