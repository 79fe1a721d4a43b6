import { describe, expect, it } from 'vitest';
import {
  bytes,
  checksum,
  maskPaths,
  message,
  stringMap,
  text,
  timeMs,
  toTime,
} from '../../src/emulator/request-fields.js';

describe('fields of a request', () => {
  it('that are not there, or of another type, are empty', () => {
    const request = { name: 7, data: 'text', digest: [1], labels: null, updateMask: { paths: 'state' } };
    expect(text(request, 'name')).toBe('');
    expect(bytes(request, 'data')).toEqual(Buffer.alloc(0));
    expect(message(request, 'digest')).toBeUndefined();
    expect(stringMap(request, 'labels')).toEqual({});
    expect(maskPaths(request, 'updateMask')).toEqual([]);
    expect(timeMs(request, 'createTime')).toBeUndefined();
    expect(checksum(request, 'dataCrc32c')).toBeUndefined();
  });

  it('take bytes of any view, and parts of messages that were left at their default', () => {
    expect(bytes({ data: new Uint8Array([1, 2]) }, 'data')).toEqual(Buffer.from([1, 2]));
    expect(timeMs({ period: {} }, 'period')).toBe(0);
    expect(checksum({ crc: {} }, 'crc')).toBe(0);
  });

  it('give times back to the microsecond', () => {
    expect(toTime(1_700_000_000_123.456)).toEqual({ seconds: 1_700_000_000, nanos: 123_456_000 });
  });
});
