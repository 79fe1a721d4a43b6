/** A trail that was written once and must verify for ever, read here with node:crypto alone, as docs/audit-trail.md has it. */

import { createHash, createPublicKey, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { z } from 'zod';
import { verifyAuditTrail } from '../../src/index.js';

const folder = join(import.meta.dirname, '../vectors/audit');
const text = readFileSync(join(folder, 'trail.jsonl'));
const lines = text.toString('utf8').split('\n').slice(0, -1);
const { keys, expectedLast } = z
  .object({
    keys: z.array(z.record(z.string(), z.string())),
    expectedLast: z.object({ writer: z.string(), sequence: z.int(), sha256: z.string() }),
  })
  .parse(JSON.parse(readFileSync(join(folder, 'keys.json'), 'utf8')));

const sha256 = (...parts: readonly (string | Uint8Array)[]): Buffer => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
};

/** RFC 9162 section 2.1.1, as it is defined. */
function merkleRoot(entries: readonly string[]): Buffer {
  const [first = ''] = entries;
  if (entries.length === 1) return sha256(Uint8Array.of(0), first);
  let split = 1;
  while (split * 2 < entries.length) split *= 2;
  return sha256(Uint8Array.of(1), merkleRoot(entries.slice(0, split)), merkleRoot(entries.slice(split)));
}

it('the lines of the vector are chained by their hashes', () => {
  let prev = '0'.repeat(64);
  for (const [index, line] of lines.entries()) {
    expect(JSON.parse(line)).toMatchObject({ sequence: index + 1, prev, writer: expectedLast.writer });
    prev = sha256(line).toString('hex');
  }
  expect(prev).toBe(expectedLast.sha256);
});

it('its checkpoints carry the Merkle root over their lines, signed by the audit key', () => {
  const checkpoints = lines.map((line) => JSON.parse(line)).filter(({ type }) => type === 'checkpoint');
  expect(checkpoints).toHaveLength(3);
  for (const { statement, jws } of checkpoints) {
    const covered = lines.filter((line) => JSON.parse(line).checkpoint === statement.number);
    expect(merkleRoot(covered).toString('hex')).toBe(statement.root);
    expect(sha256(covered.at(-1) ?? '').toString('hex')).toBe(statement.head);
    // Names without anything above ASCII: canonical is sorted and without blanks.
    const payload = JSON.stringify(statement, Object.keys(statement).toSorted());
    const [header = '', , signature = ''] = jws.split('.');
    const key = createPublicKey({ key: keys[0] ?? {}, format: 'jwk' });
    const input = `${header}.${Buffer.from(payload).toString('base64url')}`;
    const options = { key, dsaEncoding: 'ieee-p1363' } as const;
    expect(verify('sha384', Buffer.from(input), options, Buffer.from(signature, 'base64url'))).toBe(true);
    expect(JSON.parse(Buffer.from(header, 'base64url').toString())).toEqual({
      typ: 'a2a-audit-checkpoint+jws',
      alg: 'ES384',
      kid: keys[0]?.['kid'],
    });
  }
});

it('it has a signature, a refusal, a failure and an encryption without a digest of its plaintext', () => {
  const message = 'pay 10 EUR to alice';
  const events = lines.map((line) => JSON.parse(line)).filter(({ type }) => type === 'event');
  expect(events).toContainEqual(
    expect.objectContaining({
      operation: 'sign',
      agent: 'invoice-bot',
      reason: 'ticket 4711',
      subjectSha256: sha256(message).toString('hex'),
    }),
  );
  expect(events.map(({ outcome }) => outcome)).toEqual(expect.arrayContaining(['refused', 'failed']));
  const encrypted = events.find(({ operation }) => operation === 'encrypt');
  expect(encrypted).toHaveProperty('productSha256');
  expect(encrypted).not.toHaveProperty('subjectSha256');
});

it('it is valid', async () => {
  async function* stream(): AsyncGenerator<Uint8Array> {
    yield text;
  }
  const verified = await verifyAuditTrail(stream(), { auditKeys: { keys }, expectedLast });
  expect(verified).toMatchObject({ verdict: 'valid', problems: [], lines: lines.length });
});
