import { Metadata } from '@grpc/grpc-js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { retryDelayOf } from '../../src/kms/status-details.js';

const field = (number: number, bytes: Uint8Array): Buffer => {
  if (bytes.length > 0x7f)
    return Buffer.concat([
      Buffer.from([number * 8 + 2, (bytes.length & 0x7f) | 0x80, bytes.length >> 7]),
      bytes,
    ]);
  return Buffer.concat([Buffer.from([number * 8 + 2, bytes.length]), bytes]);
};
const any = (type: string, value: Uint8Array): Buffer =>
  field(3, Buffer.concat([field(1, Buffer.from(`type.googleapis.com/${type}`)), field(2, value)]));
/** google.protobuf.Duration of 2 s and 500,000,000 ns. */
const duration = Buffer.from([0x08, 0x02, 0x10, 0x80, 0xca, 0xb5, 0xee, 0x01]);

function metadataWith(status: Uint8Array): Metadata {
  const metadata = new Metadata();
  metadata.set('grpc-status-details-bin', Buffer.from(status));
  return metadata;
}

describe('retryDelayOf', () => {
  it('reads the delay of a RetryInfo behind other details', () => {
    const status = Buffer.concat([
      Buffer.from([0x08, 0x08]),
      field(2, Buffer.from('Quota exceeded')),
      any('google.rpc.ErrorInfo', field(1, Buffer.from('RATE_LIMIT_EXCEEDED'))),
      any('google.rpc.RetryInfo', field(1, duration)),
    ]);
    expect(retryDelayOf(metadataWith(status))).toBe(2_500);
  });

  it('caps a delay of more than a day', () => {
    const years = Buffer.from([0x08, 0xff, 0xff, 0xff, 0xff, 0x0f]);
    expect(retryDelayOf(metadataWith(any('google.rpc.RetryInfo', field(1, years))))).toBe(86_400_000);
  });

  it.each([
    ['no metadata', undefined],
    ['something else for metadata', { get: 7 }],
    ['no details', new Metadata()],
    ['no RetryInfo', metadataWith(any('google.rpc.ErrorInfo', Buffer.alloc(0)))],
    ['a RetryInfo without a delay', metadataWith(any('google.rpc.RetryInfo', Buffer.alloc(0)))],
    ['a length beyond the end', metadataWith(Buffer.from([0x1a, 0x7f, 0x00]))],
    ['a number that does not end', metadataWith(Buffer.alloc(20, 0xff))],
    ['a wire type that is not in use', metadataWith(Buffer.from([0x1d, 0, 0, 0, 0]))],
    ['a detail that is a number', metadataWith(Buffer.from([0x18, 0x01]))],
    [
      'a duration whose fields are bytes',
      metadataWith(any('google.rpc.RetryInfo', field(1, field(1, Buffer.from('x'))))),
    ],
    [
      'a value that is a number',
      metadataWith(
        field(
          3,
          Buffer.concat([
            field(1, Buffer.from('type.googleapis.com/google.rpc.RetryInfo')),
            Buffer.from([0x10, 1]),
          ]),
        ),
      ),
    ],
    ['a delay that is a number', metadataWith(any('google.rpc.RetryInfo', Buffer.from([0x08, 1])))],
  ])('is undefined with %s', (_, metadata) => {
    expect(retryDelayOf(metadata)).toBeUndefined();
  });

  it('never throws, whatever the bytes (attacker-controlled)', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const delayMs = retryDelayOf(metadataWith(bytes));
        expect(delayMs === undefined || delayMs >= 0).toBe(true);
      }),
    );
  });
});
