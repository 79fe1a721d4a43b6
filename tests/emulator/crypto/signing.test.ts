import {
  constants,
  createHash,
  createPublicKey,
  publicDecrypt,
  randomBytes,
  sign,
  verify,
} from 'node:crypto';
import { ml_dsa44, ml_dsa65, ml_dsa87 } from '@noble/post-quantum/ml-dsa.js';
import { slh_dsa_sha2_128s } from '@noble/post-quantum/slh-dsa.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CryptoInputError, KeyMaterialError } from '../../../src/emulator/crypto/crypto-errors.js';
import {
  type KeyMaterial,
  postQuantumKeyFor,
  privateKeyFor,
} from '../../../src/emulator/crypto/key-material.js';
import { signData, signDigest } from '../../../src/emulator/crypto/signing.js';
import type { SigningAlgorithmEntry } from '../../../src/keys/algorithm-types.js';
import { allAlgorithms } from '../../../src/keys/algorithms.js';
import { entryOf, materialFor } from '../../support/key-material.js';

const MESSAGE = Buffer.from('agent one tells agent two');
const P256 = entryOf('ASYMMETRIC_SIGN', 'EC_SIGN_P256_SHA256');
const K256 = entryOf('ASYMMETRIC_SIGN', 'EC_SIGN_SECP256K1_SHA256');
const ED25519 = entryOf('ASYMMETRIC_SIGN', 'EC_SIGN_ED25519');
const PKCS1_2048 = entryOf('ASYMMETRIC_SIGN', 'RSA_SIGN_PKCS1_2048_SHA256');
const PSS_2048 = entryOf('ASYMMETRIC_SIGN', 'RSA_SIGN_PSS_2048_SHA256');
const RAW_2048 = entryOf('ASYMMETRIC_SIGN', 'RSA_SIGN_RAW_PKCS1_2048');
const SLH_DSA = entryOf('ASYMMETRIC_SIGN', 'PQ_SIGN_SLH_DSA_SHA2_128S');
const GOOGLE = entryOf('ENCRYPT_DECRYPT', 'GOOGLE_SYMMETRIC_ENCRYPTION');

/** Half the order of secp256k1, the largest low S (SEC 2 section 2.4.1). */
const SECP256K1_HALF_ORDER = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0n;
/** Half the order of P-256 (SP 800-186 section 3.2.1.3). */
const P256_HALF_ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n / 2n;

const signingEntries = allAlgorithms().filter((entry) => entry.purpose === 'ASYMMETRIC_SIGN');
const digestEntries = signingEntries.filter((entry) => entry.input.kind === 'digest');

function hashOf(entry: SigningAlgorithmEntry, message: Buffer): Buffer {
  if (entry.input.kind !== 'digest') throw new Error(`${entry.name} takes no digest`);
  return createHash(entry.input.digest).update(message).digest();
}

function verifies(
  entry: SigningAlgorithmEntry,
  material: KeyMaterial,
  { message, signature }: { message: Buffer; signature: Buffer },
): boolean {
  const key = createPublicKey(privateKeyFor(entry, material));
  const digest = entry.input.kind === 'digest' ? entry.input.digest : null;
  if (entry.key.kind === 'rsa' && entry.key.padding === 'pss') {
    const padding = constants.RSA_PKCS1_PSS_PADDING;
    return verify(digest, message, { key, padding, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }, signature);
  }
  return verify(digest, message, key, signature);
}

/** S of a DER signature: the last INTEGER. */
function valueS(der: Buffer): bigint {
  const lengthR = der[3] ?? 0;
  return BigInt(`0x${der.subarray(4 + lengthR + 2).toString('hex')}`);
}

describe.each(digestEntries.map((entry) => [entry.name, entry] as const))('%s', (_name, entry) => {
  it('signs a digest so that the signature verifies over the message', { timeout: 60_000 }, async () => {
    const material = await materialFor(entry);

    const signature = await signDigest(entry, material, hashOf(entry, MESSAGE));

    expect(verifies(entry, material, { message: MESSAGE, signature })).toBe(true);
  });

  it('does not hash the digest once more', { timeout: 60_000 }, async () => {
    const material = await materialFor(entry);
    const digest = hashOf(entry, MESSAGE);

    const signature = await signDigest(entry, material, digest);

    expect(verifies(entry, material, { message: digest, signature })).toBe(false);
  });

  it('hashes data before it signs', { timeout: 60_000 }, async () => {
    const material = await materialFor(entry);

    const signature = await signData(entry, material, MESSAGE);

    expect(verifies(entry, material, { message: MESSAGE, signature })).toBe(true);
  });

  it('gives signatures of the size in the algorithm table', { timeout: 60_000 }, async () => {
    const signature = await signData(entry, await materialFor(entry), MESSAGE);

    if (entry.signatureEncoding === 'raw') expect(signature).toHaveLength(entry.signatureBytes);
    else expect(signature.length).toBeLessThanOrEqual(entry.signatureBytes);
  });

  it('refuses a digest of another length', { timeout: 60_000 }, async () => {
    const digest = randomBytes(20);

    await expect(signDigest(entry, await materialFor(entry), digest)).rejects.toThrow(CryptoInputError);
  });
});

describe('ECDSA', () => {
  it('gives another signature of the same digest each time', async () => {
    const material = await materialFor(P256);
    const digest = hashOf(P256, MESSAGE);

    const signatures = await Promise.all([
      signDigest(P256, material, digest),
      signDigest(P256, material, digest),
    ]);

    expect(signatures[0]).not.toEqual(signatures[1]);
  });

  it('always gives the lower S on secp256k1', async () => {
    const material = await materialFor(K256);

    for (let count = 0; count < 32; count++) {
      expect(valueS(await signDigest(K256, material, randomBytes(32)))).toBeLessThanOrEqual(
        SECP256K1_HALF_ORDER,
      );
    }
  });

  it('leaves S as it comes on P-256', async () => {
    const material = await materialFor(P256);

    const values = await Promise.all(
      Array.from({ length: 64 }, async () => valueS(await signDigest(P256, material, randomBytes(32)))),
    );

    expect(values.some((value) => value > P256_HALF_ORDER)).toBe(true);
  });

  it('verifies for any message', async () => {
    const material = await materialFor(P256);

    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
        const message = Buffer.from(bytes);
        const signature = await signDigest(P256, material, hashOf(P256, message));
        return verifies(P256, material, { message, signature });
      }),
      { numRuns: 50 },
    );
  });
});

describe('RSA', () => {
  it('gives the PKCS#1 v1.5 signature that node gives, which is deterministic', async () => {
    const material = await materialFor(PKCS1_2048);

    const signature = await signDigest(PKCS1_2048, material, hashOf(PKCS1_2048, MESSAGE));

    expect(signature).toEqual(sign('sha256', MESSAGE, privateKeyFor(PKCS1_2048, material)));
  });

  it('gives PSS signatures that verify for any message', async () => {
    const material = await materialFor(PSS_2048);

    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
        const message = Buffer.from(bytes);
        const signature = await signDigest(PSS_2048, material, hashOf(PSS_2048, message));
        return verifies(PSS_2048, material, { message, signature });
      }),
      { numRuns: 30 },
    );
  });

  it.each([
    ['nothing', Buffer.alloc(0)],
    ['a message', MESSAGE],
    ['the most that fits', Buffer.alloc(256 - 11, 0xa5)],
  ])('pads %s without a DigestInfo for raw PKCS#1', async (_name, data) => {
    const material = await materialFor(RAW_2048);

    const signature = await signData(RAW_2048, material, data);

    expect(publicDecrypt(createPublicKey(privateKeyFor(RAW_2048, material)), signature)).toEqual(data);
  });

  it('refuses raw PKCS#1 data that leaves no room for the padding', async () => {
    const material = await materialFor(RAW_2048);

    await expect(signData(RAW_2048, material, Buffer.alloc(256 - 10))).rejects.toThrow(CryptoInputError);
  });

  it('refuses a digest for raw PKCS#1', async () => {
    const material = await materialFor(RAW_2048);

    await expect(signDigest(RAW_2048, material, randomBytes(32))).rejects.toThrow('signs data, not a digest');
  });
});

describe('Ed25519', () => {
  it('signs the message itself', async () => {
    const material = await materialFor(ED25519);

    const signature = await signData(ED25519, material, MESSAGE);

    expect(signature).toHaveLength(64);
    expect(verifies(ED25519, material, { message: MESSAGE, signature })).toBe(true);
  });
});

describe('post-quantum signatures', () => {
  it.each([
    ['PQ_SIGN_ML_DSA_44', ml_dsa44],
    ['PQ_SIGN_ML_DSA_65', ml_dsa65],
    ['PQ_SIGN_ML_DSA_87', ml_dsa87],
  ])('verify with an empty context for %s', async (name, scheme) => {
    const entry = entryOf('ASYMMETRIC_SIGN', name);
    const material = await materialFor(entry);

    const signature = await signData(entry, material, MESSAGE);

    expect(signature).toHaveLength(entry.signatureBytes);
    expect(scheme.verify(signature, MESSAGE, postQuantumKeyFor(entry, material).publicKey)).toBe(true);
  });

  it('verify with an empty context for SLH-DSA', { timeout: 60_000 }, async () => {
    const material = await materialFor(SLH_DSA);

    const signature = await signData(SLH_DSA, material, MESSAGE);

    expect(signature).toHaveLength(SLH_DSA.signatureBytes);
    expect(slh_dsa_sha2_128s.verify(signature, MESSAGE, postQuantumKeyFor(SLH_DSA, material).publicKey)).toBe(
      true,
    );
  });

  it('differ each time', async () => {
    const entry = entryOf('ASYMMETRIC_SIGN', 'PQ_SIGN_ML_DSA_44');
    const material = await materialFor(entry);

    expect(await signData(entry, material, MESSAGE)).not.toEqual(await signData(entry, material, MESSAGE));
  });
});

describe('a key that does not fit the algorithm', () => {
  it('is refused when a symmetric key is to sign a digest', async () => {
    const material = await materialFor(GOOGLE);

    await expect(signDigest(P256, material, randomBytes(32))).rejects.toThrow(KeyMaterialError);
  });

  it('is refused when an RSA key is to sign with ECDSA', async () => {
    const material = await materialFor(PKCS1_2048);

    await expect(signDigest(P256, material, randomBytes(32))).rejects.toThrow(KeyMaterialError);
  });

  it('is refused when an Ed25519 key is to sign with ECDSA', async () => {
    const material = await materialFor(ED25519);

    await expect(signDigest(P256, material, randomBytes(32))).rejects.toThrow(KeyMaterialError);
  });

  it('is refused when a public key stands where the private one belongs', async () => {
    const publicKey = createPublicKey(privateKeyFor(P256, await materialFor(P256)));
    const material: KeyMaterial = { kind: 'keypair', privateKey: publicKey, publicKey };

    await expect(signDigest(P256, material, randomBytes(32))).rejects.toThrow(KeyMaterialError);
  });

  it('is refused when a KEM key is to sign', async () => {
    const material = await materialFor(entryOf('KEY_ENCAPSULATION', 'ML_KEM_768'));

    await expect(signData(SLH_DSA, material, MESSAGE)).rejects.toThrow(KeyMaterialError);
  });
});

describe('an algorithm entry that contradicts itself', () => {
  it('is refused when Ed25519 is said to take a digest', async () => {
    const entry = { ...P256, key: ED25519.key };

    await expect(signDigest(entry, await materialFor(ED25519), randomBytes(32))).rejects.toThrow(
      'no way to sign a digest',
    );
  });

  it('is refused when an elliptic curve key is said to take data', async () => {
    const entry = { ...P256, input: ED25519.input };

    await expect(signData(entry, await materialFor(P256), MESSAGE)).rejects.toThrow('no way to sign data');
  });

  it('is refused when it signs with a key encapsulation scheme', async () => {
    const kem = entryOf('KEY_ENCAPSULATION', 'ML_KEM_768');
    const entry = { ...SLH_DSA, key: kem.key };

    await expect(signData(entry, await materialFor(kem), MESSAGE)).rejects.toThrow('no way to sign data');
  });
});
