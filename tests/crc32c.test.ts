import { createRequire } from 'node:module';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chooseCrc32c, crc32c } from '../src/crc32c.js';

const require = createRequire(import.meta.url);

function withoutNativeModule(): never {
  throw new Error('no prebuilt binary for this platform');
}

describe('crc32c', () => {
  it('gives the check value of the CRC catalogue', () => {
    expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283);
  });

  it.each([
    // RFC 3720 appendix B.4.
    ['32 zero bytes', Buffer.alloc(32, 0x00), 0x8a9136aa],
    ['32 bytes of ones', Buffer.alloc(32, 0xff), 0x62a8ab43],
    ['32 incrementing bytes', Buffer.from(Array.from({ length: 32 }, (_, index) => index)), 0x46dd794e],
    ['32 decrementing bytes', Buffer.from(Array.from({ length: 32 }, (_, index) => 31 - index)), 0x113fdb5c],
  ])('gives the value of RFC 3720 for %s', (_name, bytes, expected) => {
    expect(crc32c(bytes)).toBe(expected);
  });

  it('is 0 for no bytes', () => {
    expect(crc32c(Buffer.alloc(0))).toBe(0);
  });

  it('reads only the view when the view is a part of a larger buffer', () => {
    expect(crc32c(Buffer.from('xx123456789xx').subarray(2, 11))).toBe(0xe3069283);
  });
});

describe('chooseCrc32c', () => {
  it('falls back to the JavaScript implementation when the native one cannot be loaded', () => {
    const fallback = chooseCrc32c(withoutNativeModule);

    expect(fallback(Buffer.from('123456789'))).toBe(0xe3069283);
  });

  it('takes the native implementation where there is one', () => {
    const native: unknown = Reflect.get(Object(require('@node-rs/crc32')), 'crc32c');
    expect(native).toBeTypeOf('function');
    expect(chooseCrc32c(require)).toBe(native);
  });

  it('gives the same values in both implementations', () => {
    const native = chooseCrc32c(require);
    const fallback = chooseCrc32c(withoutNativeModule);

    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => native(bytes) === fallback(bytes)));
  });

  it('falls back when what was loaded exports no crc32c', () => {
    const fallback = chooseCrc32c(() => ({}));

    expect(fallback(Buffer.from('123456789'))).toBe(0xe3069283);
  });
});
