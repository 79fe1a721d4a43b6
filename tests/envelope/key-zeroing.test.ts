/** What a cipher leaves in memory: every data key and every key of a stream is zeroed, however its use ends. */

import { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ManualClock } from '../../src/emulator/index.js';
import { DataKey } from '../../src/envelope/data-key.js';
import { EnvelopeCipher, type EnvelopeCipherOptions } from '../../src/index.js';
import { LocalWrapping } from '../support/local-wrapping.js';
import { readAll, readAllWeb } from '../support/streams.js';

/** Derived keys of streams, and what goes into them: what HMAC gave. */
const digests = vi.hoisted((): Buffer[] => []);

vi.mock('node:crypto', async (importOriginal) => {
  const original = await importOriginal<typeof import('node:crypto')>();
  const createHmac: typeof original.createHmac = (...input) => {
    const hmac = original.createHmac(...input);
    const digest = hmac.digest.bind(hmac);
    return Object.assign(hmac, {
      digest: () => {
        const bytes = digest();
        digests.push(bytes);
        return bytes;
      },
    });
  };
  return { ...original, createHmac };
});

const message = Buffer.from('pay 10 EUR to alice');
const SEGMENT = 1_048_576;

let clock: ManualClock;
let wrapping: LocalWrapping;
/** Every data key that was made, and the bytes it had in memory. */
let keys: Buffer[];

beforeEach(() => {
  clock = new ManualClock();
  wrapping = new LocalWrapping();
  keys = [];
  digests.length = 0;
  for (const make of ['generate', 'copyOf'] as const) {
    const original: (...input: never[]) => DataKey = DataKey[make];
    vi.spyOn(DataKey, make).mockImplementation((...input: unknown[]) => {
      const key: DataKey = Reflect.apply(original, DataKey, input);
      keys.push(key.bytes);
      return key;
    });
  }
});
afterEach(() => vi.restoreAllMocks());

const cipherWith = (options: EnvelopeCipherOptions = {}): EnvelopeCipher =>
  new EnvelopeCipher(wrapping, 'kek', { clock, ...options });
const live = (buffers: readonly Buffer[]): number =>
  buffers.filter((bytes) => bytes.some((byte) => byte !== 0)).length;

describe('data keys of messages', () => {
  it('are zeroed when the cipher is closed, and live until then', async () => {
    const cipher = cipherWith();
    const ciphertext = await cipher.encrypt(message);
    const reader = cipherWith();
    await reader.decrypt(ciphertext);
    await reader.reencrypt(ciphertext);
    expect([keys.length, live(keys)]).toEqual([2, 2]);
    await cipher.close();
    expect(live(keys)).toBe(1);
    await reader.close();
    expect(live(keys)).toBe(0);
  });

  it('are zeroed by the clock, though nobody calls', async () => {
    await using cipher = cipherWith();
    await cipher.encrypt(message);
    clock.advance(59_999);
    expect(live(keys)).toBe(1);
    clock.advance(1);
    expect([keys.length, live(keys)]).toEqual([1, 0]);
  });

  it('are zeroed when they are used up and evicted', async () => {
    await using cipher = cipherWith({ dataKeys: { maxMessages: 1 }, cache: { maxKeys: 2 } });
    for (let count = 0; count < 10; count++) await cipher.encrypt(message);
    expect(keys).toHaveLength(10);
    // Two that are remembered; the last of them may be used up already.
    expect(live(keys)).toBe(2);
  });

  it('are zeroed when they could not be wrapped', async () => {
    await using cipher = cipherWith();
    wrapping.failure = new Error('no way');
    await expect(cipher.encrypt(message)).rejects.toThrow('no way');
    expect([keys.length, live(keys)]).toEqual([1, 0]);
  });

  it('are zeroed though their answer comes after everybody has gone', async () => {
    const cipher = cipherWith();
    const ciphertext = await cipher.encrypt(message);
    for (const end of ['abort', 'close'] as const) {
      const reader = cipherWith();
      // A provider that does not care for the signal of a call.
      let release = (): void => {};
      const gate = new Promise<void>((resolve) => {
        release = resolve;
      });
      const decrypt = wrapping.decrypt.bind(wrapping);
      vi.spyOn(wrapping, 'decrypt').mockImplementationOnce(async (...input) => {
        await gate;
        return decrypt(...input);
      });
      const controller = new AbortController();
      const { signal } = controller;
      const calls = Promise.allSettled([reader.decrypt(ciphertext, undefined, { signal })]);
      if (end === 'abort') controller.abort();
      else await reader.close();
      expect((await calls)[0].status).toBe('rejected');
      const before = keys.length;
      release();
      await expect.poll(() => keys.length).toBe(before + 1);
      await new Promise((resolve) => setImmediate(resolve));
      expect(live(keys.slice(before))).toBe(0);
      await reader.close();
    }
    await cipher.close();
    expect(live(keys)).toBe(0);
  });

  it('are zeroed at whatever moment the cipher is closed, and a call ends with its answer or an error', async () => {
    const writer = cipherWith();
    const sealed = await writer.encrypt(message);
    await writer.close();
    const outcomes = new Set<string>();
    for (let ticks = 0; ticks < 40; ticks++) {
      const cipher = cipherWith();
      const release = wrapping.hold();
      const calls = Promise.allSettled([cipher.encrypt(message), cipher.decrypt(sealed)]);
      release();
      for (let tick = 0; tick < ticks; tick++) await Promise.resolve();
      await cipher.close();
      for (const call of await calls) {
        outcomes.add(call.status === 'fulfilled' ? 'ok' : String(call.reason.code));
      }
      await new Promise((resolve) => setImmediate(resolve));
      expect(live(keys)).toBe(0);
    }
    expect([...outcomes].toSorted()).toEqual(['CLIENT_CLOSED', 'ok']);
  });
});

describe('keys of a stream', () => {
  const chunks = (count: number): readonly Buffer[] =>
    Array.from({ length: count }, () => Buffer.alloc(SEGMENT, 1));
  const streams = {
    Node: (cipher: EnvelopeCipher, sealed: Buffer) => readAll([sealed], cipher.decryptStream()),
    Web: (cipher: EnvelopeCipher, sealed: Buffer) => readAllWeb([sealed], cipher.decryptWebStream()),
  };

  it.each(['Node', 'Web'] as const)('are zeroed at the end of a %s stream, good or bad', async (form) => {
    await using cipher = cipherWith();
    const sealed =
      form === 'Node'
        ? await readAll(chunks(2), cipher.encryptStream())
        : await readAllWeb(chunks(2), cipher.encryptWebStream());
    // Extracted and derived.
    expect([digests.length, live(digests), live(keys)]).toEqual([2, 0, 0]);
    await streams[form](cipher, sealed);
    await expect(streams[form](cipher, sealed.subarray(0, -1))).rejects.toMatchObject({
      code: 'STREAM_DECRYPTION_FAILED',
    });
    expect([digests.length, live(digests)]).toEqual([6, 0]);
    await cipher.close();
    expect(live(keys)).toBe(0);
  });

  it.each([
    ['its source fails', 'source'],
    ['its consumer fails', 'consumer'],
    ['its signal aborts', 'signal'],
    ['its cipher is closed', 'close'],
  ] as const)('are zeroed when %s in the middle', async (_, end) => {
    const cipher = cipherWith();
    const controller = new AbortController();
    let received = 0;
    async function* source(): AsyncGenerator<Buffer> {
      yield* chunks(3);
      expect(live(digests)).toBe(1);
      if (end === 'source') throw new Error('the disk is gone');
      if (end === 'signal') controller.abort();
      if (end === 'close') await cipher.close();
      yield* chunks(3);
    }
    const sink = new Writable({
      write: (piece: Buffer, _encoding, done) => {
        received += piece.length;
        done(end === 'consumer' && received > 2 * SEGMENT ? new Error('the disk is full') : null);
      },
    });
    const stream = cipher.encryptStream(undefined, { signal: controller.signal });
    const errors = {
      source: { message: 'the disk is gone' },
      consumer: { message: 'the disk is full' },
      signal: { code: 'ABORTED' },
      close: { code: 'CLIENT_CLOSED' },
    };
    await expect(pipeline(Readable.from(source()), stream, sink)).rejects.toMatchObject(errors[end]);
    expect(received).toBeGreaterThan(0);
    expect([digests.length, live(digests), live(keys)]).toEqual([2, 0, 0]);
    await cipher.close();
  });

  it('are never derived for a stream that ends before its key comes', async () => {
    await using cipher = cipherWith();
    const release = wrapping.hold();
    const stream = cipher.encryptStream();
    const ended = new Promise((resolve) => stream.once('close', resolve));
    stream.write(message);
    stream.destroy();
    await ended;
    release();
    await new Promise((resolve) => setImmediate(resolve));
    expect([digests.length, live(keys)]).toEqual([0, 0]);
  });
});
