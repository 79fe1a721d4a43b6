/** What a process makes of a file that somebody else rewrote before or while it writes: it is never signed as its own. */

import { readFileSync, writeFileSync } from 'node:fs';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { loadCanonicalize } from '../../src/audit/canonical-json.js';
import { ChainWriter } from '../../src/audit/chain-writer.js';
import { FileSink } from '../../src/audit/file-sink.js';
import { CHAIN_START, type LineBody, sha256Hex } from '../../src/audit/line.js';
import type { AppendResult } from '../../src/audit/sink.js';
import type { AuditConfig } from '../../src/config/audit-config.js';
import { ManualClock } from '../../src/emulator/index.js';
import { AuditWriteError } from '../../src/errors/storage.js';
import type { Logger } from '../../src/logger.js';
import type { SoftwareKeyProvider } from '../../src/software/software-key-provider.js';
import {
  auditFolder,
  auditKeyOf,
  keysWithAuditFile,
  parsed,
  signingSpec,
  verifyLines,
} from '../support/audit.js';
import { silentLogger } from '../support/emulator.js';
import { recordingLogger } from '../support/software-provider.js';

let folder: string;
let path: string;
beforeEach(() => {
  ({ folder, path } = auditFolder());
});

const readLines = (): string[] => readFileSync(path, 'utf8').split('\n').slice(0, -1);
const writeLines = (lines: readonly string[]): void =>
  writeFileSync(path, lines.map((line) => `${line}\n`).join(''), { mode: 0o600 });

const newKeys = (audit?: Partial<AuditConfig>, logger?: Logger): SoftwareKeyProvider =>
  keysWithAuditFile(folder, audit, logger);

/** One life of a process, closed with everything signed. @returns the audit key. */
async function live(): Promise<Buffer> {
  const keys = newKeys();
  await keys.initialize();
  await keys.generateKey({ ...signingSpec, protectionLevel: 'SOFTWARE' });
  await keys.sign(signingSpec.name, Buffer.from('pay 10 EUR to alice'));
  const pem = await auditKeyOf(keys);
  await keys.close();
  return pem;
}

/** Has the lines linked anew behind the first `kept` of them, as anybody can who has the file. */
async function relinked(lines: readonly Record<string, unknown>[], kept = 0): Promise<string[]> {
  const canonicalize = await loadCanonicalize();
  const texts: string[] = [];
  for (const line of lines) {
    const last = texts.at(-1);
    const link = { sequence: texts.length + 1, prev: last === undefined ? CHAIN_START : sha256Hex(last) };
    texts.push(canonicalize(texts.length < kept ? line : { ...line, ...link }));
  }
  return texts;
}

const isCheckpoint = ({ type }: Record<string, unknown>): boolean => type === 'checkpoint';

/** The statement of the last checkpoint with other members, linked anew. */
async function withLastStatement(members: object): Promise<string[]> {
  const lines = readLines().map(parsed);
  const at = lines.findLastIndex(isCheckpoint);
  const last = lines[at] ?? {};
  const statement = { ...Object(last['statement']), ...members };
  return relinked(lines.with(at, { ...last, statement }), at);
}

describe('a file that was rewritten between two processes', () => {
  it('into a chain without checkpoints is signed as found, and counted apart', async () => {
    await live();
    const forged = await relinked(
      readLines()
        .map(parsed)
        .filter((line) => !isCheckpoint(line))
        .map((line) => ({ ...line, checkpoint: 1, ...(line['type'] === 'event' && { reason: 'forged' }) })),
    );
    writeLines(forged);
    const pem = await live();
    const start = readLines().slice(forged.length).map(parsed)[0];
    expect(start).toMatchObject({
      notice: 'start',
      details: {
        pid: process.pid,
        unsignedFirst: 1,
        unsignedLast: forged.length,
        unsignedSha256: sha256Hex(forged.at(-1) ?? ''),
      },
    });
    const verified = await verifyLines(readLines(), { auditKeys: pem });
    expect(verified).toMatchObject({ verdict: 'signed-later', problems: [] });
    expect(verified.chains).toMatchObject([{ signedLater: forged.length, unsigned: 0 }]);
  });

  it('behind its last checkpoint has those lines counted apart, and no others', async () => {
    const first = await live();
    const lines = readLines();
    expect((await verifyLines(lines, { auditKeys: first })).chains).toMatchObject([{ signedLater: 0 }]);
    const event = lines.map(parsed).findLast(({ type }) => type === 'event');
    const section = Number(event?.['checkpoint']) + 1;
    const forged = await relinked(
      [...lines.map(parsed), { ...event, checkpoint: section }, { ...event, checkpoint: section + 1 }],
      lines.length,
    );
    writeLines(forged);
    const pem = await live();
    await live();
    const verified = await verifyLines(readLines(), { auditKeys: pem });
    expect(verified).toMatchObject({ verdict: 'signed-later', problems: [] });
    expect(verified.chains).toMatchObject([{ signedLater: 2 }]);
  });

  it.each([
    ['is not by the audit key', { time: '2020-01-01T00:00:00.000Z' }],
    ['names another key', { keyVersion: `ring/cryptoKeys/other/cryptoKeyVersions/1` }],
    ['names an algorithm that is none', { algorithm: 'ROT13' }],
    ['names an algorithm that its key does not have', { algorithm: 'EC_SIGN_ED25519' }],
  ])('so that its last checkpoint %s is signed no more', async (_, members) => {
    const pem = await live();
    const forged = await withLastStatement(members);
    writeLines(forged);
    const error = await newKeys()
      .initialize()
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(AuditWriteError);
    expect(error).toMatchObject({ message: expect.stringContaining('no checkpoint can be signed') });
    const added = readLines().slice(forged.length).map(parsed);
    expect(added.filter(isCheckpoint)).toEqual([]);
    expect(await verifyLines(readLines(), { auditKeys: pem })).toMatchObject({ verdict: 'invalid' });
  });

  it('so that its last checkpoint is not by the audit key has events written and not signed without failClosed', async () => {
    await live();
    const forged = await withLastStatement({ time: '2020-01-01T00:00:00.000Z' });
    writeLines(forged);
    const logger = recordingLogger();
    const keys = newKeys({ failClosed: false }, logger);
    await keys.initialize();
    await keys.close();
    expect(logger.lines).toContainEqual(
      expect.objectContaining({
        fields: expect.objectContaining({ problem: expect.stringContaining('not signed by the audit key') }),
      }),
    );
    const added = readLines().slice(forged.length).map(parsed);
    expect(added.map(({ operation, notice, type }) => operation ?? notice ?? type)).toEqual([
      'start',
      'initialize',
      'generateKey',
    ]);
  });

  it.each([
    [
      'cannot be had',
      ({ keyVersion }: { readonly keyVersion: string }) => ({ keyVersion: keyVersion.replace(/1$/, '99') }),
    ],
    ['is not of the kind in use', () => ({ protectionLevel: 'HSM' })],
  ])(
    'so that the key of its last checkpoint %s goes on with a warning; its verification names it',
    async (_, change) => {
      await live();
      const { statement } = readLines().map(parsed).findLast(isCheckpoint) ?? {};
      writeLines(await withLastStatement(change(Object(statement))));
      const logger = recordingLogger();
      const keys = newKeys({}, logger);
      await keys.initialize();
      const pem = await auditKeyOf(keys);
      await keys.close();
      expect(logger.lines).toContainEqual(
        expect.objectContaining({
          level: 'warn',
          fields: expect.objectContaining({
            event: 'audit-checkpoint-unchecked',
            problem: expect.stringMatching(/cryptoKeyVersions.99|HSM key/),
          }),
        }),
      );
      const { verdict, problems } = await verifyLines(readLines(), { auditKeys: pem });
      expect(verdict).toBe('invalid');
      expect(problems.map(({ kind }) => kind)).toContain('signature');
    },
  );

  it.each([
    [
      'has a checkpoint of its own behind other lines',
      async (lines: readonly string[]) => {
        const all = lines.map(parsed);
        const at = all.findLastIndex(isCheckpoint);
        const event = all[at - 1] ?? {};
        return relinked(all.with(at - 1, { ...event, durationMs: 12_345 }), at - 1);
      },
      'not about the lines before it',
    ],
    [
      'begins with a checkpoint',
      async (lines: readonly string[]) => relinked(lines.map(parsed).filter(isCheckpoint)),
      'not about the lines before it',
    ],
    [
      'has lost its beginning',
      async (lines: readonly string[]) => lines.slice(1, 2),
      'not the first of a chain',
    ],
  ])('is not gone on with when it %s', async (_, change, problem) => {
    await live();
    const changed = await change(readLines());
    writeLines(changed);
    await expect(newKeys().initialize()).rejects.toMatchObject({ message: expect.stringContaining(problem) });
    expect(readLines()).toEqual(changed);
  });

  it('so that a line has a lone surrogate, or is no UTF-8, is not gone on with', async () => {
    await live();
    const event = readLines().find((line) => line.includes('"event"')) ?? '';
    const odd = event.replace(/"operation":"[^"]*"/, '"operation":"\\ud800"');
    const bytes = Buffer.from(`${event.replace(/"operation":"[^"]*"/, '"operation":"\ufffd"')}\n`);
    const at = bytes.indexOf('\ufffd');
    const invalid = Buffer.concat([bytes.subarray(0, at), Buffer.from([0xff]), bytes.subarray(at + 3)]);
    for (const text of [Buffer.from(`${odd}\n`), invalid]) {
      writeFileSync(path, text, { mode: 0o600 });
      const keys = newKeys();
      await expect(keys.initialize()).rejects.toMatchObject({
        message: expect.stringContaining('none of an audit trail'),
      });
      await keys.close();
    }
  });
});

describe('a file that was rewritten while its process could not write', () => {
  const event: LineBody = {
    ...{ type: 'event', time: '2026-01-01T00:00:00.000Z', operation: 'sign', keyRing: 'ring' },
    ...{ requestId: '00000000-0000-4000-8000-000000000000', outcome: 'succeeded', durationMs: 1 },
    ...{ attempts: 1, configuration: {} },
  };
  const start: LineBody = { type: 'notice', notice: 'start', time: '2026-01-01T00:00:00.000Z', details: {} };

  class FullDisk extends FileSink {
    isFull = false;
    override append(lines: readonly string[]): Promise<AppendResult> {
      if (this.isFull) return Promise.resolve({ written: 0, error: new Error('disk full') });
      return super.append(lines);
    }
  }

  it('is not gone on with, and its anchor does not move back', async () => {
    const clock = new ManualClock();
    const sink = new FullDisk({ path, fsync: 'never', newWriter: () => 'w' });
    const writer = new ChainWriter({
      ...{ sink, clock, logger: silentLogger, writeTimeoutMs: 1_000, newWriter: () => 'w' },
      start: () => start,
      onWritten: () => {},
    });
    onTestFinished(() => writer.close());
    await writer.append(event);
    const { anchor } = writer;
    sink.isFull = true;
    await expect(writer.append(event)).rejects.toThrow('disk full');
    sink.isFull = false;
    writeLines(readLines().slice(0, 1));
    clock.advance(1_000);
    await expect(writer.append(event)).rejects.toThrow('somebody else changed');
    expect(writer.anchor).toEqual(anchor);
    expect(readLines()).toHaveLength(1);
  });

  it('is gone on with when nobody touched it, and tells of the loss', async () => {
    const clock = new ManualClock();
    const sink = new FullDisk({ path, fsync: 'never', newWriter: () => 'w' });
    const writer = new ChainWriter({
      ...{ sink, clock, logger: silentLogger, writeTimeoutMs: 1_000, newWriter: () => 'other' },
      start: () => start,
      onWritten: () => {},
    });
    onTestFinished(() => writer.close());
    sink.isFull = true;
    await expect(writer.append(event)).rejects.toThrow('disk full');
    sink.isFull = false;
    clock.advance(1_000);
    await writer.append(event);
    expect(readLines().map((line) => parsed(line)['notice'] ?? 'event')).toEqual(['start', 'gap', 'event']);
  });
});
