/** Runs bytes through a stream and collects what comes out. */

import { Readable, type Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { ReadableStream, type ReadableWritablePair } from 'node:stream/web';

/** @throws the error that the stream ended with. */
export async function readAll(chunks: Iterable<Uint8Array>, transform: Transform): Promise<Buffer> {
  const pieces: Buffer[] = [];
  await pipeline(Readable.from(chunks), transform, async (output: AsyncIterable<Buffer>) => {
    for await (const piece of output) pieces.push(piece);
  });
  return Buffer.concat(pieces);
}

/** As `readAll`, of a pair of Web streams. */
export async function readAllWeb(
  chunks: Iterable<Uint8Array>,
  pair: ReadableWritablePair<Uint8Array, Uint8Array>,
): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  const source = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk);
      controller.close();
    },
  });
  for await (const piece of source.pipeThrough(pair)) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** The bytes in chunks of a size. */
export function* inChunks(bytes: Buffer, sizeBytes: number): Generator<Buffer> {
  for (let offset = 0; offset < bytes.length; offset += sizeBytes) {
    yield bytes.subarray(offset, offset + sizeBytes);
  }
}
