import { describe, expect, it } from 'vitest';
import { cryptoKeyName, keyRingName, keyVersion } from '../../src/keys/resource-name.js';
import { toKeyMetadata, toKeyRecord, toVersionRecord } from '../../src/kms/resources.js';

const key = cryptoKeyName(keyRingName({ projectId: 'p', locationId: 'l', keyRingId: 'r' }), 'key1');
const context = { operation: 'getKey', resource: key };
const createTime = { seconds: '1700000000', nanos: 123_456_789 };
const keyMessage = {
  name: key,
  purpose: 'ASYMMETRIC_SIGN' as const,
  versionTemplate: { algorithm: 'EC_SIGN_P256_SHA256' as const, protectionLevel: 'HSM' as const },
  createTime,
};
const versionMessage = {
  name: `${key}/cryptoKeyVersions/2`,
  state: 'ENABLED' as const,
  algorithm: 'EC_SIGN_P256_SHA256' as const,
  protectionLevel: 'HSM' as const,
  createTime,
};

describe('toKeyRecord', () => {
  it('takes times to the millisecond and has no labels where there are none', () => {
    const record = toKeyRecord(keyMessage, key, context);
    expect(record).toMatchObject({
      labels: {},
      createTime: new Date(1_700_000_000_123),
      destroyScheduledDurationSeconds: 0,
    });
    expect(toKeyMetadata(record, undefined)).toMatchObject({
      algorithm: 'EC_SIGN_P256_SHA256',
      protectionLevel: 'HSM',
      primary: undefined,
    });
  });

  it.each([
    ['another name (D6)', { ...keyMessage, name: `${key}0` }],
    ['no name', { ...keyMessage, name: null }],
    ['no purpose', { ...keyMessage, purpose: null }],
    ['no version template', { ...keyMessage, versionTemplate: null }],
    ['no creation time', { ...keyMessage, createTime: null }],
    ['a creation time that is none', { ...keyMessage, createTime: { seconds: 'soon' } }],
    [
      'a primary of another key',
      { ...keyMessage, primary: { ...versionMessage, name: `${key}0/cryptoKeyVersions/2` } },
    ],
  ])('does not believe a key with %s', (_, message) => {
    expect(() => toKeyRecord(message, key, context)).toThrow(
      expect.objectContaining({ code: 'INTEGRITY', resource: key }),
    );
  });
});

describe('toVersionRecord', () => {
  it('keeps what is set and leaves out what is not', () => {
    const failed = {
      ...versionMessage,
      state: 'IMPORT_FAILED' as const,
      importFailureReason: 'wrong key',
      destroyEventTime: createTime,
    };
    const { metadata } = toVersionRecord(failed, { key }, context);
    expect(metadata).toMatchObject({
      version: 2,
      failureReason: 'wrong key',
      destroyEventTime: new Date(1_700_000_000_123),
    });
    expect(metadata).not.toHaveProperty('destroyTime');
    expect(metadata).not.toHaveProperty('generateTime');
  });

  it.each([
    ['another number', versionMessage, keyVersion(key, 20)],
    ['no name', { ...versionMessage, name: null }, undefined],
    [
      'an unknown state',
      { ...versionMessage, state: 'CRYPTO_KEY_VERSION_STATE_UNSPECIFIED' as const },
      undefined,
    ],
    ['no algorithm', { ...versionMessage, algorithm: null }, undefined],
    ['no creation time', { ...versionMessage, createTime: null }, undefined],
  ])('does not believe a version with %s', (_, message, version) => {
    const expected = version === undefined ? { key } : { key, version };
    expect(() => toVersionRecord(message, expected, context)).toThrow(
      expect.objectContaining({ code: 'INTEGRITY' }),
    );
  });
});
