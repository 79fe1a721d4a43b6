/** Every way to tamper with a trail is found and named: changed, removed, moved, put in, cut off. */

import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import type { AuditAnchor } from '../../src/audit/audit-trail.js';
import type { AuditProblem, AuditVerification } from '../../src/audit/audit-verification.js';
import { createAuditTrail } from '../../src/audit/create-audit-trail.js';
import { verifyAuditTrail } from '../../src/audit/verify-audit-trail.js';
import { auditSchema } from '../../src/config/audit-config.js';
import { ManualClock } from '../../src/emulator/index.js';
import { InvalidJwkError } from '../../src/errors/identity.js';
import { InvalidArgumentError } from '../../src/errors/input.js';
import { SoftwareKeyProvider } from '../../src/software/software-key-provider.js';
import { memorySink, parsed, signingSpec, verifyLines } from '../support/audit.js';
import { KEY_RING, silentLogger } from '../support/emulator.js';

interface Trail {
  readonly lines: readonly string[];
  readonly pem: string;
  readonly anchor: AuditAnchor;
}

/** Some forty lines with six checkpoints. */
async function newTrail(signatures = 20): Promise<Trail> {
  const sink = memorySink();
  const keys = new SoftwareKeyProvider({
    ...KEY_RING,
    softwareKeyStore: { type: 'memory' },
    logger: silentLogger,
    audit: { sink, checkpointAfterLines: 5, failClosed: true },
  });
  await keys.initialize();
  await keys.generateKey({ ...signingSpec, protectionLevel: 'SOFTWARE' });
  for (let index = 0; index < signatures; index++) {
    await keys.sign(signingSpec.name, Buffer.from(`message ${index}`), { reason: `ticket ${index}` });
  }
  const pem = (await keys.getPublicKey('a2a-audit-signing-key')).toString('utf8');
  await keys.close();
  const anchor = keys.audit?.anchor();
  if (anchor === undefined) throw new Error('there is no anchor');
  return { lines: sink.lines, pem, anchor };
}

let trail: Trail;
let other: Trail;
beforeAll(async () => {
  trail = await newTrail();
  other = await newTrail(3);
});

const verify = (lines: readonly string[], anchor?: AuditAnchor): Promise<AuditVerification> =>
  verifyLines(lines, { auditKeys: [trail.pem, other.pem], expectedLast: anchor });

const without = (index: number): string[] => trail.lines.toSpliced(index, 1);
const sequenceOf = (index: number): number => Number(parsed(trail.lines[index])['sequence']);
const named = (problems: readonly AuditProblem[], kind: string, at: Partial<AuditProblem>): boolean =>
  problems.some(
    (problem) =>
      problem.kind === kind &&
      (at.line === undefined || problem.line === at.line) &&
      (at.sequence === undefined || problem.sequence === at.sequence),
  );
/** By its line, or, where it now has the name of another writer, as missing in its own chain. */
const isNamed = (problems: readonly AuditProblem[], index: number): boolean =>
  named(problems, 'missing', { sequence: sequenceOf(index) }) ||
  problems.some(({ line }) => line === index + 1);
const anyLine = (from = 0): fc.Arbitrary<number> =>
  fc.nat().map((n) => from + (n % (trail.lines.length - from)));

/** Another value of the same kind. */
function altered(value: unknown): unknown {
  if (typeof value === 'number') return value + 1;
  if (typeof value === 'boolean') return !value;
  if (typeof value === 'object' && value !== null) return alterOne(value, 0);
  const text = String(value);
  if (/^\d{4}-/.test(text)) return text.replace(/\d\d\dZ$/, (end) => (end === '111Z' ? '222Z' : '111Z'));
  if (/^[0-9a-f]{64}$/.test(text)) return (text.startsWith('0') ? '1' : '0') + text.slice(1);
  if (/^[0-9a-f-]{36}$/.test(text)) return text.slice(0, -1) + (text.endsWith('0') ? '1' : '0');
  if (text === 'succeeded') return 'failed';
  return `${text}x`;
}

function alterOne(object: object, nth: number): Record<string, unknown> {
  const entries = Object.entries(object);
  const [name, value] = entries[nth % entries.length] ?? ['', undefined];
  return { ...object, [name]: altered(value) };
}

describe('verifyAuditTrail', () => {
  it('finds nothing in a trail as it was written, in chunks of any size', async () => {
    const text = Buffer.from(`${trail.lines.join('\n')}\n`);
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 5_000 }), async (size) => {
        async function* chunks(): AsyncGenerator<Uint8Array> {
          for (let at = 0; at < text.length; at += size) yield text.subarray(at, at + size);
        }
        const verified = await verifyAuditTrail(chunks(), {
          auditKeys: trail.pem,
          expectedLast: trail.anchor,
        });
        expect(verified).toMatchObject({ verdict: 'valid', problems: [], moreProblems: 0 });
        expect(verified.chains[0]).toMatchObject({ unsigned: 0, last: trail.anchor, lostEvents: 0 });
      }),
      { numRuns: 10 },
    );
  });

  it('names the line and the sequence of any field that was changed', async () => {
    await fc.assert(
      fc.asyncProperty(anyLine(), fc.nat(), async (index, field) => {
        const line = JSON.stringify(alterOne(parsed(trail.lines[index]), field));
        const { verdict, problems } = await verify(trail.lines.toSpliced(index, 1, line), trail.anchor);
        expect(verdict).toBe('invalid');
        expect(isNamed(problems, index)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  it('names the line of any byte that was changed', async () => {
    await fc.assert(
      fc.asyncProperty(anyLine(), fc.nat(), fc.integer({ min: 1, max: 255 }), async (index, at, flip) => {
        const bytes = Buffer.from(trail.lines[index] ?? '');
        bytes[at % bytes.length] = (bytes[at % bytes.length] ?? 0) ^ flip;
        if (bytes.includes(0x0a)) return;
        const line = bytes.toString('latin1');
        const { verdict, problems } = await verify(trail.lines.toSpliced(index, 1, line), trail.anchor);
        expect(verdict).toBe('invalid');
        expect(isNamed(problems, index)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  it('names the sequence of any line that was removed', async () => {
    await fc.assert(
      fc.asyncProperty(anyLine(), async (index) => {
        const { verdict, problems } = await verify(without(index), trail.anchor);
        expect(verdict).toBe('invalid');
        const kind = index === trail.lines.length - 1 ? 'truncated' : 'missing';
        expect(named(problems, kind, { sequence: sequenceOf(index) })).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  it('names a line that was moved, or those that come late because of it', async () => {
    await fc.assert(
      fc.asyncProperty(anyLine(), anyLine(), async (from, to) => {
        if (from === to) return;
        const line = trail.lines[from] ?? '';
        const { verdict, problems } = await verify(without(from).toSpliced(to, 0, line), trail.anchor);
        expect(verdict).toBe('invalid');
        const late = from < to ? from : to;
        expect(named(problems, 'reordered', { sequence: sequenceOf(late) })).toBe(true);
      }),
      { numRuns: 200 },
    );
  });

  it('names a line that was put in: a copy, one of another trail, one that links where it stands', async () => {
    const forged = (index: number): string => {
      const before = trail.lines[index];
      return JSON.stringify({ ...parsed(before), durationMs: 12_345 });
    };
    await fc.assert(
      fc.asyncProperty(anyLine(), anyLine(1), async (source, at) => {
        const copy = await verify(trail.lines.toSpliced(at, 0, trail.lines[source] ?? ''), trail.anchor);
        expect(copy.verdict).toBe('invalid');
        if (source < at) expect(named(copy.problems, 'inserted', {})).toBe(true);
        // In front of the line that it takes the place of, or behind it.
        for (const place of [at, at + 1]) {
          if (parsed(trail.lines[at])['type'] === 'checkpoint') continue;
          const twin = await verify(trail.lines.toSpliced(place, 0, forged(at)), trail.anchor);
          expect(named(twin.problems, 'inserted', { line: place + 1 })).toBe(true);
        }
        const foreign = await verify(trail.lines.toSpliced(at, 0, other.lines[3] ?? ''), trail.anchor);
        expect(named(foreign.problems, 'missing', { line: at + 1 })).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  it('shows an end that was cut off against an anchor; without one, what is left unsigned', async () => {
    for (let length = 0; length < trail.lines.length; length++) {
      const cut = trail.lines.slice(0, length);
      const anchored = await verify(cut, trail.anchor);
      expect(named(anchored.problems, 'truncated', { sequence: length + 1 })).toBe(true);
      const { verdict } = await verify(cut);
      const last = parsed(cut.at(-1))['type'];
      if (length > 0 && last !== 'checkpoint') expect(verdict).toBe('unsigned-tail');
    }
  });

  it('finds several chains in one stream valid, and a chain that is gone by its anchor', async () => {
    const lines: string[] = [];
    for (let index = 0; index < trail.lines.length; index++) {
      lines.push(...trail.lines.slice(index, index + 1), ...other.lines.slice(index, index + 1));
    }
    const both = { auditKeys: { keys: [trail.pem, other.pem] }, expectedLast: [trail.anchor, other.anchor] };
    const verified = await verifyLines(lines, both);
    expect(verified).toMatchObject({ verdict: 'valid', problems: [], lines: lines.length });
    expect(verified.chains.map(({ last }) => last)).toEqual([trail.anchor, other.anchor]);
    const { problems } = await verifyLines(trail.lines, both);
    expect(problems).toMatchObject([{ kind: 'truncated', writer: other.anchor.writer, sequence: 1 }]);
  });

  it('believes no checkpoint of another key', async () => {
    const { verdict, problems, chains } = await verifyLines(trail.lines, { auditKeys: other.pem });
    expect(verdict).toBe('invalid');
    expect(new Set(problems.map(({ kind }) => kind))).toEqual(new Set(['unknown-key']));
    expect(chains[0]).toMatchObject({ checkpoints: 0, signedThrough: 0, signers: [] });
  });

  it('names what is no line: other text, a second spelling, one that is too long, one without an end', async () => {
    const spelling = JSON.stringify(parsed(trail.lines[4])).replace('"v":1', '"v":1.0');
    const lines = trail.lines.toSpliced(3, 0, 'hello', '', 'x'.repeat(70_000));
    expect((await verify(lines)).problems.map(({ kind, line }) => [kind, line])).toEqual([
      ['format', 4],
      ['format', 5],
      ['format', 6],
    ]);
    expect(named((await verify(trail.lines.toSpliced(4, 1, spelling))).problems, 'format', { line: 5 })).toBe(
      true,
    );
    async function* torn(): AsyncGenerator<string> {
      yield `${trail.lines.join('\n')}\n{"type":"ev`;
    }
    const { problems } = await verifyAuditTrail(torn(), { auditKeys: trail.pem });
    expect(problems).toMatchObject([{ kind: 'torn', line: trail.lines.length + 1 }]);
  });

  it('lists as many problems as it was told to, and counts the others', async () => {
    const noise = Array.from({ length: 20 }, (_, index) => `noise ${index}`);
    const verified = await verifyLines([...trail.lines, ...noise], { auditKeys: trail.pem, maxProblems: 5 });
    expect(verified.problems).toHaveLength(5);
    expect(verified).toMatchObject({ verdict: 'invalid', moreProblems: 15 });
  });

  it('reads the log of pino, where other lines do not count', async () => {
    const log = trail.lines.flatMap((line) => [
      JSON.stringify({ level: 30, msg: 'something else' }),
      JSON.stringify({ level: 30, audit: parsed(line), msg: 'audit' }),
    ]);
    const options = { auditKeys: trail.pem, format: 'pino', expectedLast: trail.anchor } as const;
    expect(await verifyLines(log, options)).toMatchObject({ verdict: 'valid', problems: [] });
    const odd = [...log, 'no JSON', '{"audit":7}', '7'];
    expect((await verifyLines(odd, options)).problems.map(({ kind }) => kind)).toEqual(['format', 'format']);
  });

  it('reports a line that one of two contradicting anchors has otherwise, in whatever order they come', async () => {
    const forged = { ...trail.anchor, sha256: 'f'.repeat(64) };
    for (const expectedLast of [
      [trail.anchor, forged],
      [forged, trail.anchor],
    ]) {
      const { verdict, problems } = await verifyLines(trail.lines, { auditKeys: trail.pem, expectedLast });
      expect(verdict).toBe('invalid');
      expect(problems).toMatchObject([{ kind: 'changed', sequence: trail.anchor.sequence }]);
    }
  });

  it('refuses keys that are none', async () => {
    await expect(verifyLines([], { auditKeys: [] })).rejects.toBeInstanceOf(InvalidArgumentError);
    await expect(verifyLines([], { auditKeys: 'no key' })).rejects.toBeInstanceOf(InvalidJwkError);
  });
});

describe('what is no trail, or no line of one', () => {
  const logOf = (entry: object): string => JSON.stringify({ level: 30, ...entry });

  it('a stream without a line is empty, not valid; against an anchor it is truncated', async () => {
    expect(await verifyLines([], { auditKeys: trail.pem })).toMatchObject({ verdict: 'empty', problems: [] });
    const { verdict, problems } = await verify([], trail.anchor);
    expect(verdict).toBe('invalid');
    expect(problems).toMatchObject([{ kind: 'truncated', sequence: 1 }]);
  });

  it('a log of pino without a trail is empty', async () => {
    const log = [logOf({ msg: 'started' }), logOf({ msg: 'stopped' })];
    const verified = await verifyLines(log, { auditKeys: trail.pem, format: 'pino' });
    expect(verified).toMatchObject({ verdict: 'empty', lines: 2, chains: [] });
  });

  it('names an event with a lone surrogate, which has no canonical form, and reads on', async () => {
    const event = trail.lines.findIndex((line) => line.includes('"reason"'));
    const line = (trail.lines[event] ?? '').replace(/"reason":"[^"]*"/, '"reason":"\\ud800"');
    const { verdict, problems, lines } = await verify([...trail.lines, line]);
    expect(verdict).toBe('invalid');
    expect(lines).toBe(trail.lines.length + 1);
    expect(problems).toMatchObject([{ kind: 'format', line: trail.lines.length + 1 }]);
    const log = trail.lines.map((text) => logOf({ audit: parsed(text) }));
    const odd = [...log, `{"audit":${line}}`];
    expect((await verifyLines(odd, { auditKeys: trail.pem, format: 'pino' })).problems).toMatchObject([
      { kind: 'format', line: odd.length },
    ]);
  });

  it('names a line whose replacement character is another byte in the file', async () => {
    const sink = memorySink();
    const context = { clock: new ManualClock(), logger: silentLogger, configuration: {} };
    const written = createAuditTrail(auditSchema.parse({ sink }), context);
    written.warn({ warning: 'software-keys-in-production', details: { store: 'odd \ufffd store' } });
    await written.close();
    const text = Buffer.from(`${sink.lines.join('\n')}\n`);
    const at = text.indexOf('\ufffd');
    const bytes = Buffer.concat([text.subarray(0, at), Buffer.from([0xff]), text.subarray(at + 3)]);
    // As it would be read with replacement, nothing has changed.
    expect(bytes.toString('utf8')).toBe(text.toString('utf8'));
    async function* stream(): AsyncGenerator<Uint8Array> {
      yield bytes;
    }
    const { verdict, problems } = await verifyAuditTrail(stream(), { auditKeys: trail.pem });
    expect(verdict).toBe('invalid');
    expect(problems).toMatchObject([{ kind: 'format', line: 2 }]);
  });
});
