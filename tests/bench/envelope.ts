/**
 * What envelope encryption costs beside bare AES-256-GCM of node:crypto on the same buffers, how many calls many small
 * messages make, and what memory a long stream takes.
 */

import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { EnvelopeCipher, KeyHierarchy, type KeyWrappingProvider, KMSClient } from '../../src/index.js';
import { type Bench, type BenchContext, higherIsBetter, lowerIsBetter, median } from './measure.js';

const MEBIBYTE = 2 ** 20;
const STREAM_BYTES = 256 * MEBIBYTE;
const LONG_STREAM_BYTES = 1_024 * MEBIBYTE;
/** What Node's file streams read at once. */
const CHUNK_BYTES = 65_536;
const HEAP_GROWTH_MAX_MIB = 64;
const ROUNDS = 9;
const STREAM_ROUNDS = 3;
const MESSAGES = 10_000;
/** Overheads matter where data is large; a message of 1 KiB is mostly the call itself. */
const FLOOR = 0.8;

export async function benchEnvelope({ emulatorHost }: BenchContext): Promise<readonly Bench[]> {
  await using kms = new KMSClient({
    projectId: 'bench-envelope',
    locationId: 'europe-west3',
    keyRingId: 'envelope',
    emulatorHost,
  });
  const hierarchy = new KeyHierarchy(kms);
  await hierarchy.initialize();
  await using cipher = new EnvelopeCipher(kms, hierarchy.kekKeyId, {
    dataKeys: { maxMessages: 2 ** 20, maxBytes: 2 ** 36, maxAgeMs: 300_000 },
  });
  return [
    ...(await messages(cipher, { id: '1-kib', sizeBytes: 1_024, calls: 4_000 })),
    ...(await messages(cipher, { id: '1-mib', sizeBytes: MEBIBYTE, calls: 64, ratioFloor: FLOOR })),
    ...(await streams(cipher)),
    await calls(kms, hierarchy.kekKeyId),
    await memory(cipher),
  ];
}

type Run = () => Promise<unknown>;

/** Median seconds of each side; rounds in turn, and who goes first changes. */
async function compare(ours: Run, reference: Run, rounds: number): Promise<readonly [number, number]> {
  const seconds: [number[], number[]] = [[], []];
  const timed = async (side: 0 | 1): Promise<void> => {
    const start = performance.now();
    await (side === 0 ? ours() : reference());
    seconds[side].push((performance.now() - start) / 1_000);
  };
  for (let round = 0; round <= rounds; round += 1) {
    const first = round % 2 === 0 ? 0 : 1;
    await timed(first);
    await timed(first === 0 ? 1 : 0);
  }
  return [median(seconds[0].slice(1)), median(seconds[1].slice(1))];
}

interface MessageCase {
  readonly id: string;
  readonly sizeBytes: number;
  readonly calls: number;
  readonly ratioFloor?: number;
}

async function messages(cipher: EnvelopeCipher, options: MessageCase): Promise<readonly Bench[]> {
  const { id, sizeBytes, calls, ratioFloor } = options;
  const plaintext = randomBytes(sizeBytes);
  const key = randomBytes(32);
  const ciphertext = await cipher.encrypt(plaintext);
  const sealed = seal(key, plaintext);
  const repeat = (call: () => unknown) => async (): Promise<void> => {
    for (let done = 0; done < calls; done += 1) await call();
  };
  const mebibytes = (sizeBytes * calls) / MEBIBYTE;
  const bench = (what: string, [ours, reference]: readonly [number, number]): Bench => ({
    id: `envelope.${id}.${what}`,
    result: higherIsBetter('MiB/s', mebibytes / ours, mebibytes / reference),
    ...(ratioFloor !== undefined && { ratioFloor }),
  });
  return [
    bench(
      'encrypt',
      await compare(
        repeat(() => cipher.encrypt(plaintext)),
        repeat(() => seal(key, plaintext)),
        ROUNDS,
      ),
    ),
    bench(
      'decrypt',
      await compare(
        repeat(() => cipher.decrypt(ciphertext)),
        repeat(() => open(key, sealed)),
        ROUNDS,
      ),
    ),
  ];
}

function seal(key: Buffer, plaintext: Buffer): Buffer {
  const iv = randomBytes(12);
  const gcm = createCipheriv('aes-256-gcm', key, iv);
  return Buffer.concat([iv, gcm.update(plaintext), gcm.final(), gcm.getAuthTag()]);
}

function open(key: Buffer, sealed: Buffer): Buffer {
  const gcm = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, 12));
  gcm.setAuthTag(sealed.subarray(-16));
  return Buffer.concat([gcm.update(sealed.subarray(12, -16)), gcm.final()]);
}

function* chunks(totalBytes: number): Generator<Buffer> {
  const chunk = randomBytes(CHUNK_BYTES);
  for (let sent = 0; sent < totalBytes; sent += CHUNK_BYTES) yield chunk;
}

const source = (totalBytes: number): Readable => Readable.from(chunks(totalBytes), { objectMode: false });
const sink = (onChunk: () => void = () => {}): Writable =>
  new Writable({
    write: (_chunk, _encoding, done) => {
      onChunk();
      done();
    },
  });

/** The reference is the cipher of node:crypto in the same pipeline, and for decryption there and back less the way there. */
async function streams(cipher: EnvelopeCipher): Promise<readonly Bench[]> {
  const bare = () => createCipheriv('aes-256-gcm', randomBytes(32), randomBytes(12));
  const mebibytes = STREAM_BYTES / MEBIBYTE;
  const encrypt = await compare(
    () => pipeline(source(STREAM_BYTES), cipher.encryptStream(), sink()),
    () => pipeline(source(STREAM_BYTES), bare(), sink()),
    STREAM_ROUNDS,
  );
  const both = await compare(
    () => pipeline(source(STREAM_BYTES), cipher.encryptStream(), cipher.decryptStream(), sink()),
    // GCM decrypts with the same operations that encrypt.
    () => pipeline(source(STREAM_BYTES), bare(), bare(), sink()),
    STREAM_ROUNDS,
  );
  const bench = (what: string, [ours, reference]: readonly [number, number]): Bench => ({
    id: `envelope.stream-256-mib.${what}`,
    result: higherIsBetter('MiB/s', mebibytes / ours, mebibytes / reference),
    ratioFloor: FLOOR,
  });
  return [bench('encrypt', encrypt), bench('encrypt-and-decrypt', both)];
}

/** Calls to the provider for many small messages, against one for each. */
async function calls(kms: KMSClient, keyId: string): Promise<Bench> {
  let count = 0;
  const counting: KeyWrappingProvider = {
    encrypt: (...of) => {
      count += 1;
      return kms.encrypt(...of);
    },
    decrypt: (...of) => {
      count += 1;
      return kms.decrypt(...of);
    },
    resolveKeyVersion: (...of) => kms.resolveKeyVersion(...of),
  };
  await using cipher = new EnvelopeCipher(counting, keyId);
  const plaintext = randomBytes(1_024);
  for (let sent = 0; sent < MESSAGES; sent += 1) await cipher.encrypt(plaintext);
  return {
    id: 'envelope.10000-messages.calls',
    result: lowerIsBetter('calls', count, MESSAGES),
    ratioFloor: 1_000,
  };
}

async function memory(cipher: EnvelopeCipher): Promise<Bench> {
  const used = (): number => process.memoryUsage().heapUsed;
  const before = used();
  let peak = before;
  const onChunk = (): void => {
    peak = Math.max(peak, used());
  };
  await pipeline(source(LONG_STREAM_BYTES), cipher.encryptStream(), cipher.decryptStream(), sink(onChunk));
  const growthMiB = Math.max((peak - before) / MEBIBYTE, 0.001);
  return {
    id: 'envelope.stream-1-gib.heap-growth',
    result: lowerIsBetter('MiB', growthMiB, HEAP_GROWTH_MAX_MIB),
    ratioFloor: 1,
  };
}
