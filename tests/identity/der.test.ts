import { generateKeyPairSync, sign, verify } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { derToP1363, p1363ToDer } from '../../src/identity/der.js';

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');
const SIZES = [32, 48] as const;

/** A coordinate of that size that is not zero, with leading zeros and high bits more often than chance has them. */
const coordinate = (sizeBytes: number) =>
  fc
    .tuple(
      fc.uint8Array({ minLength: sizeBytes, maxLength: sizeBytes }),
      fc.nat({ max: sizeBytes - 1 }),
      fc.constantFrom(0x01, 0x7f, 0x80, 0xff),
    )
    .map(([bytes, zeros, first]) => {
      bytes.fill(0, 0, zeros);
      bytes[zeros] = first;
      return bytes;
    });

describe('ECDSA signatures between DER and R || S', () => {
  it.each(SIZES)('come back the same with coordinates of %i bytes', (sizeBytes) => {
    fc.assert(
      fc.property(coordinate(sizeBytes), coordinate(sizeBytes), (r, s) => {
        const raw = Buffer.concat([r, s]);
        const der = p1363ToDer(raw, sizeBytes);
        expect(der.ok && derToP1363(der.value, sizeBytes)).toEqual({ ok: true, value: raw });
      }),
    );
  });

  it.each(SIZES)(
    'are accepted from DER only in the one encoding of what they hold (%i bytes)',
    (sizeBytes) => {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 2 * sizeBytes + 12 }), (bytes) => {
          const raw = derToP1363(bytes, sizeBytes);
          if (raw.ok)
            expect(p1363ToDer(raw.value, sizeBytes)).toEqual({ ok: true, value: Buffer.from(bytes) });
        }),
      );
    },
  );

  it.each(SIZES)('are refused when any byte of the structure is another (%i bytes)', (sizeBytes) => {
    fc.assert(
      fc.property(
        coordinate(sizeBytes),
        coordinate(sizeBytes),
        fc.constantFrom(0, 1, 2, 3),
        fc.integer({ min: 1, max: 255 }),
        (r, s, at, change) => {
          const der = p1363ToDer(Buffer.concat([r, s]), sizeBytes);
          if (!der.ok) throw new Error(der.problem);
          const bytes = Buffer.from(der.value);
          bytes[at] = (bytes[at] ?? 0) ^ change;
          const raw = derToP1363(bytes, sizeBytes);
          // A changed length of R can only be accepted if what it makes is canonical again, which it is not here.
          expect(raw.ok).toBe(false);
        },
      ),
    );
  });

  it.each([
    ['prime256v1', 'sha256', 32],
    ['secp384r1', 'sha384', 48],
    ['secp256k1', 'sha256', 32],
  ] as const)('mean the same to node:crypto in both encodings on %s', (namedCurve, digest, sizeBytes) => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve });
    for (let round = 0; round < 50; round++) {
      const message = Buffer.from(`message ${round}`);
      const raw = derToP1363(sign(digest, message, privateKey), sizeBytes);
      if (!raw.ok) throw new Error(raw.problem);
      expect(verify(digest, message, { key: publicKey, dsaEncoding: 'ieee-p1363' }, raw.value)).toBe(true);
      const der = p1363ToDer(
        sign(digest, message, { key: privateKey, dsaEncoding: 'ieee-p1363' }),
        sizeBytes,
      );
      if (!der.ok) throw new Error(der.problem);
      expect(verify(digest, message, { key: publicKey, dsaEncoding: 'der' }, der.value)).toBe(true);
    }
  });

  it.each([
    ['nothing', ''],
    ['a lone tag', '30'],
    ['an empty SEQUENCE', '3000'],
    ['a SET in place of the SEQUENCE', '3106 0201 01 0201 01'],
    ['a length that is too short', '3005 020101 020101'],
    ['a length that is too long', '3007 020101 020101'],
    ['a long-form length', '308106 020101 020101'],
    ['a long-form length of two bytes', '30820006 020101 020101'],
    ['an indefinite length', '3080 020101 020101 0000'],
    ['a byte after the SEQUENCE', '3006 020101 020101 00'],
    ['a byte after S inside the SEQUENCE', '3007 020101 020101 00'],
    ['a third integer', '3009 020101 020101 020101'],
    ['only one integer', '3003 020101'],
    ['an integer without content', '3005 0200 020101'],
    ['a long-form length of R', '3007 02810101 020101'],
    ['a length of R beyond the end', '3006 027f01 020101'],
    ['a length of R that swallows S', '3006 020401 020101'],
    ['a BIT STRING in place of R', '3006 030101 020101'],
    ['an ENUMERATED in place of S', '3006 020101 0a0101'],
    ['R of zero', '3006 020100 020101'],
    ['S of zero', '3006 020101 020100'],
    ['R of zero in two bytes', '3007 02020000 020101'],
    ['a negative R', '3006 0201ff 020101'],
    ['a negative S', '3006 020101 020180'],
    ['a zero byte that R does not need', '3007 0202007f 020101'],
    ['a zero byte that S does not need', '3007 020101 02020001'],
    ['two zero bytes before a high bit', '3008 0203000080 020101'],
    ['R of 33 bytes', `3026 0221${'01'.repeat(33)} 020101`],
    ['R of 33 bytes after the sign byte', `3027 022200${'ff'.repeat(33)} 020101`],
    ['R || S that begins like a SEQUENCE', `30${'11'.repeat(63)}`],
    ['R || S that looks like DER up to its length', `303e0220${'11'.repeat(60)}`],
    ['an inner SEQUENCE', '3008 3006 020101 020101'],
  ])('are refused as DER: %s', (_, der) => {
    expect(derToP1363(hex(der), 32)).toMatchObject({ ok: false, problem: expect.any(String) });
  });

  it.each([
    ['no bytes', Buffer.alloc(0)],
    ['one byte too few', Buffer.alloc(63, 1)],
    ['one byte too many', Buffer.alloc(65, 1)],
    ['coordinates of another curve', Buffer.alloc(96, 1)],
    ['R of zero', Buffer.concat([Buffer.alloc(32), Buffer.alloc(32, 1)])],
    ['S of zero', Buffer.concat([Buffer.alloc(32, 1), Buffer.alloc(32)])],
    ['DER', hex('3006 020101 020101')],
  ])('are refused as R || S: %s', (_, raw) => {
    expect(p1363ToDer(raw, 32)).toMatchObject({ ok: false });
  });

  it.each([0, -1, 1.5, 66])('have no coordinates of %d bytes', (sizeBytes) => {
    expect(() => derToP1363(Buffer.alloc(8), sizeBytes)).toThrow(RangeError);
    expect(() => p1363ToDer(Buffer.alloc(8), sizeBytes)).toThrow(RangeError);
  });

  it('hold small numbers in full size', () => {
    expect(derToP1363(hex('3007 020101 02020080'), 32)).toEqual({
      ok: true,
      value: hex(`${'00'.repeat(31)}01 ${'00'.repeat(31)}80`),
    });
  });
});
