/** Failures in the middle of a write: what is there counts, what is not is told of, and no checkpoint signs what moved. */

import { describe, expect, it } from 'vitest';
import { loadCanonicalize } from '../../src/audit/canonical-json.js';
import { ChainWriter } from '../../src/audit/chain-writer.js';
import { CHAIN_START, type LineBody, parseLine, type ReadLine, sha256Hex } from '../../src/audit/line.js';
import type { AppendResult, Past, TrailSink } from '../../src/audit/sink.js';
import { ManualClock } from '../../src/emulator/index.js';
import { silentLogger } from '../support/emulator.js';

const event = (durationMs: number): LineBody => ({
  ...{ type: 'event', time: '2026-01-01T00:00:00.000Z', operation: 'sign', keyRing: 'ring' },
  ...{ requestId: '00000000-0000-4000-8000-000000000000', outcome: 'succeeded', durationMs },
  ...{ attempts: 1, configuration: {} },
});
const start: LineBody = { type: 'notice', notice: 'start', time: '2026-01-01T00:00:00.000Z', details: {} };

/** Like a file: it can be read again. A failing write takes so many lines and does not say how many. */
class RereadSink implements TrailSink {
  readonly lines: string[] = [];
  takes: number | undefined;

  async open(): Promise<Past> {
    const canonicalize = await loadCanonicalize();
    const lines = this.lines.flatMap((text): ReadLine[] => {
      const line = parseLine(text, canonicalize);
      return line === undefined ? [] : [{ text, line }];
    });
    const sha256 = this.lines.length === 0 ? CHAIN_START : sha256Hex(this.lines.at(-1) ?? '');
    return {
      writer: 'w',
      head: { sequence: this.lines.length, sha256 },
      checkpoint: undefined,
      lines,
      torn: [],
    };
  }

  async append(lines: readonly string[]): Promise<AppendResult> {
    this.lines.push(...lines.slice(0, this.takes));
    return this.takes === undefined ? { written: lines.length } : { written: 0, error: new Error('half') };
  }

  async close(): Promise<void> {}
}

function newWriter(sink: TrailSink): { readonly writer: ChainWriter; readonly clock: ManualClock } {
  const clock = new ManualClock();
  const writer = new ChainWriter({
    ...{ sink, clock, logger: silentLogger, writeTimeoutMs: 1_000, newWriter: () => 'w' },
    start: () => start,
    onWritten: () => {},
  });
  return { writer, clock };
}

/** A line behind another that somebody made who can write to the sink. */
function forgedLine(before: string): string {
  const { sequence } = JSON.parse(before);
  const chained = { v: 1, writer: 'w', sequence: sequence + 1, prev: sha256Hex(before), checkpoint: 1 };
  return canonicalText({ ...event(999), ...chained });
}

/** Canonical for objects of ASCII text and numbers. */
const canonicalText = (value: object): string => JSON.stringify(value, [...Object.keys(value)].toSorted());

describe('ChainWriter', () => {
  it('does not count as lost what a failed write left all the same', async () => {
    const sink = new RereadSink();
    const { writer, clock } = newWriter(sink);
    await writer.append(event(1));
    sink.takes = 2;
    const batch = await Promise.allSettled([
      writer.append(event(2)),
      writer.append(event(3)),
      writer.append(event(4)),
    ]);
    expect(batch.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
    expect(writer.lostEvents).toBe(3);
    sink.takes = undefined;
    clock.advance(1_000);
    await writer.append(event(5));
    expect(writer.lostEvents).toBe(1);
    expect(sink.lines.map((line) => JSON.parse(line).durationMs ?? JSON.parse(line).details)).toEqual([
      {},
      1,
      2,
      3,
      { lost: 1 },
      5,
    ]);
  });

  it('has a section signed after the sink was opened again, and not a second time when that was there all the same', async () => {
    const sink = new RereadSink();
    const { writer, clock } = newWriter(sink);
    await writer.append(event(1));
    const section = await writer.closeSection();
    if (section === undefined) throw new Error('nothing to sign');
    const statement = { ...section, writer: 'w', time: '2026-01-01T00:00:00.000Z' };
    const key = { keyVersion: 'k', algorithm: 'a', protectionLevel: 'HSM' };
    const checkpoint: LineBody = { type: 'checkpoint', statement: { ...statement, ...key }, jws: 'h..s' };
    sink.takes = 1;
    await expect(writer.append(checkpoint)).rejects.toThrow('half');
    sink.takes = undefined;
    clock.advance(1_000);
    await expect(writer.append(checkpoint)).rejects.toThrow('opened again');
    await writer.append(event(2));
    expect(await writer.closeSection()).toMatchObject({ number: 2, first: 4, count: 1 });
    expect(sink.lines.map((line) => JSON.parse(line).type)).toEqual([
      'notice',
      'event',
      'checkpoint',
      'event',
    ]);
  });

  it('does not tell a second time of a loss, or of its start, that a failed write left all the same', async () => {
    const sink = new RereadSink();
    const { writer, clock } = newWriter(sink);
    sink.takes = 0;
    await expect(writer.append(event(1))).rejects.toThrow('half');
    clock.advance(1_000);
    sink.takes = 2;
    await expect(writer.append(event(2))).rejects.toThrow('half');
    clock.advance(1_000);
    sink.takes = undefined;
    await writer.append(event(3));
    expect(writer.lostEvents).toBe(2);
    expect(
      sink.lines.map((line) => JSON.parse(line)).map(({ notice, details }) => [notice, details]),
    ).toEqual([
      ['start', {}],
      ['gap', { lost: 1 }],
      ['gap', { lost: 1 }],
      [undefined, undefined],
    ]);
  });

  it.each([
    ['rewritten', (lines: string[]) => [lines[0] ?? '', forgedLine(lines[0] ?? '')]],
    ['made shorter', (lines: string[]) => lines.slice(0, 1)],
    ['emptied', () => []],
    ['gone on with', (lines: string[]) => [...lines, forgedLine(lines.at(-1) ?? '')]],
  ])(
    'does not go on with a chain that was %s while the sink failed, and signs none of it',
    async (_, change) => {
      const sink = new RereadSink();
      const { writer, clock } = newWriter(sink);
      await writer.append(event(1));
      const { anchor } = writer;
      sink.takes = 0;
      await expect(writer.append(event(2))).rejects.toThrow('half');
      sink.takes = undefined;
      const changed = change([...sink.lines]);
      sink.lines.splice(0, sink.lines.length, ...changed);
      clock.advance(1_000);
      await expect(writer.append(event(3))).rejects.toThrow('somebody else changed');
      expect(writer.anchor).toEqual(anchor);
      expect(writer.lostEvents).toBe(2);
      expect(sink.lines).toEqual(changed);
      await expect(writer.flush()).rejects.toThrow('somebody else changed');
    },
  );

  it('repeats notices that could not be written', async () => {
    const sink = new RereadSink();
    const { writer, clock } = newWriter(sink);
    sink.takes = 0;
    await expect(writer.append(event(1))).rejects.toThrow('half');
    sink.takes = undefined;
    clock.advance(1_000);
    await writer.append(event(2));
    const notices = sink.lines.map((line) => JSON.parse(line).notice);
    expect(notices).toEqual(['start', 'gap', undefined]);
  });

  it('is not written to any more when it is closed', async () => {
    const { writer } = newWriter(new RereadSink());
    await writer.close();
    await expect(writer.append(event(1))).rejects.toThrow('closed');
    await expect(writer.ensureOpen()).rejects.toThrow('closed');
  });
});
