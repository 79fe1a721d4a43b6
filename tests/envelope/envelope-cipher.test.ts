/** Messages: round trips, what is refused and when, and how far a data key goes. */

import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ManualClock } from '../../src/emulator/index.js';
import { requireBytes } from '../../src/envelope/options.js';
import { DeadlineExceededError, EnvelopeCipher, type EnvelopeCipherOptions } from '../../src/index.js';
import { LocalWrapping } from '../support/local-wrapping.js';

const message = Buffer.from('pay 10 EUR to alice');
const associated = Buffer.from('invoice 17');

let clock: ManualClock;
let wrapping: LocalWrapping;
let cipher: EnvelopeCipher;

beforeEach(() => {
  clock = new ManualClock();
  wrapping = new LocalWrapping();
  cipher = new EnvelopeCipher(wrapping, 'kek', { clock });
});
afterEach(() => cipher.close());

/** Another process: nothing is cached there. */
const elsewhere = (options: EnvelopeCipherOptions = {}): EnvelopeCipher =>
  new EnvelopeCipher(wrapping, 'kek', { clock, ...options });
const wrappedKeyOf = (ciphertext: Buffer): Buffer => ciphertext.subarray(4, 4 + ciphertext.readUInt32BE(0));

describe('a message', () => {
  it('of any content and associated data comes back, here and elsewhere', async () => {
    const other = elsewhere();
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 5_000 }),
        fc.uint8Array({ maxLength: 100 }),
        async (text, data) => {
          const ciphertext = await cipher.encrypt(text, data);
          expect(await cipher.decrypt(ciphertext, data)).toEqual(Buffer.from(text));
          expect(await other.decrypt(ciphertext, data)).toEqual(Buffer.from(text));
        },
      ),
      { numRuns: 50 },
    );
    await other.close();
  });

  it.each([65_535, 65_536, 65_537, 131_072, 1_048_577, 16_777_217])(
    'of %i bytes comes back, and is refused with its last bit changed',
    async (sizeBytes) => {
      const text = randomBytes(sizeBytes);
      const ciphertext = await cipher.encrypt(text, associated);
      expect((await cipher.decrypt(ciphertext, associated)).equals(text)).toBe(true);
      const changed = Buffer.from(ciphertext);
      changed.writeUInt8(changed.readUInt8(changed.length - 17) ^ 1, changed.length - 17);
      await expect(cipher.decrypt(changed, associated)).rejects.toMatchObject({ code: 'DECRYPTION_FAILED' });
    },
  );

  it.each<[string, (bytes: Uint8Array<ArrayBuffer>) => unknown]>([
    ['overwritten', (bytes) => bytes.fill(0)],
    ['given to another thread', ({ buffer }) => structuredClone(buffer, { transfer: [buffer] })],
  ])('is what was passed, also if its bytes are %s while a key is waited for', async (_, spoil) => {
    const own = (bytes: Uint8Array): Uint8Array<ArrayBuffer> => new Uint8Array(bytes);
    const whileWaiting = async <T>(call: Promise<T>, ...inputs: Uint8Array<ArrayBuffer>[]): Promise<T> => {
      for (const input of inputs) spoil(input);
      return call;
    };
    const [text, data] = [own(message), own(associated)];
    const ciphertext = await whileWaiting(cipher.encrypt(text, data), text, data);
    const [first, second] = [own(ciphertext), own(ciphertext)];
    const renewed = await whileWaiting(elsewhere().reencrypt(first), first);
    const read = own(associated);
    expect(await whileWaiting(elsewhere().decrypt(second, read), second, read)).toEqual(message);
    expect(await elsewhere().decrypt(renewed, associated)).toEqual(message);
  });

  it('in memory that threads share is copied before it is looked at', async () => {
    const shared = (bytes: Uint8Array): Uint8Array => {
      const view = new Uint8Array(new SharedArrayBuffer(bytes.length));
      view.set(bytes);
      return view;
    };
    const context = { operation: 'decrypt', resource: 'kek' };
    const copy = requireBytes(context, 'ciphertext', shared(message));
    expect(copy.buffer).not.toBeInstanceOf(SharedArrayBuffer);
    expect(copy).toEqual(message);
    expect(requireBytes(context, 'ciphertext', message)).toBe(message);
    const ciphertext = await cipher.encrypt(shared(message), shared(associated));
    expect(await cipher.decrypt(shared(ciphertext), shared(associated))).toEqual(message);
    expect(await cipher.decrypt(shared(await cipher.reencrypt(shared(ciphertext))), associated)).toEqual(
      message,
    );
  });

  it('may be a view into a larger buffer', async () => {
    const padded = Buffer.concat([Buffer.alloc(7, 1), message, Buffer.alloc(7, 2)]);
    const view = new Uint8Array(padded.buffer, padded.byteOffset + 7, message.length);
    const ciphertext = Buffer.concat([Buffer.alloc(3), await cipher.encrypt(view)]);
    expect(await cipher.decrypt(ciphertext.subarray(3))).toEqual(message);
  });

  it('has a new IV each time', async () => {
    const first = await cipher.encrypt(message);
    const second = await cipher.encrypt(message);
    expect(wrappedKeyOf(first)).toEqual(wrappedKeyOf(second));
    expect(first.subarray(-message.length - 28)).not.toEqual(second.subarray(-message.length - 28));
  });

  it('with a bit changed, cut short or extended is refused, wherever it is', async () => {
    const ciphertext = await cipher.encrypt(message, associated);
    const codes = ['DECRYPTION_FAILED', 'INVALID_ENVELOPE'];
    const refusal = async (bytes: Buffer): Promise<void> => {
      const error = await cipher.decrypt(bytes, associated).catch((reason: unknown) => reason);
      expect(codes).toContain(Reflect.get(Object(error), 'code'));
    };
    for (let byte = 0; byte < ciphertext.length; byte++) {
      const changed = Buffer.from(ciphertext);
      changed.writeUInt8(changed.readUInt8(byte) ^ (1 << (byte % 8)), byte);
      await refusal(changed);
      await refusal(ciphertext.subarray(0, byte));
    }
    await refusal(Buffer.concat([ciphertext, Buffer.of(0)]));
  });

  it('needs the associated data that it was encrypted with', async () => {
    const ciphertext = await cipher.encrypt(message, associated);
    await expect(cipher.decrypt(ciphertext)).rejects.toMatchObject({ code: 'DECRYPTION_FAILED' });
    await expect(cipher.decrypt(ciphertext, message)).rejects.toMatchObject({ code: 'DECRYPTION_FAILED' });
  });

  it.each([
    ['nothing', Buffer.alloc(0), 'size'],
    ['three bytes', Buffer.alloc(3), 'size'],
    ['a wrapped key of no bytes', Buffer.alloc(100), 'wrapped-key-size'],
    [
      'a wrapped key of 4,097 bytes',
      Buffer.concat([Buffer.from('00001001', 'hex'), Buffer.alloc(5_000)]),
      'wrapped-key-size',
    ],
    ['a wrapped key of 4 GiB', Buffer.from('ffffffff00', 'hex'), 'wrapped-key-size'],
    ['less than an IV and a tag', Buffer.concat([Buffer.from('00000001', 'hex'), Buffer.alloc(28)]), 'size'],
  ])('that begins with %s is refused before any call', async (_, bytes, check) => {
    await expect(cipher.decrypt(bytes)).rejects.toMatchObject({ code: 'INVALID_ENVELOPE', check });
    await expect(cipher.reencrypt(bytes)).rejects.toMatchObject({ code: 'INVALID_ENVELOPE', check });
    expect(wrapping.calls).toEqual([]);
  });

  it('is refused when what was wrapped is no data key', async () => {
    const wrapped = await wrapping.encrypt('kek', Buffer.from('no key'));
    const length = Buffer.alloc(4);
    length.writeUInt32BE(wrapped.length);
    const bytes = Buffer.concat([length, wrapped, Buffer.alloc(40)]);
    await expect(cipher.decrypt(bytes)).rejects.toMatchObject({
      code: 'INVALID_ENVELOPE',
      check: 'data-key',
    });
  });

  it('is neither a string nor missing', async () => {
    for (const wrong of [undefined, null, 'text', 7]) {
      const bytes: Uint8Array = JSON.parse(JSON.stringify({ wrong: wrong ?? null })).wrong;
      await expect(cipher.encrypt(bytes)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
      await expect(cipher.decrypt(bytes)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
      await expect(cipher.encrypt(message, bytes)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    }
    expect(wrapping.calls).toEqual([]);
  });
});

describe('a data key', () => {
  it('serves 10,000 messages with one call, and elsewhere one call reads them all', async () => {
    const ciphertexts = await Promise.all(Array.from({ length: 10_000 }, () => cipher.encrypt(message)));
    expect(wrapping.calls).toHaveLength(1);
    const other = elsewhere();
    await Promise.all(ciphertexts.slice(0, 1_000).map((ciphertext) => other.decrypt(ciphertext)));
    expect(wrapping.count('decrypt')).toBe(1);
    await other.close();
  });

  it('unwrapped by 1,000 callers at once is unwrapped with one call (P15)', async () => {
    const ciphertext = await cipher.encrypt(message);
    const other = elsewhere();
    const release = wrapping.hold();
    const all = Array.from({ length: 1_000 }, () => other.decrypt(ciphertext));
    release();
    expect((await Promise.all(all)).every((plaintext) => plaintext.equals(message))).toBe(true);
    expect(wrapping.count('decrypt')).toBe(1);
    await other.close();
  });

  it.each<[string, EnvelopeCipherOptions]>([
    ['messages', { dataKeys: { maxMessages: 3 } }],
    ['bytes', { dataKeys: { maxBytes: 3 * message.length } }],
  ])('is replaced after so many %s, however they come', async (_, options) => {
    const limited = elsewhere(options);
    const ciphertexts = await Promise.all(Array.from({ length: 10 }, () => limited.encrypt(message)));
    const uses = new Map<string, number>();
    for (const ciphertext of ciphertexts) {
      const id = wrappedKeyOf(ciphertext).toString('hex');
      uses.set(id, (uses.get(id) ?? 0) + 1);
    }
    expect([...uses.values()]).toEqual([3, 3, 3, 1]);
    await limited.close();
  });

  it('is replaced when it is a minute old, and one that was unwrapped is forgotten', async () => {
    const first = await cipher.encrypt(message);
    clock.advance(59_999);
    expect(wrappedKeyOf(await cipher.encrypt(message))).toEqual(wrappedKeyOf(first));
    clock.advance(1);
    expect(wrappedKeyOf(await cipher.encrypt(message))).not.toEqual(wrappedKeyOf(first));
    await cipher.decrypt(first);
    expect(wrapping.count('decrypt')).toBe(1);
  });

  it('is replaced when the clock was set back', async () => {
    const ciphertext = await cipher.encrypt(message);
    const other = elsewhere({ cache: { maxAgeMs: 1_000 } });
    await other.decrypt(ciphertext);
    clock.advance(1_000);
    await other.decrypt(ciphertext);
    expect(wrapping.count('decrypt')).toBe(2);
    await other.close();
  });

  it('is forgotten when there are more than the cache holds', async () => {
    const small = elsewhere({ dataKeys: { maxMessages: 1 }, cache: { maxKeys: 2 } });
    const ciphertexts = [
      await small.encrypt(message),
      await small.encrypt(message),
      await small.encrypt(message),
    ];
    for (const ciphertext of ciphertexts) await small.decrypt(ciphertext);
    expect(wrapping.count('decrypt')).toBeGreaterThan(0);
    await small.close();
  });

  it.each<[string, EnvelopeCipherOptions]>([
    ['dataKeys.maxAgeMs', { dataKeys: { maxAgeMs: 300_001 } }],
    ['dataKeys.maxMessages', { dataKeys: { maxMessages: 2 ** 20 + 1 } }],
    ['dataKeys.maxBytes', { dataKeys: { maxBytes: 2 ** 36 + 1 } }],
    ['cache.maxAgeMs', { cache: { maxAgeMs: 300_001 } }],
    ['cache.maxKeys', { cache: { maxKeys: 100_001 } }],
    ['timeoutMs', { timeoutMs: 0 }],
  ])('has hard caps: %s beyond its cap is refused', (field, options) => {
    expect(() => elsewhere(options)).toThrow(new RegExp(`envelope\\.${field.replace('.', '\\.')}`));
  });

  it('of an unknown option is refused by its name', () => {
    const options: EnvelopeCipherOptions = JSON.parse('{"cache":{"ttl":1},"speed":9}');
    expect(() => elsewhere(options)).toThrow(
      /envelope\.cache\.ttl.*envelope\.speed|envelope\.speed.*envelope\.cache\.ttl/,
    );
  });

  it('larger messages than its limit go through a stream, and the error says so', async () => {
    const limited = elsewhere({ dataKeys: { maxBytes: 10 } });
    await expect(limited.encrypt(message)).rejects.toThrow(/encryptStream/);
    await limited.close();
  });

  it('is never wrapped by a public key, which anyone has', async () => {
    wrapping.algorithm = 'RSA_DECRYPT_OAEP_2048_SHA256';
    await expect(cipher.encrypt(message)).rejects.toMatchObject({ code: 'UNSUPPORTED_ALGORITHM' });
    expect(wrapping.calls).toEqual([]);
  });

  it('wrapped into something of no possible size is an integrity error', async () => {
    wrapping.tamper = () => Buffer.alloc(5_000);
    await expect(cipher.encrypt(message)).rejects.toMatchObject({ code: 'INTEGRITY' });
  });
});

describe('reencrypt', () => {
  it('wraps the data key with the version in use now, and leaves the rest as it is', async () => {
    const ciphertext = await cipher.encrypt(message, associated);
    wrapping.rotate();
    const renewed = await cipher.reencrypt(ciphertext);
    expect([wrapping.versionOf(wrappedKeyOf(ciphertext)), wrapping.versionOf(wrappedKeyOf(renewed))]).toEqual(
      [1, 2],
    );
    expect(renewed.subarray(4 + wrappedKeyOf(renewed).length)).toEqual(
      ciphertext.subarray(4 + wrappedKeyOf(ciphertext).length),
    );
    expect(await elsewhere().decrypt(renewed, associated)).toEqual(message);
  });

  it('wraps a data key that many messages share once', async () => {
    const ciphertexts = await Promise.all(Array.from({ length: 100 }, () => cipher.encrypt(message)));
    wrapping.rotate();
    const before = wrapping.count('encrypt');
    await Promise.all(ciphertexts.map((ciphertext) => cipher.reencrypt(ciphertext)));
    for (const ciphertext of ciphertexts) await cipher.reencrypt(ciphertext);
    expect(wrapping.count('encrypt') - before).toBe(1);
  });
});

describe('failures', () => {
  it('of the provider reach all who waited, and are not remembered', async () => {
    wrapping.failure = new Error('no way');
    const all = await Promise.allSettled([1, 2, 3].map(() => cipher.encrypt(message)));
    expect(all.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
    wrapping.failure = undefined;
    const ciphertext = await cipher.encrypt(message);
    const other = elsewhere();
    wrapping.failure = new Error('no way');
    await expect(other.decrypt(ciphertext)).rejects.toThrow('no way');
    await expect(other.reencrypt(ciphertext)).rejects.toThrow('no way');
    wrapping.failure = undefined;
    expect(await other.decrypt(ciphertext)).toEqual(message);
    await other.close();
  });

  it('by an abort or a deadline are those of the one caller; the others get their answer', async () => {
    const ciphertext = await cipher.encrypt(message);
    const other = elsewhere();
    const release = wrapping.hold();
    const controller = new AbortController();
    const aborted = other.decrypt(ciphertext, undefined, { signal: controller.signal });
    const late = other.decrypt(ciphertext, undefined, { timeoutMs: 50 });
    const patient = other.decrypt(ciphertext);
    const outcomes = Promise.allSettled([aborted, late, patient]);
    controller.abort(new Error('enough'));
    clock.advance(50);
    release();
    expect((await outcomes).map((one) => (one.status === 'fulfilled' ? 'ok' : one.reason.code))).toEqual([
      'ABORTED',
      'DEADLINE_EXCEEDED',
      'ok',
    ]);
    await other.close();
  });

  it('by the deadline of the caller who made the call do not reach one who has more time', async () => {
    const ciphertext = await cipher.encrypt(message);
    const calls = {
      encrypt: (other: EnvelopeCipher, timeoutMs: number) => other.encrypt(message, undefined, { timeoutMs }),
      decrypt: (other: EnvelopeCipher, timeoutMs: number) =>
        other.decrypt(ciphertext, undefined, { timeoutMs }),
      reencrypt: (other: EnvelopeCipher, timeoutMs: number) => other.reencrypt(ciphertext, { timeoutMs }),
    };
    for (const [name, call] of Object.entries(calls)) {
      const other = elsewhere();
      const release = wrapping.hold();
      const [hasty, patient] = [call(other, 50), call(other, 5_000)];
      const outcomes = Promise.allSettled([hasty, patient]);
      await new Promise((resolve) => setImmediate(resolve));
      // The provider keeps the deadline of its caller; reencrypt waits for the unwrapped key and so notices it first.
      if (name !== 'reencrypt') {
        wrapping.tamper = (): Buffer => {
          wrapping.tamper = (answer) => answer;
          const timedOut = { limit: 'the deadline', timeoutMs: 50 } as const;
          throw new DeadlineExceededError({ operation: name, resource: 'kek' }, timedOut);
        };
      }
      clock.advance(50);
      release();
      expect((await outcomes).map((one) => (one.status === 'fulfilled' ? 'ok' : one.reason.code))).toEqual([
        'DEADLINE_EXCEEDED',
        'ok',
      ]);
      await other.close();
    }
  });

  it('of the only caller end the call', async () => {
    const release = wrapping.hold();
    const controller = new AbortController();
    const call = cipher.encrypt(message, undefined, { signal: controller.signal });
    await Promise.resolve();
    controller.abort();
    await expect(call).rejects.toMatchObject({ code: 'ABORTED' });
    release();
    expect(await cipher.decrypt(await cipher.encrypt(message))).toEqual(message);
  });

  it('before the call: an aborted signal, wrong options', async () => {
    const signal = AbortSignal.abort();
    await expect(cipher.encrypt(message, undefined, { signal })).rejects.toMatchObject({ code: 'ABORTED' });
    await expect(cipher.encrypt(message, undefined, { timeoutMs: -1 })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
    expect(wrapping.calls).toEqual([]);
  });

  it('when the cipher is closed: those who wait and all later calls', async () => {
    const ciphertext = await cipher.encrypt(message);
    const other = elsewhere();
    const release = wrapping.hold();
    const waiting = Promise.allSettled([
      other.encrypt(message),
      other.decrypt(ciphertext),
      other.reencrypt(ciphertext),
    ]);
    await Promise.resolve();
    await other.close();
    await other.close();
    release();
    const codes = (await waiting).map((one) => (one.status === 'rejected' ? one.reason.code : 'ok'));
    expect(codes).toEqual(['CLIENT_CLOSED', 'CLIENT_CLOSED', 'CLIENT_CLOSED']);
    await expect(other.encrypt(message)).rejects.toMatchObject({ code: 'CLIENT_CLOSED' });
    expect(() => other.encryptStream()).toThrow(/closed/);
  });
});
