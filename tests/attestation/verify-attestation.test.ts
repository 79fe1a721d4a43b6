/** Genuine statements of Cloud HSM must pass every check, and nothing that differs from them in a single bit. */

import { generateKeyPairSync } from 'node:crypto';
import { gunzipSync, gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import type { AttestationInput } from '../../src/attestation/attestation-input.js';
import { CLOUD_HSM_ROOTS } from '../../src/attestation/roots.js';
import {
  type AttestationVerdict,
  attestedKeyOf,
  verifyAttestation,
} from '../../src/attestation/verify-attestation.js';
import { GENUINE, type GenuineName, genuineAttestation } from '../support/genuine-attestations.js';

/** Within the validity of all certificates but the old root of the manufacturer. */
const AT = new Date('2026-11-01T00:00:00Z');

function inputOf(name: GenuineName): AttestationInput {
  const { content, certChains, publicKey } = genuineAttestation(name);
  return { format: 'CAVIUM_V2_COMPRESSED', content, certChains, key: { kind: 'pair', publicKey }, at: AT };
}

const failedChecks = ({ checks }: AttestationVerdict): readonly string[] =>
  checks.filter(({ outcome }) => outcome === 'failed').map(({ name }) => name);

function flipped(bytes: Uint8Array, bit: number): Buffer {
  const changed = Buffer.from(bytes);
  changed.writeUInt8(changed.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
  return changed;
}

describe.each(GENUINE)('the genuine statement %s', (name) => {
  it('is valid, with every check passed and the HSM named', () => {
    const verdict = verifyAttestation(inputOf(name));
    expect(verdict.verdict).toBe('valid');
    expect(verdict.checks.map(({ outcome }) => outcome)).toEqual(verdict.checks.map(() => 'passed'));
    expect(verdict.checks).toHaveLength(17);
    expect(verdict.hsm?.card).toContain('for FIPS mode');
    expect(verdict.hsm?.partition).toContain(':PARTN:');
  });

  it('is refused with any byte of its content changed by a bit', () => {
    const input = inputOf(name);
    const accepted: number[] = [];
    for (let byte = 0; byte < input.content.length; byte++) {
      const content = flipped(input.content, byte * 8 + ((byte * 5) % 8));
      if (verifyAttestation({ ...input, content }).verdict !== 'invalid') accepted.push(byte);
    }
    expect(accepted).toEqual([]);
  });

  it('is refused with any of its certificates changed by a bit', () => {
    const input = inputOf(name);
    const accepted: string[] = [];
    for (const field of ['caviumCerts', 'googleCardCerts', 'googlePartitionCerts'] as const) {
      for (const [index, pem] of input.certChains[field].entries()) {
        for (let byte = index; byte < pem.length; byte += 7) {
          const changed = flipped(Buffer.from(pem, 'latin1'), byte * 8 + (byte % 8)).toString('latin1');
          const certChains = { ...input.certChains, [field]: input.certChains[field].with(index, changed) };
          if (verifyAttestation({ ...input, certChains }).verdict !== 'invalid')
            accepted.push(`${field} ${index} ${byte}`);
        }
      }
    }
    expect(accepted).toEqual([]);
  });

  it('does not fit another key', () => {
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const verdict = verifyAttestation({ ...inputOf(name), key: { kind: 'pair', publicKey } });
    expect([verdict.verdict, failedChecks(verdict)]).toEqual(['invalid', ['key']]);
  });

  it('is not accepted for a post-quantum key, whose form in a statement is not known', () => {
    const verdict = verifyAttestation({ ...inputOf(name), key: { kind: 'post-quantum' } });
    expect([verdict.verdict, failedChecks(verdict)]).toEqual(['invalid', ['key']]);
  });

  it('does not show that it is about a version of another name, and is valid all the same', () => {
    const verdict = verifyAttestation({
      ...inputOf(name),
      keyVersion: 'projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1',
    });
    expect(verdict.checks.find((check) => check.name === 'version-name')?.outcome).toBe('not-checked');
    expect(verdict.verdict).toBe('valid');
  });

  it('names no HSM where only the chain of the maker is good', () => {
    const input = inputOf(name);
    const certChains = { ...input.certChains, googleCardCerts: [] };
    const verdict = verifyAttestation({ ...input, certChains, keyVersion: 'a version' });
    expect(verdict.hsm).toBeUndefined();
    const { checks } = verdict;
    expect(checks.find((check) => check.name === 'fips-mode')?.outcome).toBe('not-checked');
    expect(
      verifyAttestation({ ...input, content: Buffer.alloc(0), keyVersion: 'a version' }).hsm,
    ).toBeDefined();
  });

  it('is not one of a secret key', () => {
    const verdict = verifyAttestation({ ...inputOf(name), key: { kind: 'secret' } });
    expect([verdict.verdict, failedChecks(verdict)]).toEqual(['invalid', ['statement']]);
  });

  it('keeps its verdict when certificates have expired, and says so', () => {
    const verdict = verifyAttestation({ ...inputOf(name), at: new Date('2031-01-01T00:00:00Z') });
    expect([verdict.verdict, failedChecks(verdict)]).toEqual(['valid', ['certificate-validity']]);
  });

  it('passes without the roots that came along, which are not what is trusted', () => {
    const input = inputOf(name);
    const { caviumCerts, googleCardCerts, googlePartitionCerts } = input.certChains;
    const certChains = {
      caviumCerts: caviumCerts.slice(0, 2).reverse(),
      googleCardCerts: googleCardCerts.slice(0, 1),
      googlePartitionCerts: googlePartitionCerts.slice(0, 1),
    };
    expect(verifyAttestation({ ...input, certChains }).verdict).toBe('valid');
  });

  it('is refused when only the roots that came along vouch for it', () => {
    const input = inputOf(name);
    const roots = { manufacturer: CLOUD_HSM_ROOTS.google, google: CLOUD_HSM_ROOTS.manufacturer };
    const verdict = verifyAttestation({ ...input, roots });
    expect([verdict.verdict, failedChecks(verdict)]).toEqual([
      'invalid',
      ['manufacturer-chain', 'google-card-chain', 'google-partition-chain'],
    ]);
  });
});

describe('a root that is no certificate', () => {
  it('is refused by its place, whatever is judged with it', () => {
    const roots = { manufacturer: CLOUD_HSM_ROOTS.manufacturer, google: [...CLOUD_HSM_ROOTS.google, 'none'] };
    expect(() => verifyAttestation({ ...inputOf('p256-hsm'), roots })).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT', resource: 'roots.google[1]' }),
    );
  });
});

it('a public key that is none is refused', () => {
  expect(() => attestedKeyOf('')).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
});

describe('a statement', () => {
  const input = inputOf('p256-hsm');
  const other = inputOf('rsa2048-hsm');

  it('is refused with the card of one HSM and the partition of another', () => {
    const { googleCardCerts, googlePartitionCerts, caviumCerts } = input.certChains;
    const exchanged = verifyAttestation({
      ...input,
      certChains: {
        caviumCerts,
        googleCardCerts: googlePartitionCerts,
        googlePartitionCerts: googleCardCerts,
      },
    });
    expect([exchanged.verdict, failedChecks(exchanged)]).toEqual([
      'invalid',
      ['card-keys', 'partition-keys'],
    ]);
  });

  it.each([
    ['no certificates', { caviumCerts: [], googleCardCerts: [], googlePartitionCerts: [] }],
    [
      'a chain without its card',
      { ...input.certChains, caviumCerts: input.certChains.caviumCerts.slice(0, 1) },
    ],
    [
      'a certificate that has no place in the chain',
      {
        ...input.certChains,
        googleCardCerts: [...input.certChains.googleCardCerts, ...input.certChains.googlePartitionCerts],
      },
    ],
    ['nine certificates', { ...input.certChains, caviumCerts: new Array<string>(9).fill('') }],
    ['a certificate of endless size', { ...input.certChains, caviumCerts: [' '.repeat(20_000)] }],
    [
      'the card where the chain of the partition should be',
      { ...input.certChains, caviumCerts: input.certChains.caviumCerts.slice(1) },
    ],
  ])('is refused with %s', (_, certChains) => {
    expect(verifyAttestation({ ...input, certChains }).verdict).toBe('invalid');
  });

  it('of another key is refused, though the HSM signed it', () => {
    const verdict = verifyAttestation({ ...input, content: other.content, certChains: other.certChains });
    expect([verdict.verdict, failedChecks(verdict)]).toEqual(['invalid', ['key']]);
  });

  it('in a format that is not known is refused by name', () => {
    expect(failedChecks(verifyAttestation({ ...input, format: 'ATTESTATION_FORMAT_UNSPECIFIED' }))).toEqual([
      'format',
    ]);
  });

  it('in the other format is malformed', () => {
    expect(failedChecks(verifyAttestation({ ...input, format: 'CAVIUM_V1_COMPRESSED' }))).toEqual([
      'statement',
    ]);
  });

  it('may be compressed again by another compressor', () => {
    const content = gzipSync(gunzipSync(input.content));
    // RFC 1952 section 2.3.1: Unix, whatever system the test runs on.
    content.writeUInt8(3, 9);
    expect(verifyAttestation({ ...input, content }).verdict).toBe('valid');
  });

  it.each([
    ['nothing', Buffer.alloc(0)],
    ['a header alone', Buffer.from('1f8b0800000000000000', 'hex')],
    ['no gzip', Buffer.alloc(1_000, 7)],
    ['64 KiB and a byte', Buffer.alloc(65_537)],
    ['a bomb', gzipSync(Buffer.alloc(8_000_000))],
    ['less than a signature', gzipSync(Buffer.alloc(256))],
    ['two members', Buffer.concat([input.content, input.content])],
    ['a byte after the end', Buffer.concat([input.content, Buffer.of(0)])],
    ['half of it', input.content.slice(0, 400)],
  ])('is refused when its content is %s', (_, content) => {
    const verdict = verifyAttestation({ ...input, content });
    expect([verdict.verdict, failedChecks(verdict)]).toEqual(['invalid', ['content']]);
  });

  it('of a key pair needs an RSA or elliptic curve key', () => {
    const { publicKey } = generateKeyPairSync('ed25519');
    expect(failedChecks(verifyAttestation({ ...input, key: { kind: 'pair', publicKey } }))).toEqual(['key']);
  });
});
