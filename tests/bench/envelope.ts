/**
 * Envelope encryption against bare node:crypto with AES-256-GCM on the same buffers: messages of 1 KiB and 1 MiB, and a stream
 * of 256 MiB; how many calls 10,000 messages take; and how far the memory grows over a stream of 1 GiB.
 */

import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { Readable, type Transform, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { EnvelopeCipher, KMSClient } from '../../src/index.js';
import {
  type Bench,
  type BenchContext,
  higherIsBetter,
  inTurn,
  lowerIsBetter,
  median,
  perSecond,
  repeat,
} from './measure.js';
import { quiet } from './quiet-logger.js';

const KIB = 1_024;
const MIB = KIB * KIB;
const STREAM_MIB = 256;
const LONG_STREAM_MIB = 1_024;
/** "at most 64 MiB of heap growth". */
const GROWTH_LIMIT_MIB = 64;
const MESSAGES = 10_000;
const ROUNDS = 7;
const RATIO_FLOOR = 0.8;

export async function benchEnvelope({ emulatorHost }: BenchContext): Promise<readonly Bench[]> {
  await using kms = new KMSClient({
    projectId: 'bench',
    locationId: 'europe-west3',
    keyRingId: 'envelope',
    emulatorHost,
    logger: quiet,
  });
  await kms.initialize();
  await kms.generateKey({
    name: 'kek',
    purpose: 'ENCRYPT_DECRYPT',
    algorithm: 'GOOGLE_SYMMETRIC_ENCRYPTION',
  });
  await using cipher = new EnvelopeCipher(kms, 'kek', { dataKeys: { maxMessages: 2 ** 20 } });
  const key = randomBytes(32);
  return [
    ...(await benchMessages(cipher, key, {
      name: '1KiB',
      sizeBytes: KIB,
      count: 4_096,
      ratioFloor: undefined,
    })),
    ...(await benchMessages(cipher, key, {
      name: '1MiB',
      sizeBytes: MIB,
      count: 64,
      ratioFloor: RATIO_FLOOR,
    })),
    ...(await benchStream(cipher, key)),
    await countCalls(kms),
    await measureGrowth(cipher),
  ];
}

async function benchMessages(
  cipher: EnvelopeCipher,
  key: Buffer,
  message: {
    readonly name: string;
    readonly sizeBytes: number;
    readonly count: number;
    readonly ratioFloor: number | undefined;
  },
): Promise<readonly Bench[]> {
  const { name, sizeBytes, count, ratioFloor } = message;
  const plaintext = randomBytes(sizeBytes);
  const sealed = await cipher.encrypt(plaintext);
  const bare = sealBare(key, plaintext);
  const encrypt = await compare(sizeBytes * count, {
    ours: () => repeat(count, () => cipher.encrypt(plaintext)),
    reference: () => repeat(count, () => sealBare(key, plaintext)),
  });
  const decrypt = await compare(sizeBytes * count, {
    ours: () => repeat(count, () => cipher.decrypt(sealed)),
    reference: () => repeat(count, () => openBare(key, bare)),
  });
  return Object.entries({ encrypt, decrypt }).map(([what, { ours, reference }]) => ({
    id: `envelope.${name}.${what}`,
    result: higherIsBetter('MiB/s', ours, reference),
    ...(ratioFloor !== undefined && { ratioFloor }),
  }));
}

async function benchStream(cipher: EnvelopeCipher, key: Buffer): Promise<readonly Bench[]> {
  const chunk = randomBytes(MIB);
  const totalBytes = STREAM_MIB * MIB;
  const encrypted: Buffer[] = [];
  await pipeline(
    chunksOf(chunk, STREAM_MIB),
    cipher.encryptStream(),
    async (output: AsyncIterable<Buffer>) => {
      for await (const piece of output) encrypted.push(piece);
    },
  );
  const encrypt = await compare(totalBytes, {
    ours: () => drain(chunksOf(chunk, STREAM_MIB), cipher.encryptStream()),
    reference: async () => {
      const bare = createCipheriv('aes-256-gcm', key, randomBytes(12));
      for (let index = 0; index < STREAM_MIB; index++) bare.update(chunk);
      bare.final();
      bare.getAuthTag();
    },
  });
  const decrypt = await compare(totalBytes, {
    ours: () => drain(Readable.from(encrypted), cipher.decryptStream()),
    reference: async () => {
      const bare = createDecipheriv('aes-256-gcm', key, randomBytes(12));
      for (const piece of encrypted) bare.update(piece);
    },
  });
  return Object.entries({ encrypt, decrypt }).map(([what, { ours, reference }]) => ({
    id: `envelope.stream-256MiB.${what}`,
    result: higherIsBetter('MiB/s', ours, reference),
    ratioFloor: RATIO_FLOOR,
  }));
}

/** Calls to Cloud KMS for 10,000 messages of 1 KiB, against one for each. */
async function countCalls(kms: KMSClient): Promise<Bench> {
  let calls = 0;
  const counted = {
    resolveKeyVersion: kms.resolveKeyVersion.bind(kms),
    encrypt: (...input: Parameters<KMSClient['encrypt']>) => {
      calls += 1;
      return kms.encrypt(...input);
    },
    decrypt: kms.decrypt.bind(kms),
  };
  await using cipher = new EnvelopeCipher(counted, 'kek');
  const message = randomBytes(KIB);
  await Promise.all(Array.from({ length: MESSAGES }, () => cipher.encrypt(message)));
  return {
    id: 'envelope.10000-messages.calls',
    result: lowerIsBetter('calls', calls, MESSAGES),
    // "at most a handful": five.
    ratioFloor: MESSAGES / 5,
  };
}

async function measureGrowth(cipher: EnvelopeCipher): Promise<Bench> {
  const chunk = randomBytes(MIB);
  const used = (): number => {
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  const before = used();
  let most = before;
  const watched = chunksOf(chunk, LONG_STREAM_MIB).map((piece: Buffer) => {
    most = Math.max(most, used());
    return piece;
  });
  await drain(watched, cipher.encryptStream(), cipher.decryptStream());
  return {
    id: 'envelope.stream-1GiB.memory-growth',
    result: lowerIsBetter('MiB', Math.max(0.001, (most - before) / MIB), GROWTH_LIMIT_MIB),
    ratioFloor: 1,
  };
}

/** MiB per second. */
async function compare(
  bytes: number,
  sides: { readonly ours: () => Promise<unknown>; readonly reference: () => Promise<unknown> },
): Promise<{ readonly ours: number; readonly reference: number }> {
  const rates = await inTurn(ROUNDS, {
    ours: () => perSecond(bytes / MIB, sides.ours),
    reference: () => perSecond(bytes / MIB, sides.reference),
  });
  return { ours: median(rates('ours')), reference: median(rates('reference')) };
}

const chunksOf = (chunk: Buffer, count: number): Readable =>
  Readable.from(
    (function* () {
      for (let index = 0; index < count; index++) yield chunk;
    })(),
  );

async function drain(source: Readable, ...transforms: readonly Transform[]): Promise<void> {
  const sink = new Writable({ highWaterMark: MIB, write: (_piece, _encoding, done) => done() });
  await pipeline([source, ...transforms, sink]);
}

function sealBare(key: Buffer, plaintext: Buffer): Buffer {
  const iv = randomBytes(12);
  const bare = createCipheriv('aes-256-gcm', key, iv);
  return Buffer.concat([iv, bare.update(plaintext), bare.final(), bare.getAuthTag()]);
}

function openBare(key: Buffer, sealed: Buffer): Buffer {
  const bare = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, 12), { authTagLength: 16 });
  bare.setAuthTag(sealed.subarray(-16));
  return Buffer.concat([bare.update(sealed.subarray(12, -16)), bare.final()]);
}
