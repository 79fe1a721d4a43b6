import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  cryptoKeyName,
  keyIdOf,
  keyRingName,
  keyVersion,
  parseKeyReference,
  parseVersionOf,
} from '../../src/keys/resource-name.js';

const ring = keyRingName({ projectId: 'acme', locationId: 'global', keyRingId: 'agents' });
const otherRing = keyRingName({ projectId: 'acme', locationId: 'global', keyRingId: 'agents2' });
const keyId = fc.string({ minLength: 1, maxLength: 63, unit: fc.constantFrom(...'abcXYZ019-_') });

describe('parseKeyReference', () => {
  it('takes a short id, a key name and a version name for the same key', () => {
    fc.assert(
      fc.property(keyId, fc.integer({ min: 1, max: 1e9 }), (id, number) => {
        const key = cryptoKeyName(ring, id);
        expect(parseKeyReference(id, ring)).toEqual({ ok: true, value: { kind: 'key', key } });
        expect(parseKeyReference(key, ring)).toEqual({ ok: true, value: { kind: 'key', key } });
        const version = keyVersion(key, number);
        expect(parseKeyReference(version.name, ring)).toEqual({
          ok: true,
          value: { kind: 'version', key, version },
        });
        expect(keyIdOf(key)).toBe(id);
      }),
    );
  });

  it.each([
    ['an empty string', ''],
    ['a key of another ring', `${otherRing}/cryptoKeys/k`],
    ['a key ring whose name only begins the same (D6)', `${otherRing}x/cryptoKeys/k`],
    ['a space in the id', 'my key'],
    ['64 characters', 'k'.repeat(64)],
    ['a trailing slash', `${ring}/cryptoKeys/k/`],
    ['"versions" for "cryptoKeyVersions" (P10)', `${ring}/cryptoKeys/k/versions/1`],
    ['a missing version number (P10)', `${ring}/cryptoKeys/k/cryptoKeyVersions`],
    ['an empty version number', `${ring}/cryptoKeys/k/cryptoKeyVersions/`],
    ['version 0', `${ring}/cryptoKeys/k/cryptoKeyVersions/0`],
    ['a version with a leading zero', `${ring}/cryptoKeys/k/cryptoKeyVersions/01`],
    ['a part after the version', `${ring}/cryptoKeys/k/cryptoKeyVersions/1/publicKey`],
    ['a name that was prefixed twice', `${ring}/cryptoKeys/${ring}/cryptoKeys/k`],
    ['the key ring alone', ring],
  ])('refuses %s', (_, text) => {
    expect(parseKeyReference(text, ring)).toEqual({ ok: false, problem: expect.any(String) });
  });

  it('refuses what is not a string', () => {
    expect(parseKeyReference(JSON.parse('7'), ring)).toEqual({
      ok: false,
      problem: expect.stringContaining('a string'),
    });
  });
});

describe('parseVersionOf', () => {
  const key = cryptoKeyName(ring, 'key1');

  it('reads the number of a version of the key', () => {
    expect(parseVersionOf(key, `${key}/cryptoKeyVersions/10`)).toEqual({
      name: `${key}/cryptoKeyVersions/10`,
      number: 10,
    });
  });

  it.each([
    [`${ring}/cryptoKeys/key10/cryptoKeyVersions/1`],
    [`${key}/cryptoKeyVersions/x`],
    [`${key}/cryptoKeyVersions/1/2`],
    [key],
  ])('does not take %s for one (D6)', (name) => {
    expect(parseVersionOf(key, name)).toBeUndefined();
  });
});

describe('names made from parts', () => {
  it('refuses parts that are none', () => {
    expect(() => cryptoKeyName(ring, 'a/b')).toThrow(TypeError);
    expect(() => keyVersion(cryptoKeyName(ring, 'k'), 0)).toThrow(TypeError);
    expect(() => keyVersion(cryptoKeyName(ring, 'k'), 1.5)).toThrow(TypeError);
    expect(() => keyRingName({ projectId: 'a/b', locationId: 'global', keyRingId: 'r' })).toThrow(TypeError);
  });
});
