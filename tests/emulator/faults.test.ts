import { describe, expect, it } from 'vitest';
import { corruptRequest, corruptResponse } from '../../src/emulator/faults.js';

describe('corruptRequest', () => {
  it('changes a byte of the first payload that was sent', () => {
    expect(corruptRequest({ plaintext: Buffer.from([1, 2]), data: Buffer.from([3]) })).toEqual({
      plaintext: Buffer.from([1, 3]),
      data: Buffer.from([3]),
    });
    expect(
      corruptRequest({ data: Buffer.alloc(0), digest: { digest: 'sha256', sha256: Buffer.from([4]) } }),
    ).toEqual({
      data: Buffer.alloc(0),
      digest: { digest: 'sha256', sha256: Buffer.from([5]) },
    });
  });

  it('leaves a request without a payload as it is', () => {
    expect(corruptRequest({ name: 'k' })).toEqual({ name: 'k' });
  });
});

describe('corruptResponse', () => {
  const response = {
    name: 'x/cryptoKeys/k/cryptoKeyVersions/1',
    signature: Buffer.from([1]),
    signatureCrc32c: { value: 7 },
    verifiedDigestCrc32c: true,
    protectionLevel: 'HSM',
  };

  it.each([
    ['name', { name: 'x/cryptoKeys/k0/cryptoKeyVersions/1' }],
    ['protection-level', { protectionLevel: 'SOFTWARE' }],
    ['verified', { verifiedDigestCrc32c: false }],
    ['missing-data', { signature: null }],
    ['missing-crc', { signatureCrc32c: null }],
    ['response-crc', { signatureCrc32c: { value: 6 } }],
    ['response-data', { signature: Buffer.from([0]) }],
  ] as const)('%s changes that and nothing else', (corruption, change) => {
    expect(corruptResponse(response, corruption)).toEqual({ ...response, ...change });
  });

  it('changes the text of a PEM, the level of a software key, and nothing where there is no payload', () => {
    expect(corruptResponse({ pem: 'MFkwEwYHA' }, 'response-data')).toEqual({ pem: 'MFkwEwYHB' });
    expect(corruptResponse({ data: 7 }, 'response-data')).toEqual({ data: 7 });
    expect(corruptResponse({ protectionLevel: 'SOFTWARE' }, 'protection-level')).toEqual({
      protectionLevel: 'HSM',
    });
    expect(corruptResponse({ state: 'ENABLED' }, 'response-crc')).toEqual({ state: 'ENABLED' });
  });

  it('damages payloads inside of a field, and checksums that are plain numbers', () => {
    const formatted = { publicKey: { data: Buffer.from([1]), crc32cChecksum: { value: 4 } } };
    expect(corruptResponse(formatted, 'response-data')).toEqual({
      publicKey: { ...formatted.publicKey, data: Buffer.from([0]) },
    });
    expect(corruptResponse(formatted, 'response-crc')).toEqual({
      publicKey: { ...formatted.publicKey, crc32cChecksum: { value: 5 } },
    });
    const shared = { sharedSecret: Buffer.from([1]), sharedSecretCrc32c: 8 };
    expect(corruptResponse(shared, 'response-crc')).toEqual({ ...shared, sharedSecretCrc32c: 9 });
    expect(corruptResponse({ mac: Buffer.from([1]) }, 'response-crc')).toEqual({
      mac: Buffer.from([1]),
      macCrc32c: { value: 1 },
    });
    expect(corruptResponse({ mac: Buffer.alloc(0) }, 'response-data')).toEqual({ mac: Buffer.alloc(0) });
  });

  it('changes no name where there is none', () => {
    expect(corruptResponse({ state: 'ENABLED' }, 'name')).toEqual({ state: 'ENABLED' });
  });
});
