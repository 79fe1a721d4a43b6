/** Statements are parsed within their bounds, whatever they say of lengths and offsets. */

import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SIGNATURE_BYTES } from '../../src/attestation/content.js';
import { ATTRIBUTE, parseStatement } from '../../src/attestation/statement.js';
import { genuineAttestation } from '../support/genuine-attestations.js';

const statement = gunzipSync(genuineAttestation('p256-hsm').content).subarray(0, -SIGNATURE_BYTES);
/** Where the objects begin in the genuine statement, read off by hand. */
const FIRST_OBJECT = 40;
const SECOND_OBJECT = 948;

function changed(writes: readonly (readonly [offset: number, uint32: number])[]): Buffer {
  const copy = Buffer.from(statement);
  for (const [offset, value] of writes) copy.writeUInt32BE(value, offset);
  return copy;
}

/** A V1 statement or one of a secret key, put together from an object of the genuine one. */
function objectsAt(start: number, ...objects: readonly Buffer[]): Buffer {
  return Buffer.concat([Buffer.alloc(start), ...objects]);
}

const publicObject = statement.subarray(FIRST_OBJECT, SECOND_OBJECT);
const privateObject = statement.subarray(SECOND_OBJECT);

describe('a statement', () => {
  it('in V2 has a public and a private key', () => {
    const objects = parseStatement('CAVIUM_V2_COMPRESSED', statement, 'pair');
    if ('problem' in objects || objects.kind !== 'pair') throw new Error('not parsed');
    expect(objects.publicKey.get(ATTRIBUTE.class)).toEqual(Buffer.of(2));
    expect(objects.privateKey.get(ATTRIBUTE.class)).toEqual(Buffer.of(3));
    expect(objects.privateKey.size).toBe(35);
  });

  it('in V2 of a secret key has one object', () => {
    const start = 24;
    const bytes = objectsAt(start + 8, privateObject);
    bytes.writeUInt32BE(bytes.length + SIGNATURE_BYTES, 8);
    bytes.writeUInt32BE(bytes.length - start, 12);
    bytes.writeUInt16BE(8, start + 4);
    expect(parseStatement('CAVIUM_V2_COMPRESSED', bytes, 'secret')).toMatchObject({ kind: 'secret' });
    expect(parseStatement('CAVIUM_V2_COMPRESSED', bytes, 'pair')).toHaveProperty('problem');
  });

  it('in V1 has its objects at fixed places', () => {
    expect(parseStatement('CAVIUM_V1_COMPRESSED', objectsAt(24, privateObject), 'secret')).toMatchObject({
      kind: 'secret',
    });
    expect(
      parseStatement('CAVIUM_V1_COMPRESSED', objectsAt(984, publicObject, privateObject), 'pair'),
    ).toMatchObject({ kind: 'pair' });
  });

  it.each<[string, Buffer]>([
    ['the total size is another', changed([[8, 2_111]])],
    ['the statement would begin before its header ends', changed([[12, 2_112]])],
    ['the first object is elsewhere', changed([[36, 0x00090394]])],
    ['the second object is elsewhere', changed([[36, 0x00080395]])],
    ['an object ends behind it', changed([[SECOND_OBJECT + 8, 897]])],
    ['an object ends before its attributes do', changed([[SECOND_OBJECT + 8, 895]])],
    ['an object has too many attributes', changed([[FIRST_OBJECT + 4, 257]])],
    ['an object has one attribute more', changed([[FIRST_OBJECT + 4, 36]])],
    ['an object has one attribute less', changed([[FIRST_OBJECT + 4, 34]])],
    ['an attribute is longer than all of it', changed([[FIRST_OBJECT + 16, 0xffffffff]])],
    ['an attribute stands twice', changed([[FIRST_OBJECT + 12 + 9, ATTRIBUTE.class]])],
    [
      'bytes follow',
      Buffer.concat([
        changed([
          [8, 2_113],
          [12, 1_825],
        ]),
        Buffer.of(0),
      ]),
    ],
    ['it is empty', Buffer.alloc(0)],
    ['it ends in its header', statement.subarray(0, 15)],
  ])('is malformed when %s', (_, bytes) => {
    expect(parseStatement('CAVIUM_V2_COMPRESSED', bytes, 'pair')).toEqual({ problem: expect.any(String) });
  });

  it('of any bytes is parsed or malformed, and nothing else', () => {
    const format = fc.constantFrom('CAVIUM_V1_COMPRESSED' as const, 'CAVIUM_V2_COMPRESSED' as const);
    const kind = fc.constantFrom('pair' as const, 'secret' as const);
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 2_000 }).map((array) => Buffer.from(array)),
      fc
        .tuple(fc.nat(statement.length - 4), fc.nat(0xffffffff))
        .map(([offset, value]) => changed([[offset, value]])),
    );
    fc.assert(
      fc.property(format, bytes, kind, (...input) => {
        const parsed = parseStatement(...input);
        expect('problem' in parsed || parsed.kind === input[2]).toBe(true);
      }),
    );
  });
});
