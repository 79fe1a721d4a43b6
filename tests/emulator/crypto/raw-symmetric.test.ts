import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CiphertextError, CryptoInputError } from '../../../src/emulator/crypto/crypto-errors.js';
import { generateKeyMaterial, importKeyMaterial } from '../../../src/emulator/crypto/key-material.js';
import { rawDecrypt, rawEncrypt } from '../../../src/emulator/crypto/raw-symmetric.js';
import { allAlgorithms } from '../../../src/keys/algorithms.js';
import { entryOf } from '../../support/key-material.js';

const NONE = Buffer.alloc(0);
const rawEntry = (name: string) => entryOf('RAW_ENCRYPT_DECRYPT', name);
const GCM = rawEntry('AES_256_GCM');
const CBC = rawEntry('AES_256_CBC');
const CTR = rawEntry('AES_256_CTR');
const rawEntries = allAlgorithms().filter((entry) => entry.purpose === 'RAW_ENCRYPT_DECRYPT');
const hex = (text: string) => Buffer.from(text, 'hex');

/** NIST SP 800-38A appendix F: the plaintext of all examples. */
const SP_800_38A_PLAINTEXT = hex(
  '6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51' +
    '30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710',
);
const KEY_128 = hex('2b7e151628aed2a6abf7158809cf4f3c');
const KEY_256 = hex('603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4');

describe('known answers of NIST SP 800-38A', () => {
  it.each([
    ['F.2.1', 'AES_128_CBC', KEY_128, '000102030405060708090a0b0c0d0e0f', '7649abac8119b246cee98e9b12e9197d'],
    ['F.2.5', 'AES_256_CBC', KEY_256, '000102030405060708090a0b0c0d0e0f', 'f58c4c04d6e5f1ba779eabfb5f7bfbd6'],
    ['F.5.1', 'AES_128_CTR', KEY_128, 'f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff', '874d6191b620e3261bef6864990db6ce'],
    ['F.5.5', 'AES_256_CTR', KEY_256, 'f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff', '601ec313775789a5b7a7f504bbf3d228'],
  ])('%s: %s', (_section, name, keyBytes, iv, firstBlock) => {
    const entry = rawEntry(name);
    const material = importKeyMaterial(entry, keyBytes);

    const encrypted = rawEncrypt(entry, {
      material,
      plaintext: SP_800_38A_PLAINTEXT,
      aad: NONE,
      iv: hex(iv),
    });

    expect(encrypted.iv).toEqual(hex(iv));
    expect(encrypted.ciphertext).toHaveLength(SP_800_38A_PLAINTEXT.length);
    expect(encrypted.ciphertext.subarray(0, 16)).toEqual(hex(firstBlock));
  });
});

describe('a known answer of the GCM specification', () => {
  it('decrypts test case 16 with associated data', () => {
    const material = importKeyMaterial(
      GCM,
      hex('feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308'),
    );

    const plaintext = rawDecrypt(GCM, {
      material,
      ciphertext: hex(
        '522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa' +
          '8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662' +
          '76fc6ece0f4e1768cddf8853bb2d551b',
      ),
      aad: hex('feedfacedeadbeeffeedfacedeadbeefabaddad2'),
      iv: hex('cafebabefacedbaddecaf888'),
      tagLengthBytes: 16,
    });

    expect(plaintext).toEqual(
      hex(
        'd9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72' +
          '1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39',
      ),
    );
  });
});

describe.each(rawEntries.map((entry) => [entry.name, entry] as const))('%s', (_name, entry) => {
  it('round-trips any plaintext it accepts', async () => {
    const material = await generateKeyMaterial(entry);
    const blocks = entry.mode === 'cbc' ? 16 : 1;

    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.uint8Array({ maxLength: 40 }), (bytes, data) => {
        const plaintext = Buffer.from(bytes.subarray(0, bytes.length - (bytes.length % blocks)));
        const aad = entry.mode === 'gcm' ? Buffer.from(data) : NONE;
        const { ciphertext, iv, tagLengthBytes } = rawEncrypt(entry, { material, plaintext, aad, iv: NONE });
        const decrypted = rawDecrypt(entry, { material, ciphertext, aad, iv, tagLengthBytes });
        expect(decrypted).toEqual(plaintext);
      }),
    );
  });

  it('makes an IV of its own when it is given none', async () => {
    const material = await generateKeyMaterial(entry);
    const options = { material, plaintext: Buffer.alloc(16), aad: NONE, iv: NONE };

    const [first, second] = [rawEncrypt(entry, options), rawEncrypt(entry, options)];

    expect(first.iv).toHaveLength(entry.mode === 'gcm' ? 12 : 16);
    expect(first.iv).not.toEqual(second.iv);
  });

  it('says how long the tag is', async () => {
    const material = await generateKeyMaterial(entry);

    const encrypted = rawEncrypt(entry, { material, plaintext: Buffer.alloc(16), aad: NONE, iv: NONE });

    expect(encrypted.tagLengthBytes).toBe(entry.mode === 'gcm' ? 16 : 0);
    expect(encrypted.ciphertext).toHaveLength(16 + encrypted.tagLengthBytes);
  });

  it('decrypts with the default tag length when none is given', async () => {
    const material = await generateKeyMaterial(entry);
    const plaintext = randomBytes(32);
    const { ciphertext, iv } = rawEncrypt(entry, { material, plaintext, aad: NONE, iv: NONE });

    expect(rawDecrypt(entry, { material, ciphertext, aad: NONE, iv, tagLengthBytes: 0 })).toEqual(plaintext);
  });

  it('refuses another tag length', async () => {
    const material = await generateKeyMaterial(entry);
    const { ciphertext, iv } = rawEncrypt(entry, {
      material,
      plaintext: Buffer.alloc(16),
      aad: NONE,
      iv: NONE,
    });

    expect(() => rawDecrypt(entry, { material, ciphertext, aad: NONE, iv, tagLengthBytes: 12 })).toThrow(
      CryptoInputError,
    );
  });

  it('refuses an IV of the wrong length when it decrypts', async () => {
    const material = await generateKeyMaterial(entry);
    const options = {
      material,
      ciphertext: Buffer.alloc(32),
      aad: NONE,
      iv: randomBytes(15),
      tagLengthBytes: 0,
    };

    expect(() => rawDecrypt(entry, options)).toThrow(CryptoInputError);
  });
});

describe('rawEncrypt', () => {
  it('refuses an IV with GCM', async () => {
    const options = {
      material: await generateKeyMaterial(GCM),
      plaintext: NONE,
      aad: NONE,
      iv: randomBytes(12),
    };

    expect(() => rawEncrypt(GCM, options)).toThrow('does not accept an initialization vector');
  });

  it.each([CBC, CTR])('refuses associated data with $name', async (entry) => {
    const options = {
      material: await generateKeyMaterial(entry),
      plaintext: NONE,
      aad: Buffer.from('a'),
      iv: NONE,
    };

    expect(() => rawEncrypt(entry, options)).toThrow('does not accept additional authenticated data');
  });

  it.each([CBC, CTR])('refuses an IV of the wrong length with $name', async (entry) => {
    const options = {
      material: await generateKeyMaterial(entry),
      plaintext: NONE,
      aad: NONE,
      iv: randomBytes(12),
    };

    expect(() => rawEncrypt(entry, options)).toThrow('must have 16 bytes, not 12');
  });

  it('refuses CBC plaintext that is not whole blocks', async () => {
    const options = {
      material: await generateKeyMaterial(CBC),
      plaintext: Buffer.alloc(15),
      aad: NONE,
      iv: NONE,
    };

    expect(() => rawEncrypt(CBC, options)).toThrow('multiple of 16 bytes');
  });

  it('does not keep the IV it was given', async () => {
    const iv = randomBytes(16);
    const encrypted = rawEncrypt(CTR, {
      material: await generateKeyMaterial(CTR),
      plaintext: NONE,
      aad: NONE,
      iv,
    });

    expect(encrypted.iv).not.toBe(iv);
  });
});

describe('rawDecrypt', () => {
  it.each([CBC, CTR])('refuses associated data with $name', async (entry) => {
    const material = await generateKeyMaterial(entry);
    const options = {
      material,
      ciphertext: Buffer.alloc(16),
      aad: Buffer.from('a'),
      iv: randomBytes(16),
      tagLengthBytes: 0,
    };

    expect(() => rawDecrypt(entry, options)).toThrow(CryptoInputError);
  });

  it('refuses CBC ciphertext that is not whole blocks', async () => {
    const material = await generateKeyMaterial(CBC);
    const options = {
      material,
      ciphertext: Buffer.alloc(17),
      aad: NONE,
      iv: randomBytes(16),
      tagLengthBytes: 0,
    };

    expect(() => rawDecrypt(CBC, options)).toThrow(CryptoInputError);
  });

  it('refuses a GCM ciphertext that was altered', async () => {
    const material = await generateKeyMaterial(GCM);
    const { ciphertext, iv } = rawEncrypt(GCM, { material, plaintext: Buffer.alloc(8), aad: NONE, iv: NONE });
    ciphertext[0] = (ciphertext[0] ?? 0) ^ 0x80;

    expect(() => rawDecrypt(GCM, { material, ciphertext, aad: NONE, iv, tagLengthBytes: 16 })).toThrow(
      CiphertextError,
    );
  });

  it('refuses other associated data with GCM', async () => {
    const material = await generateKeyMaterial(GCM);
    const { ciphertext, iv } = rawEncrypt(GCM, {
      material,
      plaintext: NONE,
      aad: Buffer.from('a'),
      iv: NONE,
    });

    expect(() =>
      rawDecrypt(GCM, { material, ciphertext, aad: Buffer.from('b'), iv, tagLengthBytes: 16 }),
    ).toThrow(CiphertextError);
  });

  it('refuses a GCM ciphertext that is shorter than its tag', async () => {
    const material = await generateKeyMaterial(GCM);
    const options = {
      material,
      ciphertext: Buffer.alloc(15),
      aad: NONE,
      iv: randomBytes(12),
      tagLengthBytes: 16,
    };

    expect(() => rawDecrypt(GCM, options)).toThrow(CiphertextError);
  });
});
