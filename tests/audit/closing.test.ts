/** The end of a trail: what is known to be lost is told of before it is closed, and a sink that hangs holds up nothing. */

import { describe, expect, it, onTestFinished } from 'vitest';
import { ChainWriter } from '../../src/audit/chain-writer.js';
import type { LineBody } from '../../src/audit/line.js';
import type { TrailSink } from '../../src/audit/sink.js';
import { ManualClock } from '../../src/emulator/index.js';
import { SoftwareKeyProvider } from '../../src/software/software-key-provider.js';
import {
  auditedKeys,
  auditKeyOf,
  type MemorySink,
  memorySink,
  parsed,
  signingSpec,
  verifyLines,
} from '../support/audit.js';
import { KEY_RING, silentLogger } from '../support/emulator.js';
import { recordingLogger } from '../support/software-provider.js';

const message = Buffer.from('pay 10 EUR to alice');
const spec = { ...signingSpec, protectionLevel: 'SOFTWARE' } as const;
const never = new Promise<never>(() => {});

/** Moves the time on until it is over. */
async function settled<T>(clock: ManualClock, work: Promise<T>): Promise<T> {
  let isOver = false;
  const over = (): void => {
    isOver = true;
  };
  work.then(over, over);
  const look = (): boolean => {
    clock.advance(1_000);
    return isOver;
  };
  await expect.poll(look, { timeout: 20_000, interval: 20 }).toBe(true);
  return work;
}

/** Keys whose trail is signed, and has then lost so many events; the sink still fails. */
async function lossy(count: number): Promise<{
  keys: SoftwareKeyProvider;
  sink: MemorySink;
  clock: ManualClock;
  logger: ReturnType<typeof recordingLogger>;
  pem: Buffer;
}> {
  const clock = new ManualClock();
  const sink = memorySink();
  const logger = recordingLogger();
  const keys = await auditedKeys({ sink }, { clock, logger });
  await keys.generateKey(spec);
  const pem = await auditKeyOf(keys);
  await keys.audit?.checkpoint();
  sink.failure = new Error('disk full');
  for (let lost = 1; lost <= count; lost++) {
    await keys.sign(spec.name, message);
    await expect.poll(() => keys.audit?.stats().lostEvents).toBe(lost);
  }
  return { keys, sink, clock, logger, pem };
}

describe('what was lost before the end', () => {
  it('is told of and signed when the trail is closed, though no further event came', async () => {
    const { keys, sink, pem } = await lossy(3);
    sink.failure = undefined;
    await keys.close();
    expect(sink.lines.slice(-2).map(parsed)).toMatchObject([
      { notice: 'gap', details: { lost: 3 } },
      { type: 'checkpoint' },
    ]);
    const verified = await verifyLines(sink.lines, { auditKeys: pem });
    expect(verified).toMatchObject({ verdict: 'with-gaps', problems: [] });
    expect(verified.chains).toMatchObject([{ lostEvents: 3, unsigned: 0 }]);
  });

  it('is told of by the next checkpoint in time', async () => {
    const { keys, sink, clock } = await lossy(1);
    sink.failure = undefined;
    clock.advance(60_000);
    await expect
      .poll(() => sink.lines.slice(-2).map((line) => parsed(line)['notice']))
      .toEqual(['gap', undefined]);
    expect(keys.audit?.stats()).toMatchObject({ unsigned: 0 });
  });

  it('is logged as untold when the sink still fails, and no checkpoint says that all is well', async () => {
    const { keys, logger } = await lossy(1);
    expect(await keys.audit?.checkpoint()).toBe(false);
    await keys.close();
    expect(logger.lines).toContainEqual(
      expect.objectContaining({
        level: 'error',
        fields: { event: 'audit-close-failed', untold: 1, problems: ['disk full'] },
      }),
    );
  });
});

describe('a sink that hangs', () => {
  it('does not keep a provider from closing', async () => {
    const clock = new ManualClock();
    const sink = memorySink();
    const state = { hangs: false };
    const hanging = {
      write: (line: string): Promise<void> | void => (state.hangs ? never : sink.write(line)),
      close: () => never,
    };
    const logger = recordingLogger();
    const keys = new SoftwareKeyProvider({
      ...{ ...KEY_RING, softwareKeyStore: { type: 'memory' }, clock, logger },
      audit: { sink: hanging, writeTimeoutMs: 2_000 },
    });
    await keys.initialize();
    await keys.generateKey(spec);
    await keys.audit?.checkpoint();
    state.hangs = true;
    await keys.sign(spec.name, message);
    await settled(clock, keys.close());
    const closing = logger.lines.find(({ fields }) => Object(fields).event === 'audit-close-failed');
    expect(closing?.fields).toMatchObject({
      problems: [expect.stringContaining('2000 ms'), expect.stringContaining('closing the audit trail')],
    });
    await expect(keys.sign(spec.name, message)).rejects.toMatchObject({ code: 'CLIENT_CLOSED' });
  });

  it('has a checkpoint fail that waits behind a write', async () => {
    const clock = new ManualClock();
    const sink = memorySink();
    const state = { hangs: false };
    const write = (line: string): Promise<void> | void => (state.hangs ? never : sink.write(line));
    const keys = await auditedKeys({ sink: { write }, writeTimeoutMs: 2_000 }, { clock });
    onTestFinished(() => void clock.advance(10_000));
    await keys.generateKey(spec);
    state.hangs = true;
    const checkpoint = keys.audit?.checkpoint() ?? never;
    expect(await settled(clock, checkpoint)).toBe(false);
    expect(await keys.audit?.checkpoint()).toBe(false);
  });

  const start: LineBody = { type: 'notice', notice: 'start', time: '2026-01-01T00:00:00.000Z', details: {} };
  function openingWriter(): {
    writer: ChainWriter;
    clock: ManualClock;
    open: () => void;
    closed: () => number;
  } {
    const clock = new ManualClock();
    let open = (): void => {};
    let closed = 0;
    const opened = new Promise<undefined>((resolve) => {
      open = () => resolve(undefined);
    });
    const sink: TrailSink = {
      open: () => opened,
      append: (lines) => Promise.resolve({ written: lines.length }),
      close: async () => {
        closed += 1;
      },
    };
    const writer = new ChainWriter({
      ...{ sink, clock, logger: silentLogger, writeTimeoutMs: 1_000, newWriter: () => 'w' },
      start: () => start,
      onWritten: () => {},
    });
    return { writer, clock, open, closed: () => closed };
  }

  it('when it is opened has calls refused in time', async () => {
    const { writer, clock, open } = openingWriter();
    await expect(settled(clock, writer.ensureOpen())).rejects.toThrow(
      'opening the audit trail takes longer than 1000 ms',
    );
    open();
    await writer.ensureOpen();
    expect(writer.isOpen).toBe(true);
  });

  it('when it is opened is closed again when that was done after the end', async () => {
    const { writer, clock, open, closed } = openingWriter();
    const opening = writer.ensureOpen();
    const refused = expect(opening).rejects.toThrow('closed');
    await writer.close();
    expect(closed()).toBe(1);
    open();
    await refused;
    expect(closed()).toBe(2);
    expect(writer.isOpen).toBe(false);
    await expect(settled(clock, writer.ensureOpen())).rejects.toThrow('closed');
  });
});
