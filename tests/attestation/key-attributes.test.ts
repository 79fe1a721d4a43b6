/** What a statement must say of a key, attribute by attribute. */

import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { checkAttributes } from '../../src/attestation/key-attributes.js';
import { ATTRIBUTE, type AttestedObjects } from '../../src/attestation/statement.js';

const GOOD_FLAGS: readonly (readonly [number, Buffer])[] = [
  [ATTRIBUTE.extractable, Buffer.of(0)],
  [ATTRIBUTE.local, Buffer.of(1)],
  [ATTRIBUTE.neverExtractable, Buffer.of(1)],
  [ATTRIBUTE.alwaysSensitive, Buffer.of(1)],
];

type Changes = readonly (readonly [number, Buffer | undefined])[];

function attributes(all: Changes): Map<number, Buffer> {
  const map = new Map<number, Buffer>();
  for (const [type, value] of all) {
    if (value === undefined) map.delete(type);
    else map.set(type, value);
  }
  return map;
}

const rsa = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey;
const { n = '', e = '' } = rsa.export({ format: 'jwk' });
const RSA_VALUES: Changes = [
  [ATTRIBUTE.keyType, Buffer.of(0)],
  [ATTRIBUTE.modulus, Buffer.concat([Buffer.of(0), Buffer.from(n, 'base64url')])],
  [ATTRIBUTE.publicExponent, Buffer.from(e, 'base64url')],
];

function pair(changes: Changes = [], publicChanges: Changes = []): AttestedObjects {
  return {
    kind: 'pair',
    publicKey: attributes([[ATTRIBUTE.class, Buffer.of(2)], ...RSA_VALUES, ...publicChanges]),
    privateKey: attributes([[ATTRIBUTE.class, Buffer.of(3)], ...GOOD_FLAGS, ...RSA_VALUES, ...changes]),
  };
}

function secret(changes: Changes = []): AttestedObjects {
  return {
    kind: 'secret',
    secretKey: attributes([
      [ATTRIBUTE.class, Buffer.of(4)],
      ...GOOD_FLAGS,
      [ATTRIBUTE.keyCheckValue, Buffer.of(1, 2, 3)],
      ...changes,
    ]),
  };
}

const failures = (objects: AttestedObjects): readonly string[] =>
  checkAttributes(objects, {
    key: objects.kind === 'pair' ? { kind: 'pair', publicKey: rsa } : { kind: 'secret' },
  })
    .filter(({ outcome }) => outcome === 'failed')
    .map(({ name }) => name);

describe('attributes of a key', () => {
  it('made in the HSM pass, whatever zeros numbers begin with', () => {
    expect(failures(pair())).toEqual([]);
    expect(failures(pair([[ATTRIBUTE.local, Buffer.of(0, 0, 0, 1)]]))).toEqual([]);
    expect(failures(secret())).toEqual([]);
  });

  it.each<[string, string, Changes]>([
    ['is extractable', 'not-extractable', [[ATTRIBUTE.extractable, Buffer.of(1)]]],
    ['does not say whether it is extractable', 'not-extractable', [[ATTRIBUTE.extractable, undefined]]],
    ['was made elsewhere', 'local', [[ATTRIBUTE.local, Buffer.of(0)]]],
    ['was extractable once', 'never-extractable', [[ATTRIBUTE.neverExtractable, Buffer.of(0)]]],
    ['was readable once', 'always-sensitive', [[ATTRIBUTE.alwaysSensitive, Buffer.of(0)]]],
    ['has a flag of no length', 'local', [[ATTRIBUTE.local, Buffer.alloc(0)]]],
    ['has a flag of seven bytes', 'local', [[ATTRIBUTE.local, Buffer.alloc(7, 1)]]],
    ['is of another class', 'object-class', [[ATTRIBUTE.class, Buffer.of(4)]]],
    ['is of another type', 'key', [[ATTRIBUTE.keyType, Buffer.of(3)]]],
    ['has no modulus', 'key', [[ATTRIBUTE.modulus, undefined]]],
    ['has another modulus', 'key', [[ATTRIBUTE.modulus, Buffer.from('other')]]],
    ['has a modulus of zeros', 'key', [[ATTRIBUTE.modulus, Buffer.alloc(128)]]],
    ['has no exponent', 'key', [[ATTRIBUTE.publicExponent, undefined]]],
    ['has another exponent', 'key', [[ATTRIBUTE.publicExponent, Buffer.of(3)]]],
  ])('of which the private one %s fail', (_, check, changes) => {
    expect(failures(pair(changes))).toEqual([check]);
  });

  it('fail when the public object is another', () => {
    expect(failures(pair([], [[ATTRIBUTE.modulus, Buffer.from('other')]]))).toEqual(['key']);
    expect(failures(pair([], [[ATTRIBUTE.class, Buffer.of(3)]]))).toEqual(['object-class']);
  });

  it('of a secret key report the key check value, which nobody outside can compare', () => {
    const key = checkAttributes(secret(), { key: { kind: 'secret' } }).find(({ name }) => name === 'key');
    expect(key).toMatchObject({ outcome: 'not-checked', detail: expect.stringContaining('010203') });
    expect(failures(secret([[ATTRIBUTE.keyCheckValue, Buffer.of(1)]]))).toEqual(['key']);
    expect(failures(secret([[ATTRIBUTE.class, Buffer.of(3)]]))).toEqual(['object-class']);
  });
});
