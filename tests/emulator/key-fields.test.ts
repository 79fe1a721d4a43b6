import { describe, expect, it } from 'vitest';
import { readProtectionLevel } from '../../src/emulator/rpcs/crypto-key-fields.js';

describe('readProtectionLevel', () => {
  it.each([
    [undefined],
    [{}],
    [{ protectionLevel: 'PROTECTION_LEVEL_UNSPECIFIED' }],
    [{ protectionLevel: 'SOFTWARE' }],
  ])('is SOFTWARE for %j', (parent) => {
    expect(readProtectionLevel(parent)).toBe('SOFTWARE');
  });

  it.each([
    ['HSM_SINGLE_TENANT', 'INVALID_ARGUMENT'],
    ['EXTERNAL_VPC', 'INVALID_ARGUMENT'],
    ['EXTERNAL', 'UNIMPLEMENTED'],
    ['MARS', 'INVALID_ARGUMENT'],
  ])('refuses %s', (protectionLevel, status) => {
    expect(() => readProtectionLevel({ protectionLevel })).toThrow(expect.objectContaining({ status }));
  });
});
