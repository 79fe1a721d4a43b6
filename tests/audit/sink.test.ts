/** The sink that logs: through the logger that is given, else through a pino logger of its own. */

import { afterEach, expect, it, vi } from 'vitest';

afterEach(() => {
  vi.doUnmock('pino');
  vi.resetModules();
});

it('a logger sink without a logger makes one for standard error, once, and gives it each line as an object', async () => {
  const written: unknown[] = [];
  const made: unknown[] = [];
  const pino = (options: unknown, destination: unknown) => {
    made.push([options, destination]);
    return { info: (fields: unknown, message: unknown) => void written.push([fields, message]) };
  };
  vi.doMock('pino', () => ({ default: Object.assign(pino, { destination: (options: unknown) => options }) }));
  const { loggerSink } = await import('../../src/audit/sink.js');
  const sink = loggerSink(undefined);
  await sink.write('{"sequence":1}');
  await sink.write('{"sequence":2}');
  expect(made).toEqual([[expect.objectContaining({ level: 'info' }), { dest: 2, sync: true }]]);
  expect(written).toEqual([
    [{ audit: { sequence: 1 } }, 'audit'],
    [{ audit: { sequence: 2 } }, 'audit'],
  ]);
});
