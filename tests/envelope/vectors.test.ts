/** Frozen envelopes and streams, by Tink and by this library: read with bare node:crypto, by the formats alone, and by the cipher. */

import { createDecipheriv, createHash, createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { EnvelopeCipher } from '../../src/index.js';
import { LocalWrapping } from '../support/local-wrapping.js';
import { readAll } from '../support/streams.js';

const folder = new URL('../vectors/envelope/', import.meta.url);
const read = (name: string): Buffer => readFileSync(new URL(name, folder));
const hex = z.string().transform((text) => Buffer.from(text, 'hex'));
const common = { source: z.string(), kek: hex, associatedData: hex };

const messages = z
  .array(z.object({ ...common, plaintext: hex, ciphertext: hex }))
  .parse(JSON.parse(read('messages.json').toString()));
const streams = z
  .array(
    z.object({
      ...common,
      plaintextBytes: z.number(),
      plaintextSha256: z.string(),
      ciphertext: hex.optional(),
      file: z.string().optional(),
    }),
  )
  .parse(JSON.parse(read('streams.json').toString()))
  .map((vector) => ({ ...vector, ciphertext: vector.ciphertext ?? read(vector.file ?? '') }));

interface Sealed {
  readonly key: Buffer;
  readonly iv: Buffer;
  readonly bytes: Buffer;
  readonly associatedData?: Buffer;
}

/** AES-256-GCM; the last 16 bytes are the tag. */
function open({ key, iv, bytes, associatedData = Buffer.alloc(0) }: Sealed): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', key, iv);
  decipher.setAAD(associatedData).setAuthTag(bytes.subarray(-16));
  return Buffer.concat([decipher.update(bytes.subarray(0, -16)), decipher.final()]);
}

/** `uint32_be n ‖ wrappedKey[n] ‖ rest`; the wrapped key is `iv[12] ‖ ciphertext ‖ tag[16]`. */
function takeApart(kek: Buffer, ciphertext: Buffer): { readonly tinkKey: Buffer; readonly rest: Buffer } {
  const length = ciphertext.readUInt32BE(0);
  const wrapped = ciphertext.subarray(4, 4 + length);
  const tinkKey = open({ key: kek, iv: wrapped.subarray(0, 12), bytes: wrapped.subarray(12) });
  return { tinkKey, rest: ciphertext.subarray(4 + length) };
}

describe.each(messages)('message: $source', ({ kek, plaintext, associatedData, ciphertext }) => {
  it('is read by its format alone', () => {
    const { tinkKey, rest } = takeApart(kek, ciphertext);
    // AesGcmKey: field 3, 32 bytes.
    expect(tinkKey.subarray(0, 2).toString('hex')).toBe('1a20');
    expect(tinkKey).toHaveLength(34);
    const key = tinkKey.subarray(2);
    expect(open({ key, iv: rest.subarray(0, 12), bytes: rest.subarray(12), associatedData })).toEqual(
      plaintext,
    );
  });

  it('is read by the cipher', async () => {
    await using cipher = new EnvelopeCipher(new LocalWrapping(kek), 'kek');
    expect(await cipher.decrypt(ciphertext, associatedData)).toEqual(plaintext);
  });
});

describe.each(streams)(
  'stream: $source',
  ({ kek, associatedData, ciphertext, plaintextBytes, plaintextSha256 }) => {
    it('is read by its format alone', () => {
      const { tinkKey, rest } = takeApart(kek, ciphertext);
      const key = tinkKey.subarray(-32);
      expect(rest[0]).toBe(40);
      const [salt, prefix] = [rest.subarray(1, 33), rest.subarray(33, 40)];
      // RFC 5869: extract, then one block of expand.
      const extracted = createHmac('sha256', salt).update(key).digest();
      const derived = createHmac('sha256', extracted).update(associatedData).update(Buffer.of(1)).digest();
      const plaintext: Buffer[] = [];
      for (let start = 40, index = 0; index === 0 || start < rest.length; index++) {
        const end = Math.min(rest.length, (index + 1) * 1_048_576);
        const iv = Buffer.alloc(12);
        prefix.copy(iv);
        iv.writeUInt32BE(index, 7);
        iv.writeUInt8(end === rest.length ? 1 : 0, 11);
        plaintext.push(open({ key: derived, iv, bytes: rest.subarray(start, end) }));
        start = end;
      }
      const whole = Buffer.concat(plaintext);
      expect(whole).toHaveLength(plaintextBytes);
      expect(createHash('sha256').update(whole).digest('hex')).toBe(plaintextSha256);
    });

    it('is read by the cipher', async () => {
      await using cipher = new EnvelopeCipher(new LocalWrapping(kek), 'kek');
      const whole = await readAll([ciphertext], cipher.decryptStream(associatedData));
      expect(whole).toHaveLength(plaintextBytes);
      expect(createHash('sha256').update(whole).digest('hex')).toBe(plaintextSha256);
    });
  },
);
