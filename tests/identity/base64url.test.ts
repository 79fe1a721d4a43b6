import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeBase64url, encodeBase64url } from '../../src/identity/base64url.js';

describe('base64url', () => {
  it('comes back the same, without padding', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        const text = encodeBase64url(bytes);
        expect(text).toMatch(/^[A-Za-z0-9_-]*$/);
        expect(decodeBase64url(text)).toEqual(Buffer.from(bytes));
      }),
    );
  });

  it('encodes a view of a larger buffer', () => {
    expect(encodeBase64url(new Uint8Array([1, 2, 3, 4]).subarray(1, 3))).toBe('AgM');
  });

  it.each([
    ['padding', 'AgM='],
    ['bits beyond the last byte', 'AgN'],
    ['a single character', 'A'],
    ['plus and slash', '+/+/'],
    ['white space', 'AgMB AgMB'],
    ['a line break at the end', 'AgMB\n'],
    ['a dot', 'AgMB.'],
    ['a character beyond ASCII', 'AgMé'],
    ['a lone surrogate', 'AgM\ud800'],
  ])('refuses %s', (_, text) => {
    expect(decodeBase64url(text)).toBeUndefined();
  });
});
