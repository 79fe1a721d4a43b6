/**
 * The header of a file store: how the key that encrypts the store is opened. That key is random; the secret of the
 * configuration (a passphrase by way of scrypt, or 32 bytes) wraps it. The header is read before anything is trusted, so
 * its numbers are bounded before they are used.
 */

import { randomBytes, scrypt } from 'node:crypto';
import { z } from 'zod';
import { STORE_KEY_BYTES, type StoreSecret } from '../../config/software-config.js';
import { seal, unseal } from './sealing.js';

/** OWASP Password Storage Cheat Sheet, scrypt: N = 2^17, r = 8, p = 1, which takes 128 MiB. */
const SCRYPT_COST = 2 ** 17;
const SCRYPT_BLOCK_SIZE = 8;
const SCRYPT_PARALLELIZATION = 1;
/** A header that asks for more than 1 GiB of memory or four times that work was not written by this library. */
const SCRYPT_MAX_COST = 2 ** 20;
const SALT_BYTES = 16;
const FORMAT = 1;

const isPowerOfTwo = (value: number): boolean => (value & (value - 1)) === 0;
const base64 = z.string().max(1_000);

const headerSchema = z.strictObject({
  format: z.literal(FORMAT),
  kdf: z.discriminatedUnion('name', [
    z.strictObject({
      name: z.literal('scrypt'),
      cost: z.int().min(2).max(SCRYPT_MAX_COST).refine(isPowerOfTwo),
      blockSize: z.int().min(1).max(SCRYPT_BLOCK_SIZE),
      parallelization: z.int().min(1).max(4),
      salt: base64,
    }),
    z.strictObject({ name: z.literal('none') }),
  ]),
  wrappedKey: base64,
});

type Header = z.output<typeof headerSchema>;
type Kdf = Header['kdf'];

/** What came of opening a header. */
type OpenedHeader =
  | { readonly kind: 'open'; readonly storeKey: Buffer }
  | { readonly kind: 'wrong-secret'; readonly problem: string }
  | { readonly kind: 'not-a-header' };

/** A header for a new random key, and that key. */
export async function createHeader(secret: StoreSecret): Promise<{ header: Buffer; key: Buffer }> {
  const kdf: Kdf =
    'key' in secret
      ? { name: 'none' }
      : {
          name: 'scrypt',
          cost: SCRYPT_COST,
          blockSize: SCRYPT_BLOCK_SIZE,
          parallelization: SCRYPT_PARALLELIZATION,
          salt: randomBytes(SALT_BYTES).toString('base64'),
        };
  const wrappingKey = await deriveKey(kdf, secret);
  const storeKey = randomBytes(STORE_KEY_BYTES);
  const wrappedKey = seal(wrappingKey, storeKey, boundTo(kdf)).toString('base64');
  wrappingKey.fill(0);
  const header: Header = { format: FORMAT, kdf, wrappedKey };
  return { header: Buffer.from(JSON.stringify(header)), key: storeKey };
}

/** Opens the header with a secret. */
export async function openHeader(bytes: Uint8Array, secret: StoreSecret): Promise<OpenedHeader> {
  const header = parseHeader(bytes);
  if (header === undefined) return { kind: 'not-a-header' };
  const { kdf, wrappedKey } = header;
  if ((kdf.name === 'none') !== 'key' in secret) {
    const wanted = kdf.name === 'none' ? 'a key' : 'a passphrase';
    return { kind: 'wrong-secret', problem: `it is opened by ${wanted}, which was not given.` };
  }
  const wrappingKey = await deriveKey(kdf, secret);
  const storeKey = unseal(wrappingKey, Buffer.from(wrappedKey, 'base64'), boundTo(kdf));
  wrappingKey.fill(0);
  return storeKey?.length === STORE_KEY_BYTES
    ? { kind: 'open', storeKey }
    : {
        kind: 'wrong-secret',
        problem: `the ${kdf.name === 'none' ? 'key' : 'passphrase'} is not the right one.`,
      };
}

function parseHeader(bytes: Uint8Array): Header | undefined {
  try {
    return headerSchema.safeParse(JSON.parse(Buffer.from(bytes).toString('utf8'))).data;
  } catch {
    return undefined;
  }
}

const boundTo = (kdf: Kdf): string => `a2a-kms software key store ${FORMAT} ${JSON.stringify(kdf)}`;

async function deriveKey(kdf: Kdf, secret: StoreSecret): Promise<Buffer> {
  if ('key' in secret) return Buffer.from(secret.key);
  if (kdf.name === 'none') throw new TypeError('a passphrase needs a key derivation');
  const { cost: N, blockSize: r, parallelization: p } = kdf;
  // One spelling of a passphrase, whatever the keyboard composes (RFC 8265 section 4.2 asks for NFC).
  const phrase = secret.passphrase.normalize('NFC');
  // scrypt takes 128 * N * r bytes, and a little for each lane.
  const options = { N, r, p, maxmem: 128 * r * (N + p + 2) };
  return new Promise((resolve, reject) => {
    scrypt(phrase, Buffer.from(kdf.salt, 'base64'), STORE_KEY_BYTES, options, (error, key) =>
      error === null ? resolve(key) : reject(error),
    );
  });
}
