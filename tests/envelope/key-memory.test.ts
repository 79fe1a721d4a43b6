/** Data keys are zeroed when nobody needs them: on eviction, when their time is over, and when the cipher is closed. */

import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../src/emulator/index.js';
import { Caller } from '../../src/envelope/caller.js';
import { DataKey } from '../../src/envelope/data-key.js';
import { KeyWrapper } from '../../src/envelope/key-wrapper.js';
import { SegmentCipher } from '../../src/envelope/segments.js';
import { parseTinkKey, serializeTinkKey } from '../../src/envelope/tink-key.js';
import { UnwrappedKeys } from '../../src/envelope/unwrapped-keys.js';
import { AbortListeners } from '../../src/provider/abort-listeners.js';
import { LocalWrapping } from '../support/local-wrapping.js';

const context = { operation: 'decrypt', resource: 'kek' };
const isZero = (bytes: Buffer): boolean => bytes.every((byte) => byte === 0);

function newCache(limits: { readonly maxKeys: number; readonly maxAgeMs: number }): {
  readonly keys: UnwrappedKeys;
  readonly clock: ManualClock;
  readonly add: (id: string) => Buffer;
} {
  const clock = new ManualClock();
  const wrapper = new KeyWrapper({ provider: new LocalWrapping(), keyId: 'kek', clock });
  const keys = new UnwrappedKeys({ wrapper, limits, clock, aborts: new AbortListeners() });
  return {
    keys,
    clock,
    add: (id) => {
      const key = DataKey.generate('message');
      const { bytes } = key;
      keys.add(Buffer.from(id), key);
      key.release();
      return bytes;
    },
  };
}

describe('a remembered data key', () => {
  it('is zeroed when it is evicted, and not before', () => {
    const { keys, add } = newCache({ maxKeys: 2, maxAgeMs: 1_000 });
    const first = add('1');
    const second = add('2');
    expect([isZero(first), isZero(second)]).toEqual([false, false]);
    add('3');
    expect([isZero(first), isZero(second)]).toEqual([true, false]);
    keys.close();
    expect(isZero(second)).toBe(true);
  });

  it('is zeroed by the clock when its time is over, also if nobody asks for it', () => {
    const { keys, clock, add } = newCache({ maxKeys: 10, maxAgeMs: 1_000 });
    const first = add('1');
    clock.advance(600);
    const second = add('2');
    clock.advance(399);
    expect(isZero(first)).toBe(false);
    clock.advance(1);
    expect([isZero(first), isZero(second)]).toEqual([true, false]);
    clock.advance(600);
    expect(isZero(second)).toBe(true);
    keys.close();
  });

  it('is zeroed at its own time, however recently it was used; one that comes anew has its time again', async () => {
    const { keys, clock, add } = newCache({ maxKeys: 10, maxAgeMs: 1_000 });
    const caller = (): Caller => new Caller({ context, clock, timeoutMs: 100, signal: undefined });
    const first = add('1');
    const second = add('2');
    clock.advance(500);
    (await keys.get(Buffer.from('1'), caller)).release();
    const renewed = add('2');
    expect([isZero(second), isZero(renewed)]).toEqual([true, false]);
    const third = add('3');
    clock.advance(500);
    expect([isZero(first), isZero(renewed), isZero(third)]).toEqual([true, false, false]);
    clock.advance(500);
    expect([isZero(renewed), isZero(third)]).toEqual([true, true]);
    expect(clock.pendingTimers).toBe(0);
  });

  it('is kept for the one who holds it, and zeroed after that', async () => {
    const { keys, clock, add } = newCache({ maxKeys: 1, maxAgeMs: 1_000 });
    const bytes = add('1');
    const caller = (): Caller => new Caller({ context, clock, timeoutMs: 100, signal: undefined });
    const held = await keys.get(Buffer.from('1'), caller);
    keys.close();
    expect(isZero(bytes)).toBe(false);
    held.release();
    expect(isZero(bytes)).toBe(true);
  });
});

describe('a data key', () => {
  it('cannot be used, held or released once nobody holds it', () => {
    const key = DataKey.generate('stream');
    key.release();
    expect(() => key.bytes).toThrow(/after its release/);
    expect(() => key.hold()).toThrow(/after its release/);
    expect(() => key.release()).toThrow(/twice/);
  });

  it('of a stream cannot be used once the stream has ended', () => {
    const dataKey = DataKey.generate('stream');
    const cipher = new SegmentCipher({
      dataKey,
      header: Buffer.alloc(40, 40),
      associatedData: Buffer.alloc(0),
    });
    cipher.wipe();
    expect(() => cipher.encrypt([Buffer.alloc(1)], 'last')).toThrow(/zeroed/);
  });

  it('of a stream knows when its segments are exhausted', () => {
    const dataKey = DataKey.generate('stream');
    const stream = { dataKey, header: Buffer.alloc(40, 40), associatedData: Buffer.alloc(0) };
    expect(new SegmentCipher(stream, 0xffff_fffe).isExhausted).toBe(false);
    expect(new SegmentCipher(stream, 0xffff_ffff).isExhausted).toBe(true);
    expect(new SegmentCipher(stream).decrypt([Buffer.alloc(15)], 'last')).toBeUndefined();
  });

  it.each(['message', 'stream'] as const)(
    'for a %s has the form of a Tink key, and no other is taken',
    (kind) => {
      const bytes = Buffer.from(Array.from({ length: 32 }, (_, index) => index));
      const serialized = serializeTinkKey(kind, bytes);
      const parsed = parseTinkKey(serialized);
      expect(parsed?.kind).toBe(kind);
      expect(Buffer.from(parsed?.key ?? [])).toEqual(bytes);
      for (let length = 0; length < serialized.length; length++) {
        expect(parseTinkKey(serialized.subarray(0, length))).toBeUndefined();
      }
      expect(parseTinkKey(Buffer.concat([serialized, Buffer.of(0)]))).toBeUndefined();
      for (let byte = 0; byte < serialized.length; byte++) {
        const changed = Buffer.from(serialized);
        changed.writeUInt8(changed.readUInt8(byte) ^ 0x80, byte);
        const other = parseTinkKey(changed);
        expect(other === undefined || !Buffer.from(other.key).equals(bytes)).toBe(true);
      }
    },
  );
});
