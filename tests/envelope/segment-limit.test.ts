/** What happens at the last index that a segment can have, with an index that ends early: 2^32 segments are 4 PiB. */

import { describe, expect, it, vi } from 'vitest';
import { EnvelopeCipher } from '../../src/index.js';
import { LocalWrapping } from '../support/local-wrapping.js';
import { readAll } from '../support/streams.js';

const limits = vi.hoisted(() => ({ segments: 2 }));
vi.mock('../../src/envelope/format.js', async (importOriginal) => ({
  ...(await importOriginal<object>()),
  get SEGMENTS_MAX() {
    return limits.segments;
  },
}));

const SEGMENT = 1_048_576;
/** Two segments, full. */
const full = Buffer.alloc(2 * SEGMENT - 40 - 2 * 16, 7);

describe('a stream with as many segments as there are indices', () => {
  it('goes both ways, and one byte more is refused instead of an index twice', async () => {
    await using cipher = new EnvelopeCipher(new LocalWrapping(), 'kek');
    const sealed = await readAll([full], cipher.encryptStream());
    expect((await readAll([sealed], cipher.decryptStream())).equals(full)).toBe(true);
    await expect(readAll([full, Buffer.of(1)], cipher.encryptStream())).rejects.toMatchObject({
      code: 'DATA_TOO_LARGE',
      limitBytes: 2 * SEGMENT,
    });
  });

  it('is refused when it goes on beyond them, and what was received has to be discarded', async () => {
    await using cipher = new EnvelopeCipher(new LocalWrapping(), 'kek');
    limits.segments = 3;
    const sealed = await readAll([full, Buffer.of(1)], cipher.encryptStream());
    limits.segments = 2;
    await expect(readAll([sealed], cipher.decryptStream())).rejects.toMatchObject({
      code: 'STREAM_DECRYPTION_FAILED',
      message: expect.stringContaining('segment 2'),
      releasedBytes: full.length,
    });
  });
});
