/** An audit file over restarts, crashes and other processes: the chain goes on, and what was lost is told of. */

import { spawn } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { beforeEach, describe, expect, it } from 'vitest';
import { verifyAuditTrail } from '../../src/audit/verify-audit-trail.js';
import type { AuditConfig } from '../../src/config/audit-config.js';
import { AuditWriteError } from '../../src/errors/storage.js';
import type { SoftwareKeyProvider } from '../../src/software/software-key-provider.js';
import {
  auditFolder,
  auditKeyOf,
  keysWithAuditFile,
  parsed,
  signingSpec,
  verifyLines,
} from '../support/audit.js';

const message = Buffer.from('pay 10 EUR to alice');
let folder: string;
let path: string;
beforeEach(() => {
  ({ folder, path } = auditFolder());
});

const linesOf = (): string[] => readFileSync(path, 'utf8').split('\n').slice(0, -1);

const newKeys = (audit?: Partial<AuditConfig>): SoftwareKeyProvider => keysWithAuditFile(folder, audit);

/** One life of a process: starts, signs, and ends with or without a clean end. */
async function live(end: 'closed' | 'killed', audit: Partial<AuditConfig> = {}): Promise<Buffer> {
  const keys = newKeys(audit);
  await keys.initialize();
  await keys.generateKey({ ...signingSpec, protectionLevel: 'SOFTWARE' });
  await keys.sign(signingSpec.name, message);
  const pem = await auditKeyOf(keys);
  if (end === 'closed') await keys.close();
  // What a killed process leaves: the file and the lock of a process that is gone.
  else await becomeKilled();
  return pem;
}

async function becomeKilled(): Promise<void> {
  const gone = await new Promise<number>((resolve) => {
    const child = spawn(process.execPath, ['-e', '']);
    child.on('exit', () => resolve(child.pid ?? 0));
  });
  writeFileSync(`${path}.lock`, JSON.stringify({ host: hostname(), pid: gone, started: '1', id: 'gone' }));
}

describe('an audit file', () => {
  it('is its owner’s alone, and its chain goes on over restarts', async () => {
    await live('closed', { writerId: 'signer-1' });
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(existsSync(`${path}.lock`)).toBe(false);
    const first = linesOf();
    const pem = await live('closed', { writerId: 'signer-1' });
    expect(linesOf().slice(0, first.length)).toEqual(first);
    const verified = await verifyLines(linesOf(), { auditKeys: pem });
    expect(verified).toMatchObject({ verdict: 'valid', problems: [] });
    expect(verified.chains.map(({ writer }) => writer)).toEqual([
      expect.stringMatching(/^signer-1\/[0-9a-f-]{36}$/),
    ]);
    const starts = linesOf()
      .map(parsed)
      .filter(({ notice }) => notice === 'start');
    expect(starts).toHaveLength(2);
  });

  it('that was rotated and the one behind it are two chains of one writer, valid together and apart', async () => {
    await live('closed', { writerId: 'signer-1' });
    const first = linesOf();
    renameSync(path, `${path}.1`);
    const pem = await live('closed', { writerId: 'signer-1' });
    const both = await verifyLines([...first, ...linesOf()], { auditKeys: pem });
    expect(both).toMatchObject({ verdict: 'valid', problems: [] });
    expect(both.chains).toHaveLength(2);
    expect(await verifyLines(linesOf(), { auditKeys: pem })).toMatchObject({ verdict: 'valid' });
    const expectedLast = both.chains[0]?.last;
    const behind = await verifyLines(linesOf(), { auditKeys: pem, expectedLast });
    expect(behind.problems).toMatchObject([{ kind: 'truncated', writer: expectedLast?.writer, sequence: 1 }]);
  });

  it('goes on after a kill, with what was not signed signed later', async () => {
    await live('killed');
    await live('killed', { sink: { type: 'file', path, fsync: 'never' } });
    const pem = await live('closed');
    const verified = await verifyLines(linesOf(), { auditKeys: pem });
    expect(verified).toMatchObject({ verdict: 'signed-later', problems: [] });
    expect(verified.chains).toMatchObject([{ unsigned: 0, tornLines: 0, signedLater: 6 }]);
  });

  it('keeps what a crash left of a line, and tells of it; also after a second crash', async () => {
    await live('killed');
    appendFileSync(path, '{"type":"event","v":1,"wri');
    const lost = newKeys({ sink: { type: 'file', path } });
    // Opens the file and marks the torn line, and dies before it tells.
    const { FileSink } = await import('../../src/audit/file-sink.js');
    const sink = new FileSink({ path, fsync: 'commit', newWriter: () => 'nobody' });
    expect((await sink.open()).torn).toHaveLength(1);
    await sink.close();
    appendFileSync(path, 'x'.repeat(100));
    await lost.close();
    const pem = await live('killed');
    const verified = await verifyAuditTrail(streamOfFile(), { auditKeys: pem });
    expect(verified.problems).toEqual([]);
    expect(verified.chains).toMatchObject([{ tornLines: 2 }]);
    expect(readFileSync(path, 'utf8')).toContain('{"type":"event","v":1,"wri#torn\n');
    const recoveries = linesOf().filter((line) => line.includes('"recovery"'));
    expect(recoveries.map((line) => parsed(line)['details'])).toMatchObject([
      { tornBytes: 26 },
      { tornBytes: 100 },
    ]);
    const again = await live('closed');
    expect(await verifyAuditTrail(streamOfFile(), { auditKeys: again })).toMatchObject({
      verdict: 'signed-later',
    });
  });

  it('whose first line was torn begins behind it', async () => {
    writeFileSync(path, '{"type":', { mode: 0o600 });
    const pem = await live('closed');
    const verified = await verifyLines(linesOf(), { auditKeys: pem });
    expect(verified).toMatchObject({ verdict: 'with-gaps', problems: [] });
    expect(verified.chains).toMatchObject([{ tornLines: 1 }]);
  });

  it.each([
    ['a line is missing near its end', (lines: string[]) => lines.toSpliced(-2, 1), 'does not follow'],
    ['a line of something else is at its end', (lines: string[]) => [...lines, 'hello'], 'none of an audit'],
    ['a line is far too long', (lines: string[]) => [...lines, 'x'.repeat(400_000)], 'longer than any'],
  ])('is not continued when %s', async (_, change, problem) => {
    await live('closed');
    writeFileSync(path, `${change(linesOf()).join('\n')}\n`);
    const keys = newKeys();
    const error = await keys.initialize().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(AuditWriteError);
    expect(error).toMatchObject({ message: expect.stringContaining(problem) });
  });

  it('shows a torn line that no later line tells of', async () => {
    const pem = await live('closed');
    appendFileSync(path, '{"type":"event"#torn\n');
    const { problems } = await verifyLines(linesOf(), { auditKeys: pem });
    expect(problems).toMatchObject([{ kind: 'format', line: linesOf().length }]);
  });

  it('is for one trail at a time', async () => {
    const keys = newKeys();
    await keys.initialize();
    const second = newKeys();
    await expect(second.initialize()).rejects.toThrow(/process \d+ holds it/);
    await second.close();
    await keys.close();
    await newKeys().initialize();
  });

  it.each([
    [
      'of a process that lives',
      { host: hostname(), pid: process.ppid, started: null, id: 'other' },
      /holds it/,
    ],
    [
      'of another machine',
      { host: 'elsewhere', pid: 7, started: null, id: 'other' },
      /on elsewhere holds it/,
    ],
    ['that is none', 'no lock', /is not a lock/],
  ])('is left alone with a lock %s', async (_, lock, problem) => {
    writeFileSync(`${path}.lock`, JSON.stringify(lock));
    const keys = newKeys();
    await expect(keys.initialize()).rejects.toThrow(problem);
    await keys.close();
    expect(readFileSync(`${path}.lock`, 'utf8')).toBe(JSON.stringify(lock));
    expect(existsSync(path)).toBe(false);
  });

  it('takes over the lock of a process whose id was given out again, and of itself in an earlier life', async () => {
    writeFileSync(
      `${path}.lock`,
      JSON.stringify({ host: hostname(), pid: process.ppid, started: '1', id: 'before' }),
    );
    await newKeys({ sink: { type: 'file', path } }).initialize();
  });

  it('is refused when others may write to it, or it holds something else', async () => {
    await live('closed');
    chmodSync(path, 0o620);
    await expect(newKeys().initialize()).rejects.toBeInstanceOf(AuditWriteError);
    const lines = linesOf();
    for (const text of ['hello\n', `${lines[0]}\n${lines[2]}\n`, 'y'.repeat(400_000)]) {
      rmSync(path);
      writeFileSync(path, text, { mode: 0o600 });
      const keys = newKeys();
      await expect(keys.initialize()).rejects.toBeInstanceOf(AuditWriteError);
      await keys.close();
      expect(readFileSync(path, 'utf8').startsWith(text)).toBe(true);
    }
  });
});

async function* streamOfFile(): AsyncGenerator<Uint8Array> {
  yield readFileSync(path);
}
