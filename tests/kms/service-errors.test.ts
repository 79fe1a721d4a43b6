import { describe, expect, it } from 'vitest';
import { ResourceExhaustedError } from '../../src/index.js';
import { isRepeatable, isTransient, toRpcFailure, toTypedError } from '../../src/kms/service-errors.js';

const limits = { context: { operation: 'decrypt', resource: 'k' }, timeoutMs: 5_000 };
const failure = (code: number, details: string) =>
  toRpcFailure(Object.assign(new Error(`${code} ${details}`), { code, details }));

describe('toRpcFailure', () => {
  it.each([
    ['no object', 'broken', { status: 'UNKNOWN', message: 'no message' }],
    [
      'an error without a code',
      new Error('socket hang up'),
      { status: 'UNKNOWN', message: 'socket hang up' },
    ],
    ['a code that gRPC does not have', { code: 99 }, { status: 'UNKNOWN', message: 'no message' }],
    ['a code that is text', { code: 'EPIPE', details: '' }, { status: 'UNKNOWN' }],
  ])('reads %s as UNKNOWN', (_, cause, expected) => {
    expect(toRpcFailure(cause)).toMatchObject({ ...expected, cause, retryAfterMs: undefined });
  });

  it('prefers what the server said to the message of the client', () => {
    expect(failure(5, 'CryptoKey k not found.')).toMatchObject({
      status: 'NOT_FOUND',
      message: 'CryptoKey k not found.',
    });
  });
});

describe('what may be repeated', () => {
  it('is a transient failure of a safe call, and a quota answer of any', () => {
    expect(isRepeatable('asymmetricSign', failure(14, 'x'))).toBe(true);
    expect(isRepeatable('createCryptoKeyVersion', failure(14, 'x'))).toBe(false);
    expect(isRepeatable('createCryptoKeyVersion', failure(8, 'x'))).toBe(true);
    expect(isTransient(failure(9, 'x'))).toBe(false);
  });
});

describe('a quota error', () => {
  it('says in whole milliseconds when to come back, not before the time', () => {
    const context = { operation: 'sign', resource: 'k' };
    expect(new ResourceExhaustedError(context, 'it is used up.', 1_285.476).retryAfterMs).toBe(1_286);
  });
});

describe('toTypedError', () => {
  it.each([
    ['UNKNOWN', 2],
    ['UNAVAILABLE', 14],
  ])('ends what the service said with one full stop: %s', (_, code) => {
    for (const said of ['broken', 'broken.']) {
      const { message } = toTypedError('decrypt', failure(code, said), limits);
      expect(message).toMatch(/broken\. [A-Z]/);
    }
  });

  it.each([
    [
      'decrypt',
      'The checksum in field ciphertext_crc32c did not match the data in field ciphertext.',
      'INTEGRITY',
    ],
    ['decrypt', 'Decryption failed: the ciphertext is invalid.', 'DECRYPTION_FAILED'],
    ['decrypt', 'Malformed name.', 'INVALID_ARGUMENT'],
    ['asymmetricDecrypt', 'Something about the argument.', 'DECRYPTION_FAILED'],
    ['encrypt', 'Decryption is not the matter.', 'INVALID_ARGUMENT'],
  ] as const)('tells apart the INVALID_ARGUMENT of %s: %s', (rpc, details, code) => {
    expect(toTypedError(rpc, failure(3, details), limits)).toMatchObject({ code, operation: 'decrypt' });
  });
});
