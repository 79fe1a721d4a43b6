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
    const unsigned = this.lines.flatMap((text): ReadLine[] => {
      const line = parseLine(text, canonicalize);
      return line === undefined ? [] : [{ text, line }];
    });
    const sha256 = this.lines.length === 0 ? CHAIN_START : sha256Hex(this.lines.at(-1) ?? '');
    return { writer: 'w', head: { sequence: this.lines.length, sha256 }, signed: 0, unsigned, torn: [] };
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

  it('does not write a checkpoint over a section that was read again and went on', async () => {
    const sink = new RereadSink();
    const { writer, clock } = newWriter(sink);
    await writer.append(event(1));
    const section = await writer.closeSection();
    if (section === undefined) throw new Error('nothing to sign');
    sink.takes = 0;
    await expect(writer.append(event(2))).rejects.toThrow('half');
    sink.takes = undefined;
    clock.advance(1_000);
    await writer.append(event(3));
    const statement = { ...section, writer: 'w', time: '2026-01-01T00:00:00.000Z' };
    const key = { keyVersion: 'k', algorithm: 'a', protectionLevel: 'HSM' };
    const checkpoint: LineBody = { type: 'checkpoint', statement: { ...statement, ...key }, jws: 'h..s' };
    await expect(writer.append(checkpoint)).rejects.toThrow('opened again');
    expect(await writer.closeSection()).toMatchObject({ number: 1, first: 1, count: 4 });
  });

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
