import { describe, expect, it } from 'vitest';
import { keyRingName } from '../../src/keys/resource-name.js';
import { KeyReferences } from '../../src/kms/key-references.js';

const keyRing = keyRingName({ projectId: 'p', locationId: 'europe-west3', keyRingId: 'agents' });

describe('references to keys', () => {
  it('are the same object for the same text, whichever of the forms it has', () => {
    const references = new KeyReferences(keyRing, { maxEntries: 10 });
    for (const text of [
      'alice',
      `${keyRing}/cryptoKeys/alice`,
      `${keyRing}/cryptoKeys/alice/cryptoKeyVersions/2`,
    ]) {
      expect(references.parse(text)).toBe(references.parse(text));
      expect(references.parse(text)).toMatchObject({
        ok: true,
        value: { key: `${keyRing}/cryptoKeys/alice` },
      });
    }
  });

  it('are refused each time for what names no key of the ring', () => {
    const references = new KeyReferences(keyRing, { maxEntries: 10 });
    const elsewhere = `${keyRing}-2/cryptoKeys/alice`;
    expect(references.parse(elsewhere).ok).toBe(false);
    expect(references.parse(elsewhere).ok).toBe(false);
  });

  it('forget those that were not asked for lately', () => {
    const references = new KeyReferences(keyRing, { maxEntries: 1 });
    const alice = references.parse('alice');
    references.parse('bob');
    expect(references.parse('alice')).not.toBe(alice);
  });
});
