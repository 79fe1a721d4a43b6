/** What is no anchor, no option and no stream is refused: taken for none, it would make a trail that was cut off look valid. */

import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import type { AuditAnchor } from '../../src/audit/audit-trail.js';
import type { AuditVerification } from '../../src/audit/audit-verification.js';
import { InvalidArgumentError } from '../../src/errors/input.js';
import { verifyAuditTrail } from '../../src/index.js';
import { auditVector, cutAfterCheckpoint, streamOf } from '../support/audit.js';

const { lines, auditKeys, anchor } = auditVector();
const { writer, sequence, sha256 } = anchor;

/** As JavaScript lets it through. */
const verify = (stream: unknown, options: unknown): Promise<AuditVerification> =>
  Reflect.apply(verifyAuditTrail, undefined, [stream, options]);
const verifyCut = (options: object): Promise<AuditVerification> =>
  verify(streamOf(cutAfterCheckpoint(lines)), { auditKeys, ...options });
const refusalOf = async (verification: Promise<AuditVerification>): Promise<string> => {
  const refusal: unknown = await verification.then(
    ({ verdict }) => verdict,
    (error: unknown) => error,
  );
  expect(refusal).toBeInstanceOf(InvalidArgumentError);
  return String(refusal);
};

it('a trail that was cut off after a checkpoint is valid without an anchor, and truncated with one', async () => {
  expect((await verifyCut({})).verdict).toBe('valid');
  for (const expectedLast of [anchor, [anchor]])
    expect((await verifyCut({ expectedLast })).problems).toMatchObject([{ kind: 'truncated' }]);
});

const form = 'options.expectedLast must be an anchor { writer, sequence, sha256 }, or a list of anchors';
const other = (field: object): { readonly expectedLast: AuditAnchor } => ({
  expectedLast: { ...anchor, ...field },
});

describe('is refused', () => {
  it.each<[string, object, ...string[]]>([
    ['an anchor as JSON text', { expectedLast: JSON.stringify(anchor) }, form],
    ['an anchor as the command takes it', { expectedLast: `${writer}:${sequence}:${sha256}` }, form],
    ['null for an anchor', { expectedLast: null }, form],
    [
      'an empty anchor',
      { expectedLast: {} },
      'options.expectedLast.writer',
      'options.expectedLast.sequence',
      'options.expectedLast.sha256',
    ],
    [
      'an anchor with another name for a field',
      { expectedLast: { writer, seq: sequence, sha256 } },
      'options.expectedLast.sequence must be a whole number',
      'options.expectedLast.seq is not an option',
    ],
    [
      'a sequence in text',
      { expectedLast: [anchor, { ...anchor, sequence: String(sequence) }] },
      'options.expectedLast.1.sequence must be a whole number',
    ],
    ['sequence 0', other({ sequence: 0 }), 'options.expectedLast.sequence must be at least 1'],
    [
      'a hash in capitals',
      other({ sha256: sha256.toUpperCase() }),
      'options.expectedLast.sha256 must be a SHA-256: 64 digits of lower-case hex',
    ],
    [
      'a writer that is none',
      other({ writer: '' }),
      'options.expectedLast.writer must be the writer of a chain',
    ],
    [
      'misspelt options',
      { expectedlast: anchor, Format: 'lines' },
      'options.expectedlast is not an option',
      'options.Format is not an option',
    ],
    ['a format that there is not', { format: 'pinoo' }, 'options.format must be lines or pino'],
    ['a number in text', { maxProblems: '5' }, 'options.maxProblems must be a whole number'],
  ])('%s', async (_, options, ...problems) => {
    const refusal = await refusalOf(verifyCut(options));
    for (const problem of problems) expect(refusal).toContain(problem);
  });

  it.each([[undefined], [null], [{}]])('options %j, which have no keys', async (options) => {
    expect(await refusalOf(verify(streamOf(lines), options))).toContain('options.auditKeys is required');
  });

  const noStream =
    'stream must be a stream: an AsyncIterable of bytes or text, as createReadStream(path) gives one';
  it.each([
    ['nothing', undefined, noStream],
    ['a path', 'audit.jsonl', noStream],
    ['the bytes of a file', Buffer.from('{}\n'), noStream],
    ['a stream of numbers', Readable.from([1]), 'the stream must give bytes or text, it gave number'],
  ])('%s for a stream of text', async (_, stream, problem) => {
    expect(await refusalOf(verify(stream, { auditKeys }))).toContain(problem);
  });
});
