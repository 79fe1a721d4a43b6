import { describe, expect, it } from 'vitest';
import { crc32c } from '../../src/crc32c.js';
import { type Corruption, corruptRequest, corruptResponse } from '../../src/emulator/faults.js';

const name = 'projects/p/locations/l/keyRings/r/cryptoKeys/key1/cryptoKeyVersions/1';
const signature = Buffer.from('signature');
const signed = {
  name,
  protectionLevel: 'HSM',
  signature,
  signatureCrc32c: { value: crc32c(signature) },
  verifiedDigestCrc32c: true,
};

describe('a damaged answer', () => {
  it.each<[Corruption, object]>([
    ['response-data', { signature: Buffer.from('signaturd') }],
    ['response-crc', { signatureCrc32c: { value: (crc32c(signature) ^ 1) >>> 0 } }],
    ['missing-crc', { signatureCrc32c: null }],
    ['missing-data', { signature: null }],
    ['verified', { verifiedDigestCrc32c: false }],
    ['protection-level', { protectionLevel: 'SOFTWARE' }],
    ['name', { name: name.replace('key1', 'key10') }],
  ])('by %s differs in that and in nothing else', (corruption, damaged) => {
    expect(corruptResponse(signed, corruption)).toEqual({ ...signed, ...damaged });
  });

  it('of a public key in a format is damaged inside ChecksummedData', () => {
    const publicKey = { data: Buffer.from('key'), crc32cChecksum: { value: 2 } };
    expect(corruptResponse({ publicKey }, 'response-data')).toEqual({
      publicKey: { ...publicKey, data: Buffer.from('kex') },
    });
    expect(corruptResponse({ publicKey }, 'response-crc')).toEqual({
      publicKey: { ...publicKey, crc32cChecksum: { value: 3 } },
    });
  });

  it('whose checksum is a plain number keeps it one', () => {
    const secret = { sharedSecret: Buffer.alloc(32), sharedSecretCrc32c: 0xffff_ffff };
    expect(corruptResponse(secret, 'response-crc')).toEqual({ ...secret, sharedSecretCrc32c: 0xffff_fffe });
  });

  it('in PEM is another PEM, and software becomes HSM', () => {
    expect(corruptResponse({ pem: 'MFkA', protectionLevel: 'SOFTWARE' }, 'response-data')).toMatchObject({
      pem: 'MFkB',
    });
    expect(corruptResponse({ protectionLevel: 'SOFTWARE' }, 'protection-level')).toEqual({
      protectionLevel: 'HSM',
    });
  });

  it('without a name or a payload stays as it is', () => {
    expect(corruptResponse({ plaintext: null }, 'name')).toEqual({ plaintext: null });
    expect(corruptResponse({ done: true }, 'response-data')).toEqual({ done: true });
  });
});

describe('a damaged request', () => {
  it('has another payload', () => {
    expect(corruptRequest({ name, plaintext: Buffer.from('a') })).toEqual({
      name,
      plaintext: Buffer.from('`'),
    });
    expect(corruptRequest({ digest: { digest: 'sha256', sha256: Buffer.from('a') } })).toEqual({
      digest: { digest: 'sha256', sha256: Buffer.from('`') },
    });
    expect(corruptRequest({ name })).toEqual({ name });
  });
});
