/** Streams of any length, in Node's and in the Web's form; what is damaged is refused, and what to discard is said. */

import { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ManualClock } from '../../src/emulator/index.js';
import type { CallOptions } from '../../src/index.js';
import { EnvelopeCipher } from '../../src/index.js';
import { LocalWrapping } from '../support/local-wrapping.js';
import { inChunks, readAll, readAllWeb } from '../support/streams.js';

const SEGMENT = 1_048_576;
/** Plaintext of the first segment (40 bytes of header, 16 of tag) and of the ones after it. */
const FIRST = SEGMENT - 56;
const NEXT = SEGMENT - 16;
const associated = Buffer.from('backup 17');

let clock: ManualClock;
let wrapping: LocalWrapping;
let cipher: EnvelopeCipher;

beforeEach(() => {
  clock = new ManualClock();
  wrapping = new LocalWrapping();
  cipher = new EnvelopeCipher(wrapping, 'kek', { clock });
});
afterEach(() => cipher.close());

const bytesOf = (length: number): Buffer => Buffer.alloc(length, 'all bytes of a long day. ');

const forms = {
  Node: {
    encrypt: (bytes: Iterable<Buffer>, data?: Buffer, options?: CallOptions) =>
      readAll(bytes, cipher.encryptStream(data, options)),
    decrypt: (bytes: Iterable<Buffer>, data?: Buffer, options?: CallOptions) =>
      readAll(bytes, cipher.decryptStream(data, options)),
    reencrypt: (bytes: Iterable<Buffer>) => readAll(bytes, cipher.reencryptStream()),
  },
  Web: {
    encrypt: (bytes: Iterable<Buffer>, data?: Buffer, options?: CallOptions) =>
      readAllWeb(bytes, cipher.encryptWebStream(data, options)),
    decrypt: (bytes: Iterable<Buffer>, data?: Buffer, options?: CallOptions) =>
      readAllWeb(bytes, cipher.decryptWebStream(data, options)),
    reencrypt: (bytes: Iterable<Buffer>) => readAllWeb(bytes, cipher.reencryptWebStream()),
  },
} as const;

/** Header and segments of an encrypted stream. */
function takeApart(stream: Buffer): { readonly header: Buffer; readonly segments: readonly Buffer[] } {
  const headerEnd = 4 + stream.readUInt32BE(0) + 40;
  const segments: Buffer[] = [];
  for (let start = headerEnd, size = SEGMENT - 40; start < stream.length; start += size, size = SEGMENT) {
    if (segments.length > 0) size = SEGMENT;
    segments.push(stream.subarray(start, start + size));
  }
  return { header: stream.subarray(0, headerEnd), segments };
}

describe.each(['Node', 'Web'] as const)('a %s stream', (form) => {
  const { encrypt, decrypt, reencrypt } = forms[form];

  it.each([0, 1, 1_000, FIRST - 1, FIRST, FIRST + 1, FIRST + NEXT, FIRST + NEXT + 1])(
    'of %i bytes comes back, with one call to wrap its key',
    async (length) => {
      const plaintext = bytesOf(length);
      const encrypted = await encrypt([plaintext], associated);
      expect((await decrypt([encrypted], associated)).equals(plaintext)).toBe(true);
      expect(wrapping.count('encrypt')).toBe(1);
    },
  );

  it.each([1, 7, 60, 65_536])('may come in chunks of %i bytes', async (size) => {
    const plaintext = bytesOf(size < 60 ? 2_000 : FIRST + 10);
    const encrypted = await encrypt(inChunks(plaintext, size));
    expect((await decrypt(inChunks(encrypted, size))).equals(plaintext)).toBe(true);
  });

  it('is refused with any segment changed, left out, put elsewhere, doubled, or added', async () => {
    const encrypted = await encrypt([bytesOf(FIRST + NEXT + 100)]);
    const { header, segments } = takeApart(encrypted);
    const [first, second, last] = segments;
    if (first === undefined || second === undefined || last === undefined)
      throw new Error('three segments expected');
    const damaged = Buffer.from(second);
    damaged.writeUInt8(damaged.readUInt8(500) ^ 1, 500);
    const cases: [readonly Buffer[], number][] = [
      [[first, damaged, last], FIRST],
      [[first, last], FIRST],
      [[first, second], FIRST],
      [[first], 0],
      [[second, first, last], 0],
      [[first, first, second, last], FIRST],
      [[first, second, second, last], FIRST + NEXT],
      [[first, second, last, Buffer.of(0)], FIRST + NEXT],
      [[first, second, last.subarray(0, -1)], FIRST + NEXT],
      [[first, second, Buffer.alloc(5)], FIRST + NEXT],
      [[], 0],
    ];
    for (const [parts, releasedBytes] of cases) {
      await expect(decrypt([header, ...parts])).rejects.toMatchObject({
        code: 'STREAM_DECRYPTION_FAILED',
        releasedBytes,
      });
    }
  });

  it('needs its associated data, and gives nothing away without', async () => {
    const encrypted = await encrypt([bytesOf(1_000)], associated);
    await expect(decrypt([encrypted])).rejects.toMatchObject({
      code: 'STREAM_DECRYPTION_FAILED',
      releasedBytes: 0,
    });
  });

  it.each([
    ['nothing', Buffer.alloc(0), 'size'],
    ['half a header', Buffer.from('00000048aabb', 'hex'), 'size'],
    [
      'a wrapped key that is too long',
      Buffer.concat([Buffer.from('00001001', 'hex'), Buffer.alloc(9_000)]),
      'wrapped-key-size',
    ],
    [
      'a header of another length',
      Buffer.concat([Buffer.from('0000000141', 'hex'), Buffer.alloc(200, 41)]),
      'stream-header',
    ],
  ])('that is %s is refused before any call', async (_, bytes, check) => {
    await expect(decrypt([bytes])).rejects.toMatchObject({ code: 'INVALID_ENVELOPE', check });
    if (check !== 'stream-header') {
      await expect(reencrypt([bytes])).rejects.toMatchObject({ code: 'INVALID_ENVELOPE', check });
    }
    expect(wrapping.calls).toEqual([]);
  });

  it('is told apart from a message', async () => {
    const message = await cipher.encrypt(bytesOf(1_000));
    const stream = await encrypt([bytesOf(1_000)]);
    await expect(cipher.decrypt(stream)).rejects.toMatchObject({ check: 'data-key' });
    const withStreamHeader = Buffer.from(message);
    withStreamHeader.writeUInt8(40, 4 + message.readUInt32BE(0));
    await expect(decrypt([withStreamHeader])).rejects.toMatchObject({
      code: 'INVALID_ENVELOPE',
      check: 'data-key',
    });
  });

  it('is wrapped anew by the version in use now, in memory or as it passes', async () => {
    const plaintext = bytesOf(FIRST + 5);
    const encrypted = await encrypt([plaintext], associated);
    wrapping.rotate();
    const renewed = await reencrypt(inChunks(encrypted, 100_000));
    const wrapped = renewed.subarray(4, 4 + renewed.readUInt32BE(0));
    expect(wrapping.versionOf(wrapped)).toBe(2);
    expect((await decrypt([renewed], associated)).equals(plaintext)).toBe(true);
    expect((await decrypt([await cipher.reencrypt(encrypted)], associated)).equals(plaintext)).toBe(true);
  });

  it('fails with the provider', async () => {
    wrapping.failure = new Error('no way');
    await expect(encrypt([bytesOf(10)])).rejects.toThrow('no way');
    wrapping.failure = undefined;
    const encrypted = await encrypt([bytesOf(10)]);
    const other = new EnvelopeCipher(wrapping, 'kek', { clock });
    wrapping.failure = new Error('no way');
    const stream =
      form === 'Node'
        ? readAll([encrypted], other.decryptStream())
        : readAllWeb([encrypted], other.decryptWebStream());
    await expect(stream).rejects.toThrow('no way');
    await expect(reencrypt([encrypted])).rejects.toThrow('no way');
    await other.close();
  });

  it('ends by the signal of its caller, before and while it runs', async () => {
    await expect(encrypt([bytesOf(10)], associated, { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'ABORTED',
    });
    const release = wrapping.hold();
    const controller = new AbortController();
    const call = encrypt([bytesOf(10)], associated, { signal: controller.signal });
    const outcome = expect(call).rejects.toMatchObject({ code: 'ABORTED' });
    setImmediate(() => controller.abort());
    await outcome;
    release();
  });

  it('takes bytes only as associated data', () => {
    const wrong: Buffer = JSON.parse('{"wrong":5}').wrong;
    expect(() => (form === 'Node' ? cipher.encryptStream(wrong) : cipher.encryptWebStream(wrong))).toThrow(
      /associatedData must be bytes/,
    );
  });
});

describe('a stream', () => {
  it('takes bytes only: the encoding of a string would be a guess', async () => {
    const stream = cipher.encryptStream();
    const failed = new Promise((resolve) => stream.once('error', resolve));
    stream.write('text');
    expect(await failed).toMatchObject({ code: 'INVALID_ARGUMENT' });
    const writer = cipher.encryptWebStream().writable.getWriter();
    const wrong: Uint8Array = JSON.parse('{"wrong":"text"}').wrong;
    await expect(writer.write(wrong)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  it('ends with the cipher that made it', async () => {
    const release = wrapping.hold();
    const node = readAll([bytesOf(10)], cipher.encryptStream());
    const web = readAllWeb([bytesOf(10)], cipher.encryptWebStream());
    const outcomes = Promise.allSettled([node, web]);
    await cipher.close();
    release();
    expect((await outcomes).map((one) => (one.status === 'rejected' ? one.reason.code : 'ok'))).toEqual([
      'CLIENT_CLOSED',
      'CLIENT_CLOSED',
    ]);
  });

  it('whose source fails, fails with that error', async () => {
    async function* failing(): AsyncGenerator<Buffer> {
      yield bytesOf(10);
      throw new Error('the disk is gone');
    }
    const sink = new Writable({ write: (_chunk, _encoding, done) => done() });
    await expect(pipeline(failing(), cipher.encryptStream(), sink)).rejects.toThrow('the disk is gone');
  });

  it('that nobody reads any more is given up', async () => {
    const pair = cipher.encryptWebStream();
    const writer = pair.writable.getWriter();
    const reader = pair.readable.getReader();
    const written = writer.write(bytesOf(3 * SEGMENT)).catch((error: unknown) => error);
    await reader.read();
    await reader.cancel(new Error('enough'));
    await written;
    await expect(writer.write(bytesOf(1))).rejects.toBeDefined();
  });

  it('that its writer aborts tells its reader', async () => {
    const pair = cipher.decryptWebStream();
    const read = pair.readable.getReader().read();
    const outcome = expect(read).rejects.toThrow('no more');
    await pair.writable.abort(new Error('no more'));
    await outcome;
  });

  it('waits for its reader: no more than a few segments are read ahead', async () => {
    let produced = 0;
    const source = Readable.from(
      (function* () {
        for (; produced < 200; produced++) yield bytesOf(SEGMENT);
      })(),
    );
    const encrypting = source.pipe(cipher.encryptStream());
    const [first] = await new Promise<readonly Buffer[]>((resolve) => {
      encrypting.once('readable', () => resolve([encrypting.read()]));
    });
    expect(first?.length).toBeGreaterThan(0);
    await new Promise((resolve) => setImmediate(resolve));
    expect(produced).toBeLessThan(40);
    source.destroy();
    encrypting.destroy();
  });

  it('changes nothing in the chunks that it is given', async () => {
    const chunk = bytesOf(FIRST + 100);
    const copy = Buffer.from(chunk);
    const encrypted = await readAll([chunk], cipher.encryptStream());
    const before = Buffer.from(encrypted);
    await readAll([encrypted], cipher.decryptStream());
    expect([chunk.equals(copy), encrypted.equals(before)]).toEqual([true, true]);
  });
});
