/**
 * Envelope encryption against bare node:crypto with AES-256-GCM on the same buffers: messages of 1 KiB and 1 MiB, and a stream
 * of 256 MiB; how many calls 10,000 messages take, there and back; and how far the memory grows over a stream of 1 GiB.
 */

import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { Readable, type Transform, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { ReadableStream, WritableStream } from 'node:stream/web';
import { EnvelopeCipher, KMSClient, type KMSConfig } from '../../src/index.js';
import {
  type Bench,
  type BenchContext,
  type BenchResult,
  higherInPairs,
  inTurn,
  lowerIsBetter,
  perSecond,
} from './measure.js';

const KIB = 1_024;
const MIB = KIB * KIB;
const STREAM_MIB = 256;
const LONG_STREAM_MIB = 1_024;
/** "at most 64 MiB of heap growth". */
const GROWTH_LIMIT_MIB = 64;
const MESSAGES = 10_000;
/** "at most a handful". */
const HANDFUL = 5;
/** Messages that are encrypted with a call each, by so many callers at once. */
const DIRECT_MESSAGES = 3_000;
const DIRECT_CONCURRENCY = 64;
const ROUNDS = 13;
const THROUGHPUT_ROUNDS = 9;
const RATIO_FLOOR = 0.8;

export async function benchEnvelope({ emulatorHost }: BenchContext): Promise<readonly Bench[]> {
  const config = {
    projectId: 'bench',
    locationId: 'europe-west3',
    keyRingId: 'envelope',
    emulatorHost,
  } as const;
  await using kms = new KMSClient(config);
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
    ...(await countCalls(config)),
    await benchAgainstCalls(kms),
    ...(await measureGrowth(cipher)),
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
  return Object.entries({ encrypt, decrypt }).map(([what, result]) => ({
    id: `envelope.${name}.${what}`,
    result,
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
  return Object.entries({ encrypt, decrypt }).map(([what, result]) => ({
    id: `envelope.stream-256MiB.${what}`,
    result,
    ratioFloor: RATIO_FLOOR,
  }));
}

/**
 * Every RPC that 10,000 messages of 1 KiB take, against one for each: to encrypt them, and to decrypt them where none of their
 * keys is known. The clients are new, so what they have to read first counts too.
 */
async function countCalls(config: KMSConfig): Promise<readonly Bench[]> {
  const message = randomBytes(KIB);
  const counted = async <T>(
    work: (cipher: EnvelopeCipher) => Promise<T>,
  ): Promise<{ readonly rpcs: number; readonly outcome: T }> => {
    let rpcs = 0;
    const attempt = () => {
      rpcs += 1;
      return () => {};
    };
    const observers = [{ begin: () => ({ attempt, end: () => {} }) }];
    await using kms = new KMSClient({ ...config, observers });
    await using cipher = new EnvelopeCipher(kms, 'kek');
    const outcome = await work(cipher);
    return { rpcs, outcome };
  };
  const encrypted = await counted((cipher) =>
    Promise.all(Array.from({ length: MESSAGES }, () => cipher.encrypt(message))),
  );
  const decrypted = await counted((cipher) =>
    Promise.all(encrypted.outcome.map((ciphertext) => cipher.decrypt(ciphertext))),
  );
  return Object.entries({ encrypt: encrypted.rpcs, decrypt: decrypted.rpcs }).map(([what, rpcs]) => ({
    id: `envelope.10000-messages.${what}-calls`,
    result: lowerIsBetter('RPCs', rpcs, MESSAGES),
    ratioFloor: MESSAGES / HANDFUL,
  }));
}

/** Messages of 1 KiB through the cipher, against a call to the (emulated) HSM for each; its delay is left out, see run.ts. */
async function benchAgainstCalls(kms: KMSClient): Promise<Bench> {
  const message = randomBytes(KIB);
  const calls = Math.ceil(DIRECT_MESSAGES / DIRECT_CONCURRENCY);
  const caller = () => repeat(calls, () => kms.encrypt('kek', message));
  const rates = await inTurn(THROUGHPUT_ROUNDS, {
    ours: async () => {
      await using cipher = new EnvelopeCipher(kms, 'kek');
      return await perSecond(MESSAGES, () => repeat(MESSAGES, () => cipher.encrypt(message)));
    },
    reference: () =>
      perSecond(calls * DIRECT_CONCURRENCY, () =>
        Promise.all(Array.from({ length: DIRECT_CONCURRENCY }, caller)),
      ),
  });
  return {
    id: 'envelope.10000-messages.throughput',
    result: higherInPairs('messages/s', rates('ours'), rates('reference')),
  };
}

/** 1 GiB encrypted and decrypted again, as Node and as Web streams. */
async function measureGrowth(cipher: EnvelopeCipher): Promise<readonly Bench[]> {
  const chunk = randomBytes(MIB);
  const grown = async (run: (chunks: Iterable<Buffer>) => Promise<void>): Promise<number> => {
    const before = usedBytes();
    let most = before;
    await run(
      (function* () {
        for (let index = 0; index < LONG_STREAM_MIB; index++) {
          most = Math.max(most, usedBytes());
          yield chunk;
        }
      })(),
    );
    return Math.max(0.001, (most - before) / MIB);
  };
  const node = await grown((chunks) =>
    drain(Readable.from(chunks), cipher.encryptStream(), cipher.decryptStream()),
  );
  const web = await grown((chunks) => {
    const source = chunks[Symbol.iterator]();
    return new ReadableStream<Uint8Array>({
      pull: (controller) => {
        const next = source.next();
        if (next.done === true) controller.close();
        else controller.enqueue(next.value);
      },
    })
      .pipeThrough(cipher.encryptWebStream())
      .pipeThrough(cipher.decryptWebStream())
      .pipeTo(new WritableStream());
  });
  return Object.entries({ stream: node, 'web-stream': web }).map(([what, growthMib]) => ({
    id: `envelope.${what}-1GiB.memory-growth`,
    result: lowerIsBetter('MiB', growthMib, GROWTH_LIMIT_MIB),
    ratioFloor: 1,
  }));
}

function usedBytes(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** MiB per second of both. */
async function compare(
  bytes: number,
  sides: { readonly ours: () => Promise<unknown>; readonly reference: () => Promise<unknown> },
): Promise<BenchResult> {
  const rates = await inTurn(ROUNDS, {
    ours: () => perSecond(bytes / MIB, sides.ours),
    reference: () => perSecond(bytes / MIB, sides.reference),
  });
  return higherInPairs('MiB/s', rates('ours'), rates('reference'));
}

async function repeat(count: number, work: () => unknown): Promise<void> {
  for (let index = 0; index < count; index++) await work();
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
