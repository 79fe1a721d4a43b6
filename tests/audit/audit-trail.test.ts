/** What a trail holds of the calls of a provider, when it is signed, and what a broken sink does to the calls. */

import { createHash } from 'node:crypto';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ManualClock } from '../../src/emulator/index.js';
import { InvalidArgumentError } from '../../src/errors/input.js';
import { DecryptionFailedError } from '../../src/errors/service.js';
import { AuditWriteError } from '../../src/errors/storage.js';
import { SoftwareKeyProvider } from '../../src/software/software-key-provider.js';
import { auditedKeys, auditKeyOf, memorySink, parsed, signingSpec, verifyLines } from '../support/audit.js';
import { KEY_RING, silentLogger } from '../support/emulator.js';
import { recordingLogger } from '../support/software-provider.js';

const message = Buffer.from('pay 10 EUR to alice');
const spec = { ...signingSpec, protectionLevel: 'SOFTWARE' } as const;
const box = {
  name: 'box',
  purpose: 'ENCRYPT_DECRYPT',
  algorithm: 'GOOGLE_SYMMETRIC_ENCRYPTION',
  protectionLevel: 'SOFTWARE',
} as const;
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const typesOf = (lines: readonly string[]): unknown[] => lines.map((line) => parsed(line)['type']);
const errorOf = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => undefined,
    (error: unknown) => error,
  );

describe('an audit trail', () => {
  it('has an event with digests, version, agent, reason and flags for a signature, and is valid when closed', async () => {
    const sink = memorySink();
    const keys = await auditedKeys({ sink, failClosed: true });
    const key = await keys.generateKey(spec);
    const signature = await keys.sign(spec.name, message, { reason: 'ticket 7', correlationId: 'order-9' });
    const pem = await auditKeyOf(keys);
    expect(parsed(sink.lines.at(-2))).toMatchObject({
      v: 1,
      type: 'event',
      operation: 'sign',
      key: key.name,
      keyVersion: key.primary,
      agent: 'bot',
      algorithm: 'EC_SIGN_P256_SHA256',
      protectionLevel: 'SOFTWARE',
      subjectSha256: sha256(message),
      productSha256: sha256(signature),
      outcome: 'succeeded',
      attempts: 0,
      reason: 'ticket 7',
      correlationId: 'order-9',
      configuration: { hsmKeys: false, softwareKeys: true, failClosed: true },
    });
    await keys.close();
    const verified = await verifyLines(sink.lines, { auditKeys: pem });
    expect(verified).toMatchObject({ verdict: 'valid', problems: [] });
    expect(verified.chains[0]?.signers).toMatchObject([{ protectionLevel: 'SOFTWARE' }]);
  });

  it('begins with a start, the key, and a checkpoint over them', async () => {
    const sink = memorySink();
    await auditedKeys({ sink });
    expect(
      sink.lines.map((line) => parsed(line)['operation'] ?? parsed(line)['notice'] ?? 'checkpoint'),
    ).toEqual(['start', 'initialize', 'generateKey', 'checkpoint']);
    expect(parsed(sink.lines[0])).toMatchObject({ sequence: 1, prev: '0'.repeat(64), checkpoint: 1 });
  });

  it('has refused and failed calls with their codes, verdicts, and of encryption the digest of the ciphertext', async () => {
    const sink = memorySink();
    const keys = await auditedKeys({ sink, failClosed: true });
    await keys.generateKey(spec);
    await keys.generateKey(box);
    await expect(keys.sign('no/key', message)).rejects.toBeInstanceOf(InvalidArgumentError);
    const refused = parsed(sink.lines.at(-1));
    expect(refused).toMatchObject({ outcome: 'refused', errorCode: 'INVALID_ARGUMENT' });
    expect(refused).not.toHaveProperty('key');
    await expect(keys.decrypt('box', Buffer.alloc(100))).rejects.toBeInstanceOf(DecryptionFailedError);
    expect(parsed(sink.lines.at(-1))).toMatchObject({ outcome: 'failed', errorCode: 'DECRYPTION_FAILED' });
    const ciphertext = await keys.encrypt('box', message);
    const encrypted = parsed(sink.lines.at(-1));
    expect(encrypted).toMatchObject({ operation: 'encrypt', productSha256: sha256(ciphertext) });
    expect(encrypted).not.toHaveProperty('subjectSha256');
    await keys.verify(spec.name, message, await keys.sign(spec.name, message));
    expect(parsed(sink.lines.at(-1))).toMatchObject({ operation: 'verify', verdict: 'valid' });
    await keys.verify(spec.name, message, Buffer.alloc(70));
    expect(parsed(sink.lines.at(-1))).toMatchObject({ outcome: 'succeeded', verdict: 'invalid' });
  });

  it('takes digests of large messages too', async () => {
    const sink = memorySink();
    const keys = await auditedKeys({ sink, failClosed: true });
    await keys.generateKey(spec);
    const large = Buffer.alloc(1_000_000, 7);
    await keys.sign(spec.name, large);
    expect(parsed(sink.lines.at(-1))).toMatchObject({ subjectSha256: sha256(large) });
  });

  it('stays one chain, in order, when hundreds of calls end at once', async () => {
    const sink = memorySink();
    const keys = await auditedKeys({ sink, checkpointAfterLines: 50 });
    await keys.generateKey(spec);
    const pem = await auditKeyOf(keys);
    await Promise.all(
      Array.from({ length: 700 }, (_, index) => keys.sign(spec.name, Buffer.from(`${index}`))),
    );
    await keys.close();
    const verified = await verifyLines(sink.lines, { auditKeys: pem });
    expect(verified).toMatchObject({ verdict: 'valid', problems: [] });
    expect(verified.chains[0]).toMatchObject({ events: 704, lostEvents: 0 });
    expect(keys.audit?.stats()).toMatchObject({
      events: 704,
      lostEvents: 0,
      unsigned: 0,
      failedCheckpoints: 0,
    });
  });

  it('records what others do with the audit key, and what it does itself as checkpoints only', async () => {
    const sink = memorySink();
    const keys = await auditedKeys({ sink, failClosed: true });
    await keys.audit?.checkpoint();
    const before = sink.lines.length;
    await keys.sign('a2a-audit-signing-key', message);
    expect(typesOf(sink.lines.slice(before))).toEqual(['event']);
    await keys.audit?.checkpoint();
    expect(typesOf(sink.lines.slice(before))).toEqual(['event', 'checkpoint']);
    expect(await keys.audit?.checkpoint()).toBe(true);
    expect(sink.lines).toHaveLength(before + 2);
  });

  it('is signed after so many lines, and after so many seconds', async () => {
    const clock = new ManualClock();
    const sink = memorySink();
    const audit = { sink, checkpointAfterLines: 3, checkpointAfterSeconds: 60, failClosed: true };
    const keys = await auditedKeys(audit, { clock });
    await keys.generateKey(spec);
    await keys.sign(spec.name, message);
    await keys.sign(spec.name, message);
    await expect.poll(() => keys.audit?.stats().unsigned).toBe(0);
    expect(keys.audit?.stats().checkpoints).toBe(2);
    await keys.sign(spec.name, message);
    expect(keys.audit?.stats().unsigned).toBe(1);
    clock.advance(60_000);
    await expect.poll(() => keys.audit?.stats().unsigned).toBe(0);
    expect(parsed(sink.lines.at(-1))).toMatchObject({
      type: 'checkpoint',
      statement: { number: 3, count: 1 },
    });
  });

  it('goes on without a checkpoint that cannot be signed, says so, and has it signed later', async () => {
    const clock = new ManualClock();
    const sink = memorySink();
    const logger = recordingLogger();
    const keys = await auditedKeys({ sink, checkpointAfterLines: 2, failClosed: true }, { clock, logger });
    const pem = await auditKeyOf(keys);
    await keys.audit?.checkpoint();
    // Without a version in use, nothing is signed.
    const version = `${keys.keyRing}/cryptoKeys/a2a-audit-signing-key/cryptoKeyVersions/1`;
    await keys.destroyKey(version, undefined, { force: true });
    await keys.generateKey(spec);
    await keys.sign(spec.name, message);
    await expect.poll(() => keys.audit?.stats().failedCheckpoints).toBe(1);
    expect(logger.lines).toContainEqual(
      expect.objectContaining({
        level: 'error',
        fields: expect.objectContaining({ event: 'audit-checkpoint-failed' }),
      }),
    );
    await keys.sign(spec.name, message);
    expect(keys.audit?.stats().failedCheckpoints).toBe(1);
    await keys.restoreKey(version);
    clock.advance(60_000);
    await expect.poll(() => keys.audit?.stats().unsigned).toBeLessThan(4);
    await keys.close();
    expect(await verifyLines(sink.lines, { auditKeys: pem })).toMatchObject({
      verdict: 'valid',
      problems: [],
    });
  });

  it('is signed by the version of the audit key in use, and verifies with all that signed', async () => {
    const sink = memorySink();
    const keys = await auditedKeys({ sink });
    const first = await auditKeyOf(keys);
    await keys.rotateKey('a2a-audit-signing-key');
    const second = await auditKeyOf(keys);
    await keys.close();
    const verified = await verifyLines(sink.lines, { auditKeys: [first, second] });
    expect(verified).toMatchObject({ verdict: 'valid' });
    expect(verified.chains[0]?.signers).toHaveLength(2);
    const { problems } = await verifyLines(sink.lines, { auditKeys: first });
    expect(problems).toMatchObject([{ kind: 'unknown-key', line: sink.lines.length }]);
  });

  it('has a notice of each start with software keys in production', async () => {
    const before = process.env['NODE_ENV'];
    process.env['NODE_ENV'] = 'production';
    onTestFinished(() => {
      process.env['NODE_ENV'] = before;
    });
    const sink = memorySink();
    await auditedKeys({ sink });
    expect(sink.lines.map(parsed)).toContainEqual(
      expect.objectContaining({
        notice: 'software-keys-in-production',
        details: { keyRing: expect.stringContaining('/keyRings/agents'), store: 'memory' },
      }),
    );
  });
});

describe('a sink that fails, with failClosed', () => {
  it('has the first call fail with its result withheld, and the next refused before anything is done', async () => {
    const clock = new ManualClock();
    const sink = memorySink();
    const keys = await auditedKeys({ sink, failClosed: true }, { clock });
    await keys.generateKey(spec);
    const pem = await auditKeyOf(keys);
    sink.failure = new Error('disk full');
    const withheld = await errorOf(keys.sign(spec.name, message));
    expect(withheld).toBeInstanceOf(AuditWriteError);
    expect(withheld).toMatchObject({ code: 'AUDIT', message: expect.stringMatching(/disk full.*withheld/) });
    const refused = await errorOf(keys.generateKey({ ...spec, name: 'never-made' }));
    expect(refused).toMatchObject({ code: 'AUDIT', message: expect.stringContaining('nothing was done') });
    sink.failure = undefined;
    expect(await errorOf(keys.sign(spec.name, message))).toBeInstanceOf(AuditWriteError);
    clock.advance(1_000);
    await keys.sign(spec.name, message);
    await expect(keys.getKey('never-made')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await keys.close();
    const verified = await verifyLines(sink.lines, { auditKeys: pem });
    expect(verified).toMatchObject({ verdict: 'with-gaps', problems: [] });
    expect(verified.chains[0]).toMatchObject({ lostEvents: 1 });
  });

  it('has a call fail whose event is not written in time, and those behind it; the trail goes on', async () => {
    const clock = new ManualClock();
    const sink = memorySink();
    let release = (): void => {};
    const held = { isHeld: false };
    const slow = {
      write: (line: string): Promise<void> | void => {
        if (!held.isHeld) return sink.write(line);
        held.isHeld = false;
        return new Promise<void>((resolve) => {
          release = () => {
            sink.lines.push(line);
            resolve();
          };
        });
      },
    };
    const keys = await auditedKeys({ sink: slow, failClosed: true, writeTimeoutMs: 2_000 }, { clock });
    await keys.generateKey(spec);
    const pem = await auditKeyOf(keys);
    held.isHeld = true;
    const late = errorOf(keys.sign(spec.name, message));
    await expect.poll(() => held.isHeld).toBe(false);
    const behind = errorOf(keys.verify(spec.name, message, Buffer.alloc(70)));
    await new Promise((resolve) => setImmediate(resolve));
    clock.advance(2_000);
    expect(await late).toMatchObject({ code: 'AUDIT', message: expect.stringContaining('2000 ms') });
    expect(await behind).toMatchObject({ code: 'AUDIT' });
    expect(await errorOf(keys.sign(spec.name, message))).toMatchObject({ code: 'AUDIT' });
    release();
    await expect.poll(() => errorOf(keys.sign(spec.name, message))).toBeUndefined();
    await keys.close();
    const verified = await verifyLines(sink.lines, { auditKeys: pem });
    expect(verified).toMatchObject({ verdict: 'with-gaps', problems: [] });
    expect(verified.chains[0]?.lostEvents).toBe(1);
  });

  it('refuses to start when the sink does not take a line, or the beginning cannot be signed', async () => {
    const sink = memorySink();
    sink.failure = new Error('no place');
    const audit = { sink, failClosed: true };
    const config = {
      ...KEY_RING,
      softwareKeyStore: { type: 'memory' },
      logger: silentLogger,
      audit,
    } as const;
    const keys = new SoftwareKeyProvider(config);
    onTestFinished(() => keys.close());
    expect(await errorOf(keys.initialize())).toBeInstanceOf(AuditWriteError);
  });

  it('refuses calls after it was closed', async () => {
    const keys = await auditedKeys({ sink: memorySink(), failClosed: true });
    await keys.close();
    expect(await errorOf(keys.sign(spec.name, message))).toMatchObject({ code: 'AUDIT' });
    await keys.close();
  });
});

describe('a sink that fails, without failClosed', () => {
  it('does not hold up calls; the loss is logged, counted, and told of in the chain', async () => {
    const clock = new ManualClock();
    const sink = memorySink();
    const logger = recordingLogger();
    const keys = await auditedKeys({ sink }, { clock, logger });
    await keys.generateKey(spec);
    const pem = await auditKeyOf(keys);
    await keys.audit?.checkpoint();
    sink.failure = new Error('disk full');
    await Promise.all([1, 2, 3].map(() => keys.sign(spec.name, message)));
    await expect.poll(() => keys.audit?.stats().lostEvents).toBe(3);
    expect(logger.lines).toContainEqual(
      expect.objectContaining({
        level: 'error',
        fields: expect.objectContaining({ event: 'audit-write-failed', problem: 'disk full' }),
      }),
    );
    sink.failure = undefined;
    clock.advance(1_000);
    await keys.sign(spec.name, message);
    await keys.close();
    const gap = sink.lines.map(parsed).find(({ notice }) => notice === 'gap');
    expect(gap).toMatchObject({ details: { lost: 3 } });
    const verified = await verifyLines(sink.lines, { auditKeys: pem });
    expect(verified).toMatchObject({ verdict: 'with-gaps', problems: [] });
    expect(verified.chains[0]).toMatchObject({ lostEvents: 3 });
  });
});

describe('a logger as sink', () => {
  it('gets each line as structured data, in order, which verifies', async () => {
    const logger = recordingLogger();
    const keys = await auditedKeys({ sink: { type: 'logger', logger }, writerId: 'signer-1' });
    const pem = await auditKeyOf(keys);
    await keys.close();
    const log = logger.lines.map(({ fields, message: msg }) => JSON.stringify({ ...fields, msg }));
    const verified = await verifyLines(log, { auditKeys: pem, format: 'pino' });
    expect(verified).toMatchObject({ verdict: 'valid' });
    expect(verified.chains[0]?.writer).toMatch(/^signer-1\/[0-9a-f-]{36}$/);
  });
});
