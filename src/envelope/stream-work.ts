/**
 * What happens to the bytes of a stream, apart from Node's and the Web's ways to move them. The adapters feed chunks in and
 * take one batch after the other out, as fast as their reader wants them.
 */

/** Bytes that go out together: a header, or what came of one segment. */
export type Batch = readonly Uint8Array[];

export type Batches = Iterable<Batch>;

/** Work goes on in the order of the calls; each is made when all batches of the one before were taken. */
export interface StreamWork {
  /** Takes a chunk. It is not read any more after its batches were taken. */
  update(chunk: Uint8Array): Batches | Promise<Batches>;
  /** The input has ended. */
  finish(): Batches | Promise<Batches>;
  /** Ends the work at any point and zeroes its keys; may be called again. */
  wipe(): void;
}
