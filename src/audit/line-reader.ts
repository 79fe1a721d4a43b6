/** Splits a stream into lines, in memory for one line. */

import { LINE_MAX_BYTES } from './line.js';

type RawLine =
  | { readonly kind: 'line'; readonly bytes: Buffer }
  /** Longer than any line of a trail. */
  | { readonly kind: 'too-long' }
  /** What is behind the last line feed. */
  | { readonly kind: 'rest'; readonly bytes: Buffer };

const LINE_FEED = 0x0a;

export async function* readLines(stream: AsyncIterable<Uint8Array | string>): AsyncGenerator<RawLine> {
  let parts: Buffer[] = [];
  let length = 0;
  const take = (part: Buffer): void => {
    length += part.length;
    // What is too long is counted, not kept.
    if (length <= LINE_MAX_BYTES) parts.push(part);
    else parts = [];
  };
  const finish = (): RawLine => {
    const isTooLong = length > LINE_MAX_BYTES;
    const bytes = Buffer.concat(parts);
    parts = [];
    length = 0;
    return isTooLong ? { kind: 'too-long' } : { kind: 'line', bytes };
  };
  for await (const chunk of stream) {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk, 'utf8') : Buffer.from(chunk);
    let start = 0;
    for (let end = bytes.indexOf(LINE_FEED); end >= 0; end = bytes.indexOf(LINE_FEED, start)) {
      take(bytes.subarray(start, end));
      start = end + 1;
      yield finish();
    }
    take(bytes.subarray(start));
  }
  if (length > LINE_MAX_BYTES) yield { kind: 'too-long' };
  else if (length > 0) yield { kind: 'rest', bytes: Buffer.concat(parts) };
}
